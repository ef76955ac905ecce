//! What is read back, and when.

use sealward::domain::algorithm::Algorithm;
use sealward::domain::guard::{Guard, GuardName};
use sealward::domain::key::{KeyRecord, KeyState, RoleSet};
use sealward::domain::law::sign::first_epoch;
use sealward::domain::name::{RepositoryName, Role, Sha256Digest};
use sealward::domain::outcome::Reason;
use sealward::domain::root::Roots;
use sealward::ledger::{Change, Condition, Intent, Ledger, Unit, View};

use super::units::{advance, guard, revision};
use super::{Open, commit, commit_one, identity, noted};
use crate::values::{Model, NOW, key_id, record, repository, targets, version};

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn changes(ledger: &dyn Ledger, changes: Vec<Change>) {
    commit_one(ledger, Unit { changes, ..Unit::default() }).unwrap();
}

pub(super) fn a_new_ledger_is_what_it_was_made_as_and_empty(open: Open<'_>) {
    let ledger = open();
    assert_eq!(ledger.identity(), &identity());
    assert_eq!(ledger.condition(), Condition::Serving);
    assert_eq!(ledger.repositories().unwrap(), []);
    assert_eq!((ledger.tree_size().unwrap(), ledger.intents().unwrap()), (0, vec![]));
    assert_eq!((ledger.newest_checkpoint().unwrap(), ledger.key(&key_id(1)).unwrap()), (None, None));
}

pub(super) fn a_view_is_fresh_after_every_commit(open: Open<'_>) {
    let ledger = open();
    for from in 0..20 {
        assert_eq!(revision(ledger.as_ref(), &Role::Timestamp), from);
        let stale = ledger.view(&repository()).unwrap();
        commit_one(ledger.as_ref(), advance(&Role::Timestamp, from, "next")).unwrap();
        assert_eq!(revision(ledger.as_ref(), &Role::Timestamp), from + 1);
        assert_eq!(
            stale.guards.get(&Role::Timestamp).map_or(0, |guard| guard.revision),
            from,
            "a view is of one moment"
        );
    }
    let other = KeyRecord { repository: name("other"), ..record(1, &[Role::Timestamp], KeyState::Active) };
    changes(ledger.as_ref(), vec![Change::Key(other)]);
    assert_eq!(ledger.view(&name("other")).unwrap().keys.len(), 1);
    assert_eq!(ledger.repositories().unwrap(), [repository(), name("other")]);
}

pub(super) fn a_repository_that_nobody_knows_is_empty_and_unrooted(open: Open<'_>) {
    let ledger = open();
    commit_one(ledger.as_ref(), advance(&Role::Timestamp, 0, "of another")).unwrap();
    let nothing = View { keys: vec![], guards: [].into(), roots: Roots::unrooted(name("demo/x")), pending: vec![] };
    assert_eq!(*ledger.view(&name("demo/x")).unwrap(), nothing);
    assert_eq!(ledger.guard(&first_epoch(&name("demo/x"), &Role::Timestamp)).unwrap(), None);
}

pub(super) fn keys_come_in_the_order_in_which_they_were_made(open: Open<'_>) {
    let ledger = open();
    let numbers = [9, 3, 200, 1, 77, 2];
    for number in numbers {
        changes(ledger.as_ref(), vec![Change::Key(record(number, &[Role::Timestamp], KeyState::Pending))]);
    }
    let changed = record(200, &[Role::Timestamp], KeyState::Pending).with_state(KeyState::Active, NOW);
    changes(ledger.as_ref(), vec![Change::Key(changed)]);
    let found: Vec<_> = ledger.view(&repository()).unwrap().keys.iter().map(KeyRecord::id).collect();
    assert_eq!(found, numbers.map(key_id), "a change of state moves nothing");
    drop(ledger);
    let found: Vec<_> = open().view(&repository()).unwrap().keys.iter().map(KeyRecord::id).collect();
    assert_eq!(found, numbers.map(key_id));
}

pub(super) fn a_view_shows_the_newest_epoch_of_each_guard(open: Open<'_>) {
    let ledger = open();
    let epoch = |epoch| Guard::seeded_as_zero(GuardName { epoch, ..first_epoch(&repository(), &Role::Timestamp) });
    for number in [2, 10, 9, 1] {
        changes(ledger.as_ref(), vec![Change::Guard { guard: epoch(number), payload: None }]);
    }
    changes(ledger.as_ref(), vec![Change::Guard { guard: guard(&Role::Snapshot, 1), payload: None }]);
    let view = ledger.view(&repository()).unwrap();
    let found: Vec<_> = view.guards.values().map(|guard| (guard.name.role.clone(), guard.name.epoch)).collect();
    assert_eq!(found, [(Role::Snapshot, 1), (Role::Timestamp, 10)]);
    for number in [1, 2, 9, 10] {
        let kept = ledger.guard(&epoch(number).name).unwrap().unwrap();
        assert_eq!(kept.guard, epoch(number), "earlier epochs stay readable");
    }
}

