//! A guard that begins at published metadata.

use sealward::domain::name::Role;
use sealward::domain::outcome::Reason;
use sealward::tuf::envelope::assemble;

use crate::bench::{Bench, call};
use crate::people::{PEOPLE, delegated_key, delegating};
use crate::roots::Holder;
use crate::values::{repository, role, targets, version};

/// Nobody here saw who signed it: whoever its delegator lists may have, and stays behind with the epoch.
#[tokio::test]
async fn every_key_that_the_delegator_lists_counts_as_one_that_released_what_a_delegated_role_is_seeded_with() {
    let bench = Bench::new().await;
    bench.add_rules(PEOPLE);
    let (here, elsewhere) = (delegated_key(&bench).await, Holder::new());
    bench.sign("targets", &delegating(2, &[here.clone(), elsewhere.public.clone()])).await.unwrap();
    let published = targets(7);
    let file = assemble(published.as_bytes(), &[elsewhere.sign(published.as_bytes())]).unwrap();
    let seeded = bench.engine().seed_guard(&call(0), "demo", "releases/stable", file).await.unwrap();
    assert_eq!(seeded.version, version(7));
    let guards = &bench.engine().ledger().view(&repository()).unwrap().guards;
    assert_eq!(guards[&role("releases/stable")].signers, [here.id(), elsewhere.public.id()].into());
    assert!(guards[&Role::Targets].signers.len() == 1, "those that released here are known");
    for (uid, ends) in [(5, false), (6, true)] {
        let recovered = bench.engine().recover_guard(&call(uid), "demo", "releases/stable", 1, true).await;
        assert_eq!(recovered.is_ok(), ends, "{recovered:?}");
    }
    let guards = &bench.engine().ledger().view(&repository()).unwrap().guards;
    assert_eq!(guards[&role("releases/stable")].barred, [here.id(), elsewhere.public.id()].into());
}

/// Seven may seed one role of a repository that is new, and no other.
const ONE_ROLE: &str = r#"
[[grant]]
callers = ["unix:7"]
verbs = ["manage-roots"]
repositories = ["fresh"]
roles = ["timestamp"]
"#;

#[tokio::test]
async fn a_new_repository_is_begun_once_and_by_whoever_may_seed_each_of_its_roles() {
    let bench = Bench::new().await;
    bench.add_rules(ONE_ROLE);
    let engine = bench.engine();
    for uid in [4, 7] {
        let refused = engine.begin_repository(&call(uid), "fresh").await.unwrap_err();
        assert_eq!(refused.reason, Reason::NoGrant, "{uid}: {refused:?}");
    }
    engine.begin_repository(&call(0), "fresh").await.unwrap();
    let guards = engine.ledger().view(&"fresh".parse().unwrap()).unwrap().guards.clone();
    assert_eq!(guards.len(), 3);
    assert!(guards.values().all(|guard| guard.head.is_none() && guard.name.epoch == 1), "{guards:?}");
    for begun in ["fresh", "demo"] {
        assert_eq!(engine.begin_repository(&call(0), begun).await.unwrap_err().reason, Reason::NotNew, "{begun}");
    }
}
