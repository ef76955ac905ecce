//! Withdrawing a root, retiring and destroying keys, their limits, and where a rotation stands.

use std::process::Output;
use std::time::{Duration, Instant};

use sealward::client::messages::{Key, ListLeavesRequest, SignBatchRequest};
use serde_json::Value;

use super::roots::{Repository, pin, reason};
use crate::support::roots::public;
use crate::support::{PATIENCE, SOFTWARE, World, sign_request, snapshot, targets, timestamp, tomorrow};

/// The usual daemon, whose repository has further settings.
pub(crate) fn world_with(repository: &str, timestamp: &str) -> World {
    let text = SOFTWARE
        .replace("name = \"demo\"\n", &format!("name = \"demo\"\n{repository}\n"))
        .replace("[repository.role.timestamp]\n", &format!("[repository.role.timestamp]\n{timestamp}\n"));
    World::configured(&text)
}

/// With its first root out and its first metadata signed.
pub(crate) fn rooted(world: World) -> Repository {
    let repository = Repository::in_world(world);
    let one = repository.root(1, &[0, 1]);
    repository.publish(&one, &pin(&one)).unwrap();
    let expires = tomorrow();
    repository.world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    repository.world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    repository.world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    repository
}

/// The root of a version that gives the timestamp to this key alone.
pub(crate) fn root_for(repository: &Repository, version: i64, timestamp: &Key) -> Vec<u8> {
    let roles = [("timestamp", vec![public(timestamp)]), repository.roles[1].clone(), repository.roles[2].clone()];
    repository.root_with(version, &[0, 1], &roles, &repository.expires)
}

