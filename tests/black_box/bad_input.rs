//! Everything that a caller can send wrongly, and a token that is not as it should be: each by its name, with advice.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{SOFTWARE, World, in_seconds, snapshot, targets, timestamp, tomorrow};

#[test]
fn each_fault_of_a_payload_has_its_own_name() {
    let world = World::dev();
    let expires = tomorrow();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world.sign("demo", "targets", &targets(5, &expires)).unwrap();
    world.sign("demo", "targets", &targets(8, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(3, 8, &[("releases.json", 4)], &expires)).unwrap();
    world.sign("demo", "timestamp", &timestamp(3, 3, &expires)).unwrap();
    let good = timestamp(4, 3, &expires);
    let with_expiry = |text: &str| timestamp(4, 3, text);
    let cases: Vec<(&str, String, &str)> = vec![
        ("nothing", String::new(), "not-canonical"),
        ("truncated", good[..good.len() - 1].to_owned(), "not-canonical"),
        ("truncated in a string", good[..20].to_owned(), "not-canonical"),
        ("something after it", format!("{good}\n"), "not-canonical"),
        ("white space", good.replace("\":", "\": "), "not-canonical"),
        (
            "members out of order",
            good.replacen("{\"_type\":\"timestamp\",", "{", 1).replacen(
                "\"version\":4}",
                "\"version\":4,\"_type\":\"timestamp\"}",
                1,
            ),
            "not-canonical",
        ),
        ("a member twice", good.replace("\"version\":4", "\"version\":4,\"version\":4"), "not-canonical"),
        ("a float", good.replace("\"version\":4", "\"version\":4.0"), "not-canonical"),
        ("an exponent", good.replace("\"version\":4", "\"version\":4e0"), "not-canonical"),
        ("minus nought", good.replace("\"version\":4", "\"version\":-0"), "not-canonical"),
        ("not an object", "[]".to_owned(), "malformed-metadata"),
        ("deep", "[".repeat(100_000), "not-canonical"),
        ("no version", good.replace(",\"version\":4}", "}"), "version-invalid"),
        ("version nought", timestamp(0, 3, &expires), "version-invalid"),
        ("version of 2^53", timestamp(1 << 53, 3, &expires), "version-invalid"),
        ("version of 2^53 - 1", timestamp((1 << 53) - 1, 3, &expires), "version-step"),
        ("version beyond 64 bits", good.replace("\"version\":4", "\"version\":99999999999999999999"), "not-canonical"),
        ("a text as version", good.replace("\"version\":4", "\"version\":\"4\""), "version-invalid"),
        ("a lower version", timestamp(2, 3, &expires), "rollback"),
        ("the same version with other content", timestamp(3, 3, &in_seconds(3600)), "equivocation"),
        ("a version too far", timestamp(14, 3, &expires), "version-step"),
        ("no expiry", good.replace(&format!("\"expires\":\"{expires}\","), ""), "expiry-format"),
        ("past", with_expiry(&in_seconds(-1)), "expired"),
        ("a fraction", with_expiry(&expires.replace('Z', ".5Z")), "expiry-format"),
        ("an offset", with_expiry(&expires.replace('Z', "+00:00")), "expiry-format"),
        ("too far", with_expiry(&in_seconds(8 * 86_400)), "expiry-too-far"),
        ("the year 9999", with_expiry("9999-12-31T23:59:59Z"), "expiry-too-far"),
        ("another type", snapshot(4, 8, &[("releases.json", 4)], &expires), "wrong-role"),
        ("no type of TUF", good.replace("timestamp", "Timestamp"), "malformed-metadata"),
        ("another major version", good.replace("1.0.31", "2.0.0"), "spec-version"),
        ("an entry more", good.replace("\"meta\":{", "\"meta\":{\"a.json\":{\"version\":1},"), "malformed-metadata"),
        ("an unknown snapshot", timestamp(4, 4, &expires), "listed-unreleased"),
        ("a listed version that falls", timestamp(4, 2, &expires), "listed-rollback"),
        ("a listed version that jumps", timestamp(4, 14, &expires), "listed-step"),
    ];
    for (what, payload, rule) in cases {
        assert_eq!(world.refusal("demo", "timestamp", &payload), rule, "{what}: {payload:.200}");
    }
    let cases = [
        ("a dropped entry", snapshot(4, 8, &[], &expires), "entry-removed"),
        ("an entry that falls", snapshot(4, 8, &[("releases.json", 3)], &expires), "listed-rollback"),
        (
            "a first-seen entry too high",
            snapshot(4, 8, &[("new.json", 10_001), ("releases.json", 4)], &expires),
            "listed-step",
        ),
        ("targets that were not released", snapshot(4, 9, &[("releases.json", 4)], &expires), "listed-unreleased"),
    ];
    for (what, payload, rule) in cases {
        assert_eq!(world.refusal("demo", "snapshot", &payload), rule, "{what}");
    }
    assert!(world.sign("demo", "timestamp", &good).is_ok(), "the daemon goes on");
    assert!(!world.log().contains("panicked"));
}

#[test]
fn keys_that_are_unknown_foreign_or_not_asked_for_do_not_sign() {
    let world = World::dev();
    let expires = tomorrow();
    let own = world.key("demo", "targets", true).public_key.unwrap().key;
    let other = world.key("other", "targets", true).public_key.unwrap().key;
    let with_key = |key: &str, role: &str| {
        let mut request = crate::support::sign_request("demo", role, &targets(1, &expires));
        request.key = key.to_owned();
        world
            .with_client(async |client| client.sign(request).await.map(drop))
            .map_err(|error| error.reason().to_owned())
    };
    assert_eq!(with_key(&"0".repeat(64), "targets"), Err("unknown-key".into()));
    assert_eq!(with_key(&other, "targets"), Err("unknown-key".into()), "of another repository: unknown here");
    assert_eq!(with_key("zz", "targets"), Err("malformed".into()));
    assert_eq!(with_key(&own, "snapshot"), Err("wrong-role".into()));
    assert_eq!(with_key(&own, "targets"), Ok(()));
    let refused = |roles: &[&str], new: bool| world.try_key("demo", roles, new).unwrap_err().reason().to_owned();
    assert_eq!(refused(&["root"], false), "offline-role");
    assert_eq!(refused(&["targets", "snapshot"], false), "role-set");
    assert_eq!(refused(&[], false), "malformed");
    assert_eq!(refused(&["timestamp"], true), "not-new-repository");
    assert_eq!(refused(&["releases"], false), "wrong-role");
    assert_eq!(world.refusal("nobody", "targets", &targets(1, &expires)), "unseeded");
}

/// Names that people would take for another one, and names that paths, terminals or logs would.
const NO_NAMES: [&str; 17] = [
    "",
    "/targets",
    "targets/",
    "a//b",
    "targets/../root",
    "./targets",
    "tar\u{0}gets",
    "targets\n",
    "tar\tgets",
    "targets\u{1b}[2J",
    "t\u{430}rgets",  // a Cyrillic letter
    "\u{ff54}argets", // a full-width one
    "targets\u{200b}",
    "\u{202e}stegrat",
    "targe\u{301}ts",
    "targets ",
    "targets%2f",
];

#[test]
fn a_name_that_only_looks_like_another_is_no_name() {
    let world = World::dev();
    let expires = tomorrow();
    world.key("demo", "targets", true);
    let own = world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    let payload = targets(2, &expires);
    let mut names: Vec<String> = NO_NAMES.iter().map(|name| (*name).to_owned()).collect();
    names.push("a".repeat(256));
    for name in &names {
        for (repository, role) in [("demo", name.as_str()), (name, "targets")] {
            let error = world.sign(repository, role, &payload).expect_err(name);
            assert_eq!(error.reason(), "malformed", "{repository:?} {role:?}");
            assert!(!error.to_string().contains(['\0', '\u{1b}', '\u{202e}', '\u{200b}', '\n']), "{error:?}");
            let refused = world.try_key(repository, &[role], false).unwrap_err();
            assert_eq!(refused.reason(), "malformed", "{repository:?} {role:?}");
        }
    }
    for role in ["Targets", "TARGETS", "Root", "TimeStamp"] {
        assert_eq!(world.refusal("demo", role, &payload), "malformed", "{role}: a top-level role in other letters");
        assert_eq!(world.try_key("demo", &[role], false).unwrap_err().reason(), "malformed", "{role}");
    }
    for role in ["targets/x", "x/targets", "targets.json", "target"] {
        let refused = world.refusal("demo", role, &payload);
        assert!(
            ["wrong-role", "unseeded"].contains(&refused.as_str()),
            "{role}: a delegated role of its own: {refused}"
        );
    }
    for repository in ["Demo", "demo/demo", "demo.", "demo:latest"] {
        let refused = world.refusal(repository, "targets", &payload);
        assert!(["unknown-repository", "unseeded", "no-grant"].contains(&refused.as_str()), "{repository}: {refused}");
    }
    assert!(!world.log().contains(['\u{1b}', '\u{202e}', '\0']), "nothing of it reaches the log raw");
    let again = world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    assert_eq!(again.signatures[0].signature, own.signatures[0].signature, "and nothing moved");
}

/// TUF payloads carry no repository name: a second name over one key would be a second guard over it.
#[test]
fn a_second_repository_name_over_the_same_key_signs_nothing() {
    let world = World::dev();
    let expires = tomorrow();
    let key = world.key("demo", "targets", true).public_key.unwrap().key;
    world.key("other", "targets", true);
    world.sign("demo", "targets", &targets(5, &expires)).unwrap();
    for (repository, wanted) in [("other", "unknown-key"), ("demo2", "unknown-key"), ("demo", "rollback")] {
        let mut request = crate::support::sign_request(repository, "targets", &targets(4, &expires));
        request.key = key.clone();
        let refused = world.with_client(async |client| client.sign(request).await.expect_err(repository));
        let unseeded = repository == "demo2" && refused.reason() == "unseeded";
        assert!(refused.reason() == wanted || unseeded, "{repository}: {refused}");
    }
    let shown = world.with_client(async |client| {
        let request = sealward::client::messages::ListKeysRequest { repository: "other".to_owned() };
        client.list_keys(request).await.unwrap()
    });
    assert!(shown.keys.iter().all(|other| other.public_key.as_ref().unwrap().key != key), "one record, one repository");
}

#[test]
fn a_batch_decides_in_order_and_one_refusal_leaves_the_others() {
    let world = World::dev();
    let expires = tomorrow();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    let item = |role: &str, payload: String| crate::support::sign_request("demo", role, &payload);
    let items = vec![
        item("targets", targets(1, &expires)),
        item("snapshot", snapshot(1, 1, &[], &expires)),
        item("timestamp", timestamp(1, 7, &expires)), // lists what is not there
        item("timestamp", timestamp(1, 1, &expires)),
        item("timestamp", timestamp(1, 1, &expires)), // the same again
        item("targets", "{}".to_owned()),
    ];
    let request = sealward::client::messages::SignBatchRequest { items };
    let answer = world.with_client(async |client| client.sign_batch(request).await.unwrap());
    use sealward::client::messages::sign_batch_result::Result as One;
    let told: Vec<String> = answer
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            One::Response(signed) => signed.signatures[0].step.clone(),
            One::Refusal(refusal) => refusal.reason,
        })
        .collect();
    assert_eq!(told, ["advance", "advance", "listed-unreleased", "advance", "replay", "malformed-metadata"]);
}

