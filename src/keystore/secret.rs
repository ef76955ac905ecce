//! Reading PINs, passphrases and identities from where the configuration says they are.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::KeystoreError;
use super::settings::SecretSource;

/// The largest secret, in bytes.
pub const LARGEST_SECRET: usize = 64 << 10;

/// Reads secrets. The daemon hands in where systemd put its credentials; nothing here reads the environment.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    credentials_directory: Option<PathBuf>,
}

impl Secrets {
    /// With the value of `$CREDENTIALS_DIRECTORY`, where there is one.
    pub fn new(credentials_directory: Option<PathBuf>) -> Self {
        Self { credentials_directory }
    }

    /// Reads a secret: UTF-8 text, without one trailing line end.
    ///
    /// The file is regular, at most 64 KiB, owned by us or root, and not accessible to group or others; a credential may
    /// be readable by a group, because systemd grants access by an ACL, whose mask shows as the group's bits.
    pub fn read(&self, source: &SecretSource) -> Result<SecretString, KeystoreError> {
        self.read_or_advise(source, "Write the secret there, into a file of the daemon's user, mode 0600")
    }

    /// As [`Secrets::read`], with what to do where there is no such file.
    pub(super) fn read_or_advise(
        &self,
        source: &SecretSource,
        if_missing: &'static str,
    ) -> Result<SecretString, KeystoreError> {
        match source {
            SecretSource::File(path) => read_file(path, 0o077, if_missing),
            SecretSource::Credential(name) => read_file(&self.credential(name)?, 0o037, if_missing),
        }
    }

    fn credential(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        let what = || format!("credential `{name}`");
        let mut parts = Path::new(name).components();
        let (Some(std::path::Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            let cause = "a credential's name is one file name".into();
            return Err(KeystoreError::Secret { what: what(), cause, advice: "Correct the name in the configuration" });
        };
        match &self.credentials_directory {
            Some(directory) => Ok(directory.join(name)),
            None => Err(KeystoreError::Secret {
                what: what(),
                cause: "there are no credentials: $CREDENTIALS_DIRECTORY is not set".into(),
                advice: "Start the daemon from a systemd unit with LoadCredential=, or name a file instead",
            }),
        }
    }
}

fn read_file(path: &Path, forbidden_bits: u32, if_missing: &'static str) -> Result<SecretString, KeystoreError> {
    let fault = |cause: String, advice| KeystoreError::Secret { what: path.display().to_string(), cause, advice };
    // Without NONBLOCK a FIFO in this place would hang the start for ever.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        File::options().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path).map_err(
            |error| match error.kind() {
                ErrorKind::NotFound => fault("there is no such file".into(), if_missing),
                ErrorKind::PermissionDenied => fault(kept_out(path), "chown it to the daemon's user"),
                _ => fault(error.to_string(), "Check the file system"),
            },
        )?;
    let stat = rustix::fs::fstat(&file).map_err(|error| fault(error.to_string(), "Check the file system"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(fault("not a regular file".into(), "Name a regular file"));
    }
    let owner = stat.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(fault(format!("owned by user {owner}"), "chown it to the daemon's user or root"));
    }
    if stat.st_mode & forbidden_bits != 0 {
        let cause = format!("its mode is {:04o}: others than its owner may use it", stat.st_mode & 0o7777);
        return Err(fault(cause, "chmod it to 0600; if others could read it, change the secret too"));
    }
    let too_large = || fault(format!("larger than {LARGEST_SECRET} bytes"), "Name the file that holds only the secret");
    // Allocated once: a growing vector would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST_SECRET + 1));
    let limit = u64::try_from(LARGEST_SECRET + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| fault(error.to_string(), "Check the file system"))?;
    if bytes.len() > LARGEST_SECRET {
        return Err(too_large());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| fault("not UTF-8 text".into(), "Write the secret as text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(fault("empty".into(), "Write the secret into it"));
    }
    Ok(SecretString::from(text))
}

/// What keeps us from a path: the first thing on it that we can see lets us no further.
pub(super) fn kept_out(path: &Path) -> String {
    let us = rustix::process::geteuid().as_raw();
    match path.ancestors().find_map(|at| Some((at, std::fs::metadata(at).ok()?))) {
        Some((at, metadata)) => format!(
            "{} belongs to uid {}, mode {:04o}, and the daemon runs as uid {us}",
            if at == path { "it".to_owned() } else { at.display().to_string() },
            metadata.uid(),
            metadata.mode() & 0o7777
        ),
        None => format!("uid {us} may not open it"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn written(directory: &tempfile::TempDir, content: &[u8], mode: u32) -> SecretSource {
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        SecretSource::File(path)
    }

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        for (content, secret) in [("1234\n", "1234"), ("1234\r\n", "1234"), ("12 34\n\n", "12 34\n"), ("1", "1")] {
            let read = Secrets::default().read(&written(&directory, content.as_bytes(), 0o600)).unwrap();
            assert_eq!(read.expose_secret(), secret);
        }
    }

    #[test]
    fn a_secret_that_others_may_use_is_refused_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            let error = Secrets::default().read(&written(&directory, b"hunter2", mode)).unwrap_err().to_string();
            assert!(error.contains("chmod it to 0600") && !error.contains("hunter2"), "{error}");
        }
        let secrets = Secrets::new(Some(directory.path().into()));
        written(&directory, b"hunter2", 0o440);
        assert!(secrets.read(&SecretSource::Credential("secret".into())).is_ok(), "an ACL's mask");
        written(&directory, b"hunter2", 0o444);
        assert!(secrets.read(&SecretSource::Credential("secret".into())).is_err());
    }

    #[test]
    fn what_is_no_secret_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::default();
        let large = vec![b'x'; LARGEST_SECRET + 1];
        for (content, fault) in [(&b""[..], "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (&large, "larger")] {
            let error = secrets.read(&written(&directory, content, 0o600)).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
        let fifo = directory.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&fifo).status().unwrap().success());
        for path in [fifo, directory.path().into(), directory.path().join("absent")] {
            assert!(secrets.read(&SecretSource::File(path)).is_err());
        }
        assert!(secrets.read(&SecretSource::File("/dev/zero".into())).is_err());
    }

    #[test]
    fn a_credential_is_one_name_in_the_directory_of_credentials() {
        let directory = tempfile::tempdir().unwrap();
        written(&directory, b"pin", 0o600);
        let secrets = Secrets::new(Some(directory.path().into()));
        assert_eq!(secrets.read(&SecretSource::Credential("secret".into())).unwrap().expose_secret(), "pin");
        for name in ["../secret", "/etc/passwd", "", ".", "a/b"] {
            assert!(secrets.read(&SecretSource::Credential(name.into())).is_err(), "{name}");
        }
        let error = Secrets::default().read(&SecretSource::Credential("secret".into())).unwrap_err();
        assert!(error.to_string().contains("LoadCredential="), "{error}");
    }
}
