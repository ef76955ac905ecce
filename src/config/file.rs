//! From a path to a text.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::error::{Code, ConfigError, ConfigErrors};
use super::report::position_in_bytes;

/// The largest file, in bytes: some ten thousand repositories.
const LARGEST: u64 = 1 << 20;

/// The text of the file. The checks are made on what was opened, not on what a path may mean a moment later.
pub(super) fn read(path: &Path, name: &str) -> Result<String, ConfigErrors> {
    let file = open(path, name)?;
    let unreadable = |error: std::io::Error| ConfigErrors::of_file(name, Code::Unreadable, error.to_string());
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a directory" } else { "no regular file" };
        let detail = format!("this is {kind}; name the configuration file itself");
        return Err(ConfigErrors::of_file(name, Code::NotAFile, detail));
    }
    if metadata.mode() & 0o002 != 0 {
        let detail = format!(
            "everybody on this machine may write the file (mode {:04o}), and so decide what is signed; check what it \
             says, then `chmod o-w` it",
            metadata.mode() & 0o7777
        );
        return Err(ConfigErrors::of_file(name, Code::WorldWritable, detail));
    }
    check_size(metadata.len(), name)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check_size(bytes.len() as u64, name)?;
    String::from_utf8(bytes).map_err(|error| {
        let position = position_in_bytes(error.as_bytes(), error.utf8_error().valid_up_to());
        let detail = "this byte is no UTF-8; a TOML file is UTF-8 text".to_owned();
        ConfigErrors::new(name, vec![ConfigError { code: Code::NotUtf8, position: Some(position), detail }])
    })
}

/// Refuses what is too large to be a configuration, before anything is allocated for it.
pub(super) fn check_size(bytes: u64, name: &str) -> Result<(), ConfigErrors> {
    if bytes <= LARGEST {
        return Ok(());
    }
    let detail = format!("the file has {bytes} bytes; a configuration has at most {LARGEST}");
    Err(ConfigErrors::of_file(name, Code::TooLarge, detail))
}

/// Without blocking: a pipe that nobody writes must not hang a start.
fn open(path: &Path, name: &str) -> Result<File, ConfigErrors> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let detail = "there is no such file; hsm-config/ has annotated examples to begin with";
            ConfigErrors::of_file(name, Code::Missing, detail)
        }
        _ => ConfigErrors::of_file(name, Code::Unreadable, format!("the file does not open: {error}")),
    })
}
