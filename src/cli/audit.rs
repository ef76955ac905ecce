//! `sealward audit`: checkpoint, list, tail; export, verify, prove.

mod export;
mod leaf;
mod log;
mod prove;
mod verify;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::DONE;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use crate::audit::note::VerifierKey;
use crate::client::{Client, messages};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward audit tail --follow
  sealward audit export log-2026";

/// What `--verifier-key` is, where a daemon could be asked for it.
const KEY_HELP: &str = "The log's key, NAME+HEX+BASE64, from where you trust it [default: the daemon's word]";
/// How often a follower asks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Print a signed checkpoint over the committed tree
    Checkpoint(Checkpoint),
    /// Print leaves in order
    List(List),
    /// Print the newest leaves
    Tail(Tail),
    /// Write the log into a directory that can be verified without a daemon
    Export(export::Export),
    /// Verify an export, offline: signature, tree, and that nothing was released twice or rolled back
    Verify(verify::Verify),
    /// Prove that a leaf is in the log
    Prove(prove::Prove),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward audit checkpoint > checkpoint\n  sealward --json audit checkpoint")]
pub(super) struct Checkpoint {}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward audit list --start 100 --limit 20
  sealward --json audit list | jq 'select(.leaf.outcome == \"denied\")'")]
pub(super) struct List {
    /// The first leaf's index
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    start: u64,
    /// How many at most [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward audit tail --lines 50\n  sealward --json audit tail --follow")]
pub(super) struct Tail {
    /// How many
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    lines: u64,
    /// Go on with new leaves until interrupted
    #[arg(long)]
    follow: bool,
}

impl Audit {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Checkpoint(Checkpoint {}) => checkpoint(session, output).await,
            Self::List(verb) => verb.run(session, output).await,
            Self::Tail(verb) => verb.run(session, output).await,
            Self::Export(verb) => verb.run(session, output).await,
            Self::Verify(verb) => verb.run(output),
            Self::Prove(verb) => verb.run(session, output).await,
        }
    }
}

async fn checkpoint(session: &Session, output: &mut Output) -> Result<u8, CliError> {
    let answer = session.client().await?.get_checkpoint(messages::GetCheckpointRequest {}).await?;
    let messages::GetCheckpointResponse { checkpoint, verifier_key } = answer;
    if output.is_json() {
        output.json(&json!({ "v": 1, "checkpoint": checkpoint, "verifier_key": verifier_key }))?;
    } else {
        // A note's lines are its form, so only what stands within a line is escaped.
        checkpoint.split_terminator('\n').try_for_each(|line| output.line(line))?;
        output.note(&format!("verifier key: {verifier_key}"));
    }
    Ok(DONE)
}

impl List {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let client = session.client().await?;
        let end = self.limit.map_or(u64::MAX, |limit| self.start.saturating_add(limit));
        print_from(&client, self.start, end, output).await?;
        Ok(DONE)
    }
}

impl Tail {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let client = session.client().await?;
        let (_, size) = log::leaves(&client, 0, 1).await?;
        let mut next = print_from(&client, size.saturating_sub(self.lines), size, output).await?;
        if !self.follow {
            return Ok(DONE);
        }
        loop {
            output.flush()?;
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            next = print_from(&client, next, u64::MAX, output).await?;
        }
    }
}

/// Prints the leaves from `next` up to `end` or the end of the tree, and returns the index after the last one.
async fn print_from(client: &Client, mut next: u64, end: u64, output: &mut Output) -> Result<u64, CliError> {
    while next < end {
        let (leaves, tree_size) = log::leaves(client, next, end - next).await?;
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            leaf::print(next, &leaf, output)?;
            next = next.saturating_add(1);
        }
        if next >= tree_size {
            break;
        }
    }
    Ok(next)
}

fn parse_key(text: &str) -> Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| error.to_string())
}