pub(crate) fn id(key: &Key) -> String {
    key.public_key.as_ref().unwrap().key.clone()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

/// A command that ends with this exit code, as JSON.
pub(crate) fn asked(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.sealward(&[&["--json"], arguments].concat());
    let answer = json(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {answer}");
    answer
}

pub(crate) fn shown(world: &World, key: &str) -> Value {
    asked(world, &["key", "show", key], 0)["key"].clone()
}

/// Every leaf, as JSON.
pub(crate) fn leaves(world: &World) -> Vec<Value> {
    let request = ListLeavesRequest { start: 0, limit: 1000 };
    let answer = world.with_client(async |client| client.list_leaves(request).await.unwrap());
    answer.leaves.iter().map(|leaf| serde_json::from_slice(leaf).unwrap()).collect()
}

/// Waits until a key's record says so.
pub(crate) fn wait_for(world: &World, key: &str, member: &str, wanted: &str) -> Value {
    let begun = Instant::now();
    loop {
        let record = shown(world, key);
        if record[member] == wanted {
            return record;
        }
        assert!(begun.elapsed() < PATIENCE, "{member} is not {wanted}: {record}\n{}", world.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_staged_root_is_withdrawn_by_command_and_its_keys_are_as_before() {
    let mut repository = rooted(world_with("", ""));
    let successor = repository.world.key("demo", "timestamp", false);
    let two = root_for(&repository, 2, &successor);
    repository.stage(&two, "").unwrap();
    let world = &repository.world;
    let refused = asked(world, &["root", "withdraw", "--repository", "demo", "--digest", &pin(b"another")], 77);
    assert_eq!(refused["error"]["reason"], "root-not-staged");
    let withdrawn = asked(world, &["root", "withdraw", "--repository", "demo", "--digest", &pin(&two)], 0);
    assert_eq!((&withdrawn["changed"], &withdrawn["state"]["staged"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(shown(world, &id(&successor))["state"], "pending");
    assert_eq!(shown(world, &repository.roles[0].1[0].id().to_string())["state"], "active");
    let again = asked(world, &["root", "withdraw", "--repository", "demo"], 0);
    assert_eq!(again["changed"], false, "a repetition changes nothing");
    let told: Vec<_> = leaves(world).into_iter().filter(|leaf| leaf["verb"] == "withdraw-root").collect();
    assert_eq!(told.len(), 2, "the refusal and the act: {told:?}");
    assert_eq!((&told[0]["reason"], &told[1]["outcome"]), (&"root-not-staged".into(), &"succeeded".into()));
    assert_eq!((&told[1]["version"], &told[1]["digest"]), (&2.into(), &pin(&two).into()));
    assert_eq!(reason(repository.publish(&two, "")), "root-not-staged");
    repository.world.kill();
    repository.world.start();
    let signed = repository.world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).unwrap();
    assert_eq!(signed.signatures.len(), 1, "the old key alone, as before");
    repository.stage(&two, "").unwrap();
}

#[test]
fn withdrawing_retiring_and_destroying_need_their_grants() {
    let before = "verbs = [\"sign\", \"explain\", \"read\", \"manage-keys\", \"manage-roots\",";
    assert!(SOFTWARE.contains(before));
    // Somebody else's, for `init` demands that anybody administers.
    let administrator = "[[grant]]\ncallers = [\"unix:4000000000\"]\nverbs = [\"manage-keys\"]\nrepositories = [\"demo\"]\nroles = [\"timestamp\"]\n";
    let text = format!("{}{administrator}", SOFTWARE.replace(before, "verbs = [\"sign\", \"read\","));
    let world = World::configured(&text);
    let key = "0".repeat(64);
    for arguments in [
        &["root", "withdraw", "--repository", "demo"][..],
        &["key", "retire", &key],
        &["key", "destroy", &key],
        &["key", "destroy", &key, "--cancel"],
    ] {
        assert_eq!(asked(&world, arguments, 77)["error"]["reason"], "no-grant", "{arguments:?}");
    }
    let own = leaves(&world).into_iter().filter(|leaf| leaf["event"] == "denial" || leaf["event"] == "failure");
    assert_eq!(own.count(), 0, "who has no grant gets no leaf");
}

#[test]
fn a_key_is_retired_and_destroyed_when_it_is_due_and_never_signs_again() {
    let mut repository = rooted(world_with("destroy_delay = \"3s\"", ""));
    let spare = id(&repository.world.key("demo", "timestamp", false));
    let file = repository.world.path(&format!("keys/{spare}.age"));
    let listed = repository.roles[0].1[0].id().to_string();
    {
        let world = &repository.world;
        assert_eq!(asked(world, &["key", "retire", &listed], 77)["error"]["reason"], "key-listed");
        assert_eq!(asked(world, &["key", "destroy", &listed], 77)["error"]["reason"], "not-retired");
        assert_eq!(asked(world, &["key", "destroy", &spare, "--cancel"], 77)["error"]["reason"], "not-scheduled");
        assert_eq!(asked(world, &["key", "destroy", &"0".repeat(64)], 77)["error"]["reason"], "unknown-key");
        let retired = asked(world, &["key", "retire", &spare], 0);
        assert_eq!((&retired["changed"], &retired["key"]["state"]), (&true.into(), &"retired".into()));
        assert_eq!(asked(world, &["key", "retire", &spare], 0)["changed"], false);
        assert!(asked(world, &["key", "destroy", &spare], 0)["key"]["destroy_due"].is_string());
        assert_eq!(asked(world, &["key", "destroy", &spare, "--cancel"], 0)["key"]["destroy_due"], Value::Null);
        assert_eq!(asked(world, &["key", "destroy", &spare], 0)["changed"], true);
        assert_eq!(asked(world, &["key", "destroy", &spare], 0)["changed"], false);
        assert!(file.exists(), "kept until it is due");
    }
    repository.world.kill();
    repository.world.start();
    let world = &repository.world;
    let gone = wait_for(world, &spare, "state", "destroyed");
    assert!(!file.exists());
    assert!(gone["destroyed"].is_string() && gone["destroy_due"].is_null());
    let told: Vec<String> = leaves(world)
        .iter()
        .filter(|leaf| leaf["key"] == spare.as_str() && leaf["outcome"] == "succeeded")
        .map(|leaf| leaf["verb"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told,
        ["generate-key", "retire", "destroy", "cancel-destroy", "destroy", "destroy-begin", "destroy-end"],
        "a leaf before and after"
    );
    let status = asked(world, &["status"], 0);
    assert_eq!(status["keystores"][0]["orphans"], Value::Array(Vec::new()));
    assert_eq!(asked(world, &["key", "retire", &spare], 77)["error"]["reason"], "key-state");
    repository.world.kill();
    repository.world.start();
    assert_eq!(shown(&repository.world, &spare)["state"], "destroyed", "for ever");
}

#[test]
fn a_destruction_that_a_kill_cut_short_is_carried_to_its_end() {
    let mut repository = rooted(world_with("destroy_delay = \"1s\"", ""));
    let spare = id(&repository.world.key("demo", "timestamp", false));
    let file = repository.world.path(&format!("keys/{spare}.age"));
    let kept = std::fs::read(&file).unwrap();
    // What stands in the key's place cannot be removed as a file: the attempt ends without anybody knowing how.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    asked(&repository.world, &["key", "destroy", &spare], 0);
    repository.world.wait_for_log("a key was not destroyed", |_| Some(()));
    let record = shown(&repository.world, &spare);
    assert_eq!(record["state"], "retired");
    let refused = asked(&repository.world, &["key", "destroy", &spare, "--cancel"], 77);
    assert_eq!(refused["error"]["reason"], "not-scheduled", "it has begun");
    let status = asked(&repository.world, &["status"], 0);
    assert!(status["warnings"].to_string().contains("was not destroyed at"), "{}", status["warnings"]);
    repository.world.kill();
    // As a crash between the removal and its record leaves it.
    std::fs::remove_dir(&file).unwrap();
    repository.world.start();
    wait_for(&repository.world, &spare, "state", "destroyed");
    // And as a crash before the removal leaves it: the key is there, and goes.
    let second = id(&repository.world.key("demo", "timestamp", false));
    let file = repository.world.path(&format!("keys/{second}.age"));
    let content = std::fs::read(&file).unwrap();
    assert_ne!(content, kept);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    asked(&repository.world, &["key", "destroy", &second], 0);
    let failed = |line: &str| line.contains(&second).then_some(());
    repository.world.wait_for_log("a key was not destroyed", failed);
    repository.world.kill();
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600))
        .unwrap();
    repository.world.start();
    wait_for(&repository.world, &second, "state", "destroyed");
    assert!(!file.exists());
}

#[test]
fn a_key_that_another_keystore_lost_is_not_called_destroyed() {
    let mut repository = rooted(world_with("destroy_delay = \"1s\"", ""));
    let spare = id(&repository.world.key("demo", "timestamp", false));
    repository.world.kill();
    // Somebody took it away before anybody asked for its destruction.
    std::fs::remove_file(repository.world.path(&format!("keys/{spare}.age"))).unwrap();
    repository.world.start();
    asked(&repository.world, &["key", "destroy", &spare], 0);
    repository.world.wait_for_log("a key was not destroyed", |_| Some(()));
    assert_eq!(shown(&repository.world, &spare)["state"], "retired");
    assert_eq!(asked(&repository.world, &["key", "destroy", &spare, "--cancel"], 0)["changed"], true);
}

#[test]
fn signatures_are_counted_through_kills_and_the_limit_is_told_everywhere() {
    let limits = "max_signatures = { warn = 2, stage = 3, refuse = 4 }\ncryptoperiod = { warn = \"1s\" }";
    let mut repository = rooted(world_with("", limits));
    let expires = tomorrow();
    repository.world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap();
    repository.world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap();
    repository.world.kill();
    repository.world.start();
    let key = repository.roles[0].1[0].id().to_string();
    let world = &repository.world;
    let used = |world: &World| {
        let status = asked(world, &["status"], 0);
        let uses = status["key_uses"].as_array().unwrap().clone();
        (uses.into_iter().find(|used| used["key"] == key.as_str()).unwrap(), status["warnings"].to_string())
    };
    let (now, warnings) = used(world);
    assert_eq!((&now["signatures"], &now["signatures_level"]), (&2.into(), &"warn".into()), "a replay is none");
    assert!(warnings.contains("made 2 signatures: it needs a successor soon"), "{warnings}");
    // Of a batch, what an earlier item will have signed counts for a later one.
    let items = (3..=5).map(|version| sign_request("demo", "timestamp", &timestamp(version, 1, &expires))).collect();
    let results =
        world.with_client(async |client| client.sign_batch(SignBatchRequest { items }).await.unwrap().results);
    let told = format!("{:?}", results[2]);
    assert!(told.contains("signature-limit"), "{told}");
    assert!(!format!("{:?}{:?}", results[0], results[1]).contains("Refusal"), "{results:?}");
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(5, 1, &expires)), "signature-limit");
    world.sign("demo", "timestamp", &timestamp(4, 1, &expires)).expect("what is on record is given again");
    std::fs::write(world.path("five.json"), format!(r#"{{"signatures":[],"signed":{}}}"#, timestamp(5, 1, &expires)))
        .unwrap();
    let explained = asked(world, &["explain", "--repository", "demo", "--role", "timestamp", "five.json"], 77);
    assert!(explained.to_string().contains("signature-limit"), "{explained}");
    let (now, warnings) = used(world);
    assert_eq!((&now["signatures"], &now["signatures_level"]), (&4.into(), &"refuse".into()));
    assert!(warnings.contains("it signs nothing more for timestamp"), "{warnings}");
    let begun = Instant::now();
    while used(world).0["age_level"] != "warn" {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(200));
    }
    let page = world.metrics();
    let of_key = |line: &&str| line.contains(&key) && line.contains("role=\"timestamp\"");
    let line = |name: &str| page.lines().filter(|line| line.starts_with(name)).find(of_key).unwrap().to_owned();
    assert!(line("sealward_key_signatures").ends_with(" 4"), "{page}");
    assert!(!line("sealward_key_age_seconds").ends_with(" 0"), "{page}");
    assert!(
        page.contains(
            "sealward_key_limit{repository=\"demo\",role=\"timestamp\",of=\"signatures\",bound=\"refuse\"} 4"
        ),
        "{page}"
    );
    // A successor signs.
    let successor = world.key("demo", "timestamp", false);
    repository.stage(&root_for(&repository, 2, &successor), "").unwrap();
    let signed = repository.world.sign("demo", "timestamp", &timestamp(5, 1, &expires)).unwrap();
    assert_eq!(signed.signatures.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), [id(&successor)]);
}

#[test]
fn a_key_whose_cryptoperiod_is_over_signs_nothing() {
    let repository = rooted(world_with("", "cryptoperiod = { refuse = \"15s\" }"));
    let key = repository.roles[0].1[0].id().to_string();
    assert!(shown(&repository.world, &key)["activated"].is_string());
    let begun = Instant::now();
    let mut version = 2;
    loop {
        match repository.world.sign("demo", "timestamp", &timestamp(version, 1, &tomorrow())) {
            Ok(_) => version += 1,
            Err(error) => {
                assert_eq!(error.reason(), "cryptoperiod-over");
                return;
            }
        }
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn the_list_shows_where_a_rotation_stands_and_what_to_type() {
    let repository = rooted(world_with("", ""));
    let world = &repository.world;
    let next = || {
        let list = asked(world, &["rotation", "show", "--repository", "demo"], 0);
        let steps = list["steps"].as_array().unwrap().clone();
        let step = steps.iter().find(|step| step["state"] == "next").unwrap_or(&Value::Null).clone();
        (step["name"].as_str().unwrap_or("-").to_owned(), step["command"].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(next().0, "make");
    let (_, command) = next();
    let typed: Vec<&str> = command.split(' ').skip(1).collect();
    let made = asked(world, &typed, 0);
    assert_eq!(next(), ("stage".to_owned(), "sealward root stage --repository demo 2.root.json".to_owned()));
    let successor = world.with_client(async |client| {
        let key = made["key"]["public_key"]["key"].as_str().unwrap().to_owned();
        client.get_key(sealward::client::messages::GetKeyRequest { key }).await.unwrap().key.unwrap()
    });
    std::fs::write(world.path("2.root.json"), root_for(&repository, 2, &successor)).unwrap();
    let type_next = || {
        let (_, command) = next();
        asked(world, &command.split(' ').skip(1).collect::<Vec<_>>(), 0)
    };
    type_next();
    let (name, command) = next();
    assert_eq!(
        (name.as_str(), command.as_str()),
        ("dual-sign", "sealward sign --repository demo --role timestamp timestamp.json")
    );
    let expires = tomorrow();
    std::fs::write(
        world.path("timestamp.json"),
        format!(r#"{{"signatures":[],"signed":{}}}"#, timestamp(2, 1, &expires)),
    )
    .unwrap();
    type_next();
    assert_eq!(next().0, "publish-root", "which is not sealward's");
    let text = String::from_utf8(world.sealward(&["rotation", "show", "--repository", "demo"]).stdout).unwrap();
    assert!(text.contains("sealward publishes no files and cannot see clients"), "{text}");
    assert!(text.contains("4. next    publish-root") && text.contains("not seen from here"), "{text}");
    let told = "when 4 to 6 are done: $ sealward root publish --repository demo 2.root.json";
    assert!(text.contains(told), "{text}");
    asked(world, &["root", "publish", "--repository", "demo", "2.root.json"], 0);
    let text = String::from_utf8(world.sealward(&["rotation", "show", "--repository", "demo"]).stdout).unwrap();
    assert_eq!(text.matches("(taken as done, by your `root publish`)").count(), 3, "{text}");
    assert_eq!(next().0, "destroy");
    type_next();
    assert_eq!(next().0, "-", "only time is missing");
    assert_eq!(
        asked(world, &["rotation", "show", "--repository", "other"], 77)["error"]["reason"],
        "unknown-repository"
    );
}
