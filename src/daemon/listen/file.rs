//! Files that are read while the daemon serves: a pipe must not hold a reload up, nor a device fill the memory.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The largest file in bytes: a revocation list of some hundred thousand certificates.
const LARGEST: u64 = 16 << 20;

/// The bytes of a regular file. The error names it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| failed(&error))?;
    if !file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Err(failed(&"is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed(&format_args!("has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
