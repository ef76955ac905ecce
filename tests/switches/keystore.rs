//! A keystore that shows an offline key.

use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::Reason;
use sealward::engine::{LatchOrder, RootUpload};

use crate::bench::{Bench, call, machine};
use crate::roots::{Holder, RootPlan};
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

/// The root is weighed against the keys that keystores showed; one that could not be asked shows its own later.
#[tokio::test]
async fn every_keystore_is_listed_again_after_a_root() {
    let bench = Bench::new().await;
    bench.token.go_away(true);
    let planted = bench.token.plant();
    let offline = Holder::new();
    let mut roles = Vec::new();
    for name in ["timestamp", "snapshot", "targets"] {
        let key = bench.key_of(name).await;
        roles.push((name, vec![bench.engine().ledger().key(&key).unwrap().unwrap().public_key]));
    }
    let mut in_reach = Holder::new();
    in_reach.public = planted;
    let root =
        RootPlan { version: 1, root: (&[&offline, &in_reach], 1), roles: &roles, expires: "2035-01-01T00:00:00Z" };
    let file = root.signed_by(&[&offline]);
    let pin = Sha256Digest::of(&file).to_string();
    let upload = RootUpload { repository: "demo".into(), file, pin, retire: Vec::new() };
    bench.engine().publish_root(&call(0), upload).await.unwrap();
    bench.token.go_away(false);
    bench.engine().list_late_keystores().await;
    assert_eq!(bench.latches(), ["offline-key"]);
}
