//! The process that owns one PKCS#11 token. The daemon starts it; see `sealward::keystore::worker`.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use sealward::keystore::worker;

fn main() -> ExitCode {
    let is_alone = std::env::args_os().len() <= 1;
    match worker::run(std::io::stdin().as_fd(), is_alone) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell when standard error is closed: the exit status says it.
            let _ = writeln!(std::io::stderr(), "sealward-token: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
