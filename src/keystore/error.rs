//! What can go wrong in a keystore, and what the daemon says of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::algorithm::Algorithm;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;

/// A failure of a keystore. No variant carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// The token or its worker is not there, or went away before the work began. It comes back by itself: retry.
    #[error("the keystore is not available: {cause}")]
    Unavailable {
        /// Why.
        cause: String,
    },
    /// The worker died or fell silent while it worked: a signature or a key may exist that nobody has seen. Retry.
    #[error("the keystore went away during the work: {cause}")]
    Interrupted {
        /// How.
        cause: String,
    },
    /// The token refused the PIN, or has so few tries left that sealward does not use one. Not retried by anyone:
    /// correct the PIN, then restart the daemon.
    #[error("the token does not accept the PIN: {cause}")]
    PinRefused {
        /// What the token said.
        cause: String,
    },
    /// The private half is not here: another token, or the key was removed. A retry does not help.
    #[error("the keystore does not hold key {key}{detail}")]
    KeyMissing {
        /// The key.
        key: KeyId,
        /// More, beginning with a separator, or empty.
        detail: String,
    },
    /// As many requests wait as may. Retry after the hint.
    #[error("{waiting} requests wait for this keystore; try again in {} ms", retry_after.as_millis())]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The deadline passed while the request waited; the keystore was not touched. Retry with more time.
    #[error("the deadline passed while the request waited for the keystore")]
    Deadline,
    /// The keystore does not make keys of this algorithm. A retry does not help.
    #[error("the keystore does not offer {algorithm}")]
    AlgorithmUnsupported {
        /// What was asked for.
        algorithm: Algorithm,
    },
    /// The message is larger than the keystore takes. A retry does not help.
    #[error("a message of {length} bytes; the keystore takes {limit}")]
    MessageTooLarge {
        /// Its length in bytes.
        length: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// The keystore returned a signature that does not verify: swapped, broken or lying. Do not retry; look at it.
    #[error("the keystore returned a signature of key {key} that does not verify")]
    BadSignature {
        /// The key.
        key: KeyId,
    },
    /// The device refused this one operation and works otherwise. A retry is unlikely to help.
    #[error("the device refused: {cause}")]
    Refused {
        /// What it said.
        cause: String,
    },
    /// The desk is closing. Retry when the daemon is back.
    #[error("the keystore's desk is closing")]
    ShuttingDown,
    /// A secret cannot be read, or may be read by others. Correct the file.
    #[error("{what}: {cause}. {advice}")]
    Secret {
        /// Where it was to be read from.
        what: String,
        /// What is wrong.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// A directory, module or worker program is not as it must be. Correct it.
    #[error("{}: {cause}. {advice}", path.display())]
    Path {
        /// What.
        path: PathBuf,
        /// What is wrong.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// Files of a software keystore cannot be used; none of its keys is loaded. Restore or move away each file.
    #[error("{} has {} unusable, so none of its keys is used: {}. Restore each from a backup, or move it out of the \
             directory if you know that its key is gone", directory.display(), plural(files.len()), joined(files))]
    Files {
        /// The keystore's directory.
        directory: PathBuf,
        /// Each file with what is wrong with it.
        files: Vec<BadFile>,
    },
    /// What should be made is there already. Nothing was changed.
    #[error("{} exists and is not overwritten", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// Reading or writing failed below us: a full disk, lost rights, a broken device. Retry when it is mended.
    #[error("{}: {cause}", path.display())]
    Storage {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A token cannot be told from others by what is configured. Correct the label, or add the serial number.
    #[error("{cause}")]
    Token {
        /// What was looked for and what is there.
        cause: String,
    },
    /// A defect in sealward.
    #[error("a defect in the keystore: {cause}")]
    Internal {
        /// Where.
        cause: String,
    },
}

/// A file of a software keystore that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Its name in the directory.
    pub name: String,
    /// What is wrong with it.
    pub fault: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.fault)
    }
}

impl KeystoreError {
    /// The failure as doors, leaves and metrics name it.
    pub fn denial(&self) -> Denial {
        let reason = match self {
            Self::Unavailable { .. } | Self::Interrupted { .. } | Self::Token { .. } | Self::Path { .. } => {
                Reason::KeystoreUnavailable
            }
            Self::Secret { .. } | Self::Files { .. } | Self::Exists { .. } | Self::Storage { .. } => {
                Reason::KeystoreUnavailable
            }
            Self::Refused { .. } => Reason::KeystoreUnavailable,
            Self::PinRefused { .. } => Reason::PinRefused,
            Self::KeyMissing { .. } => Reason::KeyMissing,
            Self::QueueFull { .. } => Reason::QueueFull,
            Self::Deadline => Reason::Deadline,
            Self::AlgorithmUnsupported { .. } => Reason::AlgorithmUnsupported,
            Self::MessageTooLarge { .. } => Reason::PayloadTooLarge,
            Self::BadSignature { .. } => Reason::BadTokenSignature,
            Self::ShuttingDown => Reason::ShuttingDown,
            Self::Internal { .. } => Reason::Internal,
        };
        Denial::new(reason, self.to_string())
    }

    /// The exit status of a daemon that could not start for this. 78 where nothing gets better before somebody corrects it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Secret { .. } | Self::Path { .. } | Self::Files { .. } | Self::Exists { .. } => 78,
            _ => self.denial().reason.exit_code(),
        }
    }

    /// When to try again, where the keystore can tell.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

fn plural(files: usize) -> String {
    if files == 1 { "1 file that is".to_owned() } else { format!("{files} files that are") }
}

fn joined(files: &[BadFile]) -> String {
    files.iter().map(BadFile::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;

    #[test]
    fn a_missing_token_is_failed_and_an_impossible_algorithm_is_denied() {
        let gone = KeystoreError::Interrupted { cause: "killed".into() }.denial();
        assert_eq!(gone.reason, Reason::KeystoreUnavailable);
        assert_eq!(gone.reason.outcome(), Outcome::Failed);
        let never = KeystoreError::AlgorithmUnsupported { algorithm: Algorithm::Ed25519 }.denial();
        assert_eq!(never.reason.outcome(), Outcome::Denied);
    }

    #[test]
    fn a_list_of_bad_files_names_each_and_says_what_to_do() {
        let file = |name: &str| BadFile { name: name.into(), fault: "truncated".into() };
        let error = KeystoreError::Files { directory: "/keys".into(), files: vec![file("a.age"), file("b.age")] };
        let text = error.to_string();
        for part in ["/keys has 2 files that are unusable", "a.age: truncated; b.age: truncated", "Restore each"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
