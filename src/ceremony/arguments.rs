//! The command line as a whole; each verb's own arguments stand beside its code.

use std::path::{Path, PathBuf};

use clap::{Args, ColorChoice, Parser, Subcommand};

use super::error::CeremonyError;
use super::{keygen, man, merge, propose, review, sign, verify};

/// Make and sign TUF roots by several people, on machines without a network.
#[derive(Debug, Parser)]
#[command(name = "sealward-ceremony", version, color = ColorChoice::Never, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The directory of one holder or of the coordinator, mode 0700, on a medium of its own
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Print one JSON object with "v": 1 on stdout, errors included
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  sealward-ceremony keygen --state /media/alice --name alice
  sealward-ceremony review proposal.json --previous 1.root.json
  sealward-ceremony verify 1.root.json 2.root.json

Exit codes: 0 done, 64 usage, 66 unreadable input, 69 the key cannot be opened, 74 unwritable output, 77 refused;
docs/ceremony.md tells the whole course.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a holder's key on the holder's medium
    Keygen(keygen::Keygen),
    /// Write the first root, or the one that follows a root, unsigned
    Propose(propose::Propose),
    /// Show what a proposal changes, its digest, and who has signed it
    Review(review::Review),
    /// Sign a proposal with the key on this medium
    Sign(sign::Sign),
    /// Check the holders' signatures and write the signed root
    Merge(merge::Merge),
    /// Check a chain of roots
    Verify(verify::Verify),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::Man),
}

/// Which root a proposal follows.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Before {
    /// The root before this one; repeat it, oldest first, to check a chain that leads there
    #[arg(long, value_name = "ROOT.json")]
    pub(super) previous: Vec<PathBuf>,
    /// There is no root before this one
    #[arg(long)]
    pub(super) first: bool,
}

/// What opens a holder's key. Neither is a secret itself: those never stand on a command line.
#[derive(Debug, Args)]
pub(super) struct Opener {
    /// A file that holds the passphrase, mode 0600 [default: asked for at the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// An age identity to use instead of a passphrase, mode 0600
    #[arg(long, value_name = "FILE")]
    pub(super) identity: Option<PathBuf>,
}

/// A file that was named, or the one of that name in the state directory.
pub(super) fn named(
    file: Option<PathBuf>,
    flag: &str,
    state: Option<&Path>,
    default: &str,
) -> Result<PathBuf, CeremonyError> {
    match (file, state) {
        (Some(file), _) => Ok(file),
        (None, Some(state)) => Ok(state.join(default)),
        (None, None) => {
            Err(CeremonyError::Usage(format!("name a file with {flag}, or a directory for {default} with --state")))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_root_before_and_none_exclude_each_other_and_one_is_needed() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(drop);
        let sign = "c sign --state d --name n --proposal p";
        assert!(parse(&format!("{sign} --first")).is_ok());
        assert!(parse(&format!("{sign} --previous a --previous b")).is_ok());
        assert!(parse(&format!("{sign} --first --previous a")).is_err());
        assert!(parse(sign).is_err());
        assert!(parse("c keygen --state d --name n --passphrase-file a --identity b").is_err());
        assert!(parse("c keygen --state d --name ../n").is_err());
    }
}
