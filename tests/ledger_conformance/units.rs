//! Units: atomic, compared with what was expected, independent of their neighbours.

use sealward::domain::approval::{Binding, Pending, Subject};
use sealward::domain::caller::Caller;
use sealward::domain::guard::Guard;
use sealward::domain::key::KeyState;
use sealward::domain::law::sign::first_epoch;
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::root::{Roots, VerifiedRoot};
use sealward::ledger::{Change, CommitError, Expect, Ledger, Unit};

use super::{Open, commit, commit_one, event, noted, requests};
use crate::values::{Model, NOW, key_id, record, repository, root, statement, targets};

/// The guard of a role at a revision.
pub(super) fn guard(role: &Role, revision: u64) -> Guard {
    Guard { revision, ..Guard::seeded_as_zero(first_epoch(&repository(), role)) }
}

pub(super) fn change(guard: Guard) -> Change {
    Change::Guard { guard, payload: None }
}

/// Something that waits for people, at a revision; its bytes are `text`.
pub(super) fn pending(text: &str, revision: u64) -> Pending {
    let targets = statement(&targets(1));
    let binding = Binding {
        guard: first_epoch(&repository(), &Role::Targets),
        head: None,
        digest: Sha256Digest::of(text.as_bytes()),
        keys: [key_id(3)].into(),
        policy: Sha256Digest::of(b"policy"),
        metadata_type: targets.metadata_type(),
        version: targets.version(),
        expires: targets.expires(),
    };
    Pending {
        subject: Subject::Signature(binding),
        requesters: vec![Caller::Unix { uid: 7, gids: vec![7] }],
        given: Vec::new(),
        rejection: None,
        asked: NOW,
        expires: NOW.plus_seconds(60),
        length: 1,
        revision,
    }
}

/// Moves the guard of a role from one revision to the next.
pub(super) fn advance(role: &Role, from: u64, request: &str) -> Unit {
    Unit {
        expects: vec![Expect::Guard(first_epoch(&repository(), role), from)],
        changes: vec![change(guard(role, from + 1))],
        events: vec![event(request)],
        after: Vec::new(),
    }
}

pub(super) fn revision(ledger: &dyn Ledger, role: &Role) -> u64 {
    ledger.view(&repository()).unwrap().guards.get(role).map_or(0, |guard| guard.revision)
}

pub(super) fn what_was_answered_is_there_after_a_reopen(open: Open<'_>) {
    let mut model = Model::new();
    model.release("targets", &targets(1));
    let roots = Roots { revision: 1, trusted: Some(root(1, &[])), ..Roots::unrooted(repository()) };
    let before = {
        let ledger = open();
        let mut changes = vec![Change::Roots(roots.clone())];
        changes.extend(model.keys.iter().cloned().map(Change::Key));
        changes.extend(model.guards.values().cloned().map(change));
        let unit = Unit { changes, events: vec![event("all")], ..Unit::default() };
        commit_one(ledger.as_ref(), unit).unwrap();
        ledger.view(&repository()).unwrap()
    };
    assert_eq!((&before.keys, &before.guards, &before.roots), (&model.keys, &model.guards, &roots));
    let ledger = open();
    assert_eq!(ledger.view(&repository()).unwrap(), before);
    assert_eq!(ledger.tree_size().unwrap(), 1);
    assert_eq!(requests(ledger.as_ref()), ["all"]);
    assert_eq!(ledger.key(&key_id(2)).unwrap().as_ref(), Some(&model.keys[1]));
}

pub(super) fn all_of_a_unit_is_committed_or_nothing(open: Open<'_>) {
    let ledger = open();
    let unit = Unit {
        expects: vec![Expect::Guard(first_epoch(&repository(), &Role::Timestamp), 0), Expect::Key(key_id(1), 7)],
        changes: vec![
            change(guard(&Role::Timestamp, 1)),
            Change::Key(record(1, &[Role::Timestamp], KeyState::Active)),
            Change::Roots(Roots { revision: 1, ..Roots::unrooted(repository()) }),
        ],
        events: vec![event("one"), event("two")],
        after: Vec::new(),
    };
    assert_eq!(commit_one(ledger.as_ref(), unit), Err(CommitError::Conflict), "its last expectation does not hold");
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.repositories().unwrap(), []);
    assert_eq!((ledger.tree_size().unwrap(), ledger.key(&key_id(1)).unwrap()), (0, None));
}

