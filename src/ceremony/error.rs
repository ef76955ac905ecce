//! Why a command did not succeed: what, why, and what to do next.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::domain::outcome::{Denial, Outcome, Reason};
use crate::keystore::KeystoreError;

/// Why a command did not succeed. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The command line is wrong. Do not retry; correct it.
    #[error("{0}")]
    CommandLine(clap::Error),
    /// The arguments do not go together, which only the command could see. Do not retry; correct it.
    #[error("{0}")]
    Usage(String),
    /// A file is missing, unreadable, or not what it should be. Do not retry before it is.
    #[error("{}: {cause}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The law refuses. The same command is refused again.
    #[error("{}", .0.detail)]
    Law(Denial),
    /// The ceremony refuses. The same command is refused again.
    #[error("{detail}")]
    Refused {
        /// The rule.
        refusal: Refusal,
        /// What about this command broke it.
        detail: String,
    },
    /// The holder's key cannot be made, opened or used. The cause says whether to retry.
    #[error("{0}")]
    Keystore(KeystoreError),
    /// A file cannot be written. Retry once there is room or permission.
    #[error("{}: {cause}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Standard output cannot be written. A reader that went away is no error of ours.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// What a ceremony refuses besides what the law does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The digest that was read out is not the proposal's.
    DigestMismatch,
    /// The parts of a proposal, or the proposal and the root before it, do not belong together.
    ProposalMismatch,
    /// A role has fewer keys than its threshold.
    Threshold,
    /// A key that is to be removed is not listed.
    NotListed,
    /// A key id stands for another key already.
    KeyIdTaken,
    /// The state directory is open to others, or not ours.
    Medium,
    /// Two root keys go by one holder's name.
    SharedName,
    /// The key on the medium is not the one that its public file tells.
    OtherKey,
}

impl Refusal {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::DigestMismatch => "digest-mismatch",
            Self::ProposalMismatch => "proposal-mismatch",
            Self::Threshold => "threshold",
            Self::NotListed => "not-listed",
            Self::KeyIdTaken => "key-id-taken",
            Self::Medium => "medium",
            Self::SharedName => "shared-name",
            Self::OtherKey => "other-key",
        }
    }

    /// What to do next.
    pub fn advice(self) -> &'static str {
        match self {
            Self::DigestMismatch => {
                "Stop: this is not the proposal that was read out. Compare both files before anybody signs."
            }
            Self::ProposalMismatch => {
                "The proposal was changed, or belongs to another root. Take both files again from where you trust them."
            }
            Self::Threshold => "Give each role at least as many distinct keys as its threshold, which is 1 or more.",
            Self::NotListed => "`review` shows what the root lists; give a whole key id.",
            Self::KeyIdTaken => "Give the key in another form, such as PEM, or remove the one that has its id.",
            Self::Medium => "chmod the directory to 0700 and chown it to yourself; on a FAT medium, mount it so.",
            Self::SharedName => "One person holds one key; another person takes another name.",
            Self::OtherKey => "Restore both from one backup of this medium.",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Denial> for CeremonyError {
    fn from(denial: Denial) -> Self {
        Self::Law(denial)
    }
}

impl From<KeystoreError> for CeremonyError {
    fn from(error: KeystoreError) -> Self {
        Self::Keystore(error)
    }
}

impl CeremonyError {
    pub(super) fn refused(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self::Refused { refusal, detail: detail.into() }
    }

    pub(super) fn input(path: &Path, cause: impl fmt::Display) -> Self {
        Self::Input { path: path.to_owned(), cause: cause.to_string() }
    }

    /// Nobody reads what we write any more: end, and say nothing.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit status, after sysexits(3).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => 64,
            Self::Input { .. } | Self::Keystore(KeystoreError::Secret { .. }) => 66,
            Self::Output { .. } | Self::Stdout(_) => 74,
            Self::Keystore(KeystoreError::Exists { .. } | KeystoreError::Storage { .. }) => 74,
            Self::Keystore(error) => error.denial().reason.exit_code(),
            Self::Law(denial) => denial.reason.exit_code(),
            // What every denial of the law ends with.
            Self::Refused { .. } => Reason::RootUnverified.exit_code(),
        }
    }

    /// Two lines at most: what, and what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        // clap's own text has the usage in it, and ends with where to find help.
        if let Self::CommandLine(error) = self {
            return error.to_string().trim_end().lines().map(str::to_owned).collect();
        }
        let (outcome, reason) = (self.outcome().name(), self.reason());
        let what = match self {
            Self::Usage(_) => format!("{outcome}: {self}"),
            _ => format!("{outcome}: {reason}: {self}"),
        };
        let advice = Some(self.advice()).filter(|advice| !advice.is_empty());
        std::iter::once(what).chain(advice.map(|advice| format!("  do: {advice}"))).collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({ "v": 1, "error": {
            "outcome": self.outcome().name(),
            "reason": self.reason(),
            "detail": self.detail(),
            "advice": self.advice(),
            "exit_code": self.exit_code(),
        }})
    }

    fn outcome(&self) -> Outcome {
        if self.exit_code() == Reason::RootUnverified.exit_code() { Outcome::Denied } else { Outcome::Failed }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => "usage",
            Self::Input { .. } | Self::Keystore(KeystoreError::Secret { .. }) => "unreadable-input",
            Self::Law(denial) => denial.reason.name(),
            Self::Refused { refusal, .. } => refusal.name(),
            Self::Keystore(KeystoreError::Exists { .. } | KeystoreError::Storage { .. }) => "unwritable-output",
            Self::Keystore(error) => error.denial().reason.name(),
            Self::Output { .. } | Self::Stdout(_) => "unwritable-output",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::CommandLine(error) => {
                let text = error.to_string();
                text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim_end().to_owned()
            }
            other => other.to_string(),
        }
    }

    fn advice(&self) -> Cow<'static, str> {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => "`--help` after the verb shows its arguments.".into(),
            Self::Input { .. } => "Check the path; copy the file again from where it was made.".into(),
            Self::Law(denial) => law_advice(denial.reason).into(),
            Self::Refused { refusal, .. } => refusal.advice().into(),
            // These say it themselves.
            Self::Keystore(KeystoreError::Secret { .. } | KeystoreError::Path { .. } | KeystoreError::Files { .. }) => {
                "".into()
            }
            Self::Keystore(KeystoreError::Exists { .. }) => "Take another name, or another directory.".into(),
            Self::Keystore(error) => match error.denial().reason {
                Reason::KeyMissing => "Restore the medium from its backup.".into(),
                reason => reason.advice().into(),
            },
            Self::Output { .. } | Self::Stdout(_) => "Check the path, its permissions and the room on its disk.".into(),
        }
    }
}

