//! **The offline root**: `sealward-ceremony VERB`, on a machine without a network.
//!
//! A coordinator proposes a root, each holder reviews it and signs it on a medium of their own, the coordinator merges
//! the signatures. Only files travel, and none of them is secret. A signature needs the holder's passphrase, the digest
//! that was read out aloud, and a permit of the law. Nothing here opens a socket.
//!
//! Data goes to stdout, talk to stderr; with `--json` stdout holds one object with `"v": 1`, errors included.

mod arguments;
mod build;
mod case;
mod changes;
mod error;
mod file;
mod harden;
mod holder;
mod keygen;
mod man;
mod medium;
mod members;
mod merge;
mod output;
mod passphrase;
mod proposal;
mod propose;
mod public_key;
mod review;
mod rules;
mod sign;
mod signature;
mod tally;
#[cfg(test)]
mod testing;
mod verify;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;

use crate::domain::time::Instant;
use arguments::{Arguments, Verb};
pub use error::{CeremonyError, Refusal};
use output::Output;

/// The program: takes the process's arguments, does one thing, and tells the shell how it ended.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the program with its arguments, the program's name first.
fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Looked for by hand, because an error of the command line itself is an object too.
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut output = Output::new(Box::new(io::stdout().lock()), Box::new(io::stderr()), json);
    harden::harden(&mut output);
    let result = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => dispatch(arguments, &mut output),
        Err(error) if !error.use_stderr() => output.text(&error.to_string()),
        Err(error) => Err(CeremonyError::CommandLine(error)),
    };
    ExitCode::from(result.and_then(|()| output.flush()).map_or_else(|error| output.error(&error), |()| 0))
}

fn dispatch(arguments: Arguments, output: &mut Output) -> Result<(), CeremonyError> {
    let Arguments { state, json: _, verb } = arguments;
    let (state, now) = (state.as_deref(), now());
    match verb {
        Verb::Keygen(verb) => verb.run(state, output),
        Verb::Propose(verb) => verb.run(state, now, output),
        Verb::Review(verb) => verb.run(state, now, output),
        Verb::Sign(verb) => verb.run(state, now, output),
        Verb::Merge(verb) => verb.run(state, now, output),
        Verb::Verify(verb) => verb.run(now, output),
        Verb::Man(verb) => verb.run(output),
    }
}

/// The one look at this machine's clock.
fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}
