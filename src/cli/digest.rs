//! `sealward digest`: what an approver compares, from a file as `sign` reads it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::DONE;
use super::adapters::Payload;
use super::error::CliError;
use super::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward digest targets.json
  sealward approve accept 5f2b4c0e9d8a7b6c5d4e3f2a1b0c9d8e --digest \"$(sealward digest targets.json)\"";

#[derive(Debug, Args)]
pub(super) struct Digest {
    /// What `sign` takes: metadata with or without signatures, or the canonical bytes of `signed`; - is standard input
    file: PathBuf,
}

impl Digest {
    pub(super) fn run(self, output: &mut Output) -> Result<u8, CliError> {
        let payload = Payload::read(&self.file)?;
        let digest = payload.digest().to_string();
        if output.is_json() {
            output.json(&json!({ "v": 1, "digest": digest, "bytes": payload.signed.len() }))?;
        } else {
            output.line(&digest)?;
        }
        Ok(DONE)
    }
}
