//! The end of a key, and what stops it.

use sealward::domain::key::KeyState;
use sealward::domain::law::destroy;
use sealward::domain::name::Sha256Digest;
use sealward::domain::public_key::KeyId;
use sealward::engine::FreezeOrder;
use sealward::ledger::{Change, Expect, Unit};

use crate::bench::{Bench, call};
use crate::meanwhile::commit;
use crate::values::{DAY, NOW};

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

/// A daemon that was killed while its token removed the key finds it gone; so does one whose token was exchanged.
#[tokio::test]
async fn a_resumed_destruction_ends_only_where_it_began() {
    let bench = Bench::new().await;
    let key = due(&bench).await;
    let record = bench.engine().ledger().key(&key).unwrap().unwrap();
    let begun = destroy::begin(&record, Sha256Digest::of(b"the first"), NOW.plus_seconds(31 * DAY));
    let expects = vec![Expect::Key(key, record.revision)];
    commit(bench.engine().ledger().as_ref(), Unit { expects, changes: vec![Change::Key(begun)], ..Unit::default() });
    bench.token.take_away(&key);
    bench.token.is_another("the second");
    bench.engine().carry_out_destructions().await;
    assert_eq!(state(&bench, &key), KeyState::Retired);
    let last = bench.leaves().pop().unwrap();
    assert_eq!((last.verb.as_str(), last.outcome.name()), ("destroy-end", "failed"));
    bench.token.is_another("the first");
    bench.clock.pass(3600);
    bench.engine().carry_out_destructions().await;
    assert_eq!(state(&bench, &key), KeyState::Destroyed);
}
