//! Which files may be loaded or started: a module runs inside the worker with the PIN in hand.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::keystore::KeystoreError;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The worker's name beside the daemon's own program.
const WORKER: &str = "sealward-token";

/// The canonical path of a module that only root, or with `dev` the daemon's user, can have put there.
///
/// Symlinks are followed first (vendors install versioned ones), then the file and every directory above it are checked.
pub(super) fn module(path: &Path, dev: bool) -> Result<PathBuf, KeystoreError> {
    let advice = "Name the module by its absolute path, owned by root and writable by nobody else";
    let fault = |cause: String| KeystoreError::Path { path: path.to_owned(), cause, advice };
    if !path.is_absolute() {
        return Err(fault("a module is named by its absolute path".to_owned()));
    }
    let canonical = path.canonicalize().map_err(|error| fault(error.to_string()))?;
    if canonical.to_str().is_none() {
        return Err(fault("its path is not UTF-8".to_owned()));
    }
    let metadata = canonical.metadata().map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fault("not a regular file".to_owned()));
    }
    let own = rustix::process::geteuid().as_raw();
    for part in canonical.ancestors() {
        let metadata = part.symlink_metadata().map_err(|error| fault(error.to_string()))?;
        let owner = metadata.uid();
        if owner != 0 && !(dev && owner == own) {
            let whose = if dev { "root or the daemon's user" } else { "root" };
            return Err(fault(format!("{} is owned by user {owner}, not by {whose}", part.display())));
        }
        // In a sticky directory others add files but do not replace ours.
        let is_guarded = metadata.is_dir() && metadata.mode() & STICKY != 0;
        if metadata.mode() & GROUP_OR_OTHERS_WRITE != 0 && !is_guarded {
            let mode = metadata.mode() & 0o7777;
            return Err(fault(format!("{} has mode {mode:04o}: others than its owner may change it", part.display())));
        }
    }
    Ok(canonical)
}

/// The worker program: the configured one, or the one beside the daemon.
pub(super) fn worker(configured: Option<&Path>, dev: bool) -> Result<PathBuf, KeystoreError> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()
            .map_err(|error| KeystoreError::Internal { cause: format!("where is this program? {error}") })?
            .with_file_name(WORKER),
    };
    let advice = "Install sealward-token beside sealwardd, or name it by an absolute path in the configuration";
    let fault = |cause: String| KeystoreError::Path { path: path.clone(), cause, advice };
    if !path.is_absolute() {
        return Err(fault("the worker is named by its absolute path".to_owned()));
    }
    let metadata = path.metadata().map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
        return Err(fault("not a program".to_owned()));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(fault(format!("owned by user {owner}, neither root nor the daemon's user")));
    }
    // A developer's umask of 002 makes every build group-writable.
    let forbidden = if dev { OTHERS_WRITE } else { GROUP_OR_OTHERS_WRITE };
    if metadata.mode() & forbidden != 0 {
        return Err(fault(format!("its mode is {:04o}: others may change it", metadata.mode() & 0o7777)));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn file(world: &tempfile::TempDir, name: &str, mode: u32) -> PathBuf {
        let path = world.path().join(name);
        std::fs::write(&path, b"").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_module_that_others_could_have_put_there_is_refused() {
        let world = tempfile::tempdir().unwrap();
        assert!(module(&file(&world, "good.so", 0o644), true).is_ok());
        for mode in [0o664, 0o646, 0o666, 0o777] {
            assert!(module(&file(&world, "writable.so", mode), true).is_err(), "{mode:o}");
        }
        std::fs::create_dir(world.path().join("open")).unwrap();
        std::fs::set_permissions(world.path().join("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = module(&file(&world, "open/inside.so", 0o644), true).unwrap_err().to_string();
        assert!(error.contains("has mode 0777"), "{error}");
        let link = world.path().join("link.so");
        symlink(world.path().join("writable.so"), &link).unwrap();
        assert!(module(&link, true).is_err(), "what the link leads to counts");
        if rustix::process::geteuid().is_root() {
            let foreign = file(&world, "foreign.so", 0o644);
            chown(&foreign, Some(65534), None).unwrap();
            assert!(module(&foreign, true).unwrap_err().to_string().contains("owned by user 65534"));
        } else {
            assert!(module(&file(&world, "good.so", 0o644), false).is_err(), "ours, and this is no dev daemon");
        }
    }

    #[test]
    fn what_is_no_module_is_refused() {
        for path in ["libsofthsm2.so", "/absent/libsofthsm2.so", "/usr/lib", "/dev/null", ""] {
            assert!(module(Path::new(path), true).is_err(), "{path}");
        }
    }

    #[test]
    fn a_worker_is_a_program_that_others_cannot_change() {
        let world = tempfile::tempdir().unwrap();
        assert!(worker(Some(&file(&world, "w", 0o755)), false).is_ok());
        assert!(worker(Some(&file(&world, "w", 0o775)), false).is_err());
        assert!(worker(Some(&file(&world, "w", 0o775)), true).is_ok());
        assert!(worker(Some(&file(&world, "w", 0o777)), true).is_err());
        assert!(worker(Some(&file(&world, "w", 0o644)), true).is_err());
        assert!(worker(Some(Path::new("sealward-token")), true).is_err());
        assert!(worker(Some(world.path()), true).is_err());
    }
}
