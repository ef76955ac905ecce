//! The audit tree as the ledger stores it.

use std::collections::BTreeMap;

use sealward::audit::{leaf, merkle};
use sealward::domain::audit_event::EventKind;
use sealward::ledger::{Ledger, Tree, Unit};

use super::{Open, checkpoint_of, commit, commit_one, event, noted, requests};

/// The tree over these entries, made from nothing.
fn recomputed(entries: &[Vec<u8>]) -> BTreeMap<(u8, u64), merkle::Hash> {
    let mut nodes = BTreeMap::new();
    for (size, entry) in (0..).zip(entries) {
        let fresh = merkle::append(&nodes, size, merkle::leaf_hash(entry)).unwrap();
        nodes.extend(fresh.into_iter().map(|(level, index, hash)| ((level, index), hash)));
    }
    nodes
}

fn check_tree(ledger: &dyn Ledger) {
    let size = ledger.tree_size().unwrap();
    let entries = ledger.leaves(0, usize::MAX).unwrap();
    assert_eq!(u64::try_from(entries.len()).unwrap(), size);
    let nodes = recomputed(&entries);
    for level in 0..12 {
        for index in 0..=(size >> level) {
            let stored = ledger.node(level, index).unwrap();
            assert_eq!(stored, nodes.get(&(level, index)).copied(), "level {level}, index {index}, size {size}");
        }
    }
    for smaller in 0..=size {
        assert_eq!(merkle::root(&Tree(ledger), smaller).unwrap(), merkle::root(&nodes, smaller).unwrap());
    }
}

pub(super) fn leaves_stand_in_order_and_carry_their_numbers(open: Open<'_>) {
    let ledger = open();
    commit(ledger.as_ref(), vec![noted("a"), Unit { events: vec![event("b"), event("c")], ..Unit::default() }]);
    commit_one(ledger.as_ref(), noted("d")).unwrap();
    assert_eq!(requests(ledger.as_ref()), ["a", "b", "c", "d"]);
    for (number, entry) in (0..).zip(ledger.leaves(0, 10).unwrap()) {
        let (inside, event) = leaf::decode(&entry).unwrap();
        assert_eq!((inside, event.event), (number, EventKind::Advance));
        assert_eq!(leaf::encode(number, &event), entry);
    }
}

pub(super) fn a_unit_says_where_its_leaves_begin_and_how_large_the_tree_is(open: Open<'_>) {
    let ledger = open();
    let two = Unit { events: vec![event("b"), event("c")], ..Unit::default() };
    let results = commit(ledger.as_ref(), vec![noted("a"), two, Unit::default(), noted("d")]);
    let found: Vec<_> =
        results.into_iter().map(|result| result.unwrap()).map(|c| (c.first_leaf, c.tree_size)).collect();
    assert_eq!(found, [(0, 4), (1, 4), (3, 4), (3, 4)]);
    let next = commit_one(ledger.as_ref(), noted("e")).unwrap();
    assert_eq!((next.first_leaf, next.tree_size), (4, 5));
}

pub(super) fn nodes_and_roots_are_those_of_a_recomputation_at_every_size(open: Open<'_>) {
    let ledger = open();
    check_tree(ledger.as_ref());
    for number in 0..40 {
        commit_one(ledger.as_ref(), noted(&format!("{number}"))).unwrap();
        check_tree(ledger.as_ref());
    }
    commit(ledger.as_ref(), (0..300).map(|number| noted(&format!("together {number}"))).collect());
    drop(ledger);
    let ledger = open();
    assert_eq!(ledger.tree_size().unwrap(), 340);
    check_tree(ledger.as_ref());
    commit_one(ledger.as_ref(), noted("after the reopen")).unwrap();
    check_tree(ledger.as_ref());
}

