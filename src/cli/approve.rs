//! `sealward approve`: list, show, accept, reject.
//!
//! This is the approver's own program: it computes the digest and the difference from the bytes themselves, and believes
//! the daemon neither one.

mod seen;

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::{ClientError, messages};
use crate::domain::approval::{PendingId, RejectionCode};
use crate::domain::name::{RepositoryName, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};

use seen::Seen;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward approve list
  sealward approve show 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e
  sealward approve accept 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e";

#[derive(Debug, Subcommand)]
pub(super) enum Approve {
    /// List what waits for you
    List(List),
    /// Show what would be signed, as a difference against what was signed last
    Show(Show),
    /// Approve it, after showing it and asking for the beginning of its digest
    Accept(Accept),
    /// Say no, for everybody
    Reject(Reject),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward approve list\n  sealward --json approve list --repository acme/app")]
pub(super) struct List {
    /// Only this repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<RepositoryName>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward approve show 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e
  sealward approve show 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e --against published/4.targets.json
  sealward approve show 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e --payload | sha256sum")]
pub(super) struct Show {
    /// Its name, as `sign` and `approve list` tell it
    id: PendingId,
    #[command(flatten)]
    against: Against,
    /// Print the bytes that would be signed, and nothing else
    #[arg(long)]
    payload: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward approve accept 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e
  sealward approve accept 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e --digest \"$(sealward digest targets.json)\"")]
pub(super) struct Accept {
    /// Its name
    id: PendingId,
    #[command(flatten)]
    against: Against,
    /// SHA-256 of what you mean to approve, as `sealward digest FILE` prints it, instead of being asked
    #[arg(long, value_name = "SHA256")]
    digest: Option<Sha256Digest>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward approve reject 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e --code unexpected")]
pub(super) struct Reject {
    /// Its name
    id: PendingId,
    /// Why: unexpected, wrong-content, wrong-time or suspicious
    #[arg(long, value_name = "CODE")]
    code: RejectionCode,
}

/// What to compare with.
#[derive(Debug, Args)]
struct Against {
    /// Your own copy of what was signed last, signed or not; otherwise the daemon's
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

impl Approve {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::List(List { repository }) => list(repository, session, output).await,
            Self::Show(verb) => verb.run(session, output).await,
            Self::Accept(verb) => verb.run(session, output).await,
            Self::Reject(Reject { id, code }) => {
                let request = messages::RejectRequest { id: id.to_string(), code: code.name().to_owned() };
                let messages::RejectResponse { pending, changed } = session.client().await?.reject(request).await?;
                judged(pending, changed, "it was rejected before", output)
            }
        }
    }
}

async fn list(repository: Option<RepositoryName>, session: &Session, output: &mut Output) -> Result<u8, CliError> {
    let request = messages::ListPendingRequest { repository: repository.map(String::from).unwrap_or_default() };
    let messages::ListPendingResponse { pending } = session.client().await?.list_pending(request).await?;
    if output.is_json() {
        output.json(&json!({ "v": 1, "pending": pending.iter().map(json::pending).collect::<Vec<_>>() }))?;
        return Ok(DONE);
    }
    let rows: Vec<_> = pending
        .into_iter()
        .map(|one| {
            let what = match one.version {
                0 => one.verb,
                version => format!("{} version {version}", one.verb),
            };
            let count = format!("{} of {}", one.approvers.len(), one.needed);
            [one.id, one.state, count, one.repository, one.role, what, one.expires]
        })
        .collect();
    if rows.is_empty() {
        output.note("nothing waits for you");
    }
    output.table(["ID", "STATE", "APPROVED", "REPOSITORY", "ROLE", "WHAT", "UNTIL"], &rows)?;
    Ok(DONE)
}

impl Show {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        // The requester's bytes may hold what a terminal obeys: what it shows would be theirs, not what they are.
        if self.payload && std::io::stdout().is_terminal() {
            let detail = "--payload gives the bytes as they came, which are not for a terminal: add > FILE";
            return Err(CliError::Usage(detail.to_owned()));
        }
        let seen = Seen::fetch(&self.id, self.against.against.as_deref(), session).await?;
        if self.payload {
            output.bytes(&seen.payload)?;
        } else if output.is_json() {
            output.json(&seen.json())?;
        } else {
            seen.lines().iter().try_for_each(|line| output.line(line))?;
        }
        Ok(DONE)
    }
}

