//! The log as a daemon shows it: its checkpoint under a key, its leaves page by page.

use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::note::VerifierKey;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::client::{Client, ClientError, messages};

/// Leaves of one request; the daemon gives no more.
pub(super) const PAGE: u32 = 1000;

/// A checkpoint whose signature was verified.
pub(super) struct Signed {
    pub(super) note: String,
    pub(super) key: VerifierKey,
    pub(super) checkpoint: Checkpoint,
}

/// The newest checkpoint, under the key that the caller trusts. Without one the daemon's own word is taken, and said so:
/// whoever controls the daemon controls that word.
pub(super) async fn checkpoint(
    client: &Client,
    trusted: Option<VerifierKey>,
    output: &mut Output,
) -> Result<Signed, CliError> {
    let messages::GetCheckpointResponse { checkpoint: note, verifier_key } =
        client.get_checkpoint(messages::GetCheckpointRequest {}).await?;
    let key = match trusted {
        Some(key) => key,
        None => {
            output.note(&format!("no --verifier-key: taking the daemon's word that it is {verifier_key}"));
            VerifierKey::parse(&verifier_key).map_err(|error| CliError::integrity(&error))?
        }
    };
    let checkpoint = checkpoint::open(&note, &key).map_err(|error| CliError::integrity(&error))?;
    Ok(Signed { note, key, checkpoint })
}

/// At most `limit` leaves from `start` on, and the committed size of the tree.
pub(super) async fn leaves(client: &Client, start: u64, limit: u64) -> Result<(Vec<Vec<u8>>, u64), ClientError> {
    let limit = u32::try_from(limit).map_or(PAGE, |limit| limit.min(PAGE));
    let messages::ListLeavesResponse { leaves, tree_size } =
        client.list_leaves(messages::ListLeavesRequest { start, limit }).await?;
    // More than was asked for would be counted twice.
    let leaves = leaves.into_iter().take(limit as usize).map(Vec::from).collect();
    Ok((leaves, tree_size))
}
