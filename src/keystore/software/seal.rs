//! Encrypting to, and decrypting with, an age identity (C2SP age v1); and where that identity comes from.

use std::io::{Read, Write};
use std::path::Path;

use age::secrecy::{ExposeSecret, SecretString};
use age::{Decryptor, Encryptor, scrypt, x25519};
use zeroize::Zeroizing;

use super::directory::{PrivateDirectory, write_new_file};
use crate::keystore::KeystoreError;
use crate::keystore::secret::Secrets;
use crate::keystore::settings::UnsealSettings;

/// The identity of a directory whose keeper has a passphrase, encrypted to that passphrase.
pub(super) const IDENTITY_FILE: &str = "identity.age";
/// The largest scrypt work factor that is accepted from a file: 2^20 needs a GiB for a moment.
const LARGEST_WORK_FACTOR: u8 = 20;
/// The smallest one: below, a passphrase is guessed.
const SMALLEST_WORK_FACTOR: u8 = 10;

/// What to do for want of it.
const LOST: &str = "A new daemon needs a new one (`sealwardd init` makes identities); for any other restore it from your backup: a \
                    new one does not open what the old one sealed";

/// What opens a directory of age files.
///
/// A passphrase opens one file, `identity.age`, and the identity in it opens the others. If each key were encrypted to
/// the passphrase itself, every key at every start would cost a second of scrypt, and every new key another one.
#[derive(Clone)]
pub enum Unseal {
    /// An age X25519 identity.
    Identity(Box<x25519::Identity>),
    /// A passphrase.
    Passphrase {
        /// The passphrase.
        passphrase: SecretString,
        /// log2 of scrypt's N for a new `identity.age`. Set by us always: the crate's own choice depends on how fast
        /// the machine is, and in a debug build it is trivially weak.
        work_factor: u8,
    },
}

impl Unseal {
    /// Reads what the settings name.
    pub fn resolve(settings: &UnsealSettings, secrets: &Secrets) -> Result<Self, KeystoreError> {
        match settings {
            UnsealSettings::Identity(source) => {
                let text = secrets.read_or_advise(source, LOST)?;
                let identity = parse_identity(text.expose_secret()).map_err(|cause| KeystoreError::Secret {
                    what: format!("{source:?}"),
                    cause: cause.to_owned(),
                    advice: "Write one line AGE-SECRET-KEY-1..., as `sealwardd init` or age-keygen makes it",
                })?;
                Ok(Self::Identity(Box::new(identity)))
            }
            UnsealSettings::Passphrase { source, work_factor } => {
                Ok(Self::Passphrase { passphrase: secrets.read_or_advise(source, LOST)?, work_factor: *work_factor })
            }
        }
    }

    /// Makes what a new directory needs besides its keys.
    pub(super) fn prepare(&self, directory: &PrivateDirectory) -> Result<(), KeystoreError> {
        let Self::Passphrase { passphrase, work_factor } = self else {
            return Ok(());
        };
        if !(SMALLEST_WORK_FACTOR..=LARGEST_WORK_FACTOR).contains(work_factor) {
            return Err(KeystoreError::Secret {
                what: directory.path().display().to_string(),
                cause: format!("work factor {work_factor}"),
                advice: "Set a work factor from 10 to 20; 18 unless you know why",
            });
        }
        let mut recipient = scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(*work_factor);
        let sealed = encrypt(&recipient, x25519::Identity::generate().to_string().expose_secret().as_bytes())?;
        directory.write_new(IDENTITY_FILE, &sealed)
    }

    /// The identity that opens the files of a directory.
    pub(super) fn identity(&self, directory: &PrivateDirectory) -> Result<x25519::Identity, KeystoreError> {
        let passphrase = match self {
            Self::Identity(identity) => return Ok((**identity).clone()),
            Self::Passphrase { passphrase, .. } => passphrase,
        };
        let fault =
            |cause: String, advice| KeystoreError::Path { path: directory.path().join(IDENTITY_FILE), cause, advice };
        let lost = "Restore it from a backup: without it the keys beside it cannot be opened";
        let sealed = directory.read(IDENTITY_FILE).map_err(|cause| fault(cause, lost))?;
        let mut opener = scrypt::Identity::new(passphrase.clone());
        opener.set_max_work_factor(LARGEST_WORK_FACTOR);
        let text = decrypt(&opener, &sealed)
            .map_err(|cause| fault(cause, "Check the passphrase; if it is right, restore the file from a backup"))?;
        let text = std::str::from_utf8(&text).map_err(|_| fault("its content is not an identity".into(), lost))?;
        parse_identity(text).map_err(|cause| fault(cause.to_owned(), lost))
    }
}