pub(super) fn a_heads_payload_is_kept_with_its_head_and_dropped_with_it(open: Open<'_>) {
    let ledger = open();
    let mut model = Model::new();
    let place = first_epoch(&repository(), &Role::Targets);
    let put = |model: &Model, payload: Option<&str>| {
        let guard = model.guard("targets").clone();
        changes(ledger.as_ref(), vec![Change::Guard { guard, payload: payload.map(|text| text.as_bytes().to_vec()) }]);
        let kept = ledger.guard(&place).unwrap().unwrap();
        assert_eq!(&kept.guard, model.guard("targets"));
        kept.payload.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(put(&model, None), None);
    model.release("targets", &targets(1));
    assert_eq!(put(&model, Some(&targets(1))), Some(targets(1)));
    model.add(13, "targets", KeyState::Active);
    model.release("targets", &targets(1));
    assert_eq!(put(&model, None), Some(targets(1)), "a cosign has the same head");
    model.release("targets", &targets(2));
    assert_eq!(put(&model, None), None, "too large a payload comes without, and the old one is not the head's");
    assert_eq!(put(&model, None), None);
    model.release("targets", &targets(3));
    assert_eq!(put(&model, Some(&targets(3))), Some(targets(3)));
}

pub(super) fn bytes_that_are_not_those_of_their_digest_are_never_handed_out(open: Open<'_>) {
    let ledger = open();
    let mut model = Model::new();
    model.release("targets", &targets(1));
    let guard = model.guard("targets").clone();
    let digest = Sha256Digest::of(b"the root");
    changes(
        ledger.as_ref(),
        vec![
            Change::Guard { guard, payload: Some(b"other bytes".to_vec()) },
            Change::RootFile { repository: repository(), version: version(1), digest, file: b"another root".to_vec() },
        ],
    );
    let refused = ledger.guard(&first_epoch(&repository(), &Role::Targets)).unwrap_err();
    assert_eq!(refused.denial().reason, Reason::LedgerIntegrity);
    assert_eq!(ledger.root_file(&digest).unwrap_err().denial().reason, Reason::LedgerIntegrity);
}

pub(super) fn a_payload_of_8_mib_is_kept_whole(open: Open<'_>) {
    let mut model = Model::new();
    model.release("targets", &targets(1));
    let payload: Vec<u8> = (0..8 << 20).map(|place: u32| place.to_le_bytes()[1] ^ place.to_le_bytes()[0]).collect();
    let mut guard = model.guard("targets").clone();
    guard.head.as_mut().unwrap().digest = Sha256Digest::of(&payload);
    {
        let ledger = open();
        changes(ledger.as_ref(), vec![Change::Guard { guard, payload: Some(payload.clone()) }]);
        commit_one(ledger.as_ref(), noted("a small one after it")).unwrap();
    }
    let found = open().guard(&first_epoch(&repository(), &Role::Targets)).unwrap().unwrap().payload.unwrap();
    assert!(found == payload, "{} bytes", found.len());
}

pub(super) fn a_root_file_is_found_by_its_digest(open: Open<'_>) {
    let ledger = open();
    let file = |text: &[u8]| Change::RootFile {
        repository: repository(),
        version: version(1),
        digest: Sha256Digest::of(text),
        file: text.to_vec(),
    };
    changes(ledger.as_ref(), vec![file(b"one"), file(b"two")]);
    changes(ledger.as_ref(), vec![file(b"one")]);
    for text in [&b"one"[..], b"two"] {
        assert_eq!(ledger.root_file(&Sha256Digest::of(text)).unwrap().as_deref(), Some(text));
    }
    assert_eq!(ledger.root_file(&Sha256Digest::of(b"three")).unwrap(), None);
}

pub(super) fn an_intent_stands_until_it_ends(open: Open<'_>) {
    let ledger = open();
    let intent = |id: &str| Intent {
        id: id.to_owned(),
        keystore: "software".parse().unwrap(),
        algorithm: Algorithm::EcdsaP384,
        repository: repository(),
        roles: RoleSet::new([Role::Timestamp, Role::Snapshot].into()).unwrap(),
        begun: NOW,
    };
    changes(ledger.as_ref(), vec![Change::IntentBegins(intent("aa")), Change::IntentBegins(intent("bb"))]);
    assert_eq!(ledger.intents().unwrap(), [intent("aa"), intent("bb")]);
    changes(ledger.as_ref(), vec![Change::IntentEnds("aa".to_owned()), Change::IntentEnds("unheard of".to_owned())]);
    drop(ledger);
    assert_eq!(open().intents().unwrap(), [intent("bb")]);
}

pub(super) fn views_of_more_repositories_than_are_held_in_memory_are_right(open: Open<'_>) {
    let ledger = open();
    let many = 5000_u32;
    let of = |number: u32| name(&format!("many/{number}"));
    let unit = |number: u32| {
        let guard = Guard {
            revision: u64::from(number) + 1,
            ..Guard::seeded_as_zero(first_epoch(&of(number), &Role::Targets))
        };
        Unit { changes: vec![Change::Guard { guard, payload: None }], ..Unit::default() }
    };
    assert!(commit(ledger.as_ref(), (0..many).map(unit).collect()).iter().all(Result::is_ok));
    for round in 0..2 {
        for number in (0..many).step_by(1 + round * 7) {
            let view = ledger.view(&of(number)).unwrap();
            assert_eq!(view.guards[&Role::Targets].revision, u64::from(number) + 1);
        }
    }
    assert_eq!(ledger.repositories().unwrap().len(), 5000);
}
