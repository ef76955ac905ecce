//! **Operator commands** over the client: `sealward NOUN VERB`.
//!
//! Data goes to stdout, talk to stderr; with `--json` stdout holds one object with `"v": 1` (NDJSON where a command
//! streams), errors included. Nothing is ever coloured. Exit codes are those of `docs/exit-codes.md`. What comes from
//! the network is escaped before it reaches a terminal.

mod adapters;
mod approve;
mod arguments;
mod audit;
mod config;
mod digest;
mod error;
mod freeze;
mod guard;
mod input;
mod json;
mod key;
mod key_end;
mod latch;
mod man;
mod output;
mod reload;
mod root;
mod rotation;
mod session;
mod sign;
mod sign_batch;
mod status;
mod verify;
mod whoami;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Noun};
use error::CliError;
use output::Output;
use session::Session;

/// The exit code of success.
const DONE: u8 = 0;

/// Runs the program with its arguments, the program's name first, and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Looked for by hand, because an error of the command line itself is an object too.
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut output = Output::new(Box::new(io::stdout().lock()), json);
    let result = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => dispatch(arguments, &mut output),
        Err(error) if !error.use_stderr() => output.text(&error.to_string()).map(|()| DONE),
        Err(error) => Err(CliError::CommandLine(error)),
    };
    ExitCode::from(result.and_then(|code| output.flush().map(|()| code)).unwrap_or_else(|error| output.error(&error)))
}

fn dispatch(arguments: Arguments, output: &mut Output) -> Result<u8, CliError> {
    let Arguments { global, noun } = arguments;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let session = Session::new(global);
    runtime.block_on(async {
        match noun {
            Noun::Sign(command) => command.run(&session, output).await,
            Noun::SignBatch(command) => command.run(&session, output).await,
            Noun::Explain(command) => command.run(&session, output).await,
            Noun::Digest(command) => command.run(output),
            Noun::Verify(command) => command.run(output),
            Noun::Key(verb) => verb.run(&session, output).await,
            Noun::Root(verb) => verb.run(&session, output).await,
            Noun::Rotation(verb) => verb.run(&session, output).await,
            Noun::Guard(verb) => verb.run(&session, output).await,
            Noun::Config(verb) => verb.run(output),
            Noun::Approve(verb) => verb.run(&session, output).await,
            Noun::Audit(verb) => verb.run(&session, output).await,
            Noun::Freeze(command) => command.run(&session, output).await,
            Noun::Thaw(command) => command.run(&session, output).await,
            Noun::Latch(verb) => verb.run(&session, output).await,
            Noun::Whoami => whoami::run(&session, output).await,
            Noun::Status => status::run(&session, output).await,
            Noun::Reload => reload::run(&session, output).await,
            Noun::Man(pages) => pages.run(output),
        }
    })
}
