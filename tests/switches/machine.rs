//! A ledger that was copied to another machine.

use sealward::domain::outcome::Reason;
use sealward::engine::LatchOrder;

use crate::bench::{Bench, call, machine};
use crate::values::timestamp;

#[tokio::test]
async fn a_copied_ledger_signs_nothing_until_this_machine_is_made_its_home() {
    let mut bench = Bench::new().await;
    bench.restart(Some(machine(2)));
    assert_eq!(bench.latches(), ["clone"]);
    let denial = bench.sign("timestamp", &timestamp(2, 1)).await.unwrap_err();
    assert_eq!((denial.reason, denial.detail.contains("another machine")), (Reason::Latched, true));
    assert_eq!(bench.engine().list_keys(&call(0), "demo").await.unwrap().len(), 3, "it serves reads");
    bench.kept().await;
    bench.restart(Some(machine(1)));
    assert_eq!(bench.latches(), ["clone"], "going home resolves nothing: both may have signed");
    bench.restart(Some(machine(2)));
    let order = LatchOrder { name: "clone".into(), ..LatchOrder::default() };
    bench.engine().resolve_latch(&call(0), order).await.unwrap();
    bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
    bench.restart(Some(machine(2)));
    bench.sign("timestamp", &timestamp(3, 1)).await.unwrap();
    bench.restart(Some(machine(1)));
    assert_eq!(bench.latches(), ["clone"], "its old home is another machine now");
}

#[tokio::test]
async fn a_ledger_without_a_home_takes_the_machine_on_which_the_check_is_switched_on() {
    let mut bench = Bench::empty(None);
    bench.start(None);
    bench.restart(Some(machine(7)));
    bench.engine().watch_latches().await;
    assert_eq!(bench.engine().ledger().switches().machine, Some(machine(7)));
    assert_eq!(bench.leaves().last().unwrap().verb, "record-machine");
    bench.restart(Some(machine(8)));
    assert_eq!(bench.latches(), ["clone"]);
}

#[tokio::test]
async fn who_does_not_look_is_told_so() {
    let mut bench = Bench::new().await;
    bench.restart(None);
    assert_eq!(bench.latches(), Vec::<&str>::new());
    let warnings = bench.engine().status(&call(0)).await.unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("[machine] check is off")), "{warnings:?}");
}
