//! Where nodes are read from.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::{Hash, MerkleError, Node};

/// Reads nodes of complete subtrees. The ledger implements this over its transaction.
pub trait NodeStore {
    /// What reading may fail with.
    type Error;

    /// The hash of the complete subtree of 2^level leaves at that index, or `None` when it is not stored.
    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Self::Error>;
}

impl NodeStore for BTreeMap<(u8, u64), Hash> {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Infallible> {
        Ok(self.get(&(level, index)).copied())
    }
}

/// A store with new nodes laid over it, so that several leaves can be appended before any node is stored.
#[derive(Debug)]
pub struct Overlay<'a, S> {
    base: &'a S,
    fresh: BTreeMap<(u8, u64), Hash>,
}

impl<'a, S> Overlay<'a, S> {
    /// Nothing laid over the store yet.
    pub fn new(base: &'a S) -> Self {
        Self { base, fresh: BTreeMap::new() }
    }

    /// Lays the nodes that an [`append`](super::append) returned over the store.
    pub fn extend(&mut self, nodes: &[Node]) {
        self.fresh.extend(nodes.iter().map(|&(level, index, hash)| ((level, index), hash)));
    }
}

impl<S: NodeStore> NodeStore for Overlay<'_, S> {
    type Error = S::Error;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, S::Error> {
        match self.fresh.get(&(level, index)) {
            Some(hash) => Ok(Some(*hash)),
            None => self.base.node(level, index),
        }
    }
}

/// The node, or an error that names it: a hole must never turn into a wrong hash.
pub(super) fn read<S: NodeStore>(store: &S, level: u8, index: u64) -> Result<Hash, MerkleError<S::Error>> {
    store.node(level, index).map_err(MerkleError::Store)?.ok_or(MerkleError::Missing { level, index })
}
