//! The Merkle tree of RFC 6962, section 2.1, over nodes that somebody else stores.
//!
//! A node is named by its level and index: node (level, index) is the hash of the complete subtree over the leaves
//! `index * 2^level .. (index + 1) * 2^level`. Only complete subtrees are stored, so that a stored node never changes;
//! the ragged right edge is computed when it is needed.

mod proof;
mod store;
mod tree;
mod verifier;

use sha2::{Digest as _, Sha256};

pub use proof::{consistency_proof, inclusion_proof};
pub use store::{NodeStore, Overlay};
pub use tree::{append, root};
pub use verifier::{ProofError, verify_consistency, verify_inclusion};

/// A SHA-256 hash in the tree.
pub type Hash = [u8; 32];

/// A node that became complete: level, index, hash.
pub type Node = (u8, u64, Hash);

/// The largest number of leaves. Far above what any log reaches, and low enough that no shift or sum overflows.
pub const MAX_SIZE: u64 = 1 << 62;

/// Why a tree could not be read or extended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError<E> {
    /// The store lacks a node that a tree of this size must have: the ledger is damaged or was cut. A retry does not help.
    #[error("the tree's node at level {level}, index {index} is missing")]
    Missing {
        /// Level above the leaves, which are level 0.
        level: u8,
        /// Index from the left within the level.
        index: u64,
    },
    /// The store could not be read; whether a retry helps is the store's to say.
    #[error("the store of the tree's nodes failed")]
    Store(#[source] E),
    /// A leaf or an older tree was asked for that a tree of this size does not hold. Ask again with the present size.
    #[error("{asked} is not within a tree of {size} leaves")]
    OutOfRange {
        /// The leaf's index or the older size.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A size above [`MAX_SIZE`]: the request or the store is wrong. A retry does not help.
    #[error("a tree of {0} leaves is larger than any log")]
    TooLarge(u64),
}

/// The hash of a leaf: SHA-256 over 0x00 and the entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new_with_prefix([0x00]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: SHA-256 over 0x01 and both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([0x01]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of RFC 6962 implementations everywhere: the empty tree, and the leaf of no bytes.
    #[test]
    fn the_empty_tree_and_the_empty_leaf_differ_by_their_prefix() {
        let hex = |hash: Hash| hex::encode(hash);
        assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
