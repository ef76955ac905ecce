//! Delegated roles through the whole daemon, and a server like RSTUF with one key for everything that is online.

use sealward::client::ClientError;
use sealward::client::messages::{
    ExplainRequest, Key, SignBatchRequest, SignBatchResult, SignRequest, SignResponse, sign_batch_result,
};
use sealward::domain::public_key::PublicKey;
use sealward::tuf::canonical::{Object, Value, encode};
use sealward::tuf::key_id::{default_form, default_object};

use crate::support::roots::public;
use crate::support::{SOFTWARE, World, bounded, sign_request, snapshot, targets, timestamp, tomorrow};

/// The usual world with `releases/*` by pattern, and without the grant `delegate`.
fn configuration() -> String {
    let more =
        "[repository.role.\"releases/*\"]\ncustody = \"online\"\nkeystore = \"software\"\nalgorithm = \"ed25519\"\n";
    let grant = "[[grant]]\ncallers = [\"unix:{uid}\"]\nverbs = [\"delegate\"]\nrepositories = [\"demo\"]\nroles = [\"targets\"]\n";
    format!("{}{grant}", SOFTWARE.replacen("[[grant]]", &format!("{more}\n[[grant]]"), 1))
}

fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(Object::of(members))
}

/// Targets that delegate `releases/stable` to these keys.
fn delegating(version: i64, keys: &[&PublicKey], threshold: i64, expires: &str) -> String {
    let ids = keys.iter().map(|key| Value::from(default_form(key).key_id)).collect();
    let role = Value::from([
        ("keyids", Value::Array(ids)),
        ("name", Value::from("releases/stable")),
        ("paths", Value::Array(vec![Value::from("stable/*")])),
        ("terminating", Value::Bool(false)),
        ("threshold", Value::Integer(threshold)),
    ]);
    let keys = object(keys.iter().map(|key| (default_form(key).key_id, default_object(key))));
    let signed = Value::from([
        ("_type", Value::from("targets")),
        ("delegations", Value::from([("keys", keys), ("roles", Value::Array(vec![role]))])),
        ("expires", Value::from(expires)),
        ("spec_version", Value::from("1.0.31")),
        ("targets", object([])),
        ("version", Value::Integer(version)),
    ]);
    String::from_utf8(encode(&signed)).unwrap()
}

fn begun(configuration: &str) -> World {
    let world = World::configured(configuration);
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world
}

#[test]
fn a_delegated_role_signs_what_its_delegator_lets_it_and_is_revoked_by_the_next_release() {
    let world = begun(&configuration());
    let expires = tomorrow();
    let [one, two]: [Key; 2] = [(); 2].map(|()| world.key("demo", "releases/stable", false));
    assert_eq!((one.state.as_str(), two.state.as_str()), ("active", "active"));
    let (one_key, two_key) = (public(&one), public(&two));
    world.sign("demo", "targets", &delegating(1, &[&one_key], 1, &expires)).unwrap();
    let signed = world.sign("demo", "releases/stable", &targets(1, &expires)).unwrap();
    assert_eq!(signed.signatures.len(), 1);
    assert_eq!(signed.signatures[0].tuf_key_id, default_form(&one_key).key_id);
    assert_eq!(signed.refusals[0].refusal.as_ref().unwrap().reason, "key-not-listed");
    let told = &signed.delegations[0];
    assert_eq!((told.delegator.as_str(), told.threshold, told.met), ("targets", 1, true));
    assert_eq!((signed.trusted_threshold_met, signed.staged_threshold_met), (None, None), "no root says anything");

    world.sign("demo", "targets", &delegating(2, &[&one_key, &two_key], 2, &expires)).unwrap();
    let both = world.sign("demo", "releases/stable", &targets(2, &expires)).unwrap();
    assert_eq!((both.signatures.len(), both.delegations[0].met), (2, true));
    world.sign("demo", "targets", &delegating(3, &[&two_key], 1, &expires)).unwrap();
    let request = SignRequest {
        key: one.public_key.unwrap().key,
        ..sign_request("demo", "releases/stable", &targets(3, &expires))
    };
    let refused = world.with_client(async |client| client.sign(request).await).unwrap_err();
    assert_eq!(refused.reason(), "key-not-listed");
    world.sign("demo", "targets", &targets(4, &expires)).unwrap();
    assert_eq!(world.refusal("demo", "releases/stable", &targets(3, &expires)), "key-not-listed");
    // The guards of both stay what they are, and a batch sees its own earlier items.
    world.sign("demo", "snapshot", &snapshot(1, 4, &[("releases/stable.json", 2)], &expires)).unwrap();
    let items = vec![
        sign_request("demo", "targets", &delegating(5, &[&two_key], 1, &expires)),
        sign_request("demo", "releases/stable", &targets(3, &expires)),
        sign_request("demo", "snapshot", &snapshot(2, 5, &[("releases/stable.json", 3)], &expires)),
    ];
    let results =
        world.with_client(async |client| client.sign_batch(SignBatchRequest { items }).await.unwrap().results);
    let signed = |one: &SignBatchResult| matches!(one.result, Some(sign_batch_result::Result::Response(_)));
    assert!(results.iter().all(signed), "{results:?}");
}

