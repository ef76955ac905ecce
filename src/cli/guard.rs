//! `sealward guard`: seed, show.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, input, json, status};
use crate::client::messages;
use crate::domain::name::{RepositoryName, Role};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward guard seed --repository acme/app --role timestamp timestamp.json
  sealward guard show --repository acme/app";

#[derive(Debug, Subcommand)]
pub(super) enum Guard {
    /// Begin a role's guard at published metadata that verifies under the trusted root
    Seed(Seed),
    /// Show what was released, per role
    Show(Show),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward guard seed --repository acme/app --role snapshot 41.snapshot.json")]
pub(super) struct Seed {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The newest published, signed metadata of the role; - is standard input
    file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward guard show\n  sealward --json guard show --repository acme/app")]
pub(super) struct Show {
    /// Only this repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<RepositoryName>,
}

impl Guard {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Seed(verb) => verb.run(session, output).await,
            Self::Show(verb) => verb.run(session, output).await,
        }
    }
}

impl Seed {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, role, file } = self;
        let file = input::read(&file)?.into();
        let request = messages::SeedGuardRequest { repository: repository.into(), role: role.into(), file };
        let messages::SeedGuardResponse { version, caution } = session.client().await?.seed_guard(request).await?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "version": version, "caution": caution }))?;
            return Ok(DONE);
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
