//! **Where private keys live.** One tiny trait; age files and PKCS#11 tokens behind it. Threads, no async; no roles.
//!
//! - [`Keystore`]: what every keystore does. It signs an [`Order`], which only a redeemed permit of the law becomes.
//! - [`desk`]: the bounded, prioritised queue in front of a keystore. It challenges keys and verifies signatures.
//! - [`software`]: keys as age-encrypted files; the key of the audit log.
//! - [`pkcs11`]: a token behind a worker process. No vendor library is ever loaded into the daemon.
//! - [`worker`]: that process.
//! - [`protocol`]: what the two say to each other.
//! - [`secret`]: reading PINs, passphrases and identities.

use std::sync::Arc;

use crate::domain::algorithm::Algorithm;
use crate::domain::name::KeystoreName;
use crate::domain::permit::Order;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;
use crate::domain::time::Instant;

pub mod desk;
mod error;
pub mod pkcs11;
pub mod protocol;
pub mod secret;
pub mod settings;
pub mod software;
#[cfg(feature = "worker")]
pub mod worker;

pub use error::{BadFile, KeystoreError};

/// One place where private keys live. Calls block; [`desk::Desk`] gives them threads.
pub trait Keystore: Send + Sync {
    /// What it is and can do. Cheap. A token that was never reached describes no algorithm yet.
    fn describe(&self) -> Description;

    /// Whether it would sign now. Cheap: uses no PIN and waits for no device.
    fn probe(&self) -> Condition;

    /// The public keys whose private halves are here.
    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError>;

    /// Makes a key. It is durable when this returns, as far as the device keeps its own promise.
    fn generate(&self, algorithm: Algorithm) -> Result<PublicKey, KeystoreError>;

    /// Signs. The caller verifies the signature before anybody sees it.
    fn sign(&self, order: &Order<'_>) -> Result<Signature, KeystoreError>;

    /// Removes the private half for ever.
    fn destroy(&self, key: &KeyId) -> Result<(), KeystoreError>;
}

/// What a keystore is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name in the configuration.
    pub name: KeystoreName,
    /// Its kind.
    pub kind: Kind,
    /// Where its keys are: the directory, or the token with its serial number. Another keystore under the same name says
    /// something else.
    pub place: String,
    /// What it makes and signs with.
    pub algorithms: Vec<Algorithm>,
    /// Whether each of its signatures is verified before it is handed out. A token may be swapped, broken or lie.
    pub verify_always: bool,
}

/// The kinds of keystore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Files encrypted with age.
    Software,
    /// A PKCS#11 token.
    Pkcs11,
}

impl Kind {
    /// The name in the configuration and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

impl Description {
    /// The largest message in bytes that a key of this algorithm signs; `None` when memory is the only bound.
    pub fn largest_message(&self, _algorithm: Algorithm) -> Option<usize> {
        match self.kind {
            Kind::Software => None,
            Kind::Pkcs11 => Some(protocol::LARGEST_BODY),
        }
    }

    /// Whether signing is so short that it runs on the caller's thread: a hop would cost more than the signature.
    pub fn signs_inline(&self, algorithm: Algorithm) -> bool {
        let is_short = matches!(algorithm, Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::EcdsaP384);
        self.kind == Kind::Software && is_short
    }
}

/// Whether a keystore would sign now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It would.
    Ready,
    /// It would not.
    NotReady {
        /// Why, in words, without secrets.
        cause: String,
        /// Since when.
        since: Instant,
    },
}

/// Opens the keystore that the settings describe.
///
/// A directory, file, secret or module path that is not as it must be is an error here. A token that is absent, or that
/// refuses the PIN, is not: the keystore opens, [`Keystore::probe`] says why it is not ready, and everything else goes
/// on. (If a wrong PIN stopped the daemon, each restart by a service manager would use up one more try.)
///
/// `dev` accepts a PKCS#11 module that the daemon's own user owns, and of software keys those that `dev` made, only.
pub fn open(
    settings: &settings::KeystoreSettings,
    secrets: &secret::Secrets,
    dev: bool,
) -> Result<Arc<dyn Keystore>, KeystoreError> {
    let name = settings.name.clone();
    match &settings.kind {
        settings::KindSettings::Software(software) => {
            let unseal = software::Unseal::resolve(&software.unseal, secrets)?;
            Ok(Arc::new(software::Software::open(name, &software.directory, &unseal, dev)?))
        }
        settings::KindSettings::Pkcs11(token) => Ok(Arc::new(pkcs11::Pkcs11::open(name, token, secrets, dev)?)),
    }
}

/// This machine's clock, for "not ready since". Nothing is decided by it.
pub(crate) fn wall_clock() -> Instant {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Instant::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
}

/// The guard of a mutex, also after a panic elsewhere: our critical sections leave no half-made state behind.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