pub(super) fn what_is_absent_has_revision_0(open: Open<'_>) {
    let ledger = open();
    let absent = Unit {
        expects: vec![
            Expect::Guard(first_epoch(&repository(), &Role::Timestamp), 0),
            Expect::Key(key_id(1), 0),
            Expect::Roots(repository(), 0),
            Expect::Pending(pending("x", 1).id(), 0),
        ],
        events: vec![event("absent")],
        ..Unit::default()
    };
    assert!(commit_one(ledger.as_ref(), absent.clone()).is_ok());
    for (index, expect) in absent.expects.iter().enumerate() {
        let wrong = match expect.clone() {
            Expect::Guard(name, _) => Expect::Guard(name, 1),
            Expect::Key(key, _) => Expect::Key(key, 1),
            Expect::Roots(repository, _) => Expect::Roots(repository, 1),
            Expect::Switches(_) => Expect::Switches(2),
            Expect::Pending(id, _) => Expect::Pending(id, 1),
        };
        let unit = Unit { expects: vec![wrong], ..Unit::default() };
        assert_eq!(commit_one(ledger.as_ref(), unit), Err(CommitError::Conflict), "{index}");
    }
}

pub(super) fn an_expectation_that_does_not_hold_is_a_conflict(open: Open<'_>) {
    let ledger = open();
    let key = record(1, &[Role::Timestamp], KeyState::Active);
    let begin = Unit {
        changes: vec![
            change(guard(&Role::Timestamp, 3)),
            Change::Key(key.with_state(KeyState::Retiring, NOW)),
            Change::Roots(Roots { revision: 5, ..Roots::unrooted(repository()) }),
            Change::Pending { pending: pending("x", 4), payload: None },
        ],
        ..Unit::default()
    };
    commit_one(ledger.as_ref(), begin).unwrap();
    let name = first_epoch(&repository(), &Role::Timestamp);
    let expecting = |expect| commit_one(ledger.as_ref(), Unit { expects: vec![expect], ..Unit::default() });
    for (found, expect) in [
        (3, &(|at| Expect::Guard(name.clone(), at)) as &dyn Fn(u64) -> Expect),
        (2, &|at| Expect::Key(key.id(), at)),
        (5, &|at| Expect::Roots(repository(), at)),
        (4, &|at| Expect::Pending(pending("x", 1).id(), at)),
    ] {
        assert!(expecting(expect(found)).is_ok());
        for wrong in [0, found - 1, found + 1, u64::MAX] {
            assert_eq!(expecting(expect(wrong)), Err(CommitError::Conflict), "{:?}", expect(wrong));
        }
    }
}

pub(super) fn a_conflict_leaves_its_neighbours_alone(open: Open<'_>) {
    let ledger = open();
    let units = vec![
        advance(&Role::Timestamp, 0, "first"),
        advance(&Role::Snapshot, 9, "loser"),
        advance(&Role::Targets, 0, "third"),
    ];
    let results = commit(ledger.as_ref(), units);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert_eq!(results[1], Err(CommitError::Conflict));
    assert_eq!(
        [Role::Timestamp, Role::Snapshot, Role::Targets].map(|role| revision(ledger.as_ref(), &role)),
        [1, 0, 1]
    );
    assert_eq!(requests(ledger.as_ref()), ["first", "third"]);
}

pub(super) fn what_builds_on_a_failed_unit_fails_with_it(open: Open<'_>) {
    let ledger = open();
    let after = |unit: Unit, after: &[usize]| Unit { after: after.to_vec(), ..unit };
    let units = vec![
        advance(&Role::Targets, 4, "loser"),
        after(advance(&Role::Snapshot, 0, "dependent"), &[0]),
        after(advance(&Role::Timestamp, 0, "its dependent"), &[1]),
        noted("neighbour"),
        after(noted("builds on the neighbour"), &[3]),
        after(noted("builds on both"), &[0, 3]),
    ];
    let results = commit(ledger.as_ref(), units);
    assert_eq!(results[0], Err(CommitError::Conflict));
    for dependent in [1, 2, 5] {
        assert_eq!(results[dependent], Err(CommitError::PredecessorFailed), "{dependent}");
    }
    assert!(results[3].is_ok() && results[4].is_ok());
    assert_eq!(requests(ledger.as_ref()), ["neighbour", "builds on the neighbour"]);
}

