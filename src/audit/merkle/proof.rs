//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2).

use super::tree::range_hash;
use super::{Hash, MAX_SIZE, MerkleError, NodeStore};

/// The audit path of the leaf at `index` in the tree over the first `size` leaves, from the leaf upwards.
pub fn inclusion_proof<S: NodeStore>(store: &S, index: u64, size: u64) -> Result<Vec<Hash>, MerkleError<S::Error>> {
    if size > MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    if index >= size {
        return Err(MerkleError::OutOfRange { asked: index, size });
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_hash(store, middle, end)?);
            end = middle;
        } else {
            proof.push(range_hash(store, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree over the first `new` leaves extends the one over the first `old`. Empty when `old` is 0 or
/// `new`, where there is nothing to prove.
pub fn consistency_proof<S: NodeStore>(store: &S, old: u64, new: u64) -> Result<Vec<Hash>, MerkleError<S::Error>> {
    if new > MAX_SIZE {
        return Err(MerkleError::TooLarge(new));
    }
    if old > new {
        return Err(MerkleError::OutOfRange { asked: old, size: new });
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range_hash(store, middle, end)?);
            end = middle;
        } else {
            proof.push(range_hash(store, start, middle)?);
            start = middle;
        }
    }
    // The verifier has the old root itself; it needs the last subtree of it only when that is not the whole.
    if start != 0 {
        proof.push(range_hash(store, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_outside_the_tree_is_refused() {
        let empty: BTreeMap<(u8, u64), Hash> = BTreeMap::new();
        assert_eq!(inclusion_proof(&empty, 0, 0), Err(MerkleError::OutOfRange { asked: 0, size: 0 }));
        assert_eq!(inclusion_proof(&empty, 5, 5), Err(MerkleError::OutOfRange { asked: 5, size: 5 }));
        assert_eq!(inclusion_proof(&empty, 0, u64::MAX), Err(MerkleError::TooLarge(u64::MAX)));
        assert_eq!(consistency_proof(&empty, 2, 1), Err(MerkleError::OutOfRange { asked: 2, size: 1 }));
        assert_eq!(consistency_proof(&empty, 1, u64::MAX), Err(MerkleError::TooLarge(u64::MAX)));
        assert_eq!(consistency_proof(&empty, 1, 3), Err(MerkleError::Missing { level: 0, index: 2 }));
    }
}
