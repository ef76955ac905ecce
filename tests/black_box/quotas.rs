//! What one caller, and one key, may take of the daemon; and what a granted caller cannot do to its disk.

use sealward::client::messages::{SignBatchRequest, sign_batch_result};

use crate::support::{SOFTWARE, World, sign_request, timestamp, tomorrow};

fn world(limits: &str) -> World {
    let world =
        World::configured(&SOFTWARE.replacen("version = 1\n", &format!("version = 1\nlimits = {{ {limits} }}\n"), 1));
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world
}

/// A number of the metrics page.
fn metric(world: &World, name: &str) -> u64 {
    let page = world.metrics();
    let line = page.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).trim().parse().unwrap()
}

#[test]
fn a_granted_caller_cannot_fill_the_disk_with_denials_and_a_batch_of_them_is_one_commit() {
    let mut world = world("denial_leaves_per_minute = 50");
    let expires = tomorrow();
    let before = (metric(&world, "sealward_audit_tree_size"), metric(&world, "sealward_ledger_commits_total"));
    // Version 900 is a step too far: denied, each with its own rule, 256 times.
    let items = vec![sign_request("demo", "timestamp", &timestamp(900, 1, &expires)); 256];
    let results =
        world.with_client(async |client| client.sign_batch(SignBatchRequest { items }).await.unwrap().results);
    for result in results {
        let Some(sign_batch_result::Result::Refusal(refusal)) = result.result else { panic!("it was signed") };
        assert_eq!(refusal.reason, "version-step", "the answer is the denial itself, with a leaf or without");
    }
    let after = (metric(&world, "sealward_audit_tree_size"), metric(&world, "sealward_ledger_commits_total"));
    assert!((50..=52).contains(&(after.0 - before.0)), "{before:?} {after:?}");
    assert_eq!(after.1 - before.1, 1, "one fsync for the whole batch");
    let without_leaf = metric(&world, "sealward_over_quota_total{quota=\"denial-leaf\"}");
    assert!((204..=206).contains(&without_leaf), "{without_leaf}");
    // What was counted is written at the end, at the latest.
    assert_eq!(world.stop(), Some(0));
    world.start();
    let leaves = String::from_utf8(world.sealward(&["--json", "audit", "tail", "--lines", "1"]).stdout).unwrap();
    assert!(leaves.contains("aggregate") && leaves.contains("version-step"), "{leaves}");
}

#[test]
fn a_caller_that_asks_too_often_is_told_so_and_no_leaf_is_written_for_it() {
    let world = world("request_rate_per_caller = { per_minute = 1, burst = 10 }");
    let expires = tomorrow();
    let before = metric(&world, "sealward_audit_tree_size");
    let mut refused = Vec::new();
    for _ in 0..20 {
        let refusal = world.refusal("demo", "timestamp", &timestamp(900, 1, &expires));
        refused.push(refusal);
    }
    let (denied, over) = refused.split_at(7);
    assert!(denied.iter().all(|reason| reason == "version-step"), "three of ten made the keys: {refused:?}");
    assert!(over.iter().all(|reason| reason == "over-quota"), "{refused:?}");
    assert_eq!(metric(&world, "sealward_audit_tree_size") - before, 7);
    assert_eq!(metric(&world, "sealward_over_quota_total{quota=\"caller\"}"), 13);
}

#[test]
fn a_key_that_is_asked_too_often_signs_no_more_and_others_go_on() {
    let world = world("signature_rate_per_key = { per_minute = 1, burst = 3 }");
    let expires = tomorrow();
    let targets = |version| crate::support::targets(version, &expires);
    for version in 1..=3 {
        world.sign("demo", "targets", &targets(version)).unwrap();
    }
    assert_eq!(world.refusal("demo", "targets", &targets(4)), "over-quota");
    world.sign("demo", "targets", &targets(3)).expect("a replay asks no key");
    world.sign("demo", "snapshot", &crate::support::snapshot(1, 3, &[], &expires)).expect("another key");
    assert_eq!(metric(&world, "sealward_over_quota_total{quota=\"key\"}"), 1);
}
