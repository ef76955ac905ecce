//! Files that are malformed, truncated, huge or hostile, for every command that reads them.

use crate::world::World;

/// Every command that reads a file `{}`.
fn readers(world: &World) -> Vec<String> {
    let digest = world.digest("proposal.json");
    vec![
        "verify {}".to_owned(),
        "verify 1.root.json {}".to_owned(),
        "review {}".to_owned(),
        "review proposal.json {}".to_owned(),
        "review proposal.json --previous {}".to_owned(),
        world.signing("alice", "{}", "--first", &digest),
        world.signing("alice", "proposal.json", "--previous {}", &digest),
        "merge --proposal {} --first alice/alice.sig.json --out out.json".to_owned(),
        "merge --proposal proposal.json --first {} --out out.json".to_owned(),
        "merge --proposal proposal.json --previous {} alice/alice.sig.json --out out.json".to_owned(),
        "propose --previous {} --out out.json --expires-in 9d".to_owned(),
        "propose --previous 1.root.json --out out.json --expires-in 9d --root-key {}".to_owned(),
        "propose --previous 1.root.json --out out.json --expires-in 9d --key targets={}".to_owned(),
        "propose --previous 1.root.json --out out.json --expires-in 9d --remove-key {}".to_owned(),
    ]
}

#[test]
fn no_command_takes_a_file_that_is_none() {
    let world = World::with_root();
    world.write("empty", "");
    world.write("text", "not JSON");
    world.write("binary", [0xff, 0xfe, 0x00, 0x80].repeat(100));
    world.write("deep", "[".repeat(1_000_000));
    world.write("floats", r#"{"signatures":[],"signed":{"version":1.5}}"#);
    world.write("twice", r#"{"v":1,"v":1,"type":"sealward-ceremony-proposal"}"#);
    world.write("newer", r#"{"v":2,"type":"sealward-ceremony-proposal","envelope":{},"manifest":{}}"#);
    let root = world.read("1.root.json");
    world.write("cut", &root[..root.len() / 2]);
    let proposal = world.read("proposal.json");
    world.write("cut.proposal", &proposal[..proposal.len() / 2]);
    let mut huge = root.clone();
    huge.resize((8 << 20) + 1, b' ');
    world.write("huge", huge);
    for line in readers(&world) {
        for file in [
            "absent",
            ".",
            "empty",
            "text",
            "binary",
            "deep",
            "floats",
            "twice",
            "newer",
            "cut",
            "cut.proposal",
            "huge",
        ] {
            let detail = world.refused(&line.replace("{}", file), 66, "unreadable-input");
            assert!(detail.starts_with(&format!("{file}: ")) && detail.len() < 400, "{line} {file}: {detail}");
        }
    }
    assert!(!world.path("out.json").exists());
}

#[test]
fn a_file_of_one_kind_is_not_taken_for_another() {
    let world = World::with_root();
    let kinds = ["1.root.json", "proposal.json", "alice/alice.sig.json", "alice/alice.pub.json", "online1.pem"];
    let wrong = |line: &str, right: &[&str]| {
        for file in kinds.iter().filter(|kind| !right.contains(kind)) {
            world.refused(&line.replace("{}", file), 66, "unreadable-input");
        }
    };
    wrong("verify {}", &["1.root.json"]);
    wrong("review {}", &["proposal.json"]);
    wrong("review proposal.json {}", &["alice/alice.sig.json"]);
    let keys = ["alice/alice.pub.json", "online1.pem"];
    wrong("propose --previous 1.root.json --out out.json --expires-in 9d --root-key {}", &keys);
}

#[test]
fn a_hostile_root_is_shown_without_control_characters() {
    let world = World::with_root();
    let file = String::from_utf8(world.read("1.root.json")).unwrap();
    let hostile = file.replace("\"signed\":{", "\"signed\":{\"\\u001b[2J\\u202e\\u0007\":\"\\r\\u009b31m\",");
    world.write("hostile.json", hostile);
    let output = world.run("verify hostile.json");
    assert_eq!(output.status.code(), Some(77));
    // As a proposal it would be read; it is shown escaped.
    let proposal = String::from_utf8(world.read("proposal.json")).unwrap();
    let digest = world.digest("proposal.json");
    let changed = proposal.replace("\"signed\":{", "\"signed\":{\"\\u001b[2J\\u202e\":\"\\r\\u009b31m\",");
    let signed: serde_json::Value = serde_json::from_str(&changed).unwrap();
    let value = sealward::tuf::canonical::parse_lenient(
        signed["envelope"]["signed"].to_string().as_bytes(),
        sealward::tuf::canonical::Limits::of_bytes(1 << 20),
    );
    let bytes = sealward::tuf::canonical::encode(&value.unwrap());
    let new_digest = sealward::domain::name::Sha256Digest::of(&bytes).to_string();
    world.write("hostile.json", changed.replace(&digest, &new_digest));
    let shown = world.ok("review hostile.json");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\r', '\u{9b}']), "{shown:?}");
    assert!(shown.contains("\\u{1b}[2J"), "what nobody expects is told: {shown}");
}
