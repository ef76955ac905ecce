//! `law.md` section 4: what a staged and a published root need, and what they do to keys.

use std::collections::BTreeSet;

use sealward::domain::key::{KeyRecord, KeyState};
use sealward::domain::law::roots::{Known, RootDecision, publish, stage, withdraw};
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::Custody;
use sealward::domain::public_key::KeyId;
use sealward::domain::root::{Roots, VerifiedRoot};

use crate::values::{DAY, Model, NOW, key_id, record, role, root, timestamp, version};

/// The law's word about a root, without any other key within reach.
fn staged(model: &Model, candidate: &VerifiedRoot, pin: Option<Sha256Digest>) -> Result<RootDecision, Denial> {
    stage(candidate.clone(), pin, &BTreeSet::new(), known(model, &BTreeSet::new()))
}

fn published(model: &Model, candidate: &VerifiedRoot, pin: Option<Sha256Digest>) -> Result<RootDecision, Denial> {
    publish(candidate.clone(), pin, &BTreeSet::new(), known(model, &BTreeSet::new()))
}

fn known<'a>(model: &'a Model, held: &'a BTreeSet<KeyId>) -> Known<'a> {
    Known { policy: &model.policy, keys: &model.keys, roots: &model.roots, held, now: model.now }
}

/// Carries out what was decided.
fn apply(model: &mut Model, decision: RootDecision) {
    match decision {
        RootDecision::Accepted { roots, keys } => {
            model.roots = roots;
            model.change_keys(keys);
        }
        RootDecision::Fork { roots } => model.roots = roots,
        RootDecision::Unchanged => panic!("nothing changes"),
    }
}

fn stage_in(model: &mut Model, candidate: &VerifiedRoot) {
    let decision = staged(model, candidate, None).unwrap();
    apply(model, decision);
}

/// A root that lists the model's three keys, each for its role, but what a test says otherwise.
fn full(number: u64, timestamps: &[u8]) -> VerifiedRoot {
    root(number, &[(Role::Timestamp, timestamps), (Role::Snapshot, &[2]), (Role::Targets, &[3])])
}

/// Root 1 of [`full`] is trusted.
fn rooted() -> Model {
    let mut model = Model::with_first_versions();
    let first = full(1, &[1]);
    let decision = published(&model, &first, Some(first.file_digest)).unwrap();
    apply(&mut model, decision);
    model
}

fn states(model: &Model, numbers: &[u8]) -> Vec<KeyState> {
    numbers.iter().map(|number| model.state(*number)).collect()
}

// --- the first root ---

#[test]
fn the_first_root_is_pinned_by_the_digest_of_its_file() {
    let model = Model::new();
    let first = full(1, &[1]);
    assert_eq!(staged(&model, &first, None).unwrap_err().reason, Reason::RootPin);
    assert_eq!(published(&model, &first, None).unwrap_err().reason, Reason::RootPin);
    let of_signed = Some(first.signed_digest);
    assert_eq!(
        staged(&model, &first, of_signed).unwrap_err().reason,
        Reason::RootPin,
        "the file's, not the signed part's"
    );
    let detail = staged(&model, &first, None).unwrap_err().detail;
    assert!(detail.contains(&first.file_digest.to_string()), "the digest is shown: {detail}");
    assert!(staged(&model, &first, Some(first.file_digest)).is_ok());
    assert!(published(&model, &first, Some(first.file_digest)).is_ok());
}

#[test]
fn an_existing_repository_may_begin_at_its_newest_root() {
    let mut model = Model::new();
    let seventh = full(7, &[1]);
    let decision = published(&model, &seventh, Some(seventh.file_digest)).unwrap();
    apply(&mut model, decision);
    assert_eq!(model.roots.trusted.as_ref().unwrap().version, version(7));
    assert_eq!(model.roots.staged, None);
    assert!(staged(&model, &full(8, &[1]), None).is_ok(), "no pin is needed any more");
}

