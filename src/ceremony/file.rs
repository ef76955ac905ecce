//! Files: read within a bound, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::error::CeremonyError;

/// The largest file that is read, in bytes.
pub(super) const LARGEST: usize = crate::tuf::root::MAX_ROOT_BYTES;

/// The bytes of a file of at most [`LARGEST`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CeremonyError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| CeremonyError::input(path, error))?;
    if bytes.len() > LARGEST {
        return Err(CeremonyError::input(path, format!("larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}

/// Writes a file that is not there yet, durably. One that holds these very bytes is as good.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    match write(path, bytes, RenameFlags::NOREPLACE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if read(path).is_ok_and(|there| there == bytes) {
                return Ok(());
            }
            Err(failed(path, "exists with other content, and is not overwritten"))
        }
        other => other.map_err(|error| failed(path, error)),
    }
}

/// Writes a file in the place of what may be there, durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    write(path, bytes, RenameFlags::empty()).map_err(|error| failed(path, error))
}

fn failed(path: &Path, cause: impl ToString) -> CeremonyError {
    CeremonyError::Output { path: path.to_owned(), cause: cause.to_string() }
}

/// Under another name first, synced, then renamed: media are pulled out at any moment.
fn write(path: &Path, bytes: &[u8], flags: RenameFlags) -> io::Result<()> {
    let unfinished = unfinished(path)?;
    let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat_with(CWD, &unfinished, CWD, path, flags)?));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    File::open(parent(path))?.sync_all()
}

fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut unfinished = std::ffi::OsString::from(format!(".unfinished-{}-", std::process::id()));
    unfinished.push(name);
    Ok(parent(path).join(unfinished))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_absent_and_odd_inputs_are_refused() {
        for path in ["/dev/zero", "/nonexistent", "/"] {
            assert_eq!(read(Path::new(path)).unwrap_err().exit_code(), 66, "{path}");
        }
    }

    #[test]
    fn a_file_is_made_once_and_nothing_unfinished_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.json");
        write_new(&path, b"one").unwrap();
        write_new(&path, b"one").unwrap();
        assert_eq!(write_new(&path, b"two").unwrap_err().exit_code(), 74);
        assert_eq!(read(&path).unwrap(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(write_new(&directory.path().join("absent/root.json"), b"").unwrap_err().exit_code(), 74);
        assert_eq!(write_new(Path::new("/"), b"").unwrap_err().exit_code(), 74);
    }
}
