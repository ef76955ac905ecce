//! What waits for people: kept with its bytes, seen in views, used once.

use sealward::domain::approval::{Act, Given, Pending, Subject};
use sealward::domain::caller::Caller;
use sealward::domain::law::attended::Approved;
use sealward::ledger::{Change, CommitError, Expect, Ledger, Unit};

use super::units::pending;
use super::{Open, commit, commit_one, event};
use crate::values::{NOW, repository};

fn waits(text: &str, revision: u64) -> Unit {
    let change = Change::Pending { pending: pending(text, revision), payload: Some(text.as_bytes().to_vec()) };
    Unit { changes: vec![change], events: vec![event(text)], ..Unit::default() }
}

fn using(pending: &Pending, request: &str) -> Unit {
    let mut unit = Unit { events: vec![event(request)], ..Unit::default() };
    unit.uses(Approved { id: pending.id(), revision: pending.revision });
    unit
}

fn in_view(ledger: &dyn Ledger) -> Vec<Pending> {
    ledger.view(&repository()).unwrap().pending.clone()
}

pub(super) fn what_waits_is_there_after_a_reopen_and_in_the_view_of_its_repository(open: Open<'_>) {
    {
        let ledger = open();
        assert_eq!(in_view(ledger.as_ref()), []);
        commit_one(ledger.as_ref(), waits("b", 1)).unwrap();
        let older = Pending { asked: NOW.plus_seconds(-1), ..pending("a", 1) };
        let change = Change::Pending { pending: older, payload: Some(b"a".to_vec()) };
        commit_one(ledger.as_ref(), Unit { changes: vec![change], ..Unit::default() }).unwrap();
    }
    let ledger = open();
    let all = ledger.pending().unwrap();
    assert_eq!(all.iter().map(Pending::id).collect::<Vec<_>>(), [pending("a", 1).id(), pending("b", 1).id()]);
    assert_eq!(in_view(ledger.as_ref()), all, "the oldest first, here as there");
    assert_eq!(ledger.pending_payload(&pending("b", 1).id()).unwrap().as_deref(), Some(&b"b"[..]));
    assert_eq!(ledger.pending_payload(&pending("c", 1).id()).unwrap(), None);
}

pub(super) fn what_waits_keeps_its_bytes_while_people_judge_it(open: Open<'_>) {
    let ledger = open();
    commit_one(ledger.as_ref(), waits("a", 1)).unwrap();
    assert_eq!(in_view(ledger.as_ref()).len(), 1);
    let caller = Caller::Unix { uid: 1, gids: vec![] };
    let given = vec![Given { person: "alice".parse().unwrap(), caller, at: NOW }];
    let judged = Pending { given, ..pending("a", 2) };
    let unit = Unit {
        expects: vec![Expect::Pending(judged.id(), 1)],
        changes: vec![Change::Pending { pending: judged.clone(), payload: None }],
        ..Unit::default()
    };
    commit_one(ledger.as_ref(), unit.clone()).unwrap();
    assert_eq!(commit_one(ledger.as_ref(), unit), Err(CommitError::Conflict), "two who judge at once do not overwrite");
    assert_eq!(in_view(ledger.as_ref()), std::slice::from_ref(&judged), "a view is fresh after it");
    assert_eq!(ledger.pending_payload(&judged.id()).unwrap().as_deref(), Some(&b"a"[..]));
}

pub(super) fn an_approval_is_used_by_one_unit_and_never_by_two(open: Open<'_>) {
    let ledger = open();
    commit_one(ledger.as_ref(), waits("a", 1)).unwrap();
    let waiting = pending("a", 1);
    let results = commit(ledger.as_ref(), vec![using(&waiting, "first"), using(&waiting, "second")]);
    assert!(results[0].is_ok());
    assert_eq!(results[1], Err(CommitError::Conflict));
    assert_eq!((ledger.pending().unwrap(), in_view(ledger.as_ref())), (vec![], vec![]));
    assert_eq!(ledger.pending_payload(&waiting.id()).unwrap(), None);
}

pub(super) fn what_concerns_the_whole_daemon_is_in_no_repository(open: Open<'_>) {
    let ledger = open();
    let act = Act::in_daemon("resolve-latch").with("latch", "clock");
    let text = act.text().into_bytes();
    let act = Pending { subject: Subject::Act(act), ..pending("a", 1) };
    let change = Change::Pending { pending: act.clone(), payload: Some(text.clone()) };
    commit_one(ledger.as_ref(), Unit { changes: vec![change], ..Unit::default() }).unwrap();
    assert_eq!(ledger.repositories().unwrap(), []);
    assert_eq!(ledger.pending().unwrap(), std::slice::from_ref(&act));
    assert_eq!(in_view(ledger.as_ref()), []);
    assert_eq!(ledger.pending_payload(&act.id()).unwrap(), Some(text), "its text has the digest that people confirm");
    drop(ledger);
    assert_eq!(open().pending().unwrap(), [act]);
}
