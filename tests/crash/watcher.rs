//! Looks at the daemon after each start and in between: what it remembers, and whether its tree extends all that was
//! shown. And takes the log out at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealward::audit::checkpoint::{self, Checkpoint};
use sealward::audit::export::write_export;
use sealward::audit::leaf;
use sealward::audit::note::VerifierKey;
use sealward::audit::verify::{VerifyError, verify_export};
use sealward::client::messages::{
    GetCheckpointRequest, ListLeavesRequest, ProveConsistencyRequest, StatusRequest, StatusResponse,
};
use sealward::client::{Client, ClientError, TlsFiles};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clients::{Phase, Shared};
use crate::journal::{GuardSeen, Journal, What};
use crate::oracle::{Invariant, Leaf, Violation};
use crate::world::PATIENCE;

/// Leaves of one request; the daemon gives no more.
const PAGE: u32 = 1000;

pub(crate) struct Watcher {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    journal: Journal,
    key: VerifierKey,
    /// Checkpoints that no larger one is known to extend, by size.
    unproven: BTreeMap<u64, Checkpoint>,
}

impl Watcher {
    pub(crate) fn new(shared: Arc<Shared>, journal: Journal, key: VerifierKey) -> Self {
        let phase = shared.phase.clone();
        Self { shared, phase, journal, key, unproven: BTreeMap::new() }
    }

    /// Until the run is over. The watcher comes back, for the last look.
    pub(crate) async fn run(mut self) -> Self {
        loop {
            // Without anybody who could change the phase there is nothing to wait for.
            let Ok(phase) = self.phase.wait_for(|phase| phase.up || phase.stopping || phase.over).await.map(|it| *it)
            else {
                return self;
            };
            if phase.stopping || phase.over {
                return self;
            }
            self.look().await;
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// One look: guards, a checkpoint, proofs. `None` when the daemon did not answer all of it.
    pub(crate) async fn look(&mut self) -> Option<StatusResponse> {
        let since = self.journal.now();
        let client = Client::connect(&self.shared.server, &TlsFiles::default(), PATIENCE).await;
        let client = self.seen(since, since, "connect", client)?;
        let began = self.journal.now();
        let status = client.status(StatusRequest {}).await;
        let status = self.seen(since, began, "status", status)?;
        let guards = status.guards.iter().map(|guard| GuardSeen {
            repository: guard.repository.clone(),
            role: guard.role.clone(),
            epoch: guard.epoch,
            version: guard.version,
        });
        let guards = guards.collect();
        let ended = self.journal.now();
        self.journal.write(began, ended, What::Guards { guards });
        self.journal.write(began, ended, What::TreeSize { size: status.tree_size });
        self.checkpoint(&client, since).await?;
        Some(status)
    }

    async fn checkpoint(&mut self, client: &Client, since: u64) -> Option<()> {
        let began = self.journal.now();
        let answer = client.get_checkpoint(GetCheckpointRequest {}).await;
        let note = self.seen(since, began, "checkpoint", answer)?.checkpoint;
        self.journal.write(began, self.journal.now(), What::Checkpoint { note: note.clone() });
        for note in self.shared.take_shown().iter().chain([&note]) {
            // What does not open is the oracle's to report.
            if let Ok(found) = checkpoint::open(note, &self.key) {
                self.unproven.entry(found.size).or_insert(found);
            }
        }
        let newest = checkpoint::open(&note, &self.key).ok()?.size;
        let older: Vec<u64> = self.unproven.range(1..newest).map(|(size, _)| *size).collect();
        for old_size in older {
            let began = self.journal.now();
            let answer = client.prove_consistency(ProveConsistencyRequest { old_size, new_size: newest }).await;
            let proof = self.seen(since, began, "prove consistency", answer)?;
            let what = What::Consistency {
                old_size,
                new_size: proof.new_size,
                old_root: hex::encode(proof.old_root),
                new_root: hex::encode(proof.new_root),
                hashes: proof.hashes.iter().map(hex::encode).collect(),
            };
            self.journal.write(began, self.journal.now(), what);
            self.unproven.remove(&old_size);
        }
        Some(())
    }

    fn seen<T>(&mut self, since: u64, began: u64, call: &str, answer: Result<T, ClientError>) -> Option<T> {
        let reason = match answer {
            Ok(answer) => return Some(answer),
            Err(error) => error.reason().to_owned(),
        };
        self.journal.write(began, self.journal.now(), What::Unread { call: call.to_owned(), since, reason });
        None
    }

    /// The whole log as an export, verified as anybody would, and its leaves.
    pub(crate) async fn export(&self, target: &Path) -> Result<Vec<Leaf>, Violation> {
        let violation = |invariant, what: String| Violation { invariant, at: self.journal.now(), what };
        let unread = |error: ClientError| violation(Invariant::I3, format!("the log cannot be read: {error}"));
        let client = Client::connect(&self.shared.server, &TlsFiles::default(), PATIENCE).await.map_err(unread)?;
        let note = client.get_checkpoint(GetCheckpointRequest {}).await.map_err(unread)?.checkpoint;
        let size = checkpoint::open(&note, &self.key)
            .map_err(|error| violation(Invariant::I4, format!("the last checkpoint: {error}")))?
            .size;
        let mut leaves: Vec<Vec<u8>> = Vec::new();
        while (leaves.len() as u64) < size {
            let request = ListLeavesRequest { start: leaves.len() as u64, limit: PAGE };
            let page = client.list_leaves(request).await.map_err(unread)?.leaves;
            if page.is_empty() {
                break; // too few: the export says so
            }
            leaves.extend(page.into_iter().map(|leaf| leaf.to_vec()));
        }
        write_export(target, &self.key, &note, leaves.iter().cloned().map(Ok::<_, ClientError>))
            .map_err(|error| violation(Invariant::I4, format!("the log cannot be exported: {error}")))?;
        verify_export(target, &self.key).map_err(|error| {
            let invariant = match error {
                VerifyError::Equivocation { .. } => Invariant::I1,
                VerifyError::Rollback { .. } => Invariant::I2,
                _ => Invariant::I4,
            };
            violation(invariant, format!("the exported log: {error}"))
        })?;
        leaves.truncate(usize::try_from(size).unwrap());
        let decoded = leaves.into_iter().map(|bytes| {
            let (_, event) = leaf::decode(&bytes).map_err(|error| violation(Invariant::I3, error.to_string()))?;
            Ok(Leaf { bytes, event })
        });
        decoded.collect()
    }
}
