//! Manual pages, from the same definition as `--help`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use serde_json::json;

use super::DONE;
use super::arguments::Arguments;
use super::error::CliError;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where the pages go; made when absent
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(self, output: &mut Output) -> Result<u8, CliError> {
        let Self { directory } = self;
        let failed = |source| CliError::File { path: directory.display().to_string(), source };
        fs::create_dir_all(&directory).map_err(failed)?;
        clap_mangen::generate_to(Arguments::command(), &directory).map_err(failed)?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "directory": directory.display().to_string() }))?;
        }
        Ok(DONE)
    }
}
