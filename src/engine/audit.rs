//! GetCheckpoint, ListLeaves, ProveInclusion and ProveConsistency.

use std::sync::Arc;

use super::{Call, Engine};
use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::merkle::{self, Hash, MerkleError};
use crate::domain::grant::Verb;
use crate::domain::outcome::{Denial, Reason};
use crate::ledger::{Ledger, LedgerError, Tree};

/// Some leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// Their bytes, in order.
    pub leaves: Vec<Vec<u8>>,
    /// The committed size of the tree.
    pub tree_size: u64,
}

/// A proof that a leaf is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The path.
    pub hashes: Vec<Hash>,
    /// The leaf's hash.
    pub leaf_hash: Hash,
    /// The tree.
    pub tree_size: u64,
    /// Its root.
    pub root: Hash,
}

/// A proof that a tree extends a smaller one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The proof.
    pub hashes: Vec<Hash>,
    /// The smaller tree's root.
    pub old_root: Hash,
    /// The larger tree's root.
    pub new_root: Hash,
    /// The larger tree.
    pub new_size: u64,
}

const MOST_LEAVES: usize = 1000;
const USUAL_LEAVES: usize = 100;

impl Engine {
    /// A checkpoint over the committed tree. It is durable before it is shown.
    pub async fn get_checkpoint(&self, call: &Call) -> Result<String, Denial> {
        self.audited(call, "get-checkpoint", async |scope| {
            self.rules().admit_daemon(call, Verb::Audit)?;
            scope.admit();
            if let Err(latched) = self.check_latches() {
                // Nothing new is signed; what was shown before may be shown again.
                let kept = self.ledger.newest_checkpoint().map_err(|error| error.denial())?;
                return kept.map(|(_, text)| text).ok_or(latched);
            }
            let _one_at_a_time = self.checkpointing.lock().await;
            let (ledger, signer) = (Arc::clone(&self.ledger), Arc::clone(&self.note_signer));
            let made = tokio::task::spawn_blocking(move || make_checkpoint(ledger.as_ref(), signer.as_ref()));
            made.await.unwrap_or_else(|_| Err(Denial::new(Reason::Internal, "making the checkpoint panicked")))
        })
        .await
    }

    /// The log's verifier key.
    pub fn verifier_key(&self) -> &str {
        &self.ledger.identity().verifier_key
    }

    /// Leaves from an index on.
    pub async fn list_leaves(&self, call: &Call, start: u64, limit: u32) -> Result<Leaves, Denial> {
        self.audited(call, "list-leaves", async |scope| {
            self.rules().admit_daemon(call, Verb::Audit)?;
            scope.admit();
            let limit =
                if limit == 0 { USUAL_LEAVES } else { usize::try_from(limit).unwrap_or(MOST_LEAVES).min(MOST_LEAVES) };
            let tree_size = self.ledger.tree_size().map_err(|error| error.denial())?;
            let leaves = self.ledger.leaves(start, limit).map_err(|error| error.denial())?;
            Ok(Leaves { leaves, tree_size })
        })
        .await
    }

    /// Proves that a leaf is in the tree of a size; 0 stands for the committed one.
    pub async fn prove_inclusion(&self, call: &Call, index: u64, tree_size: u64) -> Result<Inclusion, Denial> {
        self.audited(call, "prove-inclusion", async |scope| {
            self.rules().admit_daemon(call, Verb::Audit)?;
            scope.admit();
            let size = self.size_asked_for(tree_size)?;
            if index >= size {
                return Err(Denial::new(
                    Reason::Malformed,
                    format!("index: the tree of size {size} has no leaf {index}"),
                ));
            }
            let tree = Tree(self.ledger.as_ref());
            let hashes = merkle::inclusion_proof(&tree, index, size).map_err(failed)?;
            let root = merkle::root(&tree, size).map_err(failed)?;
            let leaf_hash = self.ledger.node(0, index).map_err(|error| error.denial())?;
            let lost = || Denial::new(Reason::LedgerIntegrity, format!("leaf {index} has no hash"));
            Ok(Inclusion { hashes, leaf_hash: leaf_hash.ok_or_else(lost)?, tree_size: size, root })
        })
        .await
    }

    /// Proves that the tree of a size extends that of a smaller one; 0 stands for the committed one.
    pub async fn prove_consistency(&self, call: &Call, old_size: u64, new_size: u64) -> Result<Consistency, Denial> {
        self.audited(call, "prove-consistency", async |scope| {
            self.rules().admit_daemon(call, Verb::Audit)?;
            scope.admit();
            let new_size = self.size_asked_for(new_size)?;
            if old_size == 0 || old_size > new_size {
                return Err(Denial::new(Reason::Malformed, format!("old_size: 1 to {new_size}")));
            }
            let tree = Tree(self.ledger.as_ref());
            Ok(Consistency {
                hashes: merkle::consistency_proof(&tree, old_size, new_size).map_err(failed)?,
                old_root: merkle::root(&tree, old_size).map_err(failed)?,
                new_root: merkle::root(&tree, new_size).map_err(failed)?,
                new_size,
            })
        })
        .await
    }

    fn size_asked_for(&self, size: u64) -> Result<u64, Denial> {
        let committed = self.ledger.tree_size().map_err(|error| error.denial())?;
        match size {
            0 => Ok(committed),
            size if size <= committed => Ok(size),
            size => Err(Denial::new(
                Reason::Malformed,
                format!("tree_size: the committed tree has {committed} leaves, not {size}"),
            )),
        }
    }
}

fn make_checkpoint(ledger: &dyn Ledger, signer: &dyn crate::audit::note::NoteSigner) -> Result<String, Denial> {
    let size = ledger.tree_size().map_err(|error| error.denial())?;
    if let Some((kept, text)) = ledger.newest_checkpoint().map_err(|error| error.denial())?
        && kept == size
    {
        return Ok(text);
    }
    let root = merkle::root(&Tree(ledger), size).map_err(failed)?;
    let checkpoint = Checkpoint { origin: ledger.identity().origin.clone(), size, root };
    let text = checkpoint::sign(&checkpoint, signer)
        .map_err(|error| Denial::new(Reason::Internal, format!("the log's key: {error}")))?;
    ledger.keep_checkpoint(size, &text).map_err(|error| error.denial())?;
    Ok(text)
}

fn failed(error: MerkleError<LedgerError>) -> Denial {
    match error {
        MerkleError::Store(error) => error.denial(),
        other => Denial::new(Reason::LedgerIntegrity, other.to_string()),
    }
}
