//! The first root, two of three, and the next one with another holder and another timestamp key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sealward::domain::name::Role;
use sealward::tuf::root::{verify_first, verify_successor};
use sealward::tuf::verify::verify_role_metadata;
use serde_json::json;

use crate::peer::Peer;
use crate::world::{World, published};

#[test]
fn two_of_three_sign_the_first_root_and_the_next_one_rotates_a_holder_and_the_timestamp_key() {
    let world = World::with_proposal();
    let before = world.json("review proposal.json");
    assert_eq!(before["signatures"]["new"]["valid"], 0);
    world.sign("alice", "proposal.json", "--first");
    world.sign("carol", "proposal.json", "--first");
    let counted = world.json("review proposal.json alice/alice.sig.json");
    let signed = |name: &str| {
        let signers = counted["signers"].as_array().unwrap();
        signers.iter().find(|signer| signer["name"] == name).unwrap()["signed"].clone()
    };
    assert_eq!((signed("alice"), signed("carol")), (json!(true), json!(false)));
    let told =
        world.ok("merge --proposal proposal.json --first alice/alice.sig.json carol/carol.sig.json --out 1.root.json");
    assert!(told.starts_with("2/3 valid, threshold 2 of the new root\n1.root.json  sha256 "), "{told}");
    let first = world.read("1.root.json");
    let root = verify_first(&first).unwrap();
    assert_eq!((root.roles[&Role::Root].threshold, root.roles[&Role::Root].keys.len()), (2, 3));

    world.propose_second("next.json");
    let review = world.ok("review next.json --previous 1.root.json");
    for part in ["version 1 -> 2", "root: removes key", "root: adds key", "timestamp: removes", "timestamp: adds"] {
        assert!(review.contains(part), "{part}\n{review}");
    }
    assert!(!review.contains("snapshot:") && !review.contains("targets:"), "{review}");
    for name in ["alice", "bob", "dave"] {
        assert!(review.contains(&format!("missing  {name} (")), "{review}");
    }
    world.sign("bob", "next.json", "--previous 1.root.json");
    world.sign("dave", "next.json", "--previous 1.root.json");
    world.sign("carol", "next.json", "--previous 1.root.json");
    let merge = "merge --proposal next.json --previous 1.root.json bob/bob.sig.json dave/dave.sig.json";
    let short = world.refused(&format!("{merge} --out 2.root.json"), 77, "root-unverified");
    assert!(short.starts_with("2/3 valid, threshold 2 of the new root; 1/3 valid, threshold 2 of the old"), "{short}");
    assert!(short.contains("missing: ") && short.contains("alice ("), "{short}");
    let told = world.ok(&format!("{merge} carol/carol.sig.json --out 2.root.json"));
    assert!(told.starts_with("2/3 valid, threshold 2 of the new root; 2/3 valid, threshold 2 of the old root"));

    let second = world.read("2.root.json");
    assert_eq!(verify_successor(&first, &second).unwrap().version.get(), 2);
    let chain = world.json("verify 1.root.json 2.root.json");
    assert_eq!((&chain["roots"][0]["version"], &chain["roots"][1]["version"]), (&json!(1), &json!(2)));
    check_with_python_tuf(&first, &second);
    check_timestamp_key(&first, &second);
}

fn check_with_python_tuf(first: &[u8], second: &[u8]) {
    let mut peer = Peer::start();
    let mut verify = |root: &[u8], file: &[u8]| {
        let request = json!({ "op": "verify", "root": hex::encode(root), "role": "root", "file": hex::encode(file) });
        hex::decode(peer.ask(request).as_str().unwrap()).unwrap()
    };
    let signed = |file| sealward::tuf::envelope::Envelope::parse(file, 1 << 20).unwrap().signed;
    assert_eq!(verify(first, first), signed(first));
    assert_eq!(verify(first, second), signed(second));
    assert_eq!(verify(second, second), signed(second));
}

/// The changed key signs what clients of the new root accept, and the old one no longer does.
fn check_timestamp_key(first: &[u8], second: &[u8]) {
    let timestamp = r#"{"_type":"timestamp","expires":"2040-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1}},"spec_version":"1.0.31","version":1}"#;
    let (by_old, by_new) = (published(timestamp, 3), published(timestamp, 4));
    let verifies = |root: &[u8], file: &[u8]| verify_role_metadata(root, &Role::Timestamp, file).is_ok();
    assert_eq!((verifies(first, &by_old), verifies(first, &by_new)), (true, false));
    assert_eq!((verifies(second, &by_old), verifies(second, &by_new)), (false, true));
}

