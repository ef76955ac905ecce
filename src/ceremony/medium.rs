//! A holder's or the coordinator's medium: one private directory.
//!
//! ```text
//! DIR/            mode 0700
//!   NAME.keys/    the private key, encrypted with age; never leaves the medium
//!   NAME.pub.json for the coordinator
//!   NAME.sig.json for the coordinator, and the memory of what was signed last
//! ```

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::error::{CeremonyError, Refusal};
use super::holder::HolderName;

/// A directory that was found to be ours alone.
#[derive(Debug)]
pub(super) struct Medium(PathBuf);

impl Medium {
    /// Opens a directory that is there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, CeremonyError> {
        let path = required(path)?;
        let metadata = fs::metadata(path).map_err(|error| CeremonyError::input(path, error))?;
        let refused = |why: &str| CeremonyError::refused(Refusal::Medium, format!("{}: {why}", path.display()));
        if !metadata.is_dir() {
            return Err(CeremonyError::input(path, "not a directory"));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(refused(&format!("owned by user {}", metadata.uid())));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(refused(&format!("its mode is {mode:04o}: others than its owner may use it")));
        }
        Ok(Self(path.to_owned()))
    }

    /// As [`Self::open`]; makes the directory, mode 0700, where there is none.
    pub(super) fn open_or_make(path: Option<&Path>) -> Result<Self, CeremonyError> {
        let path = required(path)?;
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(CeremonyError::Output { path: path.to_owned(), cause: error.to_string() })
            }
            _ => Self::open(Some(path)),
        }
    }

    /// The directory of a holder's private key.
    pub(super) fn keys(&self, name: &HolderName) -> PathBuf {
        self.0.join(format!("{name}.keys"))
    }

    /// The holder's public key, for the coordinator.
    pub(super) fn public_key(&self, name: &HolderName) -> PathBuf {
        self.0.join(format!("{name}.pub.json"))
    }

    /// The holder's newest signature, for the coordinator.
    pub(super) fn signature(&self, name: &HolderName) -> PathBuf {
        self.0.join(format!("{name}.sig.json"))
    }
}

fn required(path: Option<&Path>) -> Result<&Path, CeremonyError> {
    path.ok_or_else(|| CeremonyError::Usage("name the directory of your medium with --state DIR".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_medium_is_made_private_and_refused_when_others_may_use_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alice");
        assert_eq!(Medium::open(Some(&path)).unwrap_err().exit_code(), 66);
        Medium::open_or_make(Some(&path)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for mode in [0o750, 0o701, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Medium::open_or_make(Some(&path)).unwrap_err().exit_code(), 77, "{mode:o}");
        }
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(Medium::open_or_make(Some(&file)).unwrap_err().exit_code(), 66);
        assert_eq!(Medium::open_or_make(Some(&directory.path().join("a/b"))).unwrap_err().exit_code(), 74);
        assert_eq!(Medium::open(None).unwrap_err().exit_code(), 64);
    }
}
