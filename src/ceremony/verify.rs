//! `sealward-ceremony verify`: a chain of roots.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::domain::time::Instant;
use crate::tuf::root::RootFile;

use super::case::read_chain;
use super::changes;
use super::error::CeremonyError;
use super::output::Output;
use super::rules::{self, TOP_LEVEL};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony verify 1.root.json
  sealward-ceremony verify 1.root.json 2.root.json 3.root.json")]
pub(super) struct Verify {
    /// Roots, oldest first; the first one is trusted as far as its digest was compared
    #[arg(value_name = "ROOT.json", required = true)]
    roots: Vec<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, now: Instant, output: &mut Output) -> Result<(), CeremonyError> {
        let roots = read_chain(&self.roots)?;
        let mut lines = Vec::new();
        let mut answer = Vec::new();
        let mut previous: Option<&RootFile> = None;
        for root in &roots {
            lines.extend(told(previous, root, now));
            answer.push(object(root, now));
            previous = Some(root);
        }
        lines.push(format!(
            "good: {} verified",
            if roots.len() == 1 { "root".to_owned() } else { format!("{} roots", roots.len()) }
        ));
        output.answer(&json!({ "v": 1, "roots": answer }), &lines)
    }
}

fn told(previous: Option<&RootFile>, root: &RootFile, now: Instant) -> Vec<String> {
    let read = root.root();
    let mut lines = vec![
        format!("root {}, expires {}", read.version, read.expires),
        format!("  file sha256   {}", read.file_digest),
        format!("  signed sha256 {}", read.signed_digest),
    ];
    // Version and expiry stand in the first line.
    let told = |line: &String| !line.starts_with("first root") && !line.starts_with("version ");
    let changes = changes::lines(previous, root).into_iter().filter(told);
    lines.extend(changes.map(|line| format!("  {line}")));
    lines.extend(warnings(root, now).into_iter().map(|warning| format!("  WARNING: {warning}")));
    lines
}

/// An expired root still verifies: clients pass through it, and a rescue must not wait.
fn warnings(root: &RootFile, now: Instant) -> Vec<String> {
    let denial = rules::check(root, now).err().map(|denial| denial.to_string());
    denial.into_iter().chain(rules::warnings(root, now)).collect()
}

fn object(root: &RootFile, now: Instant) -> Value {
    let read = root.root();
    let role = |role| {
        let keys = read.roles.get(role);
        json!({
            "threshold": keys.map(|keys| keys.threshold),
            "key_ids": keys.map(|keys| keys.keys.values().collect::<Vec<_>>()),
        })
    };
    let roles: serde_json::Map<_, _> = TOP_LEVEL.iter().map(|name| (name.as_str().to_owned(), role(name))).collect();
    json!({
        "version": read.version.get(),
        "expires": read.expires.to_string(),
        "expired": read.expires.seconds_since(now) <= 0,
        "signed_sha256": read.signed_digest.to_string(),
        "file_sha256": read.file_digest.to_string(),
        "roles": roles,
        "warnings": warnings(root, now),
    })
}
