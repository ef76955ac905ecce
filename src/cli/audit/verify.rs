//! `sealward audit verify`: an export, without a daemon, a ledger or a network.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::parse_key;
use crate::audit::note::VerifierKey;
use crate::audit::verify::{Report, VerifyError, verify_export};
use crate::cli::DONE;
use crate::cli::error::CliError;
use crate::cli::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward audit verify --verifier-key \"$(cat log.vkey)\" log-2026")]
pub(in crate::cli) struct Verify {
    /// The log's key, NAME+HEX+BASE64, from somewhere else than the export itself
    #[arg(long, alias = "key", value_name = "KEY", value_parser = parse_key)]
    verifier_key: VerifierKey,
    /// The directory that `audit export` wrote
    directory: PathBuf,
}

impl Verify {
    pub(super) fn run(self, output: &mut Output) -> Result<u8, CliError> {
        let Self { verifier_key, directory } = self;
        let report = verify_export(&directory, &verifier_key)?;
        if output.is_json() { print_json(&report, output) } else { print_text(&report, output) }?;
        Ok(DONE)
    }
}

fn print_json(report: &Report, output: &mut Output) -> Result<(), CliError> {
    let counts: Vec<_> = report
        .counts
        .iter()
        .map(|((event, outcome), count)| json!({ "event": event, "outcome": outcome, "count": count }))
        .collect();
    output.json(&json!({
        "v": 1,
        "origin": report.origin,
        "size": report.size,
        "root": hex::encode(report.root),
        "first": report.first.map(|time| time.to_string()),
        "last": report.last.map(|time| time.to_string()),
        "counts": counts,
        "notes": report.notes,
    }))
}

fn print_text(report: &Report, output: &mut Output) -> Result<(), CliError> {
    output.line(&format!("verified: {} leaves of {}", report.size, report.origin))?;
    output.line(&format!("root      {}", hex::encode(report.root)))?;
    if let (Some(first), Some(last)) = (report.first, report.last) {
        output.line(&format!("from      {first} to {last}"))?;
    }
    let rows: Vec<_> = report
        .counts
        .iter()
        .map(|((event, outcome), count)| [(*event).to_owned(), (*outcome).to_owned(), count.to_string()])
        .collect();
    output.table(["EVENT", "OUTCOME", "LEAVES"], &rows)?;
    report.notes.iter().for_each(|note| output.note(note));
    Ok(())
}

impl From<VerifyError> for CliError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Io { path, source } => Self::Input { path: path.display().to_string(), source },
            error @ (VerifyError::LiveDatabase { .. } | VerifyError::NotAnExport { .. }) => {
                Self::Usage(error.to_string())
            }
            error => Self::integrity(&error),
        }
    }
}
