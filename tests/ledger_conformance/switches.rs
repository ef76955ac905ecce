//! Freezes, latches and the machine's mark.

use sealward::domain::freeze::{Freeze, FreezeScope};
use sealward::domain::name::Sha256Digest;
use sealward::domain::switches::{KeptLatch, KeptLatchName, Switches};
use sealward::ledger::{Change, CommitError, Expect, Unit};

use super::{Open, commit, commit_one, noted};
use crate::values::NOW;

/// Switches with something of everything.
pub(super) fn stopped() -> Switches {
    let (by, reason_code) = ("unix:0".to_owned(), "drill".parse().unwrap());
    let scope = FreezeScope::Role("demo".parse().unwrap(), "timestamp".parse().unwrap());
    let freeze = Freeze { scope, since: NOW, by, reason_code };
    let latch = KeptLatch { name: KeptLatchName::Clock, cause: "a jump".to_owned(), since: NOW };
    Switches::new(Some(Sha256Digest::of(b"machine"))).frozen(freeze).unwrap().latched(&[latch])
}

fn to(switches: Switches, from: u64) -> Unit {
    Unit { expects: vec![Expect::Switches(from)], changes: vec![Change::Switches(switches)], ..noted("switch") }
}

pub(super) fn switches_are_there_from_the_beginning_and_after_a_reopen(open: Open<'_>) {
    let ledger = open();
    assert_eq!(*ledger.switches(), Switches::new(None));
    commit_one(ledger.as_ref(), to(stopped(), 1)).unwrap();
    assert_eq!(*ledger.switches(), stopped(), "whoever reads after the answer sees the commit");
    drop(ledger);
    assert_eq!(*open().switches(), stopped());
}

pub(super) fn what_was_decided_under_other_switches_is_a_conflict(open: Open<'_>) {
    let ledger = open();
    let under = |revision| Unit { expects: vec![Expect::Switches(revision)], ..noted("decided") };
    let (first, second) = (ledger.switches().thawed(&FreezeScope::All), stopped());
    let results = commit(ledger.as_ref(), vec![under(1), to(first, 1), under(1), under(2), to(second.clone(), 1)]);
    let conflict = Err(CommitError::Conflict);
    assert!(results[0].is_ok() && results[1].is_ok() && results[3].is_ok(), "{results:?}");
    assert!(results[2] == conflict && results[4] == conflict, "{results:?}");
    assert_eq!(ledger.switches().revision, 2, "what was refused changed nothing");
    assert_ne!(*ledger.switches(), second);
}

pub(super) fn of_several_switches_in_one_commit_the_last_stands(open: Open<'_>) {
    let ledger = open();
    let first = ledger.switches().at_home(Some(Sha256Digest::of(b"1")));
    let second = first.at_home(Some(Sha256Digest::of(b"2")));
    commit(ledger.as_ref(), vec![to(first, 1), to(second.clone(), 2)]);
    assert_eq!(*ledger.switches(), second);
    drop(ledger);
    assert_eq!(*open().switches(), second);
}