#[test]
fn the_first_root_lists_every_active_key_or_names_those_it_does_not() {
    let mut model = Model::new();
    let first = root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[2])]);
    let denial = staged(&model, &first, Some(first.file_digest)).unwrap_err();
    assert_eq!(denial.reason, Reason::RootOmitsKey);
    assert!(denial.detail.contains(&key_id(3).to_string()), "{denial}");
    let named = [key_id(3)].into();
    let decision = publish(first.clone(), Some(first.file_digest), &named, known(&model, &BTreeSet::new())).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 2, 3]), [KeyState::Active, KeyState::Active, KeyState::Retired]);
}

#[test]
fn a_key_of_two_roles_that_the_first_root_lists_for_one_of_them_is_named_too() {
    let mut model = Model::new();
    model.keys = vec![record(1, &[Role::Timestamp, Role::Snapshot], KeyState::Active)];
    let first = root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[9])]);
    assert_eq!(staged(&model, &first, Some(first.file_digest)).unwrap_err().reason, Reason::RootOmitsKey);
    let both = root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[1])]);
    assert!(staged(&model, &both, Some(both.file_digest)).is_ok());
}

#[test]
fn pending_keys_and_keys_of_delegated_roles_need_not_be_listed() {
    let mut model = Model::new();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(21, "releases", KeyState::Active);
    let first = full(1, &[1]);
    let decision = published(&model, &first, Some(first.file_digest)).unwrap();
    apply(&mut model, decision);
    assert_eq!(
        states(&model, &[11, 21]),
        [KeyState::Pending, KeyState::Active],
        "a root says nothing about delegations"
    );
}

#[test]
fn an_expired_root_is_accepted_because_a_rescue_must_not_wait() {
    let mut model = rooted();
    let expired = VerifiedRoot { expires: NOW.plus_seconds(-DAY), ..full(2, &[1]) };
    stage_in(&mut model, &expired);
    let decision = published(&model, &expired, None).unwrap();
    apply(&mut model, decision);
    assert!(model.allows("timestamp", &timestamp(2, 1)));
}

// --- staging ---

#[test]
fn a_staged_root_is_exactly_one_version_above_the_trusted_one() {
    let model = rooted();
    assert!(staged(&model, &full(2, &[1]), None).is_ok());
    assert_eq!(staged(&model, &full(3, &[1]), None).unwrap_err().reason, Reason::RootVersion);
    let mut model = rooted();
    stage_in(&mut model, &full(2, &[1]));
    assert_eq!(staged(&model, &full(3, &[1]), None).unwrap_err().reason, Reason::RootVersion, "at most one is staged");
    let mut model = Model::new();
    let fifth = full(5, &[1]);
    let decision = published(&model, &fifth, Some(fifth.file_digest)).unwrap();
    apply(&mut model, decision);
    assert_eq!(staged(&model, &full(4, &[1]), None).unwrap_err().reason, Reason::RootVersion);
}

#[test]
fn staging_makes_a_newly_listed_key_active_and_a_no_longer_listed_one_retiring() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(12, "timestamp", KeyState::Pending);
    stage_in(&mut model, &full(2, &[11]));
    assert_eq!(states(&model, &[1, 11, 12]), [KeyState::Retiring, KeyState::Active, KeyState::Pending]);
    assert_eq!(states(&model, &[2, 3]), [KeyState::Active, KeyState::Active]);
}

#[test]
fn only_changed_records_change_and_their_revision_with_them() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    let decision = staged(&model, &full(2, &[1, 11]), None).unwrap();
    let RootDecision::Accepted { roots, keys } = decision else { panic!("accepted") };
    assert_eq!(keys.iter().map(KeyRecord::id).collect::<Vec<_>>(), [key_id(11)]);
    assert_eq!(keys[0].revision, 2);
    assert_eq!(roots.revision, model.roots.revision + 1);
}

