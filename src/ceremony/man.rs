//! Manual pages, from the same definition as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use serde_json::json;

use super::arguments::Arguments;
use super::error::CeremonyError;
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Where the pages go; it must exist
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(self, output: &mut Output) -> Result<(), CeremonyError> {
        let path = self.directory;
        clap_mangen::generate_to(Arguments::command(), &path)
            .map_err(|error| CeremonyError::Output { path: path.clone(), cause: error.to_string() })?;
        let shown = path.display().to_string();
        output.answer(&json!({ "v": 1, "directory": &shown }), std::slice::from_ref(&shown))
    }
}