pub(super) fn proofs_over_the_stored_nodes_verify(open: Open<'_>) {
    let ledger = open();
    commit(ledger.as_ref(), (0..21).map(|number| noted(&format!("{number}"))).collect());
    let tree = Tree(ledger.as_ref());
    let root = merkle::root(&tree, 21).unwrap();
    for (index, entry) in (0..).zip(ledger.leaves(0, 21).unwrap()) {
        let proof = merkle::inclusion_proof(&tree, index, 21).unwrap();
        assert_eq!(merkle::verify_inclusion(&merkle::leaf_hash(&entry), index, 21, &proof, &root), Ok(()));
    }
    for smaller in 1..=21 {
        let proof = merkle::consistency_proof(&tree, smaller, 21).unwrap();
        let old = merkle::root(&tree, smaller).unwrap();
        assert_eq!(merkle::verify_consistency(smaller, &old, 21, &root, &proof), Ok(()));
    }
}

pub(super) fn reading_beyond_the_tree_gives_nothing(open: Open<'_>) {
    let ledger = open();
    commit(ledger.as_ref(), vec![noted("a"), noted("b"), noted("c")]);
    assert_eq!(ledger.leaves(0, 2).unwrap().len(), 2);
    assert_eq!(ledger.leaves(2, 2).unwrap().len(), 1);
    for (start, limit) in [(0, 0), (3, 10), (u64::MAX, usize::MAX), (1 << 62, 1)] {
        assert!(ledger.leaves(start, limit).unwrap().is_empty(), "{start} {limit}");
    }
    for (level, index) in [(0, 3), (1, 1), (2, 0), (63, 0), (255, 0), (0, i64::MAX.unsigned_abs())] {
        assert_eq!(ledger.node(level, index).unwrap(), None, "{level} {index}");
    }
    assert_eq!(ledger.node(0, u64::MAX).unwrap(), None, "beyond what a database counts");
}

pub(super) fn the_newest_checkpoint_is_kept_and_an_older_one_never_returns(open: Open<'_>) {
    let ledger = open();
    assert_eq!(ledger.newest_checkpoint().unwrap(), None);
    commit(ledger.as_ref(), (0..5).map(|number| noted(&format!("{number}"))).collect());
    let (third, fifth) = (checkpoint_of(ledger.as_ref(), 3), checkpoint_of(ledger.as_ref(), 5));
    ledger.keep_checkpoint(3, &third).unwrap();
    assert_eq!(ledger.newest_checkpoint().unwrap(), Some((3, third.clone())));
    ledger.keep_checkpoint(5, &fifth).unwrap();
    ledger.keep_checkpoint(5, &fifth).unwrap();
    ledger.keep_checkpoint(3, &third).unwrap();
    assert_eq!(ledger.newest_checkpoint().unwrap(), Some((5, fifth.clone())));
    drop(ledger);
    assert_eq!(open().newest_checkpoint().unwrap(), Some((5, fifth)));
}

pub(super) fn a_ledger_with_a_checkpoint_over_its_tree_opens_again(open: Open<'_>) {
    for number in 0..4 {
        let ledger = open();
        commit(ledger.as_ref(), vec![noted(&format!("{number}")), noted("more")]);
        let size = ledger.tree_size().unwrap();
        ledger.keep_checkpoint(size, &checkpoint_of(ledger.as_ref(), size)).unwrap();
        commit_one(ledger.as_ref(), noted("after it")).unwrap();
    }
    assert_eq!(open().tree_size().unwrap(), 12);
}

pub(super) fn hostile_texts_in_an_event_stay_one_leaf(open: Open<'_>) {
    let ledger = open();
    let texts = ["\0\u{1}\n\"\\", "'); DROP TABLE leaves; --", "é\u{202e}\u{fffd}", &"x".repeat(100_000)];
    for text in texts {
        let mut hostile = event(text);
        hostile.caller = text.to_owned();
        commit_one(ledger.as_ref(), Unit { events: vec![hostile], ..Unit::default() }).unwrap();
    }
    let found = requests(ledger.as_ref());
    assert_eq!(found[..3], texts[..3]);
    assert_eq!(found.len(), 4);
    check_tree(ledger.as_ref());
}