pub(super) fn a_unit_builds_only_on_earlier_ones(open: Open<'_>) {
    let ledger = open();
    let after = |index| Unit { after: vec![index], ..noted("never") };
    let results = commit(ledger.as_ref(), vec![after(0), after(2), after(usize::MAX)]);
    assert!(results.iter().all(|result| *result == Err(CommitError::PredecessorFailed)), "{results:?}");
    assert_eq!(ledger.tree_size().unwrap(), 0);
}

pub(super) fn a_later_unit_sees_what_an_earlier_one_of_the_submission_did(open: Open<'_>) {
    let ledger = open();
    let role = Role::Timestamp;
    let units =
        vec![advance(&role, 0, "a"), advance(&role, 1, "b"), advance(&role, 1, "stale"), advance(&role, 2, "c")];
    let results = commit(ledger.as_ref(), units);
    assert_eq!(results[2], Err(CommitError::Conflict));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(revision(ledger.as_ref(), &role), 3);
}

pub(super) fn results_come_in_the_order_of_the_units(open: Open<'_>) {
    let ledger = open();
    let unit = |index: u64| {
        if index.is_multiple_of(3) { advance(&Role::Targets, 77, "loser") } else { noted(&format!("{index}")) }
    };
    let results = commit(ledger.as_ref(), (0..50).map(unit).collect());
    let mut leaf = 0;
    for (index, result) in results.iter().enumerate() {
        if index % 3 == 0 {
            assert_eq!(*result, Err(CommitError::Conflict));
        } else {
            assert_eq!(result.as_ref().unwrap().first_leaf, leaf);
            assert_eq!(requests(ledger.as_ref())[usize::try_from(leaf).unwrap()], index.to_string());
            leaf += 1;
        }
    }
}

pub(super) fn a_submission_without_units_is_answered(open: Open<'_>) {
    let ledger = open();
    assert_eq!(commit(ledger.as_ref(), Vec::new()), []);
    assert!(commit_one(ledger.as_ref(), noted("next")).is_ok());
}

pub(super) fn a_unit_without_changes_is_committed(open: Open<'_>) {
    let ledger = open();
    commit_one(ledger.as_ref(), noted("a leaf")).unwrap();
    let committed = commit_one(ledger.as_ref(), Unit::default()).unwrap();
    assert_eq!((committed.first_leaf, committed.tree_size), (1, 1));
}

/// Keys, roots, a root's file and the leaf change together: `law.md` 4.
pub(super) fn a_rotation_is_one_unit(open: Open<'_>) {
    let ledger = open();
    let old = record(1, &[Role::Timestamp], KeyState::Active);
    let new = record(11, &[Role::Timestamp], KeyState::Pending);
    let begin = Unit { changes: vec![Change::Key(old.clone()), Change::Key(new.clone())], ..Unit::default() };
    commit_one(ledger.as_ref(), begin).unwrap();
    let second = VerifiedRoot { file_digest: Sha256Digest::of(b"root"), ..root(2, &[(Role::Timestamp, &[11])]) };
    let roots = Roots { staged: Some(second.clone()), revision: 1, ..Roots::unrooted(repository()) };
    let rotation = Unit {
        expects: vec![Expect::Roots(repository(), 0), Expect::Key(old.id(), 1), Expect::Key(new.id(), 1)],
        changes: vec![
            Change::Roots(roots.clone()),
            Change::RootFile {
                repository: repository(),
                version: second.version,
                digest: second.file_digest,
                file: b"root".to_vec(),
            },
            Change::Key(old.with_state(KeyState::Retiring, NOW)),
            Change::Key(new.with_state(KeyState::Active, NOW)),
        ],
        events: vec![event("stage-root")],
        after: Vec::new(),
    };
    commit_one(ledger.as_ref(), rotation.clone()).unwrap();
    assert_eq!(commit_one(ledger.as_ref(), rotation), Err(CommitError::Conflict), "not twice");
    let view = ledger.view(&repository()).unwrap();
    assert_eq!(view.roots, roots);
    let states: Vec<_> = view.keys.iter().map(|key| (key.state, key.revision)).collect();
    assert_eq!(states, [(KeyState::Retiring, 2), (KeyState::Active, 2)]);
    assert_eq!(ledger.root_file(&second.file_digest).unwrap().unwrap(), b"root");
    assert_eq!(ledger.tree_size().unwrap(), 1);
}
