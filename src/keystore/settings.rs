//! What the configuration says about one keystore.

use std::path::PathBuf;

use crate::domain::name::KeystoreName;

/// One configured keystore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeystoreSettings {
    /// Its name.
    pub name: KeystoreName,
    /// Its kind, and what that needs.
    pub kind: KindSettings,
    /// How many requests may wait for it.
    pub queue_limit: usize,
}

/// What each kind of keystore needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindSettings {
    /// Files encrypted with age.
    Software(SoftwareSettings),
    /// A PKCS#11 token behind a worker process.
    Pkcs11(Pkcs11Settings),
}

/// Keys as age-encrypted files in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareSettings {
    /// The directory, mode 0700.
    pub directory: PathBuf,
    /// What opens the files.
    pub unseal: UnsealSettings,
}

/// What opens age files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsealSettings {
    /// An age X25519 identity.
    Identity(SecretSource),
    /// A passphrase with an explicit scrypt work factor (log2 of N).
    Passphrase {
        /// Where it is.
        source: SecretSource,
        /// log2 of scrypt's N for new files; 18 unless configured, at least 10, at most 20.
        work_factor: u8,
    },
}

/// Where a secret is read from. Never the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, not readable by others.
    File(PathBuf),
    /// A systemd credential, by its name below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// One PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// Absolute path of the module; owned by root (or the daemon's user, with --dev), not group- or world-writable.
    pub module: PathBuf,
    /// CK_TOKEN_INFO label.
    pub token_label: String,
    /// CK_TOKEN_INFO serialNumber; two tokens may have one label.
    pub token_serial: Option<String>,
    /// Where the user PIN is.
    pub pin: SecretSource,
    /// Environment of the worker, such as SOFTHSM2_CONF; the worker inherits nothing else.
    pub environment: Vec<(String, String)>,
    /// The worker program; beside the daemon's own unless configured.
    pub worker: Option<PathBuf>,
    /// Sessions in the worker, one thread each.
    pub sessions: usize,
}
