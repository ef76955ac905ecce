//! What was frozen or changed between a decision and its commit counts.

use std::time::Duration;

use sealward::domain::freeze::FreezeScope;
use sealward::domain::key::KeyState;
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::public_key::PublicKey;
use sealward::domain::statement::ListedFile;
use sealward::engine::{KeyOrder, RootUpload};
use sealward::ledger::{Change, Expect, Unit};
use sealward::tuf::envelope::assemble;

use crate::bench::{Bench, call, item};
use crate::meanwhile::commit;
use crate::people::{PEOPLE, delegated_key, delegating, delegating_to};
use crate::roots::{Holder, RootPlan};
use crate::values::{repository, role, statement, targets, timestamp, version};

/// Freezes whoever asks between the decision and the commit of what follows.
fn freeze_asker(bench: &Bench, uid: u32) {
    bench.freeze_meanwhile(FreezeScope::Caller(format!("unix:{uid}").parse().unwrap()));
}

fn conflicts<T: std::fmt::Debug>(result: Result<T, Denial>) {
    assert_eq!(result.unwrap_err().reason, Reason::Conflict);
}

async fn public_key_of(bench: &Bench, role: &str) -> PublicKey {
    let id = bench.key_of(role).await;
    bench.engine().ledger().key(&id).unwrap().unwrap().public_key
}

/// A first root with the keys of `demo` and one more for timestamp, which the test holds.
async fn first_root(bench: &Bench, holder: &Holder) -> RootUpload {
    let timestamps = vec![public_key_of(bench, "timestamp").await, holder.public.clone()];
    let plan = RootPlan {
        version: 1,
        root: (&[holder], 1),
        roles: &[
            ("timestamp", timestamps),
            ("snapshot", vec![public_key_of(bench, "snapshot").await]),
            ("targets", vec![public_key_of(bench, "targets").await]),
        ],
        expires: "2035-01-01T00:00:00Z",
    };
    let file = plan.signed_by(&[holder]);
    let pin = Sha256Digest::of(&file).to_string();
    RootUpload { repository: "demo".into(), file, pin, retire: Vec::new() }
}

#[tokio::test]
async fn no_key_is_retired_by_whoever_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    let key = bench.engine().rotate(&call(0), "demo", "timestamp", "", "").await.unwrap().key.id();
    freeze_asker(&bench, 0);
    conflicts(bench.engine().retire(&call(0), &key.to_string()).await);
    assert_eq!(bench.engine().ledger().key(&key).unwrap().unwrap().state, KeyState::Pending);
    assert_eq!(bench.engine().retire(&call(0), &key.to_string()).await.unwrap_err().reason, Reason::Frozen);
}

#[tokio::test]
async fn no_epoch_begins_for_whoever_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    let recover = async |uid| bench.engine().recover_guard(&call(uid), "demo", "timestamp", 0, true).await;
    assert_eq!(recover(5).await.unwrap_err().reason, Reason::AwaitsApproval);
    freeze_asker(&bench, 6);
    conflicts(recover(6).await);
    assert_eq!(bench.engine().ledger().view(&repository()).unwrap().guards[&Role::Timestamp].name.epoch, 1);
}

#[tokio::test]
async fn no_root_is_withdrawn_by_whoever_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    let upload = first_root(&bench, &Holder::new()).await;
    bench.engine().stage_root(&call(0), upload).await.unwrap();
    freeze_asker(&bench, 0);
    conflicts(bench.engine().withdraw_root(&call(0), "demo", "").await);
    assert!(bench.engine().ledger().view(&repository()).unwrap().roots.staged.is_some());
}

#[tokio::test]
async fn no_guard_is_seeded_by_whoever_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    let holder = Holder::new();
    bench.engine().publish_root(&call(0), first_root(&bench, &holder).await).await.unwrap();
    let published = timestamp(5, 1);
    let file = assemble(published.as_bytes(), &[holder.sign(published.as_bytes())]).unwrap();
    freeze_asker(&bench, 0);
    conflicts(bench.engine().seed_guard(&call(0), "demo", "timestamp", file).await);
    assert_eq!(bench.engine().ledger().view(&repository()).unwrap().guards[&Role::Timestamp].floor(), 1);
}

