//! `sealward audit export`: the whole log into a directory that anybody's tools can verify.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use super::log::{self, Signed};
use super::{KEY_HELP, parse_key};
use crate::audit::export::{ExportError, write_export};
use crate::audit::note::VerifierKey;
use crate::cli::DONE;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::client::{Client, ClientError};

/// Leaves in flight between the network and the disk.
const IN_FLIGHT: usize = 2000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward audit export log-2026 --verifier-key \"$(cat log.vkey)\"")]
pub(in crate::cli) struct Export {
    #[arg(long, value_name = "KEY", value_parser = parse_key, help = KEY_HELP)]
    verifier_key: Option<VerifierKey>,
    /// The directory: new, empty, or an earlier export of the same log, which is replaced
    directory: PathBuf,
}

impl Export {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { verifier_key, directory } = self;
        let client = session.client().await?;
        let Signed { note, key, checkpoint } = log::checkpoint(&client, verifier_key, output).await?;

        let (sender, mut receiver) = mpsc::channel(IN_FLIGHT);
        let target = directory.clone();
        let writer = tokio::task::spawn_blocking(move || {
            write_export(&target, &key, &note, std::iter::from_fn(|| receiver.blocking_recv()))
        });
        // Ends when everything is sent, or when the writer gave up and closed its end; then the writer says why.
        send_leaves(&client, checkpoint.size, &sender).await;
        drop(sender);
        let written = writer.await.map_err(|error| CliError::Runtime(error.into()))?.map_err(CliError::from)?;

        if output.is_json() {
            output.json(&json!({
                "v": 1,
                "directory": directory.display().to_string(),
                "origin": written.origin,
                "size": written.size,
                "root": hex::encode(written.root),
            }))?;
        } else {
            output.line(&format!(
                "exported {} leaves of {} to {}",
                written.size,
                written.origin,
                directory.display()
            ))?;
        }
        Ok(DONE)
    }
}

async fn send_leaves(client: &Client, size: u64, sender: &mpsc::Sender<Result<Vec<u8>, ClientError>>) {
    let mut next = 0;
    while next < size {
        let leaves = match log::leaves(client, next, size - next).await {
            Ok((leaves, _)) => leaves,
            Err(error) => {
                // A writer that is gone has its own reason to tell.
                let _ = sender.send(Err(error)).await;
                return;
            }
        };
        if leaves.is_empty() {
            return;
        }
        for leaf in leaves {
            next += 1;
            if sender.send(Ok(leaf)).await.is_err() {
                return;
            }
        }
    }
}

impl From<ExportError<ClientError>> for CliError {
    fn from(error: ExportError<ClientError>) -> Self {
        match error {
            ExportError::Leaves(error) => error.into(),
            ExportError::Io { path, source } => Self::File { path: path.display().to_string(), source },
            error @ ExportError::Occupied { .. } => Self::Usage(error.to_string()),
            error => Self::integrity(&error),
        }
    }
}
