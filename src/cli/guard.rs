//! `sealward guard`: seed, show, republish, recover.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, input, json, status};
use crate::client::{ClientError, messages};
use crate::domain::name::{RepositoryName, Role};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward guard seed --repository acme/app --role timestamp timestamp.json
  sealward guard show --repository acme/app
  sealward guard republish --repository acme/app --role timestamp > timestamp.json
  sealward guard recover --repository acme/app --role timestamp --goes-on-from 41";

#[derive(Debug, Subcommand)]
pub(super) enum Guard {
    /// Begin a role's guard at published metadata that verifies under the trusted root, or those of a new repository at 0
    Seed(Seed),
    /// Show what was released, per role
    Show(Show),
    /// Print what a role released last as a file to publish, for whoever lost what was signed
    Republish(Republish),
    /// Begin a new epoch of a role that was fast-forwarded, after a published root took it from every key that released in
    /// the old one
    Recover(Recover),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward guard seed --repository acme/app --role snapshot 41.snapshot.json
  sealward guard seed --repository acme/app --new-repository")]
pub(super) struct Seed {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role
    #[arg(long, value_name = "ROLE", required_unless_present = "new_repository")]
    role: Option<Role>,
    /// Nothing of this repository was ever published, and its keys are made: every role begins at 0
    #[arg(long, conflicts_with_all = ["role", "file"])]
    new_repository: bool,
    /// The newest published, signed metadata of the role; - is standard input
    #[arg(required_unless_present = "new_repository")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward guard show\n  sealward --json guard show --repository acme/app")]
pub(super) struct Show {
    /// Only this repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<RepositoryName>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sealward guard republish --repository acme/app --role timestamp > timestamp.json\n  sealward --json guard republish --repository acme/app --role snapshot | jq -r .file"
)]
pub(super) struct Republish {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Fail unless this version is the newest: only the newest is kept
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// The newest payload of this epoch, for an audit of one that a recovery closed [default: the newest]
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<u32>,
}

#[derive(Debug, Args)]
#[command(
    long_about = "Begin a new epoch of a role that was fast-forwarded.\n\nOnly after a published root that lists none of the keys that released in the old epoch: such a root makes every client forget the versions behind them. Rotate the role's key, stage the root, sign nothing with the new key, publish the root, then recover. The old keys never sign for the role again.\n\nTimestamp keys make clients forget the timestamp's version and the snapshot version that it lists; snapshot keys the versions that a snapshot lists. To lower a snapshot's own version, recover timestamp and snapshot.\n\nWith --by-operators no root is asked: the command waits for a second operator's approval and is then run again.",
    after_help = "Examples:\n  sealward guard recover --repository acme/app --role snapshot --goes-on-from 17\n  sealward guard recover --repository acme/app --role timestamp"
)]
pub(super) struct Recover {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The last version that counts: the next one is above it, by max_version_step at most [default: from the beginning]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    goes_on_from: Option<u64>,
    /// Ask for an act of two operators instead of a published root: for a delegated role, or where another signer's key stays
    /// listed. Clients that still trust the old versions will refuse lower ones
    #[arg(long)]
    by_operators: bool,
}

impl Guard {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Seed(verb) => verb.run(session, output).await,
            Self::Show(verb) => verb.run(session, output).await,
            Self::Republish(verb) => verb.run(session, output).await,
            Self::Recover(verb) => verb.run(session, output).await,
        }
    }
}

impl Seed {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, role, new_repository, file } = self;
        let request = messages::SeedGuardRequest {
            repository: repository.to_string(),
            role: role.map(String::from).unwrap_or_default(),
            file: file.map(|file| input::read(&file)).transpose()?.unwrap_or_default().into(),
            new_repository,
        };
        let messages::SeedGuardResponse { version, caution } = session.client().await?.seed_guard(request).await?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "version": version, "caution": caution }))?;
            return Ok(DONE);
        }
        if new_repository {
            return output.line(&format!("seeded: no role of {repository} has released anything")).map(|()| DONE);
        }
        output.line(&format!("seeded at version {version}"))?;
        if !caution.is_empty() {
            output.note(&caution);
        }
        Ok(DONE)
    }
}

impl Show {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let mut guards = session.client().await?.status(messages::StatusRequest {}).await?.guards;
        if let Some(repository) = &self.repository {
            guards.retain(|guard| guard.repository == repository.as_str());
        }
        if output.is_json() {
            output.json(&json!({ "v": 1, "guards": guards.iter().map(json::guard).collect::<Vec<_>>() }))?;
        } else if guards.is_empty() {
            output.note("no guards");
        } else {
            status::print_guards(&guards, output)?;
        }
        Ok(DONE)
    }
}

impl Republish {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, role, version, epoch } = self;
        let request = messages::GetReleasedRequest {
            repository: repository.into(),
            role: role.into(),
            version: version.unwrap_or_default(),
            epoch: epoch.unwrap_or_default(),
        };
        let messages::GetReleasedResponse {
            file,
            version,
            digest,
            epoch,
            released,
            released_for,
            signatures,
            trusted_threshold_met,
            staged_threshold_met,
        } = session.client().await?.get_released(request).await?;
        if output.is_json() {
            let text = std::str::from_utf8(&file).map_err(|_| ClientError::Incomplete("file"))?;
            output.json(&json!({
                "v": 1,
                "file": text,
                "version": version,
                "digest": digest,
                "epoch": epoch,
                "released": released,
                "released_for": released_for,
                "signatures": signatures.iter().map(json::key_signature).collect::<Vec<_>>(),
                "trusted_threshold_met": trusted_threshold_met,
                "staged_threshold_met": staged_threshold_met,
            }))?;
            return Ok(DONE);
        }
        output.bytes(&file)?;
        output.note(&format!("version {version}, released at {released} for {released_for}"));
        for (root, met) in [("trusted", trusted_threshold_met), ("staged", staged_threshold_met)] {
            if met == Some(false) {
                output.note(&format!("its signatures do not meet the threshold of the {root} root"));
            }
        }
        Ok(DONE)
    }
}

impl Recover {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, role, goes_on_from, by_operators } = self;
        let request = messages::RecoverGuardRequest {
            repository: repository.into(),
            role: role.clone().into(),
            goes_on_from: goes_on_from.unwrap_or_default(),
            by_operators,
        };
        let messages::RecoverGuardResponse { epoch, goes_on_from, closed_at, barred } =
            session.client().await?.recover_guard(request).await?;
        if output.is_json() {
            output.json(&json!({
                "v": 1,
                "epoch": epoch,
                "goes_on_from": goes_on_from,
                "closed_at": closed_at,
                "barred": barred,
            }))?;
            return Ok(DONE);
        }
        output.line(&format!(
            "epoch {epoch} of {role} goes on from {goes_on_from}; the one before ended at {closed_at}"
        ))?;
        for key in barred {
            output.line(&format!("key {key} never signs for {role} again"))?;
        }
        Ok(DONE)
    }
}