/// The table's advice is for those who talk to a daemon; some of it reads differently at a ceremony.
fn law_advice(reason: Reason) -> &'static str {
    match reason {
        Reason::KeyNotListed => "Only holders of keys that the old or the new root lists for root sign it.",
        Reason::RootVersion => "A root is exactly one version above the one before it; give that one with --previous.",
        Reason::RoleSet => "Give each online role a key of its own: a root key signs nothing else.",
        Reason::DuplicateKey => "List each public key once in a role, in one form.",
        Reason::Rollback | Reason::Equivocation => {
            "Two roots of one version are a fork that clients never leave. Only if the other one was discarded, and \
             can never be published, sign with --replace; else take the next version."
        }
        Reason::Expired => "Set a later expiry; check this machine's clock with `date -u`.",
        other => other.advice(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_denial_with_advice() {
        for refusal in [
            Refusal::DigestMismatch,
            Refusal::ProposalMismatch,
            Refusal::Threshold,
            Refusal::NotListed,
            Refusal::KeyIdTaken,
            Refusal::Medium,
            Refusal::SharedName,
            Refusal::OtherKey,
        ] {
            let error = CeremonyError::refused(refusal, "why");
            assert_eq!((error.exit_code(), error.outcome()), (77, Outcome::Denied));
            assert!(refusal.advice().ends_with('.'));
            assert_eq!(error.lines()[0], format!("denied: {refusal}: why"));
        }
    }

    #[test]
    fn causes_below_us_keep_their_exit_codes() {
        let path = PathBuf::from("/x");
        let code = |error: KeystoreError| CeremonyError::from(error).exit_code();
        let secret = KeystoreError::Secret { what: "f".into(), cause: "empty".into(), advice: "Write it" };
        assert_eq!(code(secret), 66);
        assert_eq!(code(KeystoreError::Exists { path: path.clone() }), 74);
        assert_eq!(code(KeystoreError::Path { path, cause: "altered".into(), advice: "Restore" }), 69);
    }
}