#[test]
fn who_may_sign_targets_may_not_change_delegations_without_the_grant_and_explain_says_so() {
    let without = configuration().replacen("verbs = [\"delegate\"]", "verbs = [\"explain\"]", 1);
    let world = begun(&without);
    let expires = tomorrow();
    let key = public(&world.key("demo", "releases/stable", false));
    let payload = delegating(1, &[&key], 1, &expires);
    assert_eq!(world.refusal("demo", "targets", &payload), "no-delegate-grant");
    let request = ExplainRequest { request: Some(sign_request("demo", "targets", &payload)) };
    let told = world.with_client(async |client| client.explain(request).await.unwrap());
    assert_eq!(told.refusal.unwrap().reason, "no-delegate-grant");
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
}

/// One key for timestamp, snapshot and every kind of targets.
fn rstuf() -> World {
    let text = SOFTWARE
        .replace("name = \"demo\"", "name = \"demo\"\nrole_sets = [[\"snapshot\", \"targets/*\", \"timestamp\"]]")
        .replace("[repository.role.targets]", "[repository.role.\"targets/*\"]\nunguarded = true")
        .replace("\"ecdsa-p256\"", "\"ed25519\"")
        .replace("\"ecdsa-p384\"", "\"ed25519\"");
    World::configured(&text)
}

fn by_key(world: &World, key: &str, payload: &str) -> Result<SignResponse, ClientError> {
    let request = SignRequest { key: key.to_owned(), ..sign_request("demo", "", payload) };
    world.with_client(async |client| client.sign(request).await)
}

#[test]
fn a_server_like_rstuf_signs_everything_with_one_key_and_no_role_and_each_signature_is_told() {
    let mut world = rstuf();
    let expires = tomorrow();
    let key = world.try_key("demo", &["timestamp", "snapshot", "targets/*"], true).unwrap();
    let key = key.public_key.unwrap().key;
    // Bins and targets have the same type; nobody says which is which.
    for version in [1, 1, 9, 2] {
        let signed = by_key(&world, &key, &targets(version, &expires)).unwrap();
        assert_eq!(signed.signatures[0].step, "unguarded");
    }
    by_key(&world, &key, &snapshot(1, 9, &[("bins-0.json", 2)], &expires)).unwrap();
    by_key(&world, &key, &timestamp(1, 1, &expires)).unwrap();
    assert_eq!(by_key(&world, &key, &timestamp(1, 2, &expires)).unwrap_err().reason(), "equivocation");
    assert_eq!(world.refusal("demo", "targets", &targets(3, &expires)), "wrong-role", "the loud name has to be said");
    let leaves = world.sealward(&["audit", "tail"]);
    let leaves = String::from_utf8(leaves.stdout).unwrap();
    assert_eq!(leaves.matches("unguarded").count(), 4, "{leaves}");
    let status = String::from_utf8(world.sealward(&["status"]).stdout).unwrap();
    assert!(status.contains("targets/* of demo has no guard"), "{status}");
    assert!(status.contains("one key of demo signs for several roles (snapshot, timestamp, targets/*)"), "{status}");
    // No leaf of it is taken for a guard's head at the next start.
    world.kill();
    world.start();
    by_key(&world, &key, &targets(1, &expires)).unwrap();
}

#[test]
fn a_key_is_made_as_the_policy_says_and_not_as_the_caller_likes() {
    let world = begun(SOFTWARE);
    let make = |arguments: &[&str]| {
        let all = [&["key", "generate", "--repository", "demo", "--role", "timestamp"][..], arguments].concat();
        bounded(
            std::process::Command::new(env!("CARGO_BIN_EXE_sealward")).env("SEALWARD_SERVER", world.server()).args(all),
        )
    };
    for (arguments, said) in [
        (["--algorithm", "rsa-pss-4096"], "no-key-template"),
        (["--keystore", "another"], "no-key-template"),
        (["--algorithm", "ecdsa-p256"], "no-key-template"),
    ] {
        let refused = make(&arguments);
        assert_eq!(refused.status.code(), Some(77));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(text.contains(said), "{text}");
    }
    // One of the nine begins active; eight may wait for a root.
    for _ in 0..8 {
        assert!(make(&["--algorithm", "ed25519"]).status.success());
    }
    assert!(String::from_utf8(make(&[]).stderr).unwrap().contains("key-limit"));
}
