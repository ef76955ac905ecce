//! The end of a key, and what stops it.

use sealward::domain::key::KeyState;
use sealward::domain::public_key::KeyId;
use sealward::engine::FreezeOrder;

use crate::bench::{Bench, call};
use crate::values::DAY;

/// A key whose destruction is due in this moment.
async fn due(bench: &Bench) -> KeyId {
    let key = bench.engine().rotate(&call(0), "demo", "timestamp", "", "").await.unwrap().key.id();
    bench.engine().destroy(&call(0), &key.to_string()).await.unwrap();
    bench.clock.pass(31 * DAY);
    key
}

fn state(bench: &Bench, key: &KeyId) -> KeyState {
    bench.engine().ledger().key(key).unwrap().unwrap().state
}

#[tokio::test]
async fn a_freeze_stops_a_destruction_that_is_due_until_the_thaw() {
    for which in 0..4 {
        let bench = Bench::new().await;
        let key = due(&bench).await;
        let scope = match which {
            0 => FreezeOrder::All,
            1 => FreezeOrder::Repository("demo".into()),
            2 => FreezeOrder::Role("demo".into(), "timestamp".into()),
            _ => FreezeOrder::Key(key.to_string()),
        };
        bench.engine().freeze(&call(0), scope.clone(), "").await.unwrap();
        bench.engine().carry_out_destructions().await;
        assert_eq!(state(&bench, &key), KeyState::Retired, "{scope:?}");
        bench.engine().thaw(&call(0), scope).await.unwrap();
        bench.clock.pass(3600); // it is looked at again an hour later
        bench.engine().carry_out_destructions().await;
        assert_eq!(state(&bench, &key), KeyState::Destroyed);
    }
}
