//! Certificates of both sides, from files.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use super::ClientError;

/// The PEM files of a TLS connection. A unix socket needs none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that may sign the daemon's certificate. There is no default: the web's authorities have no say
    /// in who is a signing daemon.
    pub ca: Option<PathBuf>,
    /// This caller's certificate, with intermediates after it.
    pub certificate: Option<PathBuf>,
    /// Its private key; others must not be able to read it.
    pub key: Option<PathBuf>,
}

/// More than any chain of certificates has.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Group may read (as `ssl-cert` and mounted secrets have it); nobody else may do anything.
const FORBIDDEN_KEY_MODE: u32 = 0o037;

impl TlsFiles {
    pub(super) fn load(&self) -> Result<ClientTlsConfig, ClientError> {
        let ca =
            self.ca.as_deref().ok_or(ClientError::TlsFilesMissing { what: "--ca FILE, the daemon's authority" })?;
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&*read(ca, Secrecy::Public)?));
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let certificate = read(certificate, Secrecy::Public)?;
                let key = read(key, Secrecy::Private)?;
                Ok(config.identity(Identity::from_pem(&*certificate, &*key)))
            }
            (None, None) => Ok(config),
            (Some(_), None) => Err(ClientError::TlsFilesMissing { what: "--key FILE, the key of --cert" }),
            (None, Some(_)) => Err(ClientError::TlsFilesMissing { what: "--cert FILE, the certificate of --key" }),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Public,
    Private,
}

fn read(path: &Path, secrecy: Secrecy) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let failed = |source: io::Error| ClientError::TlsFileUnreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // Of the open file, not of the path: between two looks it could be another one.
    let mode = file.metadata().map_err(failed)?.mode();
    if secrecy == Secrecy::Private && mode & FORBIDDEN_KEY_MODE != 0 {
        return Err(ClientError::KeyFileExposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(io::Error::other("larger than 1 MiB, so it holds no certificate or key")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "secret").unwrap();
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o640, true), (0o604, false), (0o660, false), (0o777, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, Secrecy::Private).is_ok(), good, "{mode:o}");
            assert!(read(&path, Secrecy::Public).is_ok());
        }
        let error = read(&path, Secrecy::Private).unwrap_err();
        assert!(error.to_string().contains("777") && !error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn missing_halves_huge_files_and_directories_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let big = dir.path().join("big.pem");
        fs::write(&big, vec![b'a'; (1 << 20) + 1]).unwrap();
        let files = |ca: Option<&Path>, certificate: Option<&Path>, key: Option<&Path>| TlsFiles {
            ca: ca.map(Path::to_owned),
            certificate: certificate.map(Path::to_owned),
            key: key.map(Path::to_owned),
        };
        let small = dir.path().join("small.pem");
        fs::write(&small, "pem").unwrap();
        let message = |files: TlsFiles| files.load().unwrap_err().to_string();
        assert!(message(files(None, None, None)).contains("--ca"));
        assert!(message(files(Some(&small), Some(&small), None)).contains("--key"));
        assert!(message(files(Some(&small), None, Some(&small))).contains("--cert"));
        assert!(message(files(Some(&big), None, None)).contains("1 MiB"));
        assert!(message(files(Some(dir.path()), None, None)).contains("directory"));
        assert!(message(files(Some(&dir.path().join("absent")), None, None)).contains("absent"));
    }
}
