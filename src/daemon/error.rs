//! Why a daemon did not start, or stopped.

use std::path::PathBuf;

use crate::config::ConfigErrors;
use crate::engine::StartError;
use crate::keystore::KeystoreError;
use crate::ledger::LedgerError;
use crate::oidc::PrepareError;

/// A daemon did not start. Each variant has an exit status of sysexits(3), so that systemd can tell them apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong. Not to be retried.
    #[error("the configuration is refused:\n{0}")]
    Config(#[from] ConfigErrors),
    /// The ledger does not open.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// A keystore or the log key does not open.
    #[error("{what}: {error}")]
    Keystore {
        /// Which.
        what: String,
        /// Why.
        error: KeystoreError,
    },
    /// The engine refuses to start.
    #[error("{0}")]
    Start(#[from] StartError),
    /// Somebody listens there. Stop it, or choose another path or port.
    #[error("{at} is in use by another process; stop it, or configure another path or address")]
    SocketInUse {
        /// The path or address.
        at: String,
    },
    /// A listener cannot be set up.
    #[error("listener {name}: {what}")]
    Listener {
        /// The listener's name.
        name: String,
        /// Why.
        what: String,
    },
    /// What a provider of tokens names is not fit for use.
    #[error("{0}")]
    Tokens(#[from] PrepareError),
    /// The log key is not the one that the ledger was made with. Restore the right one.
    #[error("the log key in {} is not the key of this ledger: the ledger has {expected}, the file {found}. Restore the log key that `sealwardd init` made", .path.display())]
    LogKey {
        /// Where it is.
        path: PathBuf,
        /// The ledger's verifier key.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A file or directory of the daemon's own cannot be used.
    #[error("{}: {what}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Files that the configuration names, looked at by `config check`. Correct them.
    #[error("not every file is fit for use:\n{0}")]
    UnfitFiles(String),
    /// `config check --deny-warnings` found some.
    #[error("warnings: {0}; --deny-warnings takes none")]
    Warnings(usize),
    /// `--dev` where it must not be.
    #[error("{0}")]
    DevRefused(&'static str),
    /// It stopped while a latch was in force. Resolve it: `sealward latch list` says how.
    #[error("stopped while latched: {0}")]
    Latched(String),
    /// The runtime did not start.
    #[error("the runtime does not start: {0}")]
    Runtime(std::io::Error),
}

impl DaemonError {
    /// The exit status.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::DevRefused(_) => 64,
            Self::UnfitFiles(_) | Self::Warnings(_) => 78,
            Self::Config(_) | Self::Listener { .. } | Self::Tokens(_) | Self::LogKey { .. } | Self::File { .. } => 78,
            Self::Ledger(error) | Self::Start(StartError::Ledger(error)) => error.exit_code(),
            Self::Start(StartError::OfflineKeyHere(_)) => 77,
            Self::Keystore { error, .. } => error.exit_code(),
            Self::SocketInUse { .. } | Self::Latched(_) => 69,
            Self::Start(StartError::Keystore { denial, .. }) => denial.reason.exit_code(),
            Self::Runtime(_) => 71,
        }
    }
}