/// Writes a fresh X25519 identity in the format of age-keygen, mode 0600. Refuses to overwrite.
pub fn create_identity(path: &Path) -> Result<(), KeystoreError> {
    let identity = x25519::Identity::generate();
    let text = Zeroizing::new(format!(
        "# The age identity of a sealward keystore: whoever has it and the keystore's files has the keys.\n\
         # public key: {}\n{}\n",
        identity.to_public(),
        identity.to_string().expose_secret(),
    ));
    write_new_file(path, text.as_bytes())
}

pub(super) fn encrypt(recipient: &impl age::Recipient, plaintext: &[u8]) -> Result<Vec<u8>, KeystoreError> {
    let fault = |cause: String| KeystoreError::Internal { cause: format!("age cannot encrypt: {cause}") };
    let encryptor = Encryptor::with_recipients(std::iter::once(recipient as &dyn age::Recipient))
        .map_err(|error| fault(error.to_string()))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| fault(error.to_string()))?;
    writer.write_all(plaintext).map_err(|error| fault(error.to_string()))?;
    writer.finish().map_err(|error| fault(error.to_string()))?;
    Ok(sealed)
}

/// The plaintext, or what is wrong with the file.
pub(super) fn decrypt(identity: &impl age::Identity, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(describe)?;
    let mut reader = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).map_err(describe)?;
    // A plaintext is shorter than its file, so this never grows: growing would leave copies of a key behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| "truncated or altered".to_owned())?;
    Ok(plaintext)
}

/// In our words: the crate's own are for the users of its command line.
fn describe(error: age::DecryptError) -> String {
    use age::DecryptError as Error;
    match error {
        Error::NoMatchingKeys => "encrypted to another identity".to_owned(),
        Error::DecryptionFailed | Error::KeyDecryptionFailed => {
            "this identity or passphrase does not open it".to_owned()
        }
        Error::ExcessiveWork { required, .. } => {
            format!("it asks for a scrypt work factor of {required}; at most {LARGEST_WORK_FACTOR} is accepted")
        }
        Error::UnknownFormat => "an age format that sealward does not know".to_owned(),
        Error::InvalidMac => "altered".to_owned(),
        // InvalidHeader, Io, and what the crate may add later.
        _ => "truncated, or not an age file".to_owned(),
    }
}

/// One identity, with comments and empty lines around it, as age-keygen writes it.
fn parse_identity(text: &str) -> Result<x25519::Identity, &'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or("there is no identity in it")?;
    if lines.next().is_some() {
        return Err("there is more than one identity in it");
    }
    line.parse().map_err(|_| "not an age X25519 identity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_is_read_among_comments_and_nothing_else_is() {
        let identity = x25519::Identity::generate();
        let line = identity.to_string();
        let line = line.expose_secret();
        assert!(parse_identity(&format!("# made today\n\n{line}\r\n")).is_ok());
        for bad in [String::new(), "# only\n".into(), format!("{line}\n{line}"), line[1..].into(), "x".into()] {
            assert!(parse_identity(&bad).is_err());
        }
    }

    #[test]
    fn an_identity_file_is_not_overwritten_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        create_identity(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&path).unwrap();
        assert_eq!(create_identity(&path), Err(KeystoreError::Exists { path: path.clone() }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let source = crate::keystore::settings::SecretSource::File(path);
        assert!(Unseal::resolve(&UnsealSettings::Identity(source), &Secrets::default()).is_ok());
    }

    #[test]
    fn a_file_that_asks_for_a_gigabyte_of_work_is_refused_unopened() {
        let mut recipient = scrypt::Recipient::new(SecretString::from("passphrase"));
        recipient.set_work_factor(10);
        let sealed = encrypt(&recipient, b"secret").unwrap();
        let text = String::from_utf8_lossy(&sealed[..120]).into_owned();
        let salt = text.lines().nth(1).and_then(|line| line.split(' ').nth(2)).unwrap().to_owned();
        let from = format!("{salt} 10");
        let at = sealed.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut hostile = sealed.clone();
        hostile[at..at + from.len()].copy_from_slice(format!("{salt} 30").as_bytes());
        let mut opener = scrypt::Identity::new(SecretString::from("passphrase"));
        opener.set_max_work_factor(LARGEST_WORK_FACTOR);
        assert!(decrypt(&opener, &sealed).is_ok());
        let fault = decrypt(&opener, &hostile).unwrap_err();
        assert!(fault.contains("work factor of 30"), "{fault}");
    }
}