impl Accept {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { id, against, digest } = self;
        let seen = Seen::fetch(&id, against.against.as_deref(), session).await?;
        for line in seen.lines() {
            output.note(&line);
        }
        match digest {
            Some(digest) if digest == seen.digest => {}
            Some(digest) => {
                let detail = format!("what waits as {id} has digest {}, not {digest}; {NOT_OF_FILES}", seen.digest);
                return Err(Denial::new(Reason::ApprovalDigest, detail).into());
            }
            None => ask(&seen)?,
        }
        let request = messages::ApproveRequest { id: id.to_string(), digest: seen.digest.to_string() };
        let messages::ApproveResponse { pending, changed } = session.client().await?.approve(request).await?;
        judged(pending, changed, "you had approved it before", output)
    }
}

/// Most digests that differ were taken from the wrong bytes.
const NOT_OF_FILES: &str = "the digest of a whole file, or of JSON with white space, never matches: take it with \
                            `sealward digest FILE`";

/// The groups that a person types must come from what was read, so that nobody approves by habit.
fn ask(seen: &Seen) -> Result<(), CliError> {
    let usage = |text: &str| CliError::Usage(text.to_owned());
    if !std::io::stdin().is_terminal() {
        return Err(usage("give --digest, or approve at a terminal"));
    }
    // Nobody is left to ask when stderr is closed; then nothing is typed either.
    let _ = write!(std::io::stderr(), "To approve exactly this, type the first two groups of the digest: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().take(256).read_line(&mut line);
    read.map_err(|_| usage("no digest was typed"))?;
    if is_beginning(&line, &seen.digest) {
        return Ok(());
    }
    Err(Denial::new(Reason::ApprovalDigest, "what was typed is not the beginning of the digest").into())
}

/// Two groups of four digits, or more of them, with or without blanks.
fn is_beginning(typed: &str, digest: &Sha256Digest) -> bool {
    let typed: String = typed.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    typed.len() >= 8 && digest.to_string().starts_with(&typed.to_ascii_lowercase())
}

fn judged(
    pending: Option<messages::Pending>,
    changed: bool,
    unchanged: &str,
    output: &mut Output,
) -> Result<u8, CliError> {
    let pending = pending.ok_or(ClientError::Incomplete("pending approval"))?;
    if output.is_json() {
        output.json(&json!({ "v": 1, "changed": changed, "pending": json::pending(&pending) }))?;
        return Ok(DONE);
    }
    if !changed {
        output.note(unchanged);
    }
    let approvers = if pending.approvers.is_empty() { "nobody".to_owned() } else { pending.approvers.join(", ") };
    output.line(&format!("{}: {}, approved by {approvers}; it takes {}", pending.id, pending.state, pending.needed))?;
    if pending.state == "approved" {
        output.note("whoever asked for it gets it by asking again with the same bytes");
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_the_digest_approves() {
        let digest = Sha256Digest::of(b"payload");
        let text = digest.to_string();
        let (one, two) = (&text[..4], &text[4..8]);
        for good in [format!("{one} {two}\n"), format!("{one}{two}"), text.clone(), text.to_uppercase()] {
            assert!(is_beginning(&good, &digest), "{good}");
        }
        for bad in ["", "yes", "y\n", one, &format!("{two} {one}"), &format!("{text}0")] {
            assert!(!is_beginning(bad, &digest), "{bad}");
        }
    }
}