#[test]
fn nothing_secret_leaves_a_medium_and_it_is_private() {
    let world = World::with_root();
    assert_eq!(fs::metadata(world.path("alice")).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["alice.pub.json", "alice.sig.json"] {
        let text = String::from_utf8(world.read(&format!("alice/{name}"))).unwrap();
        assert!(!text.contains("AGE-") && !text.contains("PRIVATE") && !text.contains("passphrase"), "{text}");
    }
    for entry in fs::read_dir(world.path("alice/alice.keys")).unwrap() {
        let sealed = fs::read(entry.unwrap().path()).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1"));
    }
    let mut names: Vec<_> =
        fs::read_dir(world.path("alice")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["alice.keys", "alice.pub.json", "alice.sig.json"]);
}

#[test]
fn an_age_identity_serves_instead_of_a_passphrase() {
    let world = World::with_proposal();
    sealward::keystore::software::create_identity(&world.path("erin.identity")).unwrap();
    world.ok("keygen --state erin --name erin --identity erin.identity");
    let line = "propose --out erin.json --first --expires 2090-01-01 --root-threshold 1 --root-key erin/erin.pub.json \
                --key targets=online1.pem snapshot=online2.pem timestamp=online3.pem";
    let digest = world.ok(line);
    let sign = format!("sign --state erin --name erin --proposal erin.json --first --digest {digest}");
    world.refused(&sign, 64, "usage");
    world.ok(&format!("{sign} --identity erin.identity"));
    sealward::keystore::software::create_identity(&world.path("other.identity")).unwrap();
    let wrong = world.refused(&format!("{sign} --identity other.identity"), 69, "keystore-unavailable");
    assert!(wrong.contains("encrypted to another identity"), "{wrong}");
}

#[test]
fn a_keygen_that_ended_too_early_goes_on_with_the_key_that_it_made() {
    let world = World::with_proposal();
    let before = world.read("alice/alice.pub.json");
    fs::remove_file(world.path("alice/alice.pub.json")).unwrap();
    let keygen = "keygen --state alice --name alice --passphrase-file alice.passphrase";
    world.refused(&format!("{keygen} --algorithm ed25519"), 77, "other-key");
    world.ok(keygen);
    assert_eq!(world.read("alice/alice.pub.json"), before);
    world.refused(keygen, 74, "unwritable-output");
}

#[test]
fn the_state_directory_of_the_coordinator_names_what_is_not_named() {
    let world = World::with_proposal();
    fs::create_dir(world.path("coordinator")).unwrap();
    fs::copy(world.path("proposal.json"), world.path("coordinator/proposal.json")).unwrap();
    world.sign("alice", "proposal.json", "--first");
    world.sign("bob", "proposal.json", "--first");
    world.ok("--state coordinator review");
    world.ok("merge --state coordinator --first alice/alice.sig.json bob/bob.sig.json");
    assert!(verify_first(&world.read("coordinator/1.root.json")).is_ok());
    world.refused("review", 64, "usage");
}

#[test]
fn below_the_thresholds_only_a_file_that_says_so_is_written() {
    let world = World::with_proposal();
    world.sign("alice", "proposal.json", "--first");
    let merge = "merge --proposal proposal.json --first alice/alice.sig.json";
    let short = world.refused(&format!("{merge} --out 1.root.json"), 77, "root-unverified");
    assert!(
        short.contains("1/3 valid, threshold 2") && short.contains("bob (") && short.contains("carol ("),
        "{short}"
    );
    assert!(!world.path("1.root.json").exists());
    world.refused(&format!("{merge} --partial --out 1.root.json"), 64, "usage");
    world.refused(&format!("{merge} --out 1.root.partial.json"), 64, "usage");
    let partial = world.json(&format!("{merge} --partial --out 1.root.partial.json"));
    assert_eq!((&partial["complete"], &partial["missing"].as_array().unwrap().len()), (&json!(false), &2));
    world.refused("verify 1.root.partial.json", 77, "root-unverified");
}
