//! Thresholds above one: several online keys of one role, on several keystores.

use std::fs;

use sealward::client::messages::{Key, PublishRootRequest, SignResponse};
use sealward::domain::name::Sha256Digest;

use crate::support::roots::{Holder, RootPlan, public};
use crate::support::{SOFTWARE, World, in_seconds, sign_request, targets, tomorrow};

/// Targets keys on two keystores, three of them, and a root that asks for two.
struct Shared {
    world: World,
    keys: Vec<Key>,
}

fn shared() -> Shared {
    let second = r#"
[[keystore]]
name = "second"
kind = "software"
directory = "{dir}/second"
unseal = { identity = { file = "{dir}/identity" } }
"#;
    let places = SOFTWARE.replace("custody = \"online\"\n", "custody = \"online\"\nkeystores = [\"second\"]\n");
    let world = World::configured(&format!("{places}{second}"));
    let key = |keystore: &str, new_repository| {
        let request = sealward::client::messages::GenerateKeyRequest {
            repository: "demo".into(),
            roles: vec!["targets".into()],
            keystore: keystore.into(),
            new_repository,
            ..Default::default()
        };
        world.with_client(async |client| client.generate_key(request).await.unwrap().key.unwrap())
    };
    let keys = vec![key("software", true), key("second", false), key("second", false)];
    let holder = Holder::new();
    let theirs = vec![Holder::new().public, Holder::new().public];
    let ours = keys.iter().map(public).collect();
    let roles = [("timestamp", theirs.clone()), ("snapshot", theirs), ("targets", ours)];
    let root = RootPlan { version: 1, root: (&[&holder], 1), roles: &roles, expires: &in_seconds(90 * 86_400) };
    let file = root.with_threshold(2, &[&holder]);
    let pin = Sha256Digest::of(&file).to_string();
    let request = PublishRootRequest { repository: "demo".into(), file: file.into(), pin, retire: vec![] };
    world.with_client(async |client| client.publish_root(request).await.unwrap());
    Shared { world, keys }
}

impl Shared {
    fn sign(&self, version: u64, key: Option<usize>) -> SignResponse {
        let mut request = sign_request("demo", "targets", &targets(version, &expiry()));
        request.key = key.map(|index| self.id(index)).unwrap_or_default();
        self.world.with_client(async |client| client.sign(request).await.unwrap())
    }

    fn id(&self, index: usize) -> String {
        self.keys[index].public_key.as_ref().unwrap().key.clone()
    }

    /// Who signed, in the order of the keys, and how.
    fn steps(&self, answer: &SignResponse) -> Vec<(usize, String)> {
        let index = |key: &str| (0..self.keys.len()).find(|index| self.id(*index) == key).unwrap();
        answer.signatures.iter().map(|one| (index(&one.key), one.step.clone())).collect()
    }
}

/// The same for every call of this test: its payloads are asked for more than once.
fn expiry() -> String {
    static EXPIRY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    EXPIRY.get_or_init(tomorrow).clone()
}

fn steps(of: &[(usize, &str)]) -> Vec<(usize, String)> {
    of.iter().map(|(index, step)| (*index, (*step).to_owned())).collect()
}

#[test]
fn one_call_signs_with_every_key_of_the_role_on_every_keystore_and_meets_the_threshold() {
    let shared = shared();
    let all = shared.sign(1, None);
    assert_eq!(shared.steps(&all), steps(&[(0, "advance"), (1, "advance"), (2, "advance")]));
    assert_eq!((all.trusted_threshold_met, all.staged_threshold_met), (Some(true), None));
    assert!(all.refusals.is_empty());
    let again = shared.sign(1, None);
    assert_eq!(shared.steps(&again), steps(&[(0, "replay"), (1, "replay"), (2, "replay")]));
    let bytes = |answer: &SignResponse| answer.signatures.iter().map(|one| one.signature.clone()).collect::<Vec<_>>();
    assert_eq!(bytes(&again), bytes(&all), "never made again");
}

#[test]
fn key_by_key_the_answer_says_when_the_threshold_is_met() {
    let shared = shared();
    let first = shared.sign(1, Some(2));
    assert_eq!((shared.steps(&first), first.trusted_threshold_met), (steps(&[(2, "advance")]), Some(false)));
    let second = shared.sign(1, Some(0));
    assert_eq!((shared.steps(&second), second.trusted_threshold_met), (steps(&[(0, "cosign")]), Some(true)));
    let all = shared.sign(1, None);
    assert_eq!(shared.steps(&all), steps(&[(0, "replay"), (1, "cosign"), (2, "replay")]), "mixed in one request");
    let file = shared.world.sealward(&["guard", "republish", "--repository", "demo", "--role", "targets"]);
    assert_eq!(String::from_utf8_lossy(&file.stdout).matches("keyid").count(), 3);
}

#[test]
fn one_keystore_that_refuses_leaves_the_others_signatures_and_is_cosigned_later() {
    let mut shared = shared();
    shared.sign(1, None);
    let (here, away) = (shared.world.path("second"), shared.world.path("away"));
    shared.world.stop();
    move_files(&here, &away);
    shared.world.start();
    let alone = shared.sign(2, None);
    assert_eq!((shared.steps(&alone), alone.trusted_threshold_met), (steps(&[(0, "advance")]), Some(false)));
    let refused: Vec<_> = alone.refusals.iter().map(|one| one.refusal.as_ref().unwrap().reason.as_str()).collect();
    assert_eq!(refused, ["key-missing", "key-missing"]);
    shared.world.stop();
    move_files(&away, &here);
    shared.world.start();
    let again = shared.sign(2, None);
    assert_eq!(shared.steps(&again), steps(&[(0, "replay"), (1, "cosign"), (2, "cosign")]));
    assert_eq!(again.trusted_threshold_met, Some(true));
    let missing = shared.sign(3, Some(1));
    assert_eq!(
        missing.trusted_threshold_met,
        Some(false),
        "the head's signatures count, and those of no other version"
    );
}

fn move_files(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
