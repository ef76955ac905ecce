//! Files that decide who is who, read while the daemon serves: a pipe must not hold a reload up, a device not fill the
//! memory, and nobody whom the configuration is kept from may write one of them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The largest file in bytes: a revocation list of some hundred thousand certificates.
const LARGEST: u64 = 16 << 20;

/// The bytes of a regular file that not everybody may write. The checks are made on what was opened. The error names it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    bytes(path).map_err(|what| format!("{}: {what}", path.display()))
}

/// As [`read`], with an error for those who name the file themselves.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err("is no regular file".to_owned());
    }
    if metadata.mode() & 0o002 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(format!("everybody on this machine may write it (mode {mode:04o}); check it, then `chmod o-w` it"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("has more than {LARGEST} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_write_decides_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        for (mode, is_read) in [(0o644, true), (0o664, true), (0o646, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path);
            assert_eq!(read.is_ok(), is_read, "{mode:o}: {read:?}");
            assert!(is_read || read.unwrap_err().contains("everybody on this machine may write it"));
        }
    }

    #[test]
    fn pipes_devices_and_directories_are_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert!(read(path).unwrap_err().ends_with("is no regular file"), "{}", path.display());
        }
        let path = directory.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        assert_eq!(read(&path), Ok(b"bytes".to_vec()));
        assert!(read(&directory.path().join("none")).is_err());
    }
}
