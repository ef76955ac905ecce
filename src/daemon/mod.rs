//! **The daemon**: arguments, wiring, listeners, shutdown, hardening, telemetry. No decision is made here.

mod administrator;
mod arguments;
mod check;
mod clock;
mod dev;
mod error;
mod file;
mod harden;
mod init;
mod listen;
mod log_signer;
mod machine;
mod observe;
mod open;
mod reload;
mod run;
mod telemetry;
mod tokens;

use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Command, ConfigCommand};
pub use self::error::DaemonError;
use crate::config::Configuration;

/// The program: reads its arguments, does one thing, and tells the shell how it ended.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's own text; help and version are no mistakes.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("sealwardd: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), DaemonError> {
    harden::harden();
    if arguments.dev {
        return dev::run(arguments.dir);
    }
    match (arguments.command, arguments.config) {
        (Some(Command::Init { config, origin, administrator }), _) => {
            init::from_file(&config, origin.as_deref(), administrator.as_deref())
        }
        (Some(Command::Recover { config }), _) => init::recover(&load(&config)?),
        (Some(Command::Config(ConfigCommand::Check { config, files, deny_warnings })), _) => {
            check::check(&config, files, deny_warnings)
        }
        (Some(Command::Man { directory }), _) => arguments::write_man_page(&directory),
        (None, Some(config)) => run::run(load(&config)?, &config, false),
        (None, None) => Err(DaemonError::Usage("name a configuration with --config FILE, or try --dev".to_owned())),
    }
}

fn load(path: &std::path::Path) -> Result<Configuration, DaemonError> {
    let configuration = crate::config::load(path)?;
    for warning in &configuration.warnings {
        say(&format!("warning: {warning}"));
    }
    Ok(configuration)
}

/// Talk for the person at the terminal, before and beside the log.
#[allow(clippy::print_stderr)] // the daemon's one place that talks outside its log
fn say(text: &str) {
    eprintln!("{text}");
}
