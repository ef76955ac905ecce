//! `law.md` sections 1 and 4: how a key ends, retired and destroyed.

use sealward::domain::key::{KeyRecord, KeyState};
use sealward::domain::key_history::Destruction;
use sealward::domain::law::destroy::{Answer, Due, answered, begin, cancel, due, schedule};
use sealward::domain::law::retire::{Around, retire};
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};

use crate::delegations::delegating;
use crate::values::{DAY, Model, NOW, key_id, record, root};

fn around(model: &Model) -> Around<'_> {
    Around { keys: &model.keys, roots: &model.roots, guards: &model.guards, now: model.now }
}

fn key(model: &Model, number: u8) -> KeyRecord {
    model.keys.iter().find(|key| key.id() == key_id(number)).unwrap().clone()
}

fn retired(model: &Model, number: u8) -> Result<Option<KeyRecord>, Denial> {
    retire(&key(model, number), around(model))
}

fn scheduled(model: &Model, number: u8) -> Result<Option<KeyRecord>, Denial> {
    schedule(&key(model, number), 30 * DAY, around(model))
}

fn put(model: &mut Model, changed: &KeyRecord) {
    model.change_keys(vec![changed.clone()]);
}

/// Root 1 lists key 1 for timestamp; key 11 is active and listed nowhere.
fn rooted() -> Model {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    model
}

// --- retiring ---

#[test]
fn a_key_that_no_root_lists_may_be_retired_for_ever() {
    let mut model = rooted();
    let gone = retired(&model, 11).unwrap().unwrap();
    assert_eq!((gone.state, gone.history.retired, gone.revision), (KeyState::Retired, Some(NOW), 2));
    put(&mut model, &gone);
    assert_eq!(retired(&model, 11).unwrap(), None, "it stands already");
    model.add(12, "timestamp", KeyState::Pending);
    assert_eq!(retired(&model, 12).unwrap().unwrap().state, KeyState::Retired, "a pending key as well");
    model.add(13, "timestamp", KeyState::Destroyed);
    assert_eq!(retired(&model, 13).unwrap_err().reason, Reason::KeyState);
}

#[test]
fn a_key_that_a_root_lists_is_retired_by_a_root_and_not_by_hand() {
    let mut model = rooted();
    assert_eq!(retired(&model, 1).unwrap_err().reason, Reason::KeyListed);
    model.roots.staged = Some(root(2, &[(Role::Timestamp, &[11])]));
    assert_eq!(retired(&model, 11).unwrap_err().reason, Reason::KeyListed, "the staged root lists it");
    model.put(1, KeyState::Retiring);
    assert_eq!(retired(&model, 1).unwrap_err().reason, Reason::KeyListed, "the trusted root still lists it");
    model.roots.trusted = None;
    assert_eq!(retired(&model, 1).unwrap_err().reason, Reason::KeyListed, "left behind by a first root that is staged");
    let mut shared = rooted();
    shared.keys = vec![record(7, &[Role::Timestamp, Role::Snapshot], KeyState::Active)];
    shared.roots.trusted = Some(root(1, &[(Role::Snapshot, &[7])]));
    assert_eq!(retired(&shared, 7).unwrap_err().reason, Reason::KeyListed, "listed for one of its roles");
}

#[test]
fn where_no_root_decides_the_last_active_key_of_a_role_stays() {
    let mut model = Model::with_first_versions();
    assert_eq!(retired(&model, 1).unwrap_err().reason, Reason::LastSigner);
    model.add(11, "timestamp", KeyState::Pending);
    assert_eq!(retired(&model, 1).unwrap_err().reason, Reason::LastSigner, "a pending key signs nothing");
    model.put(11, KeyState::Active);
    assert!(retired(&model, 1).unwrap().is_some());
    let mut elsewhere = rooted();
    elsewhere.guards.remove(&Role::Targets);
    elsewhere.add(21, "releases", KeyState::Active);
    assert_eq!(retired(&elsewhere, 21).unwrap_err().reason, Reason::LastSigner, "who delegates to it is not held here");
    elsewhere.add(22, "releases", KeyState::Active);
    assert!(retired(&elsewhere, 21).unwrap().is_some());
}

