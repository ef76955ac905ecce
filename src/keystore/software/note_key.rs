//! The key of the audit log: Ed25519, encrypted with age, never a TUF key.
//!
//! It lives in a directory of its own, so that no configuration can point a keystore at it: a keystore refuses a
//! directory in which there is a `log-key.age`, and this refuses one in which there is a TUF key.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::directory::PrivateDirectory;
use super::seal::{self, Unseal};
use crate::keystore::KeystoreError;

/// The file's name.
const FILE: &str = "log-key.age";
/// Begins the plaintext. The name of the log follows, then a line end, then PKCS#8: a key that was copied under another
/// log's name is noticed, and so is a TUF key that was renamed.
const LABEL: &str = "sealward-log-key-v1 ";
/// The longest name, in bytes.
const LONGEST_NAME: usize = 255;

/// The key that signs checkpoints.
pub struct NoteKey {
    name: String,
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl NoteKey {
    /// Makes a key for the log of this name (C2SP signed-note: no white space and no `+`), in a directory that does not
    /// exist or is empty. Durable when this returns.
    pub fn create(directory: &Path, name: &str, unseal: &Unseal) -> Result<Self, KeystoreError> {
        if !is_key_name(name) {
            let cause = format!("`{}` is no name of a log: no white space, no plus sign", name.escape_debug());
            return Err(KeystoreError::Path { path: directory.to_owned(), cause, advice: "Choose another log name" });
        }
        let directory = PrivateDirectory::create(directory)?;
        unseal.prepare(&directory)?;
        let internal = || KeystoreError::Internal { cause: "the crypto provider makes no key".to_owned() };
        let pair = Ed25519KeyPair::generate().map_err(|_| internal())?;
        let der = pair.to_pkcs8v1().map_err(|_| internal())?;
        let plaintext = Zeroizing::new([LABEL.as_bytes(), name.as_bytes(), b"\n", der.as_ref()].concat());
        let sealed = seal::encrypt(&unseal.identity(&directory)?.to_public(), &plaintext)?;
        directory.write_new(FILE, &sealed)?;
        Self::assemble(name.to_owned(), pair).ok_or_else(internal)
    }

    /// Loads the key that [`NoteKey::create`] made.
    pub fn load(directory: &Path, unseal: &Unseal) -> Result<Self, KeystoreError> {
        let directory = PrivateDirectory::open(directory)?;
        let fault = |cause: String| KeystoreError::Path {
            path: directory.path().join(FILE),
            cause,
            advice: "Restore the log key from a backup; a new one would begin a log that nobody knows",
        };
        if let Some(foreign) = directory.names()?.iter().find(|name| *name != FILE && *name != seal::IDENTITY_FILE) {
            return Err(fault(format!("`{foreign}` is beside it; the log key has a directory of its own")));
        }
        let sealed = directory.read(FILE).map_err(fault)?;
        let plaintext = seal::decrypt(&unseal.identity(&directory)?, &sealed).map_err(fault)?;
        let read = plaintext.strip_prefix(LABEL.as_bytes()).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (name, der) = (rest.get(..end)?, rest.get(end + 1..)?);
            let name = std::str::from_utf8(name).ok().filter(|name| is_key_name(name))?;
            Self::assemble(name.to_owned(), Ed25519KeyPair::from_pkcs8(der).ok()?)
        });
        read.ok_or_else(|| fault("its content is not a log key".to_owned()))
    }

    /// The name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key (RFC 8032).
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Signs the text of a note.
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        // An Ed25519 signature has 64 bytes, so nothing is cut and nothing is padded.
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(self.pair.sign(text).as_ref()) {
            *to = *from;
        }
        bytes
    }

    fn assemble(name: String, pair: Ed25519KeyPair) -> Option<Self> {
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { name, pair, public })
    }
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({}, {})", self.name, hex::encode(self.public))
    }
}

fn is_key_name(name: &str) -> bool {
    let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use age::secrecy::SecretString;
    use age::x25519::Identity;

    use super::*;
    use crate::domain::algorithm::Algorithm;
    use crate::domain::public_key::PublicKey;
    use crate::domain::signature::Signature;
    use crate::keystore::Keystore;
    use crate::keystore::software::{Software, create};

    fn unseals() -> [Unseal; 2] {
        let passphrase = SecretString::from("correct horse");
        [Unseal::Identity(Box::new(Identity::generate())), Unseal::Passphrase { passphrase, work_factor: 10 }]
    }

    #[test]
    fn a_log_key_is_the_same_after_loading_and_verifies() {
        for unseal in unseals() {
            let world = tempfile::tempdir().unwrap();
            let directory = world.path().join("log");
            let made = NoteKey::create(&directory, "example.org/log", &unseal).unwrap();
            let loaded = NoteKey::load(&directory, &unseal).unwrap();
            assert_eq!((loaded.name(), loaded.public_key()), ("example.org/log", made.public_key()));
            let signature = Signature::from_fixed(Algorithm::Ed25519, loaded.sign(b"note").to_vec()).unwrap();
            let public = PublicKey::from_ed25519(&loaded.public_key()).unwrap();
            assert_eq!(public.verify(b"note", &signature), Ok(()));
            assert!(matches!(NoteKey::create(&directory, "x", &unseal), Err(KeystoreError::Exists { .. })));
        }
    }

    #[test]
    fn a_damaged_or_missing_log_key_is_refused_with_advice() {
        let [unseal, _] = unseals();
        let world = tempfile::tempdir().unwrap();
        let directory = world.path().join("log");
        NoteKey::create(&directory, "log", &unseal).unwrap();
        let path = directory.join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = NoteKey::load(&directory, &unseal).unwrap_err().to_string();
            assert!(error.contains("log-key.age") && error.contains("Restore the log key"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(NoteKey::load(&directory, &unseal).unwrap_err().to_string().contains("Restore the log key"));
    }

    #[test]
    fn a_log_key_is_no_tuf_key_and_a_tuf_key_no_log_key() {
        let [unseal, _] = unseals();
        let world = tempfile::tempdir().unwrap();
        let (log, keys) = (world.path().join("log"), world.path().join("keys"));
        NoteKey::create(&log, "log", &unseal).unwrap();
        assert!(matches!(Software::open("k".parse().unwrap(), &log, &unseal, false), Err(KeystoreError::Files { .. })));
        create(&keys, &unseal).unwrap();
        let store = Software::open("k".parse().unwrap(), &keys, &unseal, false).unwrap();
        let id = store.generate(Algorithm::Ed25519).unwrap().id();
        std::fs::rename(keys.join(format!("{id}.age")), keys.join(FILE)).unwrap();
        assert!(NoteKey::load(&keys, &unseal).unwrap_err().to_string().contains("not a log key"));
    }

    #[test]
    fn names_that_would_break_a_note_are_refused() {
        let [unseal, _] = unseals();
        let world = tempfile::tempdir().unwrap();
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
            assert!(NoteKey::create(&world.path().join("log"), name, &unseal).is_err(), "{name:?}");
        }
    }
}
