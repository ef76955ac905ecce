//! A keystore that shows an offline key.

use sealward::domain::outcome::Reason;
use sealward::engine::LatchOrder;

use crate::bench::{Bench, call, machine};
use crate::values::{targets, timestamp};

#[tokio::test]
async fn a_keystore_with_an_offline_key_serves_again_once_the_key_is_gone_and_an_operator_says_so() {
    let mut bench = Bench::new().await;
    bench.token.go_away(true);
    bench.restart(Some(machine(1)));
    // While the token was away, targets became offline; then it comes with the key that it had for them.
    bench.replace_rules(
        "custody = \"online\"\nkeystore = \"software\"\nalgorithm = \"ed25519\"",
        "custody = \"offline\"",
    );
    bench.token.go_away(false);
    bench.engine().list_late_keystores().await;
    assert_eq!(bench.latches(), ["offline-key"]);
    assert_eq!(bench.refusal("timestamp", &timestamp(2, 1)).await, Reason::Latched);
    let resolve = |keystore: &str| {
        let order = LatchOrder { name: "offline-key".into(), keystore: keystore.into(), ..LatchOrder::default() };
        let engine = bench.engine().clone();
        async move { engine.resolve_latch(&call(0), order).await.map(drop).map_err(|denial| denial.reason) }
    };
    assert_eq!(resolve("").await, Err(Reason::Malformed));
    assert_eq!(resolve("other").await, Err(Reason::NotLatched));
    assert_eq!(resolve("software").await, Err(Reason::Latched), "the key is still there");
    let key = bench.key_of("targets").await;
    bench.token.take_away(&key);
    assert_eq!(resolve("software").await, Ok(()));
    assert_eq!(bench.latches(), Vec::<&str>::new());
    assert_eq!(bench.leaves().last().unwrap().subject.as_deref(), Some("offline-key of keystore software"));
    bench.sign("timestamp", &timestamp(2, 1)).await.unwrap();
    assert_eq!(bench.refusal("targets", &targets(2)).await, Reason::OfflineRole);
}