/// Whoever verifies top-level targets or a bin asks for the signature of this key, as the root or the delegator says.
#[test]
fn a_key_of_unguarded_targets_stays_while_a_root_lists_it_for_targets_or_a_delegator_for_any_role() {
    let bare = || {
        let mut model = rooted();
        model.add(31, Role::UNGUARDED, KeyState::Active);
        model.add(32, Role::UNGUARDED, KeyState::Active);
        model
    };
    assert!(retired(&bare(), 31).unwrap().is_some());
    let mut trusted = bare();
    trusted.roots.trusted = Some(root(1, &[(Role::Targets, &[31])]));
    assert_eq!(retired(&trusted, 31).unwrap_err().reason, Reason::KeyListed);
    let mut staged = bare();
    staged.roots.staged = Some(root(2, &[(Role::Targets, &[31])]));
    assert_eq!(retired(&staged, 31).unwrap_err().reason, Reason::KeyListed);
    let mut delegated = bare();
    delegated.release("targets", &delegating(2, &[("bins-0", 1, &[31], "0/*")]));
    let denial = retired(&delegated, 31).unwrap_err();
    assert!(denial.reason == Reason::KeyListed && denial.detail.contains("released targets"), "{denial}");
    assert!(retired(&delegated, 32).unwrap().is_some(), "it is listed nowhere");
    delegated.put(31, KeyState::Retired);
    assert_eq!(scheduled(&delegated, 31).unwrap_err().reason, Reason::KeyListed, "nor is it destroyed");
}

#[test]
fn the_last_key_of_unguarded_targets_stays_whoever_decides_about_others() {
    let mut model = rooted();
    model.add(31, Role::UNGUARDED, KeyState::Active);
    assert_eq!(retired(&model, 31).unwrap_err().reason, Reason::LastSigner);
}

#[test]
fn a_key_that_a_recovery_barred_is_no_signer_that_could_be_the_last() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    model.guards.get_mut(&Role::Timestamp).unwrap().barred.insert(key_id(1));
    assert_eq!(retired(&model, 11).unwrap_err().reason, Reason::LastSigner, "key 1 signs nothing any more");
    assert!(retired(&model, 1).unwrap().is_some());
}

// --- destroying ---

#[test]
fn a_retired_key_is_destroyed_only_after_the_delay_from_its_retirement() {
    let mut model = rooted();
    put(&mut model, &retired(&rooted(), 11).unwrap().unwrap());
    model.now = NOW.plus_seconds(10 * DAY);
    let asked = scheduled(&model, 11).unwrap().unwrap();
    assert_eq!(
        asked.history.destruction,
        Some(Destruction { due: NOW.plus_seconds(30 * DAY), begun: None, place: None, failed: None })
    );
    assert_eq!((asked.state, asked.revision), (KeyState::Retired, 3));
    put(&mut model, &asked);
    assert_eq!(scheduled(&model, 11).unwrap(), None, "asking again changes nothing, and moves no date");
    assert_eq!(due(&asked, NOW.plus_seconds(30 * DAY - 1)), Due::No);
    assert_eq!(due(&asked, NOW.plus_seconds(30 * DAY)), Due::Begin);
    let mut late = rooted();
    put(&mut late, &retired(&rooted(), 11).unwrap().unwrap());
    late.now = NOW.plus_seconds(90 * DAY);
    let asked = scheduled(&late, 11).unwrap().unwrap();
    assert_eq!(asked.history.destruction.unwrap().due, late.now, "never in the past");
}

#[test]
fn only_a_pending_or_retired_key_that_no_root_lists_is_destroyed() {
    let mut model = rooted();
    assert_eq!(scheduled(&model, 1).unwrap_err().reason, Reason::NotRetired);
    model.put(1, KeyState::Retiring);
    assert_eq!(scheduled(&model, 1).unwrap_err().reason, Reason::NotRetired);
    model.put(1, KeyState::Retired);
    assert_eq!(scheduled(&model, 1).unwrap_err().reason, Reason::KeyListed, "a root that came later lists it again");
    model.put(1, KeyState::Destroyed);
    assert_eq!(scheduled(&model, 1).unwrap(), None);
}

#[test]
fn a_pending_key_is_retired_with_the_request_so_that_no_root_makes_it_sign_meanwhile() {
    let mut model = rooted();
    model.add(12, "timestamp", KeyState::Pending);
    let asked = scheduled(&model, 12).unwrap().unwrap();
    assert_eq!((asked.state, asked.revision), (KeyState::Retired, 2));
    assert_eq!(asked.history.destruction.unwrap().due, NOW.plus_seconds(30 * DAY));
    let back = cancel(&asked).unwrap();
    assert_eq!((back.state, back.history.destruction), (KeyState::Retired, None));
}

