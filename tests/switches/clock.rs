//! `law.md` section 6: the clock.

use sealward::domain::audit_event::EventKind;
use sealward::domain::outcome::Reason;
use sealward::engine::{FreezeOrder, LatchOrder};

use crate::bench::{Bench, call, item, machine};
use crate::values::{snapshot, targets, timestamp};

fn resolve(name: &str) -> LatchOrder {
    LatchOrder { name: name.into(), ..LatchOrder::default() }
}

#[tokio::test]
async fn a_clock_that_jumps_latches_through_restarts_until_an_operator_resolves_it() {
    for jump in [3600, -3600] {
        let mut bench = Bench::new().await;
        bench.clock.pass(120);
        bench.clock.set_by(jump);
        let denial = bench.sign("timestamp", &timestamp(2, 1)).await.unwrap_err();
        assert_eq!(denial.reason, Reason::Latched);
        assert!(denial.detail.starts_with("clock: the clock jumped 3600 s"), "{}", denial.detail);
        bench.kept().await;
        bench.clock.set_by(-jump);
        assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Latched, "a word resolves it, not luck");
        bench.restart(Some(machine(1)));
        assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Latched, "nor does a restart");
        let left = bench.engine().resolve_latch(&call(0), resolve("clock")).await.unwrap();
        assert_eq!(left, []);
        bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
        let verbs: Vec<_> = bench.leaves().iter().map(|leaf| (leaf.verb.clone(), leaf.subject.clone())).collect();
        let latched = verbs.iter().position(|leaf| *leaf == ("latch".into(), Some("clock".into()))).unwrap();
        let resolved = verbs.iter().position(|leaf| *leaf == ("resolve-latch".into(), Some("clock".into()))).unwrap();
        assert!(latched < resolved && resolved + 1 == verbs.len() - 1, "{verbs:?}");
    }
}

#[tokio::test]
async fn a_start_before_the_newest_leaf_less_the_skew_latches() {
    let mut bench = Bench::new().await;
    bench.clock.set_by(-59);
    bench.restart(Some(machine(1)));
    assert!(bench.sign("timestamp", &timestamp(2, 1)).await.is_ok());
    // That leaf was written 59 s earlier than those before it, so the bound lies there now.
    bench.clock.set_by(-61);
    bench.restart(Some(machine(1)));
    assert_eq!(bench.latches(), ["clock"]);
    let denial = bench.sign("timestamp", &timestamp(3, 1)).await.unwrap_err();
    assert!(denial.detail.contains("the newest leaf was written at"), "{}", denial.detail);
}

#[tokio::test]
async fn a_new_ledger_counts_from_when_it_was_made() {
    let mut bench = Bench::empty(Some(machine(1)));
    bench.clock.set_by(-61);
    bench.start(Some(machine(1)));
    assert_eq!(bench.latches(), ["clock"]);
}

#[tokio::test]
async fn sleep_and_the_passing_of_time_latch_nothing() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        bench.clock.pass(3600);
        bench.engine().watch_latches().await;
    }
    assert_eq!(bench.latches(), Vec::<&str>::new());
    bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
}

#[tokio::test]
async fn a_jump_while_nobody_asks_is_noticed_as_well() {
    let bench = Bench::new().await;
    bench.clock.set_by(86_400);
    bench.engine().watch_latches().await;
    assert_eq!(bench.latches(), ["clock"]);
    assert_eq!(bench.engine().ledger().switches().latches.len(), 1, "it is written down");
}

#[tokio::test]
async fn a_signature_in_flight_when_the_clock_jumps_is_not_released() {
    let bench = Bench::new().await;
    bench.token.close();
    let engine = bench.engine().clone();
    let signing = tokio::spawn(async move { engine.sign(&call(0), item("timestamp", &timestamp(2, 1))).await });
    bench.token.somebody_waits().await;
    bench.clock.set_by(86_400);
    bench.kept().await;
    bench.token.open();
    assert_eq!(signing.await.unwrap().unwrap_err().reason, Reason::Latched);
    let released = bench.leaves().iter().filter(|leaf| leaf.event == EventKind::Advance).count();
    assert_eq!(released, 3, "the first versions and no more");
}

#[tokio::test]
async fn while_latched_what_signs_or_changes_fails_without_a_leaf_and_what_reads_answers() {
    let bench = Bench::new().await;
    bench.clock.set_by(3600);
    bench.kept().await;
    let (engine, before) = (bench.engine(), bench.leaves().len());
    for (role, payload) in [("timestamp", timestamp(2, 1)), ("timestamp", timestamp(1, 1)), ("targets", targets(7))] {
        assert_eq!(bench.refusal(role, &payload).await, Reason::Latched, "{role}");
    }
    let thawed = engine.thaw(&call(0), FreezeOrder::All).await;
    assert_eq!(thawed.unwrap_err().reason, Reason::Latched, "what was stopped stays stopped");
    let rotated = engine.rotate(&call(0), "demo", "timestamp", "", "").await;
    assert_eq!(rotated.unwrap_err().reason, Reason::Latched);
    assert_eq!(bench.leaves().len(), before);
    let explained = engine.explain(&call(0), item("snapshot", &snapshot(2, &[("targets", 1)]))).await.unwrap();
    assert_eq!(explained.refusal.unwrap().reason, Reason::Latched);
    let status = engine.status(&call(0)).await.unwrap();
    assert!(status.latches[0].resolve.contains("sealward latch resolve clock"));
    assert_eq!(engine.list_keys(&call(3), "demo").await.unwrap().len(), 3);
    // Stopping more is always possible.
    engine.freeze(&call(0), FreezeOrder::All, "").await.unwrap();
}

#[tokio::test]
async fn a_latch_is_resolved_by_an_operator_alone_and_only_when_it_is_there() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let reason = |result: Result<_, sealward::domain::outcome::Denial>| result.map(|_: Vec<_>| ()).unwrap_err().reason;
    assert_eq!(reason(engine.resolve_latch(&call(0), resolve("clock")).await), Reason::NotLatched);
    assert_eq!(reason(engine.resolve_latch(&call(0), resolve("clone")).await), Reason::NotLatched);
    assert_eq!(reason(engine.resolve_latch(&call(0), resolve("fault")).await), Reason::Latched);
    assert_eq!(reason(engine.resolve_latch(&call(0), resolve("nonsense")).await), Reason::Malformed);
    bench.clock.set_by(3600);
    bench.kept().await;
    for stranger in [1, 2, 3, 4] {
        assert_eq!(reason(engine.resolve_latch(&call(stranger), resolve("clock")).await), Reason::NoGrant);
    }
    assert_eq!(bench.latches(), ["clock"]);
}

#[tokio::test]
async fn what_was_counted_before_a_latch_is_written_when_it_is_resolved() {
    let bench = Bench::new().await;
    assert_eq!(bench.sign_as(9, "timestamp", &timestamp(2, 1)).await.unwrap_err().reason, Reason::NoGrant);
    bench.clock.pass(120);
    bench.clock.set_by(3600);
    assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Latched);
    bench.kept().await;
    bench.engine().write_aggregates().await;
    bench.clock.set_by(-3600);
    bench.engine().resolve_latch(&call(0), resolve("clock")).await.unwrap();
    bench.engine().write_aggregates().await;
    let leaves = bench.leaves();
    let counted: Vec<_> = leaves.iter().filter(|leaf| leaf.event == EventKind::Aggregate).collect();
    assert!(counted.iter().any(|leaf| leaf.caller == "unix:9" && leaf.count == Some(1)), "{counted:?}");
}
