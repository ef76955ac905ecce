//! The command line as a whole; each noun's own arguments stand beside its code.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand};

use super::{approve, audit, config, digest, freeze, guard, key, latch, man, root, rotation, sign, sign_batch, verify};
use crate::client::Server;

/// Sign TUF metadata through a sealward daemon, and look after its keys, roots, guards and audit log.
#[derive(Debug, Parser)]
#[command(name = "sealward", version, color = ColorChoice::Never, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) noun: Noun,
}

const EXAMPLES: &str = "\
Examples:
  sealward status
  sealward key generate --repository acme/app --role timestamp --new-repository
  sealward sign --repository acme/app --role timestamp timestamp.json > signed.json
  sealward --server https://signer.example:7443 --ca ca.pem --cert me.pem --key me.key whoami
  sealward --server https://signer.example:7443 --ca ca.pem --token-file token whoami

Environment:
  SEALWARD_SERVER      the daemon, when --server is not given
  SEALWARD_TOKEN_FILE  a file with an OIDC token, for https without --cert
  SEALWARD_ID_TOKEN    the token itself, as GitLab's id_tokens hand it over
  In a GitHub Actions job with `id-token: write`, and in a pod with a token in /var/run/secrets/sealward/token, a token
  is picked up by itself; the first of these that is there counts.

Exit codes: 0 done, 64 usage, 66 unreadable input, 69 not reachable, 75 try again, 77 denied; docs/exit-codes.md has all.";

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The daemon: unix:PATH or https://HOST:PORT [default: $SEALWARD_SERVER, else unix:/run/sealward/sealward.sock]
    #[arg(long, global = true, value_name = "SERVER")]
    pub(super) server: Option<Server>,
    /// PEM authorities of the daemon's certificate, for https (before NOUN)
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// PEM certificate of this caller, for https (before NOUN)
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// PEM private key of --cert, readable by its owner alone (before NOUN)
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// A file with this caller's OIDC token, for https; read for each call (before NOUN) [default: $SEALWARD_TOKEN_FILE, else what CI hands out]
    #[arg(long, value_name = "FILE", conflicts_with = "cert")]
    pub(super) token_file: Option<PathBuf>,
    /// For whom a token is asked of GitHub Actions (before NOUN) [default: the server, https://HOST:PORT]
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) audience: Option<String>,
    /// Print one JSON object with "v": 1 on stdout, errors included; streams print one per line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How long a call may take, such as 30s, 500ms or 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    pub(super) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(super) enum Noun {
    /// Sign one piece of metadata and print the signed file
    #[command(after_help = sign::SIGN_EXAMPLES)]
    Sign(sign::Sign),
    /// Sign several pieces of metadata of one repository in one request
    #[command(after_help = sign_batch::EXAMPLES)]
    SignBatch(sign_batch::SignBatch),
    /// Show what `sign` would answer, without signing; exits as `sign` would
    #[command(after_help = sign::EXPLAIN_EXAMPLES)]
    Explain(sign::Explain),
    /// Print the digest that approvers compare: of what `sign` would send of a file, without a daemon
    #[command(after_help = digest::EXAMPLES)]
    Digest(digest::Digest),
    /// Verify published metadata under a root that you trust, without a daemon
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
    /// Make, list, show, rotate, retire and destroy keys
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::Key),
    /// Stage, publish, withdraw and show roots
    #[command(subcommand, after_help = root::EXAMPLES)]
    Root(root::Root),
    /// Show where a rotation stands, and what to type next
    #[command(subcommand, after_help = rotation::EXAMPLES)]
    Rotation(rotation::Rotation),
    /// Seed and show guards
    #[command(subcommand, after_help = guard::EXAMPLES)]
    Guard(guard::Guard),
    /// Read a configuration file: who may do what, without a daemon
    #[command(subcommand, after_help = config::EXAMPLES)]
    Config(config::Config),
    /// Judge what waits for people: payloads of attended roles, and acts of two operators
    #[command(subcommand, after_help = approve::EXAMPLES)]
    Approve(approve::Approve),
    /// Read the audit log
    #[command(subcommand, after_help = audit::EXAMPLES)]
    Audit(audit::Audit),
    /// Stop all that a scope covers, at once and through restarts
    #[command(after_help = freeze::FREEZE_EXAMPLES)]
    Freeze(freeze::Freeze),
    /// Undo a freeze
    #[command(after_help = freeze::THAW_EXAMPLES)]
    Thaw(freeze::Thaw),
    /// List and resolve latches
    #[command(subcommand, after_help = latch::EXAMPLES)]
    Latch(latch::Latch),
    /// Show how the daemon names you, and what you may do
    #[command(after_help = "Examples:\n  sealward whoami\n  sealward --json whoami | jq .identities")]
    Whoami,
    /// Show the daemon's health: latches, freezes, keystores, guards, warnings; exits 69 while it is latched
    #[command(after_help = "Examples:\n  sealward status\n  sealward --json status | jq '.guards[].seconds_to_expiry'")]
    Status,
    /// Let the daemon read its configuration anew: all of it, or nothing; exits 78 when it is refused
    #[command(after_help = "Examples:\n  sealward reload\n  sealward --json reload | jq -r '.problems[]'")]
    Reload,
    /// Write the manual pages
    #[command(hide = true, after_help = "Examples:\n  sealward man /usr/local/share/man/man1")]
    Man(man::Man),
}

const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || "write a number with ms, s or m, from 1ms to 60m".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let timeout = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    };
    timeout.filter(|timeout| !timeout.is_zero() && *timeout <= LONGEST_TIMEOUT).ok_or_else(wrong)
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
    fn timeouts_have_units_and_bounds() {
        for (text, millis) in [("500ms", 500), ("30", 30_000), ("30s", 30_000), ("60m", 3_600_000)] {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "0ms", "61m", "-1", "1h", "s", "1.5s", "99999999999999999999", "307445734561825861m"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }
}
