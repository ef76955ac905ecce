//! Checking proofs without any store (RFC 9162, sections 2.1.3.2 and 2.1.4.2, which hold for RFC 6962 trees).

use super::{Hash, empty_root, node_hash};

/// Why a proof proves nothing. A retry with the same proof does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf or the older tree is not within the tree: the wrong sizes were compared.
    #[error("{asked} is not within a tree of {size} leaves")]
    OutOfRange {
        /// The leaf's index or the older size.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// More or fewer hashes than a proof for these sizes has: it is for other sizes, or was cut.
    #[error("the proof has the wrong number of hashes for these sizes")]
    WrongLength,
    /// The proof leads to another root: the leaf is not in this tree, or the tree does not extend the older one.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// The proof does not lead to the older root: the log shows a history other than the one it showed before.
    #[error("the proof does not lead to the older root")]
    OldRootMismatch,
}

/// Checks that the leaf with this [`leaf_hash`](super::leaf_hash) stands at `index` in the tree of `size` leaves.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            skip_missing_siblings(&mut position, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Checks that the tree of `new` leaves extends the tree of `old` leaves.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange { asked: old, size: new });
    }
    if old == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRootMismatch);
    }
    if new == 0 && *new_root != empty_root() {
        return Err(ProofError::RootMismatch);
    }
    if old == 0 || old == new {
        let same = old != new || old_root == new_root;
        return match (proof, same) {
            ([], true) => Ok(()),
            ([], false) => Err(ProofError::RootMismatch),
            _ => Err(ProofError::WrongLength),
        };
    }
    // A complete old tree is a node of the new one; the proof leaves it out because the verifier has it.
    let (first, rest) = match proof.split_first() {
        Some(_) if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::WrongLength),
    };
    let (mut position, mut last) = (old - 1, new - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_missing_siblings(&mut position, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash != *old_root {
        return Err(ProofError::OldRootMismatch);
    }
    if new_hash == *new_root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// On the ragged right edge a node without a sibling is passed up unchanged: those levels have no hash in the proof.
fn skip_missing_siblings(position: &mut u64, last: &mut u64) {
    while *position & 1 == 0 && *position != 0 {
        *position >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degenerate_proofs_are_refused() {
        let (a, b) = ([1; 32], [2; 32]);
        assert_eq!(verify_inclusion(&a, 0, 1, &[], &a), Ok(()));
        assert_eq!(verify_inclusion(&a, 0, 1, &[], &b), Err(ProofError::RootMismatch));
        assert_eq!(verify_inclusion(&a, 0, 1, &[b], &a), Err(ProofError::WrongLength));
        assert_eq!(verify_inclusion(&a, 0, 0, &[], &a), Err(ProofError::OutOfRange { asked: 0, size: 0 }));
        assert_eq!(verify_inclusion(&a, 0, u64::MAX, &[b; 3], &a), Err(ProofError::WrongLength));
        assert_eq!(verify_inclusion(&a, 0, 2, &[b; 10_000], &a), Err(ProofError::WrongLength));

        assert_eq!(verify_consistency(0, &empty_root(), 5, &a, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &b, 5, &a, &[]), Err(ProofError::OldRootMismatch));
        assert_eq!(verify_consistency(0, &empty_root(), 0, &a, &[]), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(3, &a, 3, &a, &[]), Ok(()));
        assert_eq!(verify_consistency(3, &a, 3, &b, &[]), Err(ProofError::RootMismatch));
        assert_eq!(verify_consistency(3, &a, 3, &a, &[a]), Err(ProofError::WrongLength));
        assert_eq!(verify_consistency(3, &a, 7, &a, &[]), Err(ProofError::WrongLength));
        assert_eq!(verify_consistency(4, &a, 3, &a, &[]), Err(ProofError::OutOfRange { asked: 4, size: 3 }));
        assert_eq!(verify_consistency(1, &a, u64::MAX, &a, &[b; 4]), Err(ProofError::WrongLength));
    }
}
