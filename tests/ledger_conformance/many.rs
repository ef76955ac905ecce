//! Many at once: group commit, races, ends.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use sealward::domain::name::Role;
use sealward::ledger::{CommitError, Ledger};

use super::units::{advance, revision};
use super::{Open, commit, commit_one, noted, requests};

pub(super) fn ten_thousand_units_share_few_transactions(open: Open<'_>) {
    let ledger = open();
    let (done, answers) = mpsc::channel();
    for number in 0..10_000 {
        let done = done.clone();
        let unit = noted(&format!("{number}"));
        ledger.submit(vec![unit], Box::new(move |results| done.send((number, results)).unwrap()));
    }
    drop(done);
    let mut leaves = BTreeSet::new();
    for (_, results) in answers {
        leaves.insert(results[0].as_ref().unwrap().first_leaf);
    }
    assert_eq!(leaves, (0..10_000).collect(), "each unit has its own leaf");
    let metrics = ledger.metrics();
    let (commits, units) = (metrics.commits.load(Ordering::Relaxed), metrics.units.load(Ordering::Relaxed));
    assert_eq!(units, 10_000);
    assert!(commits < 1_000, "{commits} transactions for {units} units");
    assert!(metrics.busy_nanoseconds.load(Ordering::Relaxed) > 0);
    assert_eq!(metrics.conflicts.load(Ordering::Relaxed), 0);
}

pub(super) fn sixteen_threads_lose_and_repeat_nothing(open: Open<'_>) {
    let ledger: Arc<dyn Ledger> = open().into();
    let start = Arc::new(Barrier::new(16));
    let worker = |thread: u32| {
        let (ledger, start) = (Arc::clone(&ledger), Arc::clone(&start));
        thread::spawn(move || {
            start.wait();
            for number in 0..50 {
                let pair = vec![noted(&format!("{thread}/{number}/a")), noted(&format!("{thread}/{number}/b"))];
                let results = commit(ledger.as_ref(), pair);
                let [first, second] = [0, 1].map(|index| results[index].as_ref().unwrap().first_leaf);
                assert_eq!(second, first + 1, "a submission stays together");
            }
        })
    };
    let workers: Vec<_> = (0..16).map(worker).collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let found = requests(ledger.as_ref());
    assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (1600, 1600));
    for thread in 0..16 {
        let own: Vec<_> = found.iter().filter(|request| request.starts_with(&format!("{thread}/"))).collect();
        let expected: Vec<_> = (0..50).flat_map(|n| ["a", "b"].map(|part| format!("{thread}/{n}/{part}"))).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "each thread's leaves are in its order");
    }
}

pub(super) fn of_many_who_saw_one_revision_one_wins(open: Open<'_>) {
    let ledger: Arc<dyn Ledger> = open().into();
    for round in 0..20 {
        let start = Arc::new(Barrier::new(8));
        let race = |runner: u32| {
            let (ledger, start) = (Arc::clone(&ledger), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                commit_one(ledger.as_ref(), advance(&Role::Timestamp, round, &format!("{round}/{runner}")))
            })
        };
        let runners: Vec<_> = (0..8).map(race).collect();
        let results: Vec<_> = runners.into_iter().map(|runner| runner.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert!(results.iter().flat_map(|result| result.as_ref().err()).all(|error| *error == CommitError::Conflict));
    }
    assert_eq!((revision(ledger.as_ref(), &Role::Timestamp), ledger.tree_size().unwrap()), (20, 20));
    assert_eq!(ledger.metrics().conflicts.load(Ordering::Relaxed), 140);
}

pub(super) fn whoever_reads_after_the_answer_sees_the_commit(open: Open<'_>) {
    let ledger: Arc<dyn Ledger> = open().into();
    let roles = [Role::Timestamp, Role::Snapshot, Role::Targets, "releases".parse().unwrap()];
    let work = |role: Role| {
        let ledger = Arc::clone(&ledger);
        thread::spawn(move || {
            for from in 0..200 {
                commit_one(ledger.as_ref(), advance(&role, from, "next")).unwrap();
                assert_eq!(revision(ledger.as_ref(), &role), from + 1, "{role}");
            }
        })
    };
    let workers: Vec<_> = roles.into_iter().map(work).collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

pub(super) fn dropping_the_ledger_waits_for_what_was_submitted(open: Open<'_>) {
    let (done, answers) = mpsc::channel();
    let ledger = open();
    for number in 0..500 {
        let done = done.clone();
        ledger.submit(vec![noted(&format!("{number}"))], Box::new(move |results| done.send(results).unwrap()));
    }
    drop(ledger);
    drop(done);
    let answered = answers.iter().filter(|results| results[0].is_ok()).count();
    assert_eq!(answered, 500);
    assert_eq!(open().tree_size().unwrap(), 500);
}

pub(super) fn a_callback_may_submit_again(open: Open<'_>) {
    let ledger: Arc<dyn Ledger> = open().into();
    let (done, answers) = mpsc::channel();
    let again = Arc::clone(&ledger);
    ledger.submit(
        vec![noted("first")],
        Box::new(move |_| again.submit(vec![noted("second")], Box::new(move |results| done.send(results).unwrap()))),
    );
    assert_eq!(answers.recv().unwrap()[0].as_ref().unwrap().first_leaf, 1);
    assert_eq!(requests(ledger.as_ref()), ["first", "second"]);
}
