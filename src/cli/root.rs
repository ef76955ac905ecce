//! `sealward root`: stage, publish, withdraw, show.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, input, json, key};
use crate::client::{ClientError, messages};
use crate::domain::name::{RepositoryName, Sha256Digest};
use crate::domain::public_key::KeyId;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward root stage --repository acme/app 2.root.json
  sealward root show --repository acme/app";

#[derive(Debug, Subcommand)]
pub(super) enum Root {
    /// Hand over a root that is not yet out: from now on its keys sign, beside those of the trusted root
    #[command(after_help = "\
Examples:
  sealward root stage --repository acme/app 2.root.json
  sealward root stage --repository acme/app --pin \"$(sha256sum < 1.root.json | cut -c1-64)\" 1.root.json")]
    Stage(Handover),
    /// Record that a root is out: it becomes the trusted one
    #[command(after_help = "Examples:\n  sealward root publish --repository acme/app 2.root.json")]
    Publish(Handover),
    /// Take the staged root back: what it did to keys is undone
    #[command(after_help = "\
Examples:
  sealward root withdraw --repository acme/app
  sealward root withdraw --repository acme/app --digest \"$(sha256sum < 2.root.json | cut -c1-64)\"")]
    Withdraw(Withdraw),
    /// Show the trusted and the staged root, or print the file of one
    #[command(after_help = "\
Examples:
  sealward root show --repository acme/app
  sealward root show --repository acme/app --file trusted > root.json")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Handover {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// SHA-256 of the file, for a first root, from where you trust it
    #[arg(long, value_name = "SHA256")]
    pin: Option<Sha256Digest>,
    /// For a first root: an active key that it leaves behind; repeat for several
    #[arg(long, value_name = "KEY")]
    retire: Vec<KeyId>,
    /// The signed root; - is standard input
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Withdraw {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// Only if this is the SHA-256 of the staged root's file
    #[arg(long, value_name = "SHA256")]
    digest: Option<Sha256Digest>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// Print this root's file as it was handed over
    #[arg(long, value_enum, value_name = "WHICH")]
    file: Option<Which>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// The newest root that is known to be out
    Trusted,
    /// Its successor that is not yet out
    Staged,
}

impl Root {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Stage(Handover { repository, pin, retire, file }) => {
                let request = messages::StageRootRequest {
                    repository: repository.into(),
                    file: input::read(&file)?.into(),
                    pin: pin.map(String::from).unwrap_or_default(),
                    retire: retire.iter().map(KeyId::to_string).collect(),
                };
                let messages::StageRootResponse { state, changed } =
                    session.client().await?.stage_root(request).await?;
                print_change(state, changed, "this root was staged or trusted already", output)
            }
            Self::Publish(Handover { repository, pin, retire, file }) => {
                let request = messages::PublishRootRequest {
                    repository: repository.into(),
                    file: input::read(&file)?.into(),
                    pin: pin.map(String::from).unwrap_or_default(),
                    retire: retire.iter().map(KeyId::to_string).collect(),
                };
                let messages::PublishRootResponse { state, changed } =
                    session.client().await?.publish_root(request).await?;
                print_change(state, changed, "this root was trusted already", output)
            }
            Self::Withdraw(Withdraw { repository, digest }) => {
                let digest = digest.map(String::from).unwrap_or_default();
                let request = messages::WithdrawRootRequest { repository: repository.into(), digest };
                let messages::WithdrawRootResponse { state, changed } =
                    session.client().await?.withdraw_root(request).await?;
                print_change(state, changed, "no root is staged", output)
            }
            Self::Show(verb) => verb.run(session, output).await,
        }
    }
}

impl Show {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, file } = self;
        let request = messages::GetRootRequest { repository: repository.clone().into() };
        let messages::GetRootResponse { state, trusted_file, staged_file } =
            session.client().await?.get_root(request).await?;
        let state = state.ok_or(ClientError::Incomplete("root state"))?;
        if output.is_json() {
            let text = |file: &[u8]| (!file.is_empty()).then(|| String::from_utf8_lossy(file).into_owned());
            output.json(&json!({
                "v": 1,
                "state": json::root_state(&state),
                "trusted_file": text(&trusted_file),
                "staged_file": text(&staged_file),
            }))?;
            return Ok(DONE);
        }
        match file {
            None => print_state(&state, output)?,
            Some(which) => {
                let file = match which {
                    Which::Trusted => trusted_file,
                    Which::Staged => staged_file,
                };
                if file.is_empty() {
                    return Err(CliError::Usage(format!("{repository} has no such root")));
                }
                output.bytes(&file)?;
            }
        }
        Ok(DONE)
    }
}

fn print_change(
    state: Option<messages::RootState>,
    changed: bool,
    unchanged: &str,
    output: &mut Output,
) -> Result<u8, CliError> {
    let state = state.ok_or(ClientError::Incomplete("root state"))?;
    if output.is_json() {
        output.json(&json!({ "v": 1, "changed": changed, "state": json::root_state(&state) }))?;
        return Ok(DONE);
    }
    if !changed {
        output.note(unchanged);
    }
    print_state(&state, output)?;
    Ok(DONE)
}

fn print_state(state: &messages::RootState, output: &mut Output) -> Result<(), CliError> {
    let messages::RootState { repository, trusted, staged, keys } = state;
    output.line(&format!("repository  {repository}"))?;
    for (name, root) in [("trusted", trusted), ("staged", staged)] {
        match root {
            None => output.line(&format!("{name:<11} -"))?,
            Some(root) => {
                let past = if root.expired { ", expired" } else { "" };
                output.line(&format!(
                    "{name:<11} version {}, expires {}{past}, sha256 {}",
                    root.version, root.expires, root.digest
                ))?;
                for role in &root.roles {
                    let ids = role.tuf_key_ids.join(" ");
                    output.line(&format!("  {:<9} threshold {} of {ids}", role.role, role.threshold))?;
                }
            }
        }
    }
    key::print_table(keys, output)
}
