//! Kill switches.

use sealward::domain::audit_event::EventKind;
use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::public_key::PublicKey;
use sealward::engine::{FreezeOrder, KeyOrder, RootUpload};

use crate::bench::{Bench, call, item, machine};
use crate::roots::{Holder, RootPlan};
use crate::values::{snapshot, targets, timestamp};

fn repository() -> FreezeOrder {
    FreezeOrder::Repository("demo".into())
}

fn role(name: &str) -> FreezeOrder {
    FreezeOrder::Role("demo".into(), name.into())
}

fn caller(text: &str) -> FreezeOrder {
    FreezeOrder::Caller(text.into())
}

fn reason<T: std::fmt::Debug>(result: Result<T, Denial>) -> Reason {
    result.unwrap_err().reason
}

#[tokio::test]
async fn a_signature_in_flight_when_a_freeze_is_acknowledged_is_not_released() {
    for scope in [FreezeOrder::All, repository(), role("timestamp"), caller("unix:3"), caller("person:carol")] {
        let bench = Bench::new().await;
        bench.token.close();
        let engine = bench.engine().clone();
        let signing = tokio::spawn(async move { engine.sign(&call(3), item("timestamp", &timestamp(2, 1))).await });
        bench.token.somebody_waits().await;
        bench.engine().freeze(&call(0), scope.clone(), "drill").await.unwrap();
        bench.token.open();
        let denial = signing.await.unwrap().unwrap_err();
        assert_eq!(denial.reason, Reason::Frozen, "{scope:?}");
        assert!(denial.detail.contains("by unix:0 (drill)"), "{}", denial.detail);
        let leaves = bench.leaves();
        let frozen = leaves.iter().position(|leaf| leaf.verb == "freeze").unwrap();
        assert!(leaves[frozen..].iter().all(|leaf| leaf.event != EventKind::Advance), "{leaves:?}");
    }
}

#[tokio::test]
async fn a_batch_in_flight_stops_with_all_its_items() {
    let bench = Bench::new().await;
    bench.token.close();
    let engine = bench.engine().clone();
    let items = vec![
        item("targets", &targets(2)),
        item("snapshot", &snapshot(2, &[("targets", 2)])),
        item("timestamp", &timestamp(2, 2)),
    ];
    let signing = tokio::spawn(async move { engine.sign_batch(&call(0), items).await });
    bench.token.somebody_waits().await;
    bench.engine().freeze(&call(0), role("targets"), "").await.unwrap();
    bench.token.open();
    let results = signing.await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().reason, Reason::Frozen);
    assert!(results.iter().all(Result::is_err), "what builds on the frozen item is not released either");
}

#[tokio::test]
async fn a_replay_in_a_frozen_scope_is_refused_too() {
    let bench = Bench::new().await;
    assert!(bench.sign("timestamp", &timestamp(1, 1)).await.is_ok());
    bench.engine().freeze(&call(0), role("timestamp"), "").await.unwrap();
    assert_eq!(bench.refusal("timestamp", &timestamp(1, 1)).await, Reason::Frozen);
    assert!(bench.sign("snapshot", &snapshot(1, &[("targets", 1)])).await.is_ok(), "other roles go on");
}

#[tokio::test]
async fn a_frozen_key_rests_and_the_others_of_its_role_sign() {
    let bench = Bench::new().await;
    bench.engine().freeze(&call(0), FreezeOrder::Key(bench.key_of("timestamp").await.to_string()), "").await.unwrap();
    assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Frozen);
    assert!(bench.sign("snapshot", &snapshot(2, &[("targets", 1)])).await.is_ok());
    // The way out of a stolen key goes on: its successor is made while it rests.
    assert!(bench.engine().rotate(&call(0), "demo", "timestamp", "", "").await.is_ok());
}

#[tokio::test]
async fn a_frozen_caller_reads_and_does_nothing_else() {
    let bench = Bench::new().await;
    bench.engine().freeze(&call(0), caller("unix:4"), "").await.unwrap();
    assert_eq!(reason(bench.engine().freeze(&call(4), FreezeOrder::All, "").await), Reason::Frozen);
    bench.engine().freeze(&call(0), caller("unix-group:3"), "").await.unwrap();
    assert_eq!(reason(bench.sign_as(3, "timestamp", &timestamp(2, 1)).await), Reason::Frozen);
    assert!(bench.engine().list_keys(&call(3), "demo").await.is_ok());
    let explained = bench.engine().explain(&call(3), item("timestamp", &timestamp(2, 1))).await.unwrap();
    assert_eq!(explained.refusal.unwrap().reason, Reason::Frozen);
    assert!(bench.sign("timestamp", &timestamp(2, 1)).await.is_ok(), "others go on");
}

