//! One suite for every ledger. A test takes a function that opens the same ledger, again and again; an implementation is
//! mounted by a macro below, so that PostgreSQL follows with a `mod` of its own.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

#[path = "ledger_conformance/damage.rs"]
mod damage;
#[path = "ledger_conformance/leaves.rs"]
mod leaves;
#[path = "ledger_conformance/many.rs"]
mod many;
#[path = "ledger_conformance/pending.rs"]
mod pending;
#[path = "ledger_conformance/reading.rs"]
mod reading;
#[path = "ledger_conformance/switches.rs"]
mod switches;
#[path = "ledger_conformance/units.rs"]
mod units;

use std::sync::mpsc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::audit::checkpoint::{self, Checkpoint};
use sealward::audit::merkle;
use sealward::audit::note::{NoteError, NoteSigner, VerifierKey};
use sealward::domain::audit_event::{Event, EventKind};
use sealward::domain::caller::Caller;
use sealward::ledger::{CommitError, Committed, Identity, Ledger, Tree, Unit};

use values::NOW;

/// Opens the ledger of the test. The one that was opened before must be dropped.
type Open<'a> = &'a dyn Fn() -> Box<dyn Ledger>;

/// Every test of the suite, for each way to mount it.
macro_rules! every_test {
    ($mount:ident) => {
        $mount! {
            units::what_was_answered_is_there_after_a_reopen
            units::all_of_a_unit_is_committed_or_nothing
            units::what_is_absent_has_revision_0
            units::an_expectation_that_does_not_hold_is_a_conflict
            units::a_conflict_leaves_its_neighbours_alone
            units::what_builds_on_a_failed_unit_fails_with_it
            units::a_unit_builds_only_on_earlier_ones
            units::a_later_unit_sees_what_an_earlier_one_of_the_submission_did
            units::results_come_in_the_order_of_the_units
            units::a_submission_without_units_is_answered
            units::a_unit_without_changes_is_committed
            units::a_rotation_is_one_unit
            leaves::leaves_stand_in_order_and_carry_their_numbers
            leaves::a_unit_says_where_its_leaves_begin_and_how_large_the_tree_is
            leaves::nodes_and_roots_are_those_of_a_recomputation_at_every_size
            leaves::proofs_over_the_stored_nodes_verify
            leaves::reading_beyond_the_tree_gives_nothing
            leaves::the_newest_checkpoint_is_kept_and_an_older_one_never_returns
            leaves::a_ledger_with_a_checkpoint_over_its_tree_opens_again
            leaves::hostile_texts_in_an_event_stay_one_leaf
            reading::a_new_ledger_is_what_it_was_made_as_and_empty
            reading::a_view_is_fresh_after_every_commit
            reading::a_repository_that_nobody_knows_is_empty_and_unrooted
            reading::keys_come_in_the_order_in_which_they_were_made
            reading::a_view_shows_the_newest_epoch_of_each_guard
            reading::a_heads_payload_is_kept_with_its_head_and_dropped_with_it
            reading::bytes_that_are_not_those_of_their_digest_are_never_handed_out
            reading::a_payload_of_8_mib_is_kept_whole
            pending::what_waits_is_there_after_a_reopen_and_in_the_view_of_its_repository
            pending::what_waits_keeps_its_bytes_while_people_judge_it
            pending::an_approval_is_used_by_one_unit_and_never_by_two
            pending::what_concerns_the_whole_daemon_is_in_no_repository
            reading::a_root_file_is_found_by_its_digest
            reading::an_intent_stands_until_it_ends
            reading::views_of_more_repositories_than_are_held_in_memory_are_right
            switches::switches_are_there_from_the_beginning_and_after_a_reopen
            switches::what_was_decided_under_other_switches_is_a_conflict
            switches::of_several_switches_in_one_commit_the_last_stands
            many::ten_thousand_units_share_few_transactions
            many::sixteen_threads_lose_and_repeat_nothing
            many::of_many_who_saw_one_revision_one_wins
            many::whoever_reads_after_the_answer_sees_the_commit
            many::dropping_the_ledger_waits_for_what_was_submitted
            many::a_callback_may_submit_again
        }
    };
}

mod sqlite {
    use sealward::domain::switches::Switches;
    use sealward::ledger::Ledger;
    use sealward::ledger::sqlite::{SqliteLedger, create};

    fn mount(test: fn(super::Open<'_>)) {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), &super::identity(), &Switches::new(None)).unwrap();
        test(&|| Box::new(SqliteLedger::open(directory.path(), false).unwrap()) as Box<dyn Ledger>);
    }

    macro_rules! mounted {
        ($($room:ident::$test:ident)*) => { $( #[test] fn $test() { mount(super::$room::$test) } )* };
    }
    every_test!(mounted);
}

/// The log key of the suite, the same in every run.
struct LogKey(Ed25519KeyPair);

impl LogKey {
    fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap())
    }
}

impl NoteSigner for LogKey {
    fn name(&self) -> &str {
        "conformance.example/log"
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(self.0.sign(text).as_ref().try_into().unwrap())
    }
}

fn identity() -> Identity {
    Identity {
        id: "00112233445566778899aabbccddeeff".to_owned(),
        dev: false,
        origin: LogKey::new().name().to_owned(),
        verifier_key: VerifierKey::of(&LogKey::new()).unwrap().to_string(),
        created: NOW,
    }
}

/// A checkpoint over the first leaves of the committed tree.
fn checkpoint_of(ledger: &dyn Ledger, size: u64) -> String {
    let root = merkle::root(&Tree(ledger), size).unwrap();
    checkpoint::sign(&Checkpoint { origin: ledger.identity().origin.clone(), size, root }, &LogKey::new()).unwrap()
}

/// Submits, and waits for the answer.
fn commit(ledger: &dyn Ledger, units: Vec<Unit>) -> Vec<Result<Committed, CommitError>> {
    let (done, committed) = mpsc::channel();
    ledger.submit(units, Box::new(move |results| done.send(results).unwrap()));
    committed.recv().expect("an answer")
}

fn commit_one(ledger: &dyn Ledger, unit: Unit) -> Result<Committed, CommitError> {
    commit(ledger, vec![unit]).pop().expect("one result")
}

/// An event that is told from others by its request.
fn event(request: &str) -> Event {
    Event::new(NOW, &Caller::Daemon, "sign", request, EventKind::Advance)
}

/// A unit of nothing but a leaf.
fn noted(request: &str) -> Unit {
    Unit { events: vec![event(request)], ..Unit::default() }
}

/// The requests of all leaves, in their order.
fn requests(ledger: &dyn Ledger) -> Vec<String> {
    let read = |entry: &Vec<u8>| sealward::audit::leaf::decode(entry).unwrap().1.request;
    ledger.leaves(0, usize::MAX).unwrap().iter().map(read).collect()
}
