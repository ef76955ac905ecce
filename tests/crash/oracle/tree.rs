//! I4: every checkpoint that was shown is signed, is in the log, and is extended by every later tree.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use sealward::audit::checkpoint;
use sealward::audit::merkle::{Hash, leaf_hash, verify_consistency};
use sealward::audit::note::VerifierKey;
use sealward::audit::tile::TileStack;

use super::{Invariant, Leaf, Violation};
use crate::journal::{Entry, What};

/// Whatever size was shown, nothing that was asked for later is smaller.
pub(super) fn sizes_never_fall(entries: &[Entry], key: &VerifierKey) -> Vec<Violation> {
    let mut violations = Vec::new();
    // By the end of the call, each with the largest size until then.
    let mut shown: Vec<(u64, u64)> = Vec::new();
    for entry in entries {
        let size = match &entry.what {
            What::TreeSize { size } => *size,
            What::Checkpoint { note } => match checkpoint::open(note, key) {
                Ok(checkpoint) => checkpoint.size,
                Err(_) => continue,
            },
            _ => continue,
        };
        let count = shown.partition_point(|(ended, _)| *ended < entry.began);
        let floor = count.checked_sub(1).map_or(0, |last| shown[last].1);
        if size < floor {
            let what = format!("the tree has {size} leaves; {floor} were shown before");
            violations.push(Violation { invariant: Invariant::I4, at: entry.ended, what });
        }
        let before = shown.last().map_or(0, |(_, size)| *size);
        shown.push((entry.ended, before.max(size)));
    }
    violations
}

/// Every checkpoint but the largest has a proof that a larger one, which was shown as well, extends it. By induction the
/// largest extends them all.
pub(super) fn checkpoints_are_extended(entries: &[Entry], key: &VerifierKey) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = |at, what: String| violations.push(Violation { invariant: Invariant::I4, at, what });
    let mut shown: BTreeMap<u64, (u64, Hash)> = BTreeMap::new();
    for (entry, note) in notes(entries) {
        match checkpoint::open(note, key) {
            Err(error) => wrong(entry.ended, format!("a checkpoint that is none: {error}")),
            Ok(found) => {
                let (_, root) = shown.entry(found.size).or_insert((entry.ended, found.root));
                if *root != found.root {
                    wrong(entry.ended, format!("two checkpoints of size {} have different roots", found.size));
                }
            }
        }
    }
    let mut extended = BTreeSet::new();
    for entry in entries {
        let What::Consistency { old_size, new_size, old_root, new_root, hashes } = &entry.what else { continue };
        let known = |size: &u64, root: &str| {
            shown.get(size).map(|(_, shown)| *shown).filter(|shown| hex::encode(shown) == root)
        };
        let (Some(old), Some(new)) = (known(old_size, old_root), known(new_size, new_root)) else {
            wrong(entry.ended, format!("a proof from {old_size} to {new_size} is about roots that no checkpoint has"));
            continue;
        };
        let proof: Option<Vec<Hash>> = hashes.iter().map(|hash| hex::decode(hash).ok()?.try_into().ok()).collect();
        let verdict = proof.map(|proof| verify_consistency(*old_size, &old, *new_size, &new, &proof));
        match verdict {
            Some(Ok(())) if new_size > old_size => drop(extended.insert(*old_size)),
            Some(Ok(())) => {}
            Some(Err(error)) => wrong(entry.ended, format!("{old_size} is not extended by {new_size}: {error}")),
            None => wrong(entry.ended, format!("the proof from {old_size} to {new_size} has no hashes of 32 bytes")),
        }
    }
    let largest = shown.keys().next_back().copied();
    for (size, (at, _)) in shown.iter().filter(|(size, _)| Some(**size) != largest && **size > 0) {
        if !extended.contains(size) {
            wrong(*at, format!("no proof extends the checkpoint of size {size}"));
        }
    }
    violations
}

/// The exported log has, at the size of each checkpoint, its root.
pub(super) fn checkpoints_are_in_the_log(entries: &[Entry], key: &VerifierKey, log: &[Leaf]) -> Vec<Violation> {
    let mut at_size: BTreeMap<u64, Vec<(u64, Hash)>> = BTreeMap::new();
    for (entry, note) in notes(entries) {
        // What does not open is reported elsewhere.
        let Ok(found) = checkpoint::open(note, key) else { continue };
        at_size.entry(found.size).or_default().push((entry.ended, found.root));
    }
    let mut violations = Vec::new();
    let mut wrong = |at, what: String| violations.push(Violation { invariant: Invariant::I4, at, what });
    let mut tree = TileStack::new();
    let mut leaves = log.iter();
    for (size, shown) in at_size {
        while tree.size() < size {
            let Some(leaf) = leaves.next() else { break };
            let Ok(()) = tree.push(leaf_hash(&leaf.bytes), |_, _, _| Ok::<(), Infallible>(()));
        }
        for (at, root) in shown {
            if tree.size() < size {
                wrong(at, format!("a checkpoint of size {size} was shown, the log has {} leaves", log.len()));
            } else if tree.root() != root {
                wrong(at, format!("the log does not have the root of the checkpoint of size {size}"));
            }
        }
    }
    violations
}