#[tokio::test]
async fn no_key_is_made_in_a_frozen_scope() {
    let bench = Bench::new().await;
    let order = || KeyOrder { repository: "demo".into(), roles: vec!["timestamp".into()], ..KeyOrder::default() };
    for scope in [FreezeOrder::All, repository(), role("timestamp")] {
        bench.engine().freeze(&call(0), scope.clone(), "").await.unwrap();
        assert_eq!(reason(bench.engine().generate_key(&call(0), order()).await), Reason::Frozen, "{scope:?}");
        assert_eq!(reason(bench.engine().rotate(&call(0), "demo", "timestamp", "", "").await), Reason::Frozen);
        bench.engine().thaw(&call(0), scope).await.unwrap();
    }
    assert!(bench.engine().generate_key(&call(0), order()).await.is_ok());
}

#[tokio::test]
async fn a_freeze_needs_its_verb_for_the_whole_of_its_scope_and_a_thaw_an_operator() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let key = engine.list_keys(&call(0), "demo").await.unwrap()[0].id().to_string();
    let allowed = [
        (FreezeOrder::All, vec![0, 4]),
        (caller("unix:9"), vec![0, 4]),
        (repository(), vec![0, 2, 4]),
        (role("timestamp"), vec![0, 1, 2, 4]),
        (role("snapshot"), vec![0, 2, 4]),
        (FreezeOrder::Key(key), vec![0, 1, 2, 4]),
    ];
    for (scope, who) in allowed {
        for uid in 0..5 {
            let frozen = engine.freeze(&call(uid), scope.clone(), "").await;
            assert_eq!(frozen.is_ok(), who.contains(&uid), "{scope:?} by {uid}: {frozen:?}");
            if uid != 0 {
                assert_eq!(reason(engine.thaw(&call(uid), scope.clone()).await), Reason::NoGrant, "{scope:?} by {uid}");
            }
        }
        assert!(engine.thaw(&call(0), scope.clone()).await.unwrap().changed);
        assert!(!engine.thaw(&call(0), scope).await.unwrap().changed, "a second thaw changes nothing");
    }
    assert_eq!(engine.freezes(), []);
}

#[tokio::test]
async fn a_refused_freeze_says_which_grant_would_do_and_what_may_be_frozen() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let key = engine.list_keys(&call(0), "demo").await.unwrap()[0].id().to_string();
    let said = async |uid, scope: FreezeOrder| engine.freeze(&call(uid), scope, "").await.unwrap_err().detail;
    let all = said(2, FreezeOrder::All).await;
    let wanted = "it takes one with repositories = [\"**\"] and roles = [\"**\"]; you may freeze ** of demo";
    assert!(all.ends_with(wanted), "{all}");
    let whole = said(1, repository()).await;
    assert!(whole.contains("one for demo with roles = [\"**\"]; you may freeze timestamp of demo"), "{whole}");
    let nobody = said(3, role("snapshot")).await;
    assert!(nobody.ends_with("it takes one for snapshot of demo"), "{nobody}");
    let unknown = "0".repeat(64);
    let (known, unknown) = (said(3, FreezeOrder::Key(key)).await, said(3, FreezeOrder::Key(unknown)).await);
    assert_eq!(known, unknown, "whether a key exists is not told");
}

#[tokio::test]
async fn a_freeze_stands_through_restarts_and_is_thawed_by_its_own_scope_alone() {
    let mut bench = Bench::new().await;
    let (first, new) = bench.engine().freeze(&call(0), FreezeOrder::All, "incident-17").await.unwrap();
    assert!(new && first.reason_code.to_string() == "incident-17");
    bench.clock.pass(60);
    let (again, new) = bench.engine().freeze(&call(4), FreezeOrder::All, "other").await.unwrap();
    assert!(!new && again == first, "who froze first stays on record");
    bench.engine().freeze(&call(0), repository(), "").await.unwrap();
    bench.restart(Some(machine(1)));
    assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Frozen);
    assert!(bench.engine().thaw(&call(0), FreezeOrder::All).await.unwrap().changed);
    assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Frozen, "the repository still is");
    assert!(bench.engine().thaw(&call(0), repository()).await.unwrap().changed);
    bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
    let acts: Vec<_> = bench.leaves().into_iter().filter_map(|leaf| leaf.subject).collect();
    assert_eq!(
        acts,
        ["everything (incident-17)", "repository demo (unspecified)", "everything", "repository demo"],
        "what changed nothing has no leaf"
    );
}

