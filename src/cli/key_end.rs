//! `sealward key retire` and `sealward key destroy`.

use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::key::print_key_fields;
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::{ClientError, messages};
use crate::domain::public_key::KeyId;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key retire 1f0c...9a

A key that a root lists is retired by publishing a root without it: see `sealward rotation show`. One that a delegating role
lists is retired after its next metadata left it out.")]
pub(super) struct Retire {
    /// The key: 64 hexadecimal digits, as `key list` shows them
    key: KeyId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key destroy 1f0c...9a
  sealward key destroy 1f0c...9a --cancel

The key is kept until destroy_delay after it was retired; until then it can be cancelled. What is destroyed is gone.")]
pub(super) struct Destroy {
    /// The key: 64 hexadecimal digits, as `key list` shows them
    key: KeyId,
    /// Take the destruction back, as long as it has not begun
    #[arg(long)]
    cancel: bool,
}

impl Retire {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let request = messages::RetireRequest { key: self.key.to_string() };
        let messages::RetireResponse { key, changed } = session.client().await?.retire(request).await?;
        print(key, changed, "this key was retired already", output)
    }
}

impl Destroy {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let key = self.key.to_string();
        let client = session.client().await?;
        if self.cancel {
            let request = messages::CancelDestroyRequest { key };
            let messages::CancelDestroyResponse { key } = client.cancel_destroy(request).await?;
            return print(key, true, "", output);
        }
        let messages::DestroyResponse { key, changed } = client.destroy(messages::DestroyRequest { key }).await?;
        print(key, changed, "this was asked for already", output)
    }
}

fn print(key: Option<messages::Key>, changed: bool, unchanged: &str, output: &mut Output) -> Result<u8, CliError> {
    let key = key.ok_or(ClientError::Incomplete("key"))?;
    if output.is_json() {
        output.json(&json!({ "v": 1, "changed": changed, "key": json::key(&key) }))?;
        return Ok(DONE);
    }
    if !changed {
        output.note(unchanged);
    }
    print_key_fields(&key, output)?;
    Ok(DONE)
}