#[tokio::test]
async fn nothing_is_approved_by_whoever_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    let waits = bench.engine().recover_guard(&call(5), "demo", "timestamp", 0, true).await.unwrap_err();
    let id = waits.pending.unwrap().to_string();
    let shown = bench.engine().get_pending(&call(6), &id).await.unwrap();
    freeze_asker(&bench, 6);
    let digest = Sha256Digest::of(&shown.payload).to_string();
    conflicts(bench.engine().approve(&call(6), &id, &digest).await);
    assert!(bench.engine().ledger().pending().unwrap()[0].given.is_empty());
}

/// A guard that begins as 0 would forget what somebody else published.
#[tokio::test]
async fn no_guard_begins_as_0_when_the_snapshot_lists_the_role_meanwhile() {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    bench.meanwhile(|ledger| {
        let mut guard = ledger.view(&repository()).unwrap().guards[&Role::Snapshot].clone();
        let expects = vec![Expect::Guard(guard.name.clone(), guard.revision)];
        let entry = ListedFile { version: version(7), length: None, sha256: None, other_hashes: false };
        guard.head.as_mut().unwrap().listing.insert("releases/stable.json".to_owned(), entry);
        guard.revision += 1;
        commit(ledger, Unit { expects, changes: vec![Change::Guard { guard, payload: None }], ..Unit::default() });
    });
    let order = KeyOrder { repository: "demo".into(), roles: vec!["releases/stable".into()], ..KeyOrder::default() };
    bench.engine().generate_key(&call(0), order).await.unwrap();
    let guards = &bench.engine().ledger().view(&repository()).unwrap().guards;
    assert!(!guards.contains_key(&role("releases/stable")), "it has to be seeded");
}

#[tokio::test]
async fn no_key_is_recorded_in_a_role_that_was_frozen_meanwhile() {
    let bench = Bench::new().await;
    bench.freeze_meanwhile(FreezeScope::Role(repository(), Role::Timestamp));
    assert_eq!(bench.engine().rotate(&call(0), "demo", "timestamp", "", "").await.unwrap_err().reason, Reason::Frozen);
    assert_eq!(bench.engine().ledger().view(&repository()).unwrap().keys.len(), 3);
}

/// A key of `releases/stable` signs because nobody here delegates to the role, and `releases/other`, of which nothing is
/// known yet, may. When that begins to delegate it waits for what was decided without it.
#[tokio::test]
async fn a_role_that_begins_to_delegate_waits_for_what_is_in_flight_below_it() {
    let bench = Bench::new().await;
    let online = PEOPLE.replace("\"attended\"\napprovals = 2", "\"online\"").replace("[\"targets\"]", "[\"**\"]");
    bench.add_rules(&online);
    let mut keys = Vec::new();
    for role in ["releases/stable", "releases/other"] {
        let order = KeyOrder { repository: "demo".into(), roles: vec![role.into()], ..KeyOrder::default() };
        keys.push(bench.engine().generate_key(&call(0), order).await.unwrap().public_key);
    }
    bench.sign("targets", &delegating_to("releases/other", 2, &keys[1..])).await.unwrap();
    bench.token.close();
    let engine = bench.engine().clone();
    let stable = tokio::spawn(async move { engine.sign(&call(3), item("releases/stable", &targets(1))).await });
    bench.token.somebody_waits().await;
    let engine = bench.engine().clone();
    let payload = delegating_to("releases/stable", 1, &[Holder::new().public]);
    let other = tokio::spawn(async move { engine.sign(&call(0), item("releases/other", &payload)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.token.waiting(), 1, "its payload reached the token");
    bench.token.open();
    stable.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(bench.refusal("releases/stable", &targets(2)).await, Reason::KeyNotListed);
}

/// Retiring by hand rests on what every other role delegates.
#[tokio::test]
async fn no_key_is_retired_that_somebody_begins_to_delegate_to_meanwhile() {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    let key = delegated_key(&bench).await;
    let delegations = statement(&delegating(2, std::slice::from_ref(&key))).delegations().cloned();
    bench.meanwhile(|ledger| {
        let mut guard = ledger.view(&repository()).unwrap().guards[&Role::Targets].clone();
        let expects = vec![Expect::Guard(guard.name.clone(), guard.revision)];
        guard.head.as_mut().unwrap().delegations = delegations;
        guard.revision += 1;
        commit(ledger, Unit { expects, changes: vec![Change::Guard { guard, payload: None }], ..Unit::default() });
    });
    conflicts(bench.engine().retire(&call(0), &key.id().to_string()).await);
    assert_eq!(bench.engine().retire(&call(0), &key.id().to_string()).await.unwrap_err().reason, Reason::KeyListed);
}