#[tokio::test]
async fn what_would_stop_nothing_or_oneself_is_refused() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let nobody = "00".repeat(32);
    for (scope, why) in [
        (FreezeOrder::Repository("dmeo".into()), Reason::UnknownRepository),
        (FreezeOrder::Role("demo".into(), "timestmap".into()), Reason::WrongRole),
        (FreezeOrder::Key(nobody), Reason::UnknownKey),
        (FreezeOrder::Key("xyz".into()), Reason::Malformed),
        (caller("nobody"), Reason::Malformed),
        (caller("unix:0"), Reason::Malformed),
        (caller("unix-group:0"), Reason::Malformed),
    ] {
        assert_eq!(reason(engine.freeze(&call(0), scope.clone(), "").await), why, "{scope:?}");
    }
    assert_eq!(reason(engine.freeze(&call(0), FreezeOrder::All, "Not a word").await), Reason::Malformed);
    assert_eq!(engine.freezes(), []);
}

#[tokio::test]
async fn many_freezes_at_once_are_all_kept() {
    let bench = Bench::new().await;
    let freezing = (100..140).map(|uid| {
        let engine = bench.engine().clone();
        tokio::spawn(async move { engine.freeze(&call(0), caller(&format!("unix:{uid}")), "").await.map(drop) })
    });
    for one in freezing.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(bench.engine().freezes().len(), 40);
}

/// A root of `demo` with this key for timestamp, and the others' own.
async fn root(bench: &Bench, version: i64, timestamp: &PublicKey, offline: &Holder) -> RootUpload {
    let keys = bench.engine().list_keys(&call(0), "demo").await.unwrap();
    let own = |name: &str| {
        let key = keys.iter().find(|key| key.roles.iter().any(|role| role.as_str() == name)).unwrap();
        vec![key.public_key.clone()]
    };
    let roles = [("timestamp", vec![timestamp.clone()]), ("snapshot", own("snapshot")), ("targets", own("targets"))];
    let plan = RootPlan { version, root: (&[offline], 1), roles: &roles, expires: "2035-01-01T00:00:00Z" };
    let file = plan.signed_by(&[offline]);
    let pin = Sha256Digest::of(&file).to_string();
    RootUpload { repository: "demo".into(), file, pin, retire: Vec::new() }
}

/// Freeze, publish the root, recover, thaw.
#[tokio::test]
async fn a_frozen_role_is_recovered_and_signs_from_its_lower_version_after_the_thaw() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let offline = Holder::new();
    let id = bench.key_of("timestamp").await;
    let old = engine.ledger().key(&id).unwrap().unwrap().public_key;
    engine.publish_root(&call(0), root(&bench, 1, &old, &offline).await).await.unwrap();
    bench.sign("timestamp", &timestamp(11, 1)).await.unwrap();
    let new = engine.rotate(&call(0), "demo", "timestamp", "", "").await.unwrap().key.public_key;
    let spare = engine.rotate(&call(0), "demo", "timestamp", "", "").await.unwrap().key.id().to_string();

    engine.freeze(&call(0), role("timestamp"), "fast-forward").await.unwrap();
    let upload = root(&bench, 2, &new, &offline).await;
    engine.stage_root(&call(0), upload.clone()).await.unwrap();
    engine.publish_root(&call(0), upload).await.unwrap();
    assert_eq!(
        bench.refusal("timestamp", &timestamp(12, 1)).await,
        Reason::Frozen,
        "or it would carry the old epoch on"
    );
    assert_eq!(engine.recover_guard(&call(0), "demo", "timestamp", 1, false).await.unwrap().epoch, 2);
    assert!(engine.retire(&call(0), &spare).await.unwrap().changed, "nor does the freeze stop this");
    engine.thaw(&call(0), role("timestamp")).await.unwrap();
    bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
}
