//! `sealward audit prove`: that a leaf is in the tree of a signed checkpoint, checked here and not only believed.

use clap::Args;
use serde_json::json;

use super::log::{self, Signed};
use super::{KEY_HELP, leaf, parse_key};
use crate::audit::merkle::{Hash, leaf_hash, verify_inclusion};
use crate::audit::note::VerifierKey;
use crate::cli::DONE;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::client::{ClientError, messages};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward audit prove 17 --verifier-key \"$(cat log.vkey)\"
  sealward --json audit prove 17 | jq -r '.hashes[]'")]
pub(in crate::cli) struct Prove {
    #[arg(long, value_name = "KEY", value_parser = parse_key, help = KEY_HELP)]
    verifier_key: Option<VerifierKey>,
    /// The leaf's index
    index: u64,
}

impl Prove {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { verifier_key, index } = self;
        let client = session.client().await?;
        let Signed { note, checkpoint, .. } = log::checkpoint(&client, verifier_key, output).await?;
        if index >= checkpoint.size {
            return Err(CliError::Usage(format!(
                "the log has {} leaves; the last one is before {index}",
                checkpoint.size
            )));
        }
        let (mut leaves, _) = log::leaves(&client, index, 1).await?;
        let bytes = leaves.pop().ok_or(ClientError::Incomplete("leaf"))?;
        let request = messages::ProveInclusionRequest { index, tree_size: checkpoint.size };
        let answer = client.prove_inclusion(request).await?;
        let proof = hashes(&answer.hashes)?;
        // The hash is computed from the leaf itself, and the root is the signed one: nothing else in the answer counts.
        verify_inclusion(&leaf_hash(&bytes), index, checkpoint.size, &proof, &checkpoint.root)
            .map_err(|error| CliError::integrity(&error))?;

        if output.is_json() {
            output.json(&json!({
                "v": 1,
                "index": index,
                "leaf_hex": hex::encode(&bytes),
                "leaf_hash": hex::encode(leaf_hash(&bytes)),
                "hashes": proof.iter().map(hex::encode).collect::<Vec<_>>(),
                "tree_size": checkpoint.size,
                "root_hash": hex::encode(checkpoint.root),
                "checkpoint": note,
            }))?;
            return Ok(DONE);
        }
        leaf::print(index, &bytes, output)?;
        output.line(&format!("is in the tree of {} leaves of {}", checkpoint.size, checkpoint.origin))?;
        output.line(&format!("root {}", hex::encode(checkpoint.root)))?;
        Ok(DONE)
    }
}

fn hashes(received: &[impl AsRef<[u8]>]) -> Result<Vec<Hash>, CliError> {
    let read =
        |hash: &[u8]| Hash::try_from(hash).map_err(|_| ClientError::Incomplete("proof of 32-byte hashes").into());
    received.iter().map(|hash| read(hash.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_other_lengths_are_no_proof() {
        assert_eq!(hashes(&[vec![7; 32]]).unwrap(), [[7; 32]]);
        for length in [0, 31, 33] {
            assert_eq!(hashes(&[vec![7; length]]).unwrap_err().exit_code(), 76, "{length}");
        }
    }
}