#[test]
fn the_same_staged_root_again_changes_nothing() {
    let mut model = rooted();
    stage_in(&mut model, &full(2, &[1]));
    assert_eq!(staged(&model, &full(2, &[1]), None).unwrap(), RootDecision::Unchanged);
    assert_eq!(staged(&model, &full(1, &[1]), None).unwrap(), RootDecision::Unchanged, "nor does the trusted one");
    assert_eq!(published(&model, &full(1, &[1]), None).unwrap(), RootDecision::Unchanged);
}

#[test]
fn a_staged_root_may_be_replaced_which_undoes_what_it_did() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(12, "timestamp", KeyState::Pending);
    stage_in(&mut model, &full(2, &[11]));
    stage_in(&mut model, &full(2, &[1, 12]));
    assert_eq!(states(&model, &[1, 11, 12]), [KeyState::Active, KeyState::Pending, KeyState::Active]);
    stage_in(&mut model, &full(2, &[11, 12]));
    assert_eq!(states(&model, &[1, 11, 12]), [KeyState::Retiring, KeyState::Active, KeyState::Active]);
    stage_in(&mut model, &full(2, &[1]));
    assert_eq!(states(&model, &[1, 11, 12]), [KeyState::Active, KeyState::Pending, KeyState::Pending]);
}

#[test]
fn a_first_root_that_is_staged_may_be_replaced_as_well() {
    let mut model = Model::new();
    model.add(11, "timestamp", KeyState::Pending);
    let with_pin = |model: &mut Model, candidate: VerifiedRoot| {
        let decision = staged(model, &candidate, Some(candidate.file_digest)).unwrap();
        apply(model, decision);
    };
    with_pin(&mut model, full(1, &[1, 11]));
    assert_eq!(states(&model, &[1, 11]), [KeyState::Active, KeyState::Active]);
    let second = full(1, &[1]);
    with_pin(&mut model, second.clone());
    assert_eq!(
        states(&model, &[1, 11]),
        [KeyState::Active, KeyState::Pending],
        "it was active by the replaced root only"
    );
    let decision = published(&model, &second, None).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Active, KeyState::Pending]);
}

#[test]
fn a_first_root_that_left_a_key_behind_may_be_replaced_by_one_that_lists_it() {
    let mut model = Model::new();
    model.add(11, "timestamp", KeyState::Pending);
    let leaves_1 = full(1, &[11]);
    let named = [key_id(1)].into();
    let decision =
        stage(leaves_1.clone(), Some(leaves_1.file_digest), &named, known(&model, &BTreeSet::new())).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Retiring, KeyState::Active]);
    let omits = root(1, &[(Role::Timestamp, &[11]), (Role::Snapshot, &[2]), (Role::Targets, &[3, 9])]);
    assert_eq!(
        staged(&model, &omits, Some(omits.file_digest)).unwrap_err().reason,
        Reason::RootOmitsKey,
        "it is named again"
    );
    let lists_1 = full(1, &[1]);
    let decision = staged(&model, &lists_1, Some(lists_1.file_digest)).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Active, KeyState::Pending]);
}

// --- withdrawing ---

#[test]
fn a_staged_root_may_be_withdrawn_which_undoes_what_it_did() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    let before = states(&model, &[1, 2, 3, 11]);
    stage_in(&mut model, &full(2, &[11]));
    let staged_revision = model.roots.revision;
    let decision = withdraw(None, known(&model, &BTreeSet::new())).unwrap();
    let RootDecision::Accepted { roots, keys } = &decision else { panic!("{decision:?}") };
    assert_eq!((roots.staged.as_ref(), roots.revision), (None, staged_revision + 1));
    assert!(roots.activated.is_empty() && roots.trusted == model.roots.trusted);
    assert_eq!(keys.len(), 2, "only changed records change");
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 2, 3, 11]), before);
    assert!(model.allows("timestamp", &timestamp(2, 1)));
    stage_in(&mut model, &full(2, &[1, 11]));
    assert_eq!(states(&model, &[1, 11]), [KeyState::Active, KeyState::Active], "the next one may be another");
}

