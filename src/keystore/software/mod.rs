//! Keys as age-encrypted files in one private directory: `<key id>.age`, each a PKCS#8 private key.
//!
//! Nothing but the daemon writes there. Whatever else is in the directory, or is not as it was written, is refused by
//! name: a keystore that opened with some of its keys would sign with the others as if nothing had happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use age::x25519;
use zeroize::Zeroizing;

use super::{BadFile, Condition, Description, Keystore, KeystoreError, Kind};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::KeystoreName;
use crate::domain::permit::Order;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;
use directory::PrivateDirectory;
use pair::Pair;

mod directory;
pub mod note_key;
mod pair;
mod seal;

pub use note_key::NoteKey;
pub use seal::{Unseal, create_identity};

/// How the names of key files end.
const SUFFIX: &str = ".age";
/// Begins the plaintext of a throw-away daemon's key: it is within the encryption, so that no copy loses it.
const DEV_MARK: &[u8] = b"sealward-dev-key-v1\n";

/// An opened software keystore: every key is decrypted and held in memory.
pub struct Software {
    name: KeystoreName,
    directory: PrivateDirectory,
    identity: x25519::Identity,
    dev: bool,
    keys: RwLock<BTreeMap<KeyId, Arc<Pair>>>,
}

impl Software {
    /// Opens a directory that [`create`] made. Fails with the list of files that cannot be used, if there is one. A key
    /// that a throw-away daemon made is marked as such for ever: only `dev` opens it, and `dev` opens no other.
    pub fn open(name: KeystoreName, directory: &Path, unseal: &Unseal, dev: bool) -> Result<Self, KeystoreError> {
        let directory = PrivateDirectory::open(directory)?;
        let identity = unseal.identity(&directory)?;
        let mut keys = BTreeMap::new();
        let mut files = Vec::new();
        for file in directory.names()? {
            if file == seal::IDENTITY_FILE && matches!(unseal, Unseal::Passphrase { .. }) {
                continue;
            }
            match load(&directory, &file, &identity, dev) {
                Ok(pair) => {
                    keys.insert(pair.public().id(), Arc::new(pair));
                }
                Err(fault) => files.push(BadFile { name: file, fault }),
            }
        }
        if !files.is_empty() {
            return Err(KeystoreError::Files { directory: directory.path().to_owned(), files });
        }
        Ok(Self { name, directory, identity, dev, keys: RwLock::new(keys) })
    }

    fn pair(&self, key: &KeyId) -> Result<Arc<Pair>, KeystoreError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(key).cloned().ok_or_else(|| KeystoreError::KeyMissing { key: *key, detail: String::new() })
    }
}

/// Makes the directory of a new software keystore, mode 0700, and what a passphrase needs in it. One that is there must
/// be empty.
pub fn create(directory: &Path, unseal: &Unseal) -> Result<(), KeystoreError> {
    unseal.prepare(&PrivateDirectory::create(directory)?)
}

impl Keystore for Software {
    fn describe(&self) -> Description {
        Description {
            name: self.name.clone(),
            kind: Kind::Software,
            place: self.directory.path().display().to_string(),
            algorithms: Algorithm::ALL.to_vec(),
            verify_always: false,
        }
    }

    fn probe(&self) -> Condition {
        Condition::Ready
    }

    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.values().map(|pair| pair.public().clone()).collect())
    }

    fn generate(&self, algorithm: Algorithm) -> Result<PublicKey, KeystoreError> {
        let pair = Pair::generate(algorithm)?;
        let public = pair.public().clone();
        // Encrypted before it touches the disk: not even the unfinished file ever holds a plain key.
        let der = pair.to_pkcs8()?;
        let mark = if self.dev { DEV_MARK } else { &[] };
        let sealed = seal::encrypt(&self.identity.to_public(), &Zeroizing::new([mark, &der[..]].concat()))?;
        self.directory.write_new(&file_name(&public.id()), &sealed)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(public.id(), Arc::new(pair));
        Ok(public)
    }

    fn sign(&self, order: &Order<'_>) -> Result<Signature, KeystoreError> {
        self.pair(&order.public_key().id())?.sign(order.message())
    }

    fn destroy(&self, key: &KeyId) -> Result<(), KeystoreError> {
        self.pair(key)?;
        self.directory.remove(&file_name(key))?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }
}

fn file_name(key: &KeyId) -> String {
    format!("{key}{SUFFIX}")
}

/// The key in a file, or what is wrong with the file.
fn load(directory: &PrivateDirectory, file: &str, identity: &x25519::Identity, dev: bool) -> Result<Pair, String> {
    let named: KeyId = file
        .strip_suffix(SUFFIX)
        .and_then(|stem| stem.parse().ok())
        .ok_or("not the name of a key file, which is the key's id and .age")?;
    if file != file_name(&named) {
        return Err("not the only spelling of this key id".into());
    }
    let plaintext = seal::decrypt(identity, &directory.read(file)?)?;
    let der = match (plaintext.strip_prefix(DEV_MARK), dev) {
        (Some(der), true) => der,
        (None, false) => plaintext.as_slice(),
        (Some(_), false) => return Err("a throw-away key, made by --dev: a real daemon never uses it".into()),
        (None, true) => return Err("a key of a real daemon: --dev never uses it".into()),
    };
    let pair = Pair::from_pkcs8(der).ok_or("its content is not a PKCS#8 key that sealward knows")?;
    let id = pair.public().id();
    if id == named { Ok(pair) } else { Err(format!("it holds key {id}, not the one that it is named for")) }
}
