//! `sealward-ceremony merge`: the signed root, once both thresholds are met.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::domain::name::Sha256Digest;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;
use crate::tuf::envelope::assemble;

use super::arguments::{Before, named};
use super::case::Case;
use super::error::CeremonyError;
use super::output::Output;
use super::tally::Tally;
use super::{file, rules};

/// How the name of a root ends that is not signed by enough holders.
const PARTIAL: &str = ".partial.json";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony merge --proposal proposal.json --first alice.sig.json bob.sig.json --out 1.root.json
  sealward-ceremony merge --proposal proposal.json --previous 1.root.json *.sig.json --out 2.root.json")]
pub(super) struct Merge {
    /// The proposal [default: proposal.json in --state]
    #[arg(long, value_name = "FILE")]
    proposal: Option<PathBuf>,
    #[command(flatten)]
    before: Before,
    /// The holders' signatures
    #[arg(value_name = "SIG.json", required = true)]
    signatures: Vec<PathBuf>,
    /// Where the signed root goes [default: N.root.json in --state]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write what there is below the thresholds too, into a file whose name ends with .partial.json
    #[arg(long)]
    partial: bool,
}

impl Merge {
    pub(super) fn run(self, state: Option<&Path>, now: Instant, output: &mut Output) -> Result<(), CeremonyError> {
        let Self { proposal, before, signatures, out, partial } = self;
        let case = Case::read(&named(proposal, "--proposal", state, "proposal.json")?, &before)?;
        let Case { proposal, previous } = &case;
        let version = proposal.root.root().version;
        let suffix = if partial { PARTIAL } else { ".json" };
        let out = named(out, "--out", state, &format!("{version}.root{suffix}"))?;
        if partial != out.to_string_lossy().ends_with(PARTIAL) {
            return Err(CeremonyError::Usage(format!(
                "--partial and a file name that ends with {PARTIAL} go together"
            )));
        }
        rules::check(&proposal.root, now)?;
        let tally = Tally::read(proposal, previous.as_ref(), &signatures)?;
        for (path, why) in &tally.refused {
            output.note(&format!("refused: {}: {why}", path.display()));
        }
        let missing = tally.missing(proposal);
        if !tally.is_met() && !partial {
            let detail = format!("{}; missing: {}", tally.counts(), missing.join(", "));
            return Err(Denial::new(Reason::RootUnverified, detail).into());
        }
        let root = assemble(&tally.envelope.signed, &tally.envelope.signatures)?;
        file::write_new(&out, &root)?;
        let digest = Sha256Digest::of(&root);
        let path = out.display().to_string();
        let answer = json!({
            "v": 1,
            "version": version.get(),
            "file": path,
            "file_sha256": digest.to_string(),
            "complete": tally.is_met(),
            "signatures": tally.json(),
            "missing": missing,
        });
        output.answer(&answer, &[tally.counts(), format!("{path}  sha256 {digest}")])
    }
}