#[test]
fn a_destruction_can_be_cancelled_until_it_begins() {
    let mut model = rooted();
    put(&mut model, &retired(&rooted(), 11).unwrap().unwrap());
    assert_eq!(cancel(&key(&model, 11)).unwrap_err().reason, Reason::NotScheduled, "nobody asked");
    let asked = scheduled(&model, 11).unwrap().unwrap();
    assert_eq!(cancel(&asked).unwrap().history.destruction, None);
    let begun = begin(&asked, place(1), NOW.plus_seconds(30 * DAY));
    assert_eq!(cancel(&begun).unwrap_err().reason, Reason::NotScheduled);
    let done = answered(&begun, Answer::Done, false, NOW.plus_seconds(30 * DAY));
    assert_eq!(cancel(&done).unwrap_err().reason, Reason::NotScheduled);
}

/// A key that is due and whose keystore is being asked.
fn begun() -> KeyRecord {
    let mut model = rooted();
    put(&mut model, &retired(&rooted(), 11).unwrap().unwrap());
    let asked = scheduled(&model, 11).unwrap().unwrap();
    assert_eq!(due(&asked, NOW.plus_seconds(30 * DAY)), Due::Begin);
    begin(&asked, place(1), NOW.plus_seconds(30 * DAY))
}

/// Where a keystore is.
fn place(number: u8) -> Sha256Digest {
    Sha256Digest::of(&[number])
}

#[test]
fn a_destroyed_key_is_destroyed_for_ever() {
    let later = NOW.plus_seconds(31 * DAY);
    let done = answered(&begun(), Answer::Done, false, later);
    assert_eq!(
        (done.state, done.history.destroyed, done.history.destruction),
        (KeyState::Destroyed, Some(later), None)
    );
    assert_eq!(due(&done, later), Due::No);
    let mut model = rooted();
    put(&mut model, &done);
    assert_eq!(retired(&model, 11).unwrap_err().reason, Reason::KeyState);
}

#[test]
fn a_key_that_is_not_there_counts_as_destroyed_only_when_an_earlier_attempt_may_have_done_it() {
    let later = NOW.plus_seconds(31 * DAY);
    let resumed = answered(&begun(), Answer::NotThere { place: place(1) }, true, later);
    assert_eq!(resumed.state, KeyState::Destroyed);
    let another_token = answered(&begun(), Answer::NotThere { place: place(1) }, false, later);
    assert_eq!(another_token.state, KeyState::Retired);
    let destruction = another_token.history.destruction.unwrap();
    assert_eq!((destruction.begun, destruction.failed), (None, Some(later)));
    assert_eq!(due(&another_token, later), Due::Begin, "it begins anew");
}

#[test]
fn another_keystore_of_the_same_name_cannot_say_that_a_key_is_gone() {
    let later = NOW.plus_seconds(31 * DAY);
    let elsewhere = answered(&begun(), Answer::NotThere { place: place(2) }, true, later);
    assert_eq!((elsewhere.state, elsewhere.history.destruction.unwrap().failed), (KeyState::Retired, Some(later)));
    assert_eq!(due(&elsewhere, later), Due::Resume);
    let back = answered(&elsewhere, Answer::NotThere { place: place(1) }, true, later);
    assert_eq!(back.state, KeyState::Destroyed, "the one that was asked first is back");
    let unknown = answered(&elsewhere, Answer::Done, true, later);
    assert_eq!(unknown.state, KeyState::Destroyed, "whoever holds the key may destroy it");
}

#[test]
fn once_an_attempt_may_have_destroyed_a_key_no_later_no_undoes_that() {
    let later = NOW.plus_seconds(31 * DAY);
    let lost = answered(&begun(), Answer::Unknown, false, later);
    assert!(lost.history.destruction.unwrap().begun.is_some());
    assert_eq!(due(&lost, later), Due::Resume);
    for answer in [Answer::Refused, Answer::Unknown] {
        let still = answered(&lost, answer, true, later);
        assert_eq!(due(&still, later), Due::Resume, "{answer:?}");
        assert_eq!(still.state, KeyState::Retired);
    }
    let refused = answered(&begun(), Answer::Refused, false, later);
    assert_eq!(refused.history.destruction.unwrap().begun, None, "nothing was touched: it may be cancelled again");
}
