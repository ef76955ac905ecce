//! The guard from outside: burnt versions, supersedes, and a repository that comes back from a fast-forward.

use sealward::client::ClientError;
use sealward::client::messages::{
    ExplainRequest, GetReleasedRequest, GetReleasedResponse, ListLeavesRequest, PublishRootRequest,
    RecoverGuardRequest, RecoverGuardResponse, RotateRequest, StageRootRequest, StatusRequest,
};
use sealward::domain::approval::Act;
use sealward::domain::name::Sha256Digest;
use sealward::domain::public_key::PublicKey;

use crate::support::ngclient::Published;
use crate::support::pki::{Authority, dns, uri};
use crate::support::roots::{Holder, RootPlan, public};
use crate::support::{SOFTWARE, World, in_seconds, sign_request, snapshot, targets, timestamp, tomorrow};

fn released(world: &World, role: &str, version: u64, epoch: u32) -> Result<GetReleasedResponse, ClientError> {
    let request = GetReleasedRequest { repository: "demo".into(), role: role.into(), version, epoch };
    world.with_client(async |client| client.get_released(request).await)
}

fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    result.unwrap_err().reason().to_owned()
}

fn keys(world: &World) {
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
}

#[test]
fn a_server_that_lost_what_was_signed_learns_when_it_was_and_gets_it_back() {
    let mut world = World::dev();
    keys(&world);
    assert_eq!(reason(released(&world, "targets", 0, 0)), "not-kept", "nothing is released");
    let payload = targets(1, &tomorrow());
    let signed = world.sign("demo", "targets", &payload).unwrap();
    world.kill();
    world.start();
    let denied = world.sign("demo", "targets", &targets(1, &in_seconds(5_000))).unwrap_err();
    assert_eq!(denied.reason(), "equivocation");
    let caller = format!("unix:{}", rustix::process::geteuid().as_raw());
    assert!(denied.to_string().contains(&caller), "{denied}");
    assert!(denied.advice().contains("guard republish"), "{}", denied.advice());

    let kept = released(&world, "targets", 0, 0).unwrap();
    assert_eq!((kept.version, kept.epoch, kept.released_for.as_str()), (1, 1, caller.as_str()));
    assert!(denied.to_string().contains(&kept.released), "the denial says when");
    let envelope = sealward::tuf::envelope::Envelope::parse(&kept.file, kept.file.len()).unwrap();
    assert_eq!(envelope.signed, payload.as_bytes());
    assert_eq!(envelope.signatures.len(), 1);
    assert_eq!(envelope.signatures[0].signature, signed.signatures[0].signature);
    assert_eq!(envelope.signatures[0].key_id, signed.signatures[0].tuf_key_id);

    let told = world.sealward(&["guard", "republish", "--repository", "demo", "--role", "targets"]);
    assert_eq!((told.status.code(), told.stdout), (Some(0), kept.file.to_vec()));
    world.sign("demo", "targets", &targets(2, &tomorrow())).unwrap();
    assert_eq!(reason(released(&world, "targets", 1, 0)), "not-kept", "only the newest");
    assert_eq!(released(&world, "targets", 2, 0).unwrap().version, 2);
    assert_eq!(reason(released(&world, "targets", 0, 7)), "unseeded");
}

