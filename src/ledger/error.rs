//! What can go wrong with the memory.

use std::path::PathBuf;

use crate::domain::outcome::{Denial, Reason};

/// A ledger cannot be made, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is none. It is never made by itself: an empty memory would forget every released version. Not to be retried.
    #[error("no ledger at {}. If this is a new daemon, make one with `sealwardd init --config FILE`; otherwise restore the ledger: an empty one would forget every released version", .0.display())]
    Missing(PathBuf),
    /// It is there, or may be, and this user may not look. Run as its owner, or chown it. Not to be retried.
    #[error("the ledger at {} cannot be used by uid {us}: {} belongs to uid {owner}, mode {mode:04o}; run as its owner, or chown it", .path.display(), .at.display())]
    Forbidden {
        /// What was to be opened.
        path: PathBuf,
        /// The file or directory on its path that keeps us out.
        at: PathBuf,
        /// The user to whom that belongs.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// The user that this process runs as.
        us: u32,
    },
    /// There is one already. `init` never overwrites. Not to be retried.
    #[error("{} exists; `init` never overwrites a ledger", .0.display())]
    Exists(PathBuf),
    /// Another process has it. Retry when that one has stopped.
    #[error("{} is locked by another process; only one daemon may use a ledger", .0.display())]
    Locked(PathBuf),
    /// It was made by a newer version. Not to be retried with this one.
    #[error(
        "the ledger has schema {found}, this version knows up to {known}; install the newer sealward again, a ledger is never downgraded"
    )]
    NewerSchema {
        /// In the file.
        found: i64,
        /// Known here.
        known: i64,
    },
    /// It is not one of ours, or damaged. Restore it, or run `sealwardd recover`.
    #[error("the ledger at {} fails its integrity check: {what}", .path.display())]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// It lies where a lock or an fsync means nothing. Move it to a local disk.
    #[error("{} is on a network file system ({kind}), where locks and fsync cannot be relied on; use a local disk", .path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Such as nfs.
        kind: &'static str,
    },
    /// It cannot be written. Correct owner, mode or mount.
    #[error("the ledger at {} cannot be written: {what}; it must belong to the daemon's user on a writable file system", .path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        what: String,
    },
    /// A throw-away ledger in a plain start, or the other way round. Not to be retried.
    #[error("{}", if *.ledger_is_dev { "this ledger was made by --dev and stays a throw-away; a plain start refuses it" } else { "this ledger belongs to a real daemon; --dev refuses it" })]
    DevMismatch {
        /// What the ledger says.
        ledger_is_dev: bool,
    },
    /// A write or sync failed earlier. Only `sealwardd recover` lifts it.
    #[error(
        "a write to this ledger failed earlier ({0}); what the system's cache holds of it cannot be trusted. Run `sealwardd recover`"
    )]
    Faulted(String),
    /// The disk is full. Retry after space was freed.
    #[error("the disk under the ledger is full")]
    DiskFull,
    /// The database said something else. Retry once; then look at the disk.
    #[error("ledger: {0}")]
    Database(String),
}

impl LedgerError {
    /// The reason that a caller of the daemon sees.
    pub fn denial(&self) -> Denial {
        let reason = match self {
            Self::DiskFull => Reason::DiskFull,
            Self::Corrupt { .. } => Reason::LedgerIntegrity,
            _ => Reason::LedgerFault,
        };
        Denial::new(reason, self.to_string())
    }

    /// The exit status of a daemon that could not start for this.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Corrupt { .. } | Self::NewerSchema { .. } => 65,
            Self::Locked(_) | Self::DiskFull => 75,
            Self::Faulted(_) | Self::Database(_) => 74,
            _ => 78,
        }
    }
}

/// A unit was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Something that the decision read has changed. Decide again.
    #[error("what the decision rests on has changed")]
    Conflict,
    /// A unit that this one builds on was not committed.
    #[error("an earlier unit was not committed")]
    PredecessorFailed,
    /// The disk is full; nothing of the transaction is left. Heals by itself.
    #[error("the disk under the ledger is full")]
    DiskFull,
    /// Another program holds the database, or memory ran out; nothing of the transaction is left. Retry.
    #[error("the ledger's database was not free: {0}")]
    Busy(String),
    /// A write or sync failed, now or earlier. The unit may or may not be durable. Latched.
    #[error("the ledger failed: {0}")]
    Fault(String),
}

impl CommitError {
    /// The reason that a caller of the daemon sees.
    pub fn denial(&self) -> Denial {
        let reason = match self {
            Self::Conflict => Reason::Conflict,
            Self::PredecessorFailed => Reason::PredecessorFailed,
            Self::DiskFull => Reason::DiskFull,
            Self::Busy(_) => Reason::LedgerBusy,
            Self::Fault(_) => Reason::LedgerFault,
        };
        Denial::new(reason, self.to_string())
    }
}