#[test]
fn withdrawing_names_the_staged_root_or_none_and_changes_nothing_where_none_is() {
    let mut model = rooted();
    assert_eq!(withdraw(None, known(&model, &BTreeSet::new())).unwrap(), RootDecision::Unchanged);
    let second = full(2, &[1]);
    stage_in(&mut model, &second);
    let of_another = Some(full(2, &[1, 9]).file_digest);
    let denial = withdraw(of_another, known(&model, &BTreeSet::new())).unwrap_err();
    assert_eq!(denial.reason, Reason::RootNotStaged);
    assert!(denial.detail.contains(&second.file_digest.to_string()), "{denial}");
    assert!(withdraw(Some(second.file_digest), known(&model, &BTreeSet::new())).is_ok());
    model.roots.fork = Some(second.file_digest);
    assert_eq!(withdraw(None, known(&model, &BTreeSet::new())).unwrap_err().reason, Reason::Latched);
}

#[test]
fn a_first_root_that_is_withdrawn_leaves_an_unrooted_repository_that_is_not_new() {
    let mut model = Model::new();
    model.add(11, "timestamp", KeyState::Pending);
    let first = full(1, &[11]);
    let named = [key_id(1)].into();
    let decision = stage(first.clone(), Some(first.file_digest), &named, known(&model, &BTreeSet::new())).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Retiring, KeyState::Active]);
    let decision = withdraw(None, known(&model, &BTreeSet::new())).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Active, KeyState::Pending]);
    assert!(model.roots.is_unrooted() && model.roots.revision > 0);
}

#[test]
fn a_key_that_was_retired_while_a_root_was_staged_stays_retired_when_it_is_withdrawn() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(12, "timestamp", KeyState::Pending);
    stage_in(&mut model, &full(2, &[11]));
    model.put(12, KeyState::Retired);
    let decision = withdraw(None, known(&model, &BTreeSet::new())).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11, 12]), [KeyState::Active, KeyState::Pending, KeyState::Retired]);
}

#[test]
fn retired_and_destroyed_keys_come_back_by_no_root() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Retired);
    model.add(12, "timestamp", KeyState::Destroyed);
    stage_in(&mut model, &full(2, &[1, 11, 12]));
    assert_eq!(states(&model, &[11, 12]), [KeyState::Retired, KeyState::Destroyed]);
}

// --- publishing ---

#[test]
fn publishing_promotes_the_staged_root_and_makes_retiring_keys_retired() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    let second = full(2, &[11]);
    stage_in(&mut model, &second);
    let decision = published(&model, &second, None).unwrap();
    apply(&mut model, decision);
    assert_eq!(states(&model, &[1, 11]), [KeyState::Retired, KeyState::Active]);
    assert_eq!((model.roots.trusted.as_ref(), model.roots.staged.as_ref()), (Some(&second), None));
}

#[test]
fn what_was_not_staged_is_not_published() {
    let mut model = rooted();
    let second = full(2, &[1]);
    assert_eq!(published(&model, &second, None).unwrap_err().reason, Reason::RootNotStaged);
    stage_in(&mut model, &second);
    let other = full(2, &[1, 9]);
    assert_eq!(published(&model, &other, None).unwrap_err().reason, Reason::RootNotStaged);
    assert_eq!(published(&model, &full(3, &[1]), None).unwrap_err().reason, Reason::RootNotStaged);
}

#[test]
fn a_published_file_with_more_signatures_than_the_staged_one_is_the_same_root() {
    let mut model = rooted();
    let second = full(2, &[1]);
    stage_in(&mut model, &second);
    let more = VerifiedRoot { file_digest: Sha256Digest::of(b"more signatures"), ..second };
    let decision = published(&model, &more, None).unwrap();
    apply(&mut model, decision);
    assert_eq!(model.roots.trusted, Some(more));
}