fn notes(entries: &[Entry]) -> impl Iterator<Item = (&Entry, &str)> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Checkpoint { note } => Some((entry, note.as_str())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, sign};

    type Check = fn(&Story) -> Vec<Violation>;
    const FALL: Check = |story| sizes_never_fall(&story.entries, &story.verifier_key());
    const EXTEND: Check = |story| checkpoints_are_extended(&story.entries, &story.verifier_key());
    const IN_LOG: Check = |story| checkpoints_are_in_the_log(&story.entries, &story.verifier_key(), &story.log);

    fn the_one(violations: Vec<Violation>) -> (u64, String) {
        assert_eq!((violations.len(), violations[0].invariant), (1, Invariant::I4), "{violations:?}");
        (violations[0].at, violations[0].what.clone())
    }

    /// Three leaves, a checkpoint, two more leaves, a checkpoint.
    fn grown() -> Story {
        let mut story = Story::default();
        for version in 1..=5 {
            story.commit(&sign("a", "demo", "timestamp", version, "x"));
            if version == 3 {
                story.checkpoint(10, 20);
            }
        }
        story.checkpoint(30, 40);
        story
    }

    #[test]
    fn a_tree_that_grows_with_proofs_is_good() {
        let mut story = grown();
        story.prove(41, 42, 3, 5);
        story.prove(43, 44, 5, 5);
        for check in [FALL, EXTEND, IN_LOG] {
            assert_eq!(check(&story), []);
        }
    }

    #[test]
    fn a_tree_that_shrinks_is_seen() {
        let mut story = grown();
        story.write(39, 50, What::TreeSize { size: 3 }); // asked for while the larger one was shown
        assert_eq!(FALL(&story), []);
        story.write(41, 60, What::TreeSize { size: 4 });
        assert_eq!(the_one(FALL(&story)).0, 60);
    }

    #[test]
    fn a_checkpoint_without_a_proof_is_seen() {
        assert_eq!(the_one(EXTEND(&grown())), (20, "no proof extends the checkpoint of size 3".to_owned()));
    }

    #[test]
    fn a_false_proof_is_seen() {
        let mut story = grown();
        story.prove(41, 42, 3, 5);
        let good = story.entries.last().unwrap().clone();
        let What::Consistency { hashes, old_size, new_size, old_root, new_root } = good.what else { panic!() };
        let mut reversed = hashes.clone();
        reversed.reverse();
        for bad in [reversed, hashes[1..].to_vec(), vec!["00".to_owned()]] {
            let (old_root, new_root) = (old_root.clone(), new_root.clone());
            story.write(43, 44, What::Consistency { old_size, new_size, old_root, new_root, hashes: bad });
        }
        assert_eq!(EXTEND(&story).len(), 3);
        story.write(45, 46, What::Consistency { old_size, new_size, old_root: new_root.clone(), new_root, hashes });
        assert!(EXTEND(&story)[3].what.contains("no checkpoint has"));
    }

    #[test]
    fn two_histories_are_seen() {
        let mut other = Story::default();
        for version in 1..=3 {
            other.commit(&sign("b", "demo", "timestamp", version, "y"));
        }
        other.checkpoint(50, 60);
        let mut story = grown();
        story.prove(41, 42, 3, 5);
        story.entries.extend(other.entries);
        assert_eq!(the_one(EXTEND(&story)).0, 60);
        assert_eq!(the_one(IN_LOG(&story)).0, 60);
    }

    #[test]
    fn a_log_that_was_cut_is_seen() {
        let mut story = grown();
        story.log.truncate(4);
        assert_eq!(the_one(IN_LOG(&story)).0, 40);
    }

    #[test]
    fn a_checkpoint_that_nobody_signed_is_seen() {
        let mut story = grown();
        story.prove(41, 42, 3, 5);
        let What::Checkpoint { note } = story.entries[0].what.clone() else { panic!() };
        story.write(50, 60, What::Checkpoint { note: note.replacen("\n3\n", "\n2\n", 1) });
        assert_eq!(the_one(EXTEND(&story)).0, 60);
    }
}
