//! Growing the tree, and its root at any size.

use super::store::read;
use super::{Hash, MAX_SIZE, MerkleError, Node, NodeStore, empty_root, node_hash};

/// Appends a leaf to a tree of `size` leaves. Returns every node that becomes complete with it, the leaf's own first;
/// the caller stores all of them. Reads one node per level of the subtree that the leaf completes.
pub fn append<S: NodeStore>(store: &S, size: u64, leaf: Hash) -> Result<Vec<Node>, MerkleError<S::Error>> {
    if size >= MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    let (mut level, mut index, mut hash) = (0, size, leaf);
    let mut nodes = vec![(level, index, hash)];
    while index & 1 == 1 {
        let left = read(store, level, index - 1)?;
        hash = node_hash(&left, &hash);
        level += 1;
        index >>= 1;
        nodes.push((level, index, hash));
    }
    Ok(nodes)
}

/// The root of the tree over the first `size` leaves. The store may hold more.
pub fn root<S: NodeStore>(store: &S, size: u64) -> Result<Hash, MerkleError<S::Error>> {
    if size > MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    range_hash(store, 0, size)
}

/// The Merkle tree hash of the leaves `start..end`. `start` is a multiple of the smallest power of two that is not less
/// than `end - start`, as it is for every range that RFC 6962 splits off.
pub(super) fn range_hash<S: NodeStore>(store: &S, start: u64, end: u64) -> Result<Hash, MerkleError<S::Error>> {
    let length = end - start;
    let mut right: Option<Hash> = None;
    // The smallest complete subtree stands at the right: fold from there to the left.
    for level in 0..u64::BITS as u8 {
        if (length >> level) & 1 == 0 {
            continue;
        }
        let left = read(store, level, (start >> level) + ((length >> level) & !1))?;
        right = Some(right.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(right.unwrap_or_else(empty_root))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::audit::merkle::{Overlay, leaf_hash};

    #[test]
    fn leaves_appended_before_any_is_stored_make_the_same_tree() {
        let mut stored = BTreeMap::new();
        let base = BTreeMap::new();
        let mut overlay = Overlay::new(&base);
        for size in 0..100u64 {
            let leaf = leaf_hash(&size.to_be_bytes());
            let nodes = append(&overlay, size, leaf).unwrap();
            assert_eq!(nodes, append(&stored, size, leaf).unwrap());
            stored.extend(nodes.iter().map(|&(level, index, hash)| ((level, index), hash)));
            overlay.extend(&nodes);
            assert_eq!(root(&overlay, size + 1), root(&stored, size + 1));
        }
    }

    #[test]
    fn a_missing_node_is_named() {
        let mut stored: BTreeMap<(u8, u64), Hash> = BTreeMap::new();
        for size in 0..7u64 {
            let nodes = append(&stored, size, leaf_hash(b"x")).unwrap();
            stored.extend(nodes.iter().map(|&(level, index, hash)| ((level, index), hash)));
        }
        stored.remove(&(1, 2));
        assert_eq!(root(&stored, 7), Err(MerkleError::Missing { level: 1, index: 2 }));
        assert_eq!(append(&stored, 7, leaf_hash(b"x")), Err(MerkleError::Missing { level: 1, index: 2 }));
        assert!(root(&stored, 4).is_ok(), "a smaller tree does not need it");
        assert_eq!(root(&stored, 8), Err(MerkleError::Missing { level: 3, index: 0 }));
    }

    #[test]
    fn hostile_sizes_are_refused_without_work() {
        let empty: BTreeMap<(u8, u64), Hash> = BTreeMap::new();
        assert_eq!(append(&empty, u64::MAX, [0; 32]), Err(MerkleError::TooLarge(u64::MAX)));
        assert_eq!(root(&empty, u64::MAX), Err(MerkleError::TooLarge(u64::MAX)));
        assert_eq!(root(&empty, MAX_SIZE), Err(MerkleError::Missing { level: 62, index: 0 }));
    }
}
