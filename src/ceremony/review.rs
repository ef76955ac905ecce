//! `sealward-ceremony review`: what a proposal changes, its digest, who has signed it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::domain::name::Sha256Digest;
use crate::domain::time::Instant;

use super::arguments::named;
use super::case::{Case, read_proposal};
use super::error::CeremonyError;
use super::output::Output;
use super::proposal::{Previous, Proposal};
use super::tally::Tally;
use super::{changes, rules};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony review proposal.json
  sealward-ceremony review proposal.json --previous 1.root.json alice.sig.json bob.sig.json")]
pub(super) struct Review {
    /// The proposal, and signatures that were made [default: proposal.json in --state]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The root before this one; repeat it, oldest first, to check a chain that leads there
    #[arg(long, value_name = "ROOT.json")]
    previous: Vec<PathBuf>,
}

impl Review {
    pub(super) fn run(self, state: Option<&Path>, now: Instant, output: &mut Output) -> Result<(), CeremonyError> {
        let Self { files, previous } = self;
        let mut files = files.into_iter();
        let path = named(files.next(), "FILE", state, "proposal.json")?;
        let proposal = read_proposal(&path)?;
        let case = if previous.is_empty() && proposal.manifest.previous.is_some() {
            Case { proposal, previous: None }
        } else {
            Case::of(proposal, &previous)?
        };
        let Case { proposal, previous } = &case;
        let tally = Tally::read(proposal, previous.as_ref(), &files.collect::<Vec<_>>())?;
        output.answer(&json(&case, &tally, now), &lines(&case, &tally, now))
    }
}

/// Everything that a holder must see before signing.
pub(super) fn lines(case: &Case, tally: &Tally, now: Instant) -> Vec<String> {
    let Case { proposal, previous } = case;
    let mut lines = vec![title(proposal)];
    lines.extend(changes(case).into_iter().map(|line| format!("  {line}")));
    lines.extend(all_warnings(case, now).into_iter().map(|warning| format!("  WARNING: {warning}")));
    lines.push("digest (SHA-256 of what is signed), to be read out aloud:".to_owned());
    lines.extend(digest_lines(&proposal.root.root().signed_digest).map(|line| format!("  {line}")));
    lines.push(if previous.is_some() || proposal.manifest.previous.is_none() {
        format!("signatures: {}", tally.counts())
    } else {
        format!("signatures: {}; give --previous to count those of the old root", tally.counts())
    });
    for (key, signer) in &proposal.manifest.signers {
        let roots = match (signer.old, signer.new) {
            (true, true) => "old and new root",
            (true, false) => "old root",
            _ => "new root",
        };
        let state = if tally.has(key) { "signed " } else { "missing" };
        lines.push(format!("  {state}  {} ({roots})", proposal.manifest.call(key)));
    }
    lines.extend(tally.refused.iter().map(|(path, why)| format!("  REFUSED  {}: {why}", path.display())));
    lines
}

/// The same for programs.
pub(super) fn json(case: &Case, tally: &Tally, now: Instant) -> Value {
    let Case { proposal, .. } = case;
    let root = proposal.root.root();
    let signer = |(key, signer): (&crate::domain::public_key::KeyId, &super::proposal::Signer)| {
        json!({
            "name": signer.name.as_ref().map(|name| name.as_str()),
            "key": key.to_string(),
            "key_id": signer.key_id,
            "old": signer.old,
            "new": signer.new,
            "signed": tally.has(key),
        })
    };
    json!({
        "v": 1,
        "version": root.version.get(),
        "expires": root.expires.to_string(),
        "signed_sha256": root.signed_digest.to_string(),
        "previous_sha256": proposal.manifest.previous.map(|previous| previous.signed_digest.to_string()),
        "changes": changes(case),
        "warnings": all_warnings(case, now),
        "signers": proposal.manifest.signers.iter().map(signer).collect::<Vec<_>>(),
        "signatures": tally.json(),
    })
}

