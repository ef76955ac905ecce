//! `sealward latch`: what is latched, and the act that resolves it.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::messages;
use crate::domain::name::{KeystoreName, RepositoryName, Sha256Digest};
use crate::domain::outcome::Reason;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward latch list
  sealward latch resolve clock
  sealward latch resolve clone
  sealward latch resolve root-fork --repository acme/app --keep 9a3e...07";

#[derive(Debug, Subcommand)]
pub(super) enum Latch {
    /// List the latches in force, with what resolves each; exits 69 when there are any
    #[command(after_help = "Examples:\n  sealward latch list\n  sealward --json latch list | jq -r '.latches[].name'")]
    List,
    /// Say that the cause of a latch is gone
    Resolve(Resolve),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward latch resolve clock
  sealward latch resolve root-fork --repository acme/app --keep 9a3e...07
  sealward latch resolve offline-key --keystore hsm")]
pub(super) struct Resolve {
    /// Which latch
    #[arg(value_enum)]
    name: Name,
    /// For root-fork: the repository
    #[arg(long, value_name = "REPOSITORY", required_if_eq("name", "root-fork"))]
    repository: Option<RepositoryName>,
    /// For root-fork: SHA-256 of the file of the trusted root, which stays
    #[arg(long, value_name = "DIGEST", required_if_eq("name", "root-fork"))]
    keep: Option<Sha256Digest>,
    /// For offline-key: the keystore
    #[arg(long, value_name = "KEYSTORE", required_if_eq("name", "offline-key"))]
    keystore: Option<KeystoreName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// The clock is right now
    Clock,
    /// This machine is the ledger's home from now on
    Clone,
    /// The trusted root stays
    RootFork,
    /// The offline key is out of reach
    OfflineKey,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Clone => "clone",
            Self::RootFork => "root-fork",
            Self::OfflineKey => "offline-key",
        }
    }
}

impl Latch {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::List => {
                let status = session.client().await?.status(messages::StatusRequest {}).await?;
                print(&status.latches, output)
            }
            Self::Resolve(verb) => verb.run(session, output).await,
        }
    }
}

impl Resolve {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { name, repository, keep, keystore } = self;
        let request = messages::ResolveLatchRequest {
            name: name.text().to_owned(),
            repository: repository.map(String::from).unwrap_or_default(),
            keep: keep.map(|digest| digest.to_string()).unwrap_or_default(),
            keystore: keystore.map(|name| name.to_string()).unwrap_or_default(),
        };
        let messages::ResolveLatchResponse { latches } = session.client().await?.resolve_latch(request).await?;
        if !output.is_json() {
            output.note(&format!("{} is resolved", name.text()));
        }
        print(&latches, output)?;
        Ok(DONE)
    }
}

fn print(latches: &[messages::Latch], output: &mut Output) -> Result<u8, CliError> {
    let code = if latches.is_empty() { DONE } else { Reason::Latched.exit_code() };
    if output.is_json() {
        let latches: Vec<_> = latches.iter().map(json::latch).collect();
        return output.json(&json!({ "v": 1, "latches": latches })).map(|()| code);
    }
    for latch in latches {
        output.line(&format!("LATCHED {} ({}): {}", latch.name, latch.scope, latch.cause))?;
        output.line(&format!("  resolve: {}", latch.resolve))?;
    }
    if latches.is_empty() {
        output.line("nothing is latched")?;
    }
    Ok(code)
}
