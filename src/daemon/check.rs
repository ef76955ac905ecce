//! `sealwardd config check`: what a start would say of a configuration, as far as one can without being that daemon.

use std::path::Path;

use super::{DaemonError, file, listen, load, say};
use crate::config::Configuration;
use crate::config::settings::ListenerKind;
use crate::oidc::Bearers;

pub(super) fn check(path: &Path, files: bool, deny_warnings: bool) -> Result<(), DaemonError> {
    let configuration = load(path)?;
    for note in configuration.threshold_notes() {
        say(&format!("note: {note}"));
    }
    if files {
        let unfit = unfit_files(&configuration);
        if !unfit.is_empty() {
            return Err(DaemonError::UnfitFiles(unfit.join("\n")));
        }
    }
    let count = configuration.warnings.len();
    let opened =
        if files { "the text and the files of listeners and token providers are good" } else { "the text is good" };
    let rest = if files {
        "secrets, devices and directories were not opened"
    } else {
        "files and devices that it names were not opened (--files opens what is neither secret nor a device)"
    };
    say(&format!("{}: {opened}, {count} warnings; {rest}", path.display()));
    if deny_warnings && count > 0 { Err(DaemonError::Warnings(count)) } else { Ok(()) }
}

/// What is wrong with files that hold no secret, a sentence each. Read as a start reads them.
fn unfit_files(configuration: &Configuration) -> Vec<String> {
    let mut unfit = Vec::new();
    for listener in &configuration.listeners {
        if let ListenerKind::Tcp(tcp) = &listener.kind {
            unfit
                .extend(listen::unfit_files(tcp).into_iter().map(|what| format!("listener {}: {what}", listener.name)));
        }
    }
    for provider in &configuration.oidc {
        unfit.extend(
            Bearers::prepare(std::slice::from_ref(provider), &file::bytes).err().map(|error| error.to_string()),
        );
    }
    unfit
}
