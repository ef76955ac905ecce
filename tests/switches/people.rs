//! What people approved: for roles by pattern, when one of them is frozen, and when somebody asks for other keys.

use sealward::domain::approval::PendingId;
use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::Reason;
use sealward::domain::public_key::PublicKey;
use sealward::engine::{FreezeOrder, KeyOrder, SignItem, Waiting};
use sealward::tuf::canonical::{Object, Value, encode};
use sealward::tuf::key_id::{default_form, default_object};

use crate::bench::{Bench, call, item};
use crate::values::{DAY, NOW, targets};

/// alice is uid 5, bob is uid 6; releases of `releases/*` need both. carol, uid 3, may sign and approves nothing.
pub(crate) const PEOPLE: &str = r#"
[repository.role."releases/*"]
custody = "attended"
approvals = 2
keystore = "software"
algorithm = "ed25519"
[[person]]
name = "alice"
identities = ["unix:5"]
[[person]]
name = "bob"
identities = ["unix:6"]
[[grant]]
callers = ["person:alice", "person:bob"]
verbs = ["approve", "manage-roots"]
repositories = ["demo"]
roles = ["**", "root"]
[[grant]]
callers = ["unix:0"]
verbs = ["delegate"]
repositories = ["demo"]
roles = ["targets"]
"#;

const ROLE: &str = "releases/stable";

fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(Object::of(members))
}

/// Targets that delegate [`ROLE`] to these keys.
pub(crate) fn delegating(version: i64, keys: &[PublicKey]) -> String {
    delegating_to(ROLE, version, keys)
}

/// Targets, or those of a delegated role, that delegate a role to these keys.
pub(crate) fn delegating_to(role: &str, version: i64, keys: &[PublicKey]) -> String {
    let ids = keys.iter().map(|key| Value::from(default_form(key).key_id)).collect();
    let role = Value::from([
        ("keyids", Value::Array(ids)),
        ("name", Value::from(role)),
        ("paths", Value::Array(vec![Value::from("stable/*")])),
        ("terminating", Value::Bool(false)),
        ("threshold", Value::Integer(1)),
    ]);
    let keys = object(keys.iter().map(|key| (default_form(key).key_id, default_object(key))));
    let signed = Value::from([
        ("_type", Value::from("targets")),
        ("delegations", Value::from([("keys", keys), ("roles", Value::Array(vec![role]))])),
        ("expires", Value::from(NOW.plus_seconds(DAY).to_string())),
        ("spec_version", Value::from("1.0.31")),
        ("targets", object([])),
        ("version", Value::Integer(version)),
    ]);
    String::from_utf8(encode(&signed)).unwrap()
}

pub(crate) async fn delegated_key(bench: &Bench) -> PublicKey {
    let order = KeyOrder { repository: "demo".into(), roles: vec![ROLE.into()], ..KeyOrder::default() };
    bench.engine().generate_key(&call(0), order).await.unwrap().public_key
}

/// A bench with people, and with targets that delegate to two keys.
async fn bench() -> (Bench, [PublicKey; 2]) {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    let keys = [delegated_key(&bench).await, delegated_key(&bench).await];
    bench.sign("targets", &delegating(2, &keys)).await.unwrap();
    (bench, keys)
}

/// What carol's request waits as.
async fn waits(bench: &Bench, request: SignItem) -> PendingId {
    let denial = bench.engine().sign(&call(3), request).await.expect_err("people have to approve it");
    assert_eq!(denial.reason, Reason::AwaitsApproval, "{denial}");
    denial.pending.unwrap()
}

async fn approve(bench: &Bench, id: PendingId, uid: u32) -> Waiting {
    let id = id.to_string();
    let shown = bench.engine().get_pending(&call(uid), &id).await.unwrap();
    let digest = Sha256Digest::of(&shown.payload).to_string();
    bench.engine().approve(&call(uid), &id, &digest).await.unwrap().0
}

fn request() -> SignItem {
    item(ROLE, &targets(1))
}

#[tokio::test]
async fn an_attended_role_by_pattern_asks_for_its_own_number_of_people_and_signs_then() {
    let (bench, _) = bench().await;
    let id = waits(&bench, request()).await;
    let first = approve(&bench, id, 5).await;
    assert_eq!((first.needed, first.state(), first.void), (2, "waiting", None));
    assert_eq!(waits(&bench, request()).await, id);
    assert_eq!(approve(&bench, id, 6).await.state(), "approved");
    let signed = bench.engine().sign(&call(3), request()).await.unwrap();
    assert_eq!(signed.signatures.len(), 2);
    let role = FreezeOrder::Role("demo".into(), ROLE.into());
    assert!(bench.engine().freeze(&call(0), role, "").await.unwrap().1, "it can be frozen by its name");
}

#[tokio::test]
async fn what_a_frozen_person_approved_does_not_count_until_the_thaw() {
    let (bench, _) = bench().await;
    let id = waits(&bench, request()).await;
    approve(&bench, id, 5).await;
    assert_eq!(approve(&bench, id, 6).await.state(), "approved");
    let alice = || FreezeOrder::Caller("person:alice".into());
    bench.engine().freeze(&call(0), alice(), "").await.unwrap();
    assert_eq!(waits(&bench, request()).await, id, "one of two is left");
    let listed = bench.engine().list_pending(&call(6), "demo").await.unwrap();
    assert_eq!((listed[0].state(), listed[0].approvers.len()), ("waiting", 1));
    bench.engine().thaw(&call(0), alice()).await.unwrap();
    bench.engine().sign(&call(3), request()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_person_is_no_operator_behind_an_act() {
    let (bench, _) = bench().await;
    let recover = async |uid| bench.engine().recover_guard(&call(uid), "demo", "timestamp", 1, true).await;
    assert_eq!(recover(5).await.unwrap_err().reason, Reason::AwaitsApproval);
    bench.engine().freeze(&call(0), FreezeOrder::Caller("unix:5".into()), "").await.unwrap();
    assert_eq!(recover(6).await.unwrap_err().reason, Reason::AwaitsApproval, "who asked first is frozen");
    bench.engine().thaw(&call(0), FreezeOrder::Caller("unix:5".into())).await.unwrap();
    assert_eq!(recover(6).await.unwrap().epoch, 2);
}

#[tokio::test]
async fn a_request_for_other_keys_ends_nobodys_approvals() {
    let (bench, [key, _]) = bench().await;
    let id = waits(&bench, request()).await;
    approve(&bench, id, 5).await;
    let for_one = SignItem { key: Some(key.id().to_string()), ..request() };
    assert_ne!(waits(&bench, for_one).await, id);
    assert_eq!(approve(&bench, id, 6).await.state(), "approved");
    assert_eq!(bench.engine().sign(&call(3), request()).await.unwrap().signatures.len(), 2);
}