#[test]
fn a_pinned_first_root_that_was_staged_is_published_without_the_pin() {
    let mut model = Model::new();
    let first = full(1, &[1]);
    let decision = staged(&model, &first, Some(first.file_digest)).unwrap();
    apply(&mut model, decision);
    assert_eq!(model.roots.trusted, None);
    let decision = published(&model, &first, None).unwrap();
    apply(&mut model, decision);
    assert_eq!(model.roots.trusted, Some(first));
}

// --- forks and keys of root ---

#[test]
fn a_verified_root_of_the_trusted_version_with_other_bytes_is_a_fork_and_latches() {
    for act in [staged, published] {
        let mut model = rooted();
        let other = full(1, &[1, 9]);
        let decision = act(&model, &other, None).unwrap();
        assert!(matches!(decision, RootDecision::Fork { .. }), "{decision:?}");
        apply(&mut model, decision);
        assert_eq!(model.roots.fork, Some(other.file_digest));
        assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::Latched);
        assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Latched, "nothing signs, not even again");
        assert_eq!(staged(&model, &full(2, &[1]), None).unwrap_err().reason, Reason::Latched);
        assert_eq!(published(&model, &full(1, &[1]), None).unwrap_err().reason, Reason::Latched);
    }
}

#[test]
fn more_signatures_on_the_trusted_root_are_no_fork() {
    let model = rooted();
    let more = VerifiedRoot { file_digest: Sha256Digest::of(b"more signatures"), ..full(1, &[1]) };
    assert_eq!(staged(&model, &more, None).unwrap(), RootDecision::Unchanged);
}

#[test]
fn a_root_that_lists_a_key_within_reach_for_root_is_refused() {
    let mut model = rooted();
    let held = [key_id(100)].into();
    let second = full(2, &[1]);
    let denial = stage(second.clone(), None, &BTreeSet::new(), known(&model, &held)).unwrap_err();
    assert_eq!(denial.reason, Reason::RootListsKeyHere, "a keystore holds it");
    let on_record =
        root(2, &[(Role::Root, &[1]), (Role::Timestamp, &[1]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]);
    assert_eq!(staged(&model, &on_record, None).unwrap_err().reason, Reason::RootListsKeyHere, "a record names it");
    stage_in(&mut model, &second);
    let denial = publish(second, None, &BTreeSet::new(), known(&model, &held)).unwrap_err();
    assert_eq!(denial.reason, Reason::RootListsKeyHere, "it came after the staging");
    let first = full(1, &[1]);
    let fresh = Model::new();
    let denial = stage(first.clone(), Some(first.file_digest), &BTreeSet::new(), known(&fresh, &held)).unwrap_err();
    assert_eq!(denial.reason, Reason::RootListsKeyHere);
}

#[test]
fn a_root_that_lists_a_key_within_reach_for_an_offline_role_is_refused() {
    let mut model = rooted();
    model.keys.retain(|key| key.id() != key_id(3));
    let second = full(2, &[1]);
    let held = [key_id(3)].into();
    assert!(stage(second.clone(), None, &BTreeSet::new(), known(&model, &held)).is_ok(), "targets is online");
    model.limits("targets").custody = Custody::Offline;
    let denial = stage(second.clone(), None, &BTreeSet::new(), known(&model, &held)).unwrap_err();
    assert_eq!(denial.reason, Reason::RootListsKeyHere);
    assert!(denial.detail.contains("targets"), "{denial}");
    assert!(stage(second, None, &BTreeSet::new(), known(&model, &BTreeSet::new())).is_ok(), "it may be elsewhere");
}

#[test]
fn roots_of_a_repository_without_any_say_so() {
    let mut roots = Roots::unrooted("demo".parse().unwrap());
    assert!(roots.is_unrooted());
    assert_eq!(roots.revision, 0);
    roots.staged = Some(full(1, &[1]));
    assert!(!roots.is_unrooted());
    assert_eq!(roots.key_id_for(&role("timestamp"), &key_id(1)), Some("tuf-1"));
    assert_eq!(roots.key_id_for(&role("snapshot"), &key_id(1)), None);
}