/// The digest in groups of four digits, eight groups on a line.
pub(super) fn digest_lines(digest: &Sha256Digest) -> [String; 2] {
    let groups: Vec<String> = digest.as_bytes().chunks(2).map(hex::encode).collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    [first.join(" "), second.join(" ")]
}

fn title(proposal: &Proposal) -> String {
    let version = proposal.root.root().version;
    match proposal.manifest.previous {
        None => format!("proposed root {version}, the first"),
        Some(Previous { version: before, signed_digest, .. }) => {
            format!("proposed root {version}, after root {before} with digest {signed_digest}")
        }
    }
}

fn changes(case: &Case) -> Vec<String> {
    let Case { proposal, previous } = case;
    let mut lines = changes::lines(previous.as_ref(), &proposal.root);
    if previous.is_none() && proposal.manifest.previous.is_some() {
        // "first root" would be wrong.
        let expires = format!("expires {}", proposal.root.root().expires);
        lines.splice(..1, [expires]);
    }
    lines
}

fn all_warnings(case: &Case, now: Instant) -> Vec<String> {
    let Case { proposal, previous } = case;
    let mut warnings: Vec<String> =
        rules::check(&proposal.root, now).err().into_iter().map(|denial| denial.to_string()).collect();
    warnings.extend(rules::warnings(&proposal.root, now));
    if let Some(previous) = previous
        && previous.root().expires.seconds_since(now) <= 0
    {
        warnings
            .push(format!("the root before expired {}: clients that hold no other are stuck", previous.root().expires));
    }
    if previous.is_none() && proposal.manifest.previous.is_some() {
        warnings.push("without --previous all that it says is shown, and not what it changes".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root, signed_root};
    use crate::tuf::root::RootFile;

    const NOW: Instant = Instant::from_unix(1_800_000_000);

    fn case() -> Case {
        let [a, b, c, d] = TestKey::four();
        let first = RootFile::parse(&signed_root(1, 1, &[&a, &b], &d)).unwrap();
        let names = [(a.public().id(), "alice".parse().unwrap())];
        let proposal = Proposal::of(root(2, 2, &[&a, &c], &d), Some(&first), &names.into());
        Case { proposal, previous: Some(first) }
    }

    #[test]
    fn a_review_tells_the_difference_the_digest_and_who_is_missing() {
        let case = case();
        let tally = Tally::of(&case.proposal, case.previous.as_ref(), vec![]);
        let text = lines(&case, &tally, NOW).join("\n");
        for part in [
            "proposed root 2, after root 1 with digest ",
            "\n  root: threshold 1 -> 2\n",
            "\n  root: adds key ",
            "\n  WARNING: root needs all of its 2 keys",
            "\nsignatures: 0/2 valid, threshold 2 of the new root; 0/2 valid, threshold 1 of the old root\n",
            "\n  missing  alice (",
            " (old and new root)",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let digest = case.proposal.root.root().signed_digest;
        let groups = digest_lines(&digest).join(" ");
        assert_eq!((groups.len(), groups.replace(' ', "")), (79, digest.to_string()));
    }

    #[test]
    fn a_successor_without_its_predecessor_is_never_shown_as_a_first_root() {
        let case = Case { previous: None, ..case() };
        let tally = Tally::of(&case.proposal, None, vec![]);
        let text = lines(&case, &tally, NOW).join("\n");
        assert!(!text.contains("first root"), "{text}");
        assert!(text.contains("WARNING: without --previous"), "{text}");
    }

    #[test]
    fn a_root_that_nobody_should_sign_is_shown_with_its_fault() {
        let case = case();
        let tally = Tally::of(&case.proposal, case.previous.as_ref(), vec![]);
        let text = lines(&case, &tally, Instant::from_unix(3_000_000_000)).join("\n");
        assert!(text.contains("WARNING: expired: "), "{text}");
        assert!(text.contains("WARNING: the root before expired"), "{text}");
    }
}