#[test]
fn a_payload_that_was_too_large_to_keep_is_said_to_be() {
    let world = World::dev();
    keys(&world);
    let large =
        targets(1, &tomorrow()).replace(r#""version":1"#, &format!(r#""version":1,"x":"{}""#, "a".repeat(9 << 20)));
    world.sign("demo", "targets", &large).unwrap();
    let refused = released(&world, "targets", 0, 0).unwrap_err();
    assert!(refused.reason() == "not-kept" && refused.to_string().contains("8388608"), "{refused}");
    world.sign("demo", "targets", &targets(2, &tomorrow())).unwrap();
    assert_eq!(released(&world, "targets", 0, 0).unwrap().version, 2);
}

#[test]
fn what_was_released_is_for_callers_that_may_sign_or_read_the_role() {
    let (settings, _) = SOFTWARE.split_once("[[grant]]").unwrap();
    let grant = |verb: &str, roles: &str| {
        format!(
            "[[grant]]\ncallers = [\"unix:{{uid}}\"]\nverbs = [\"{verb}\"]\nrepositories = [\"**\"]\nroles = [\"{roles}\"]\n"
        )
    };
    let grants = [grant("manage-keys", "**"), grant("sign", "timestamp"), grant("read", "snapshot")].concat();
    let world = World::configured(&format!("{settings}{grants}"));
    keys(&world);
    assert_eq!(reason(released(&world, "timestamp", 0, 0)), "not-kept", "the grant of sign");
    assert_eq!(reason(released(&world, "snapshot", 0, 0)), "not-kept", "the grant of read");
    assert_eq!(reason(released(&world, "targets", 0, 0)), "no-grant");
}

#[test]
fn a_supersede_is_explained_has_its_own_leaf_and_metric_and_stays_through_a_restart() {
    let text = SOFTWARE.replace("[repository.role.timestamp]", "[repository.role.timestamp]\nmax_supersedes = 1");
    let mut world = World::configured(&text);
    keys(&world);
    world.sign("demo", "targets", &targets(1, &tomorrow())).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &tomorrow())).unwrap();
    world.sign("demo", "timestamp", &timestamp(1, 1, &tomorrow())).unwrap();
    let second = timestamp(1, 1, &in_seconds(7_000));
    let request = ExplainRequest { request: Some(sign_request("demo", "timestamp", &second)) };
    let explained = world.with_client(async |client| client.explain(request).await.unwrap());
    assert_eq!(explained.keys[0].step, "supersede");
    let signed = world.sign("demo", "timestamp", &second).unwrap();
    assert_eq!(signed.signatures[0].step, "supersede");
    let third = world.sign("demo", "timestamp", &timestamp(1, 1, &in_seconds(8_000))).unwrap_err();
    assert_eq!(third.reason(), "equivocation");
    assert_eq!(world.refusal("demo", "snapshot", &snapshot(1, 1, &[], &in_seconds(7_000))), "equivocation");
    assert!(world.metrics().contains("sealward_supersedes_total{role=\"timestamp\"} 1"), "{}", world.metrics());
    world.kill();
    world.start();
    assert_eq!(world.sign("demo", "timestamp", &second).unwrap().signatures[0].step, "replay");
    let request = ListLeavesRequest { start: 0, limit: 100 };
    let leaves = world.with_client(async |client| client.list_leaves(request).await.unwrap()).leaves;
    let superseded: Vec<_> =
        leaves.iter().filter(|leaf| String::from_utf8_lossy(leaf).contains(r#""event":"supersede""#)).collect();
    assert_eq!(superseded.len(), 1);
    assert!(String::from_utf8_lossy(superseded[0]).contains(&signed.digest));
    let key = world.with_client(async |client| client.status(StatusRequest {}).await.unwrap()).verifier_key;
    for arguments in [&["audit", "export", "log"][..], &["audit", "verify", "--verifier-key", &key, "log"]] {
        let done = world.sealward(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A repository with roots of its own, published where python-tuf finds it.
struct Attacked {
    world: World,
    published: Published,
    holder: Holder,
    roles: Vec<(&'static str, Vec<PublicKey>)>,
}

impl Attacked {
    fn new() -> Self {
        let world = World::dev();
        let roles = [("timestamp", true), ("snapshot", false), ("targets", false)]
            .map(|(role, new)| (role, vec![public(&world.key("demo", role, new))]))
            .to_vec();
        let published = Published::below(&world.path(""));
        let attacked = Self { world, published, holder: Holder::new(), roles };
        let root = attacked.root(1);
        let pin = Sha256Digest::of(&root).to_string();
        attacked.publish_root(1, &root, &pin);
        attacked
    }

    fn root(&self, version: i64) -> Vec<u8> {
        let expires = in_seconds(90 * 86_400);
        let plan = RootPlan { version, root: (&[&self.holder], 1), roles: &self.roles, expires: &expires };
        plan.signed_by(&[&self.holder])
    }

    fn publish_root(&self, version: u64, file: &[u8], pin: &str) {
        let request = PublishRootRequest {
            repository: "demo".into(),
            file: file.to_vec().into(),
            pin: pin.into(),
            retire: vec![],
        };
        self.world.with_client(async |client| client.publish_root(request).await.unwrap());
        self.published.put(&format!("{version}.root.json"), file);
    }

    /// Signs and publishes what the daemon gives back.
    fn release(&self, role: &str, payload: &str) {
        self.world.sign("demo", role, payload).unwrap();
        let kept = released(&self.world, role, 0, 0).unwrap();
        let name = if role == "timestamp" { "timestamp.json".into() } else { format!("{}.{role}.json", kept.version) };
        self.published.put(&name, &kept.file);
    }

    /// A successor of a role's key takes its place in the next root.
    fn rotate(&mut self, index: usize) {
        let role = self.roles[index].0;
        let request = RotateRequest { repository: "demo".into(), role: role.into(), ..RotateRequest::default() };
        let rotated = self.world.with_client(async |client| client.rotate(request).await.unwrap());
        self.roles[index].1 = vec![public(rotated.key.as_ref().unwrap())];
    }

    fn recover(&self, role: &str, goes_on_from: u64) -> Result<RecoverGuardResponse, ClientError> {
        let request =
            RecoverGuardRequest { repository: "demo".into(), role: role.into(), goes_on_from, by_operators: false };
        self.world.with_client(async |client| client.recover_guard(request).await)
    }
}

#[test]
fn a_fast_forwarded_repository_comes_back_and_clients_of_the_old_root_follow() {
    let mut attacked = Attacked::new();
    let expires = tomorrow();
    attacked.release("targets", &targets(1, &expires));
    attacked.release("snapshot", &snapshot(1, 1, &[], &expires));
    attacked.release("timestamp", &timestamp(1, 1, &expires));
    assert_eq!(attacked.published.refresh("old", "1.root.json"), Ok([1, 1, 1, 1]));

    // A compromised server pushes as far and as often as the law lets it.
    assert_eq!(attacked.world.refusal("demo", "snapshot", &snapshot(12, 1, &[], &expires)), "version-step");
    for version in [11, 21, 31] {
        attacked.release("snapshot", &snapshot(version, 1, &[("poison.json", version)], &expires));
        attacked.release("timestamp", &timestamp(version, version, &expires));
    }
    assert_eq!(attacked.published.refresh("old", "1.root.json"), Ok([1, 31, 31, 1]));
    assert_eq!(attacked.world.refusal("demo", "timestamp", &timestamp(2, 1, &expires)), "rollback");
    assert_eq!(reason(attacked.recover("timestamp", 1)), "recovery-not-allowed", "its keys are still listed");

    let old = attacked.roles.clone();
    attacked.rotate(0);
    attacked.rotate(1);
    let root = attacked.root(2);
    let request = StageRootRequest { repository: "demo".into(), file: root.clone().into(), ..Default::default() };
    attacked.world.with_client(async |client| client.stage_root(request).await.unwrap());
    assert_eq!(reason(attacked.recover("timestamp", 1)), "recovery-not-allowed", "staged is not published");
    attacked.publish_root(2, &root, "");
    assert_eq!(attacked.world.refusal("demo", "timestamp", &timestamp(2, 1, &expires)), "rollback", "rotation alone");

    assert_eq!(reason(attacked.recover("targets", 0)), "recovery-not-allowed", "nobody rotated its key");
    assert_eq!(reason(attacked.recover("timestamp", 32)), "recovery-not-allowed", "it only lowers");
    let begun = attacked.recover("timestamp", 1).unwrap();
    assert_eq!((begun.epoch, begun.goes_on_from, begun.closed_at), (2, 1, 31));
    assert_eq!(begun.barred, [old[0].1[0].id().to_string()]);
    let told = attacked.world.sealward(&[
        "guard",
        "recover",
        "--repository",
        "demo",
        "--role",
        "snapshot",
        "--goes-on-from",
        "1",
    ]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("goes on from 1; the one before ended at 31"), "{told:?}");
    assert_eq!(reason(attacked.recover("snapshot", 1)), "recovery-not-allowed", "once is enough");
    attacked.world.kill();
    attacked.world.start();

    assert_eq!(attacked.world.refusal("demo", "timestamp", &timestamp(1, 1, &expires)), "rollback");
    attacked.release("snapshot", &snapshot(2, 1, &[], &expires));
    attacked.release("timestamp", &timestamp(2, 2, &expires));
    assert_eq!(attacked.published.refresh("old", "1.root.json"), Ok([2, 2, 2, 1]), "it saw 31, and follows");
    assert_eq!(attacked.published.refresh("new", "1.root.json"), Ok([2, 2, 2, 1]));
    assert_eq!(attacked.published.refresh("newest", "2.root.json"), Ok([2, 2, 2, 1]));

    let closed = released(&attacked.world, "timestamp", 0, 1).unwrap();
    assert_eq!((closed.version, closed.epoch), (31, 1), "the closed epoch stays readable");
    assert_eq!(released(&attacked.world, "timestamp", 0, 0).unwrap().epoch, 2);
    attacked.world.stop();
    attacked.world.start();
    attacked.release("timestamp", &timestamp(3, 2, &expires));
}

/// What a client remembers through a role whose keys stayed must not fall: python-tuf is why recovery asks for the root.
#[test]
fn without_new_keys_a_client_refuses_what_a_recovery_would_have_allowed() {
    let attacked = Attacked::new();
    let expires = tomorrow();
    attacked.release("targets", &targets(1, &expires));
    attacked.release("snapshot", &snapshot(1, 1, &[], &expires));
    attacked.release("timestamp", &timestamp(1, 1, &expires));
    let first = released(&attacked.world, "timestamp", 0, 0).unwrap().file;
    attacked.release("timestamp", &timestamp(9, 1, &expires));
    assert_eq!(attacked.published.refresh("old", "1.root.json"), Ok([1, 9, 1, 1]));
    attacked.published.put("timestamp.json", &first);
    let refused = attacked.published.refresh("old", "1.root.json").unwrap_err();
    assert!(refused.contains("BadVersionNumberError"), "{refused}");
}

const OPERATORS: &str = r#"
[[listener]]
name = "remote"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = { file = "server.key" }
client_ca = "ca.pem"

[[person]]
name = "alice"
identities = ["uri:spiffe://acme/alice"]

[[person]]
name = "bob"
identities = ["uri:spiffe://acme/bob"]

[[grant]]
callers = ["person:alice", "person:bob"]
verbs = ["approve", "manage-roots"]
repositories = ["demo"]
roles = ["root", "timestamp"]
"#;

#[test]
fn a_recovery_by_two_operators_waits_for_the_second_and_is_used_once() {
    let world = World::empty();
    let directory = world.path("");
    let authority = Authority::new(&directory, "ca");
    authority.sign(&directory, "server", vec![dns("localhost")]);
    for who in ["alice", "bob"] {
        authority.sign(&directory, who, vec![uri(&format!("spiffe://acme/{who}"))]);
    }
    let world = world.init_and_start(&format!("{SOFTWARE}{OPERATORS}"));
    let port: u16 = world.wait_for_log("listening listener=remote address=127.0.0.1:", |rest| {
        rest.split_whitespace().next().and_then(|port| port.parse().ok())
    });
    let run = |who: &str, arguments: &[&str]| {
        let (server, cert, key) = (format!("https://localhost:{port}"), format!("{who}.pem"), format!("{who}.key"));
        let all = [&["--server", &server, "--ca", "ca.pem", "--cert", &cert, "--key", &key], arguments].concat();
        let output = world.sealward(&all);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    };
    let old = world.key("demo", "timestamp", true);
    world.key("demo", "snapshot", false);
    world.key("demo", "targets", false);
    let expires = tomorrow();
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    world.sign("demo", "timestamp", &timestamp(9, 1, &expires)).unwrap();

    let recover =
        ["guard", "recover", "--repository", "demo", "--role", "timestamp", "--goes-on-from", "1", "--by-operators"];
    assert_eq!(run("alice", &recover[..8]).0, 77, "no root, and nobody asked");
    let act = Act::in_repository("recover-guard", &"demo".parse().unwrap(), Some(&"timestamp".parse().unwrap()))
        .with("closes-epoch", 1)
        .with("goes-on-from", 1);
    for _ in 0..2 {
        let (code, text) = run("alice", &recover);
        assert!(code == 75 && text.contains(&act.id().to_string()), "{code} {text}");
    }
    // Whoever pushes on does not undo what people agree on.
    world.sign("demo", "timestamp", &timestamp(10, 1, &expires)).unwrap();
    let accept = ["approve", "accept", &act.id().to_string(), "--digest", &act.digest().to_string()];
    assert_eq!(run("bob", &accept).0, 0);
    let (code, text) = run("alice", &recover);
    assert!(code == 0 && text.contains("goes on from 1; the one before ended at 10"), "{code} {text}");
    assert_eq!(run("alice", &recover).0, 77, "used up, and nothing is to be lowered");

    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 1, &expires)), "epoch-closed");
    let new = world.key("demo", "timestamp", false);
    assert_eq!(
        (new.state.as_str(), old.state.as_str()),
        ("active", "active"),
        "without a root, the first that may sign"
    );
    world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap();
    assert_eq!(released(&world, "timestamp", 0, 0).unwrap().epoch, 2);
}
