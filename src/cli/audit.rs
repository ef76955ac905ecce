//! `sealward audit`: checkpoint, list, tail.

mod leaf;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::DONE;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use crate::client::{Client, messages};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward audit tail --follow
  sealward audit checkpoint > checkpoint";

/// Leaves of one request; the daemon gives no more.
const PAGE: u32 = 1000;
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
        let size = tree_size(&client).await?;
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

async fn tree_size(client: &Client) -> Result<u64, CliError> {
    Ok(client.list_leaves(messages::ListLeavesRequest { start: 0, limit: 1 }).await?.tree_size)
}

/// Prints the leaves from `next` up to `end` or the end of the tree, and returns the index after the last one.
async fn print_from(client: &Client, mut next: u64, end: u64, output: &mut Output) -> Result<u64, CliError> {
    while next < end {
        let limit = u32::try_from(end - next).map_or(PAGE, |left| left.min(PAGE));
        let request = messages::ListLeavesRequest { start: next, limit };
        let messages::ListLeavesResponse { leaves, tree_size } = client.list_leaves(request).await?;
        let count = leaves.len() as u64;
        for (index, bytes) in (next..end).zip(&leaves) {
            leaf::print(index, bytes, output)?;
        }
        next = next.saturating_add(count);
        if count == 0 || next >= tree_size {
            break;
        }
    }
    Ok(next)
}