#[test]
fn a_token_that_is_absent_or_refuses_the_pin_is_told_and_the_daemon_goes_on() {
    let world = World::empty();
    let made = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("softhsm/setup.sh"))
        .arg(world.path("token"))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pin = world.path("wrong-pin");
    fs::write(&pin, "0000").unwrap();
    fs::set_permissions(&pin, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = |name: &str, label: &str, pin: &str| {
        format!(
            "\n[[keystore]]\nname = \"{name}\"\nkind = \"pkcs11\"\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\n\
             token_label = \"{label}\"\npin = {{ file = \"{{dir}}/{pin}\" }}\n\
             environment = {{ SOFTHSM2_CONF = \"{{dir}}/token/softhsm2.conf\" }}\n"
        )
    };
    let timestamp = "[repository.role.timestamp]\n";
    let places = format!("{timestamp}keystores = [\"absent\", \"refused\"]\nalgorithms = [\"ecdsa-p256\"]\n");
    let software = SOFTWARE.replace(timestamp, &places);
    let text =
        format!("{software}{}{}", token("absent", "nobody", "token/pin"), token("refused", "sealward", "wrong-pin"));
    let world = world.init_and_start(&text);
    let generate = |keystore: &str| {
        let arguments = [
            "key",
            "generate",
            "--repository",
            "demo",
            "--role",
            "timestamp",
            "--keystore",
            keystore,
            "--algorithm",
            "ecdsa-p256",
        ];
        let output = world.sealward(&arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for keystore in ["absent", "refused"] {
        let (code, text) = generate(keystore);
        assert_eq!(code, Some(69), "{keystore}: {text}");
        assert!(text.contains("do:"), "{text}");
        assert_eq!(world.health(&format!("keystore/{keystore}")), Some(2), "NOT_SERVING");
    }
    let (_, text) = generate("refused");
    assert!(text.to_lowercase().contains("pin"), "{text}");
    assert!(!text.contains("0000") && !world.log().contains("0000"), "a PIN is never shown");
    let status = world.sealward(&["status"]);
    assert!(status.status.success(), "the software keystore serves");
    assert_eq!(generate("software").0, Some(0));
    assert_eq!(generate("nowhere").0, Some(77));
}
