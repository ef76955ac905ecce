//! The operator's command line: everything is in [`sealward::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sealward::cli::run(std::env::args_os())
}
