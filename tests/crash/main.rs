//! The crash harness: clients that are hostile as well as busy, a daemon that is killed at random moments, and an oracle
//! that holds the clients' own logs against I1 to I6 of the design. `docs/crash-harness.md` tells how to read and run it.

// A test and its helpers may stop at the first surprise, and say what they saw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod defective;
mod disk;
mod journal;
mod oracle;
mod random;
mod run;
mod setup;
mod tally;
mod watcher;
mod world;

use self::defective::{CONFESSION, RELEASE_BEFORE_COMMIT, SKIP_GUARD_UPDATE, SYNCHRONOUS_OFF};
use self::disk::LoopDisk;
use self::oracle::Invariant;
use self::run::{Outcome, Plan};

/// How many kills the daemon has to survive; more in `make crash`.
const KILLS: &str = "SEALWARD_CRASH_KILLS";
/// A defect is caught within so many kills. One would do; chance is given some room.
const KILLS_TO_CATCH: usize = 12;
/// And a missing sync within so many power cuts.
const CUTS_TO_CATCH: usize = 2;
/// Traffic before a power cut, in milliseconds.
const BEFORE_A_CUT: (u64, u64) = (300, 1500);

#[test]
fn nothing_is_lost_or_contradicted_over_many_kills() {
    let kills = std::env::var(KILLS).map_or(200, |text| text.parse().expect(KILLS));
    let outcome = Plan::kills(random::seed(), kills).run();
    hold(&outcome);
    let tally = &outcome.tally;
    assert!(tally.kills >= kills, "{tally}");
    // Without traffic, nothing was shown.
    assert!(tally.count("advance") > kills && tally.count("replay") > kills / 2, "{tally}");
    assert!(tally.refusals.contains_key("equivocation") && tally.refusals.contains_key("rollback"), "{tally}");
    assert!(tally.unanswered > 0 && tally.looks > kills / 2 && tally.proofs > kills / 2, "{tally}");
}

#[test]
fn a_release_before_its_commit_is_caught() {
    let outcome = Plan::kills(random::seed(), KILLS_TO_CATCH).with_defect(RELEASE_BEFORE_COMMIT).run();
    // What left the daemon is not in its log.
    caught(&outcome, &[Invariant::I3]);
}

#[test]
fn a_guard_that_is_not_moved_is_caught() {
    let outcome = Plan::kills(random::seed(), KILLS_TO_CATCH).with_defect(SKIP_GUARD_UPDATE).run();
    caught(&outcome, &[Invariant::I1, Invariant::I5]);
}

#[test]
fn a_missing_sync_is_caught_by_a_power_cut() {
    if let Some(why) = LoopDisk::missing() {
        return skipped(&why);
    }
    let plan = Plan::kills(random::seed(), CUTS_TO_CATCH).with_power_cuts(BEFORE_A_CUT);
    let outcome = plan.with_defect(SYNCHRONOUS_OFF).run();
    caught(&outcome, &[Invariant::I3, Invariant::I5]);
}

#[test]
fn a_power_cut_takes_nothing_that_was_released() {
    if let Some(why) = LoopDisk::missing() {
        return skipped(&why);
    }
    let outcome = Plan::kills(random::seed(), 6).with_power_cuts(BEFORE_A_CUT).run();
    hold(&outcome);
    assert!(outcome.tally.count("advance") > 50, "{}", outcome.tally);
}

/// Every promise held, and the daemon still serves.
fn hold(outcome: &Outcome) {
    println!("{outcome}");
    assert!(outcome.violations.is_empty(), "{} violations, shown above", outcome.violations.len());
    assert_eq!(outcome.state.as_deref(), Some("serving"));
    let bad = |line: &&str| line.contains("panicked") || line.contains(" ERROR ");
    assert_eq!(outcome.log.lines().find(bad), None, "in the daemon's log");
}

/// The defect was there, and the oracle saw what it breaks.
fn caught(outcome: &Outcome, broken: &[Invariant]) {
    println!("{outcome}");
    assert!(outcome.log.contains(CONFESSION), "the defect was not switched on");
    for invariant in broken {
        assert!(outcome.of(*invariant).next().is_some(), "no violation of {invariant:?} was seen");
    }
}

/// What this machine cannot show is said; where it must be shown, it is a failure.
fn skipped(why: &str) {
    println!("skipped: {why}");
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "nothing is skipped in CI: {why}");
}
