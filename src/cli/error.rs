//! Why a command did not succeed: what, what to do, and which request it was.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::{Value, json};

use crate::client::{ClientError, exit, printable};
use crate::config::ConfigErrors;
use crate::domain::outcome::{Denial, Outcome, Reason};

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The command line is wrong. Do not retry; correct it.
    #[error("{0}")]
    CommandLine(clap::Error),
    /// The arguments do not go together, which only the command could see. Do not retry; correct it.
    #[error("{0}")]
    Usage(String),
    /// The daemon could not be asked, or refused. Its exit code says whether to retry.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was read locally breaks a rule, before anything was sent. Do not retry.
    #[error("{}", printable(&.0.detail))]
    Denial(#[from] Denial),
    /// Metadata does not verify under the root that the caller trusts. Do not retry with the same files.
    #[error("{}", printable(&.0.detail))]
    Unverified(Denial),
    /// A log, a proof or an export is not what its key signed, or breaks its own promises. Do not retry; keep it.
    #[error("{}", printable(.0))]
    Integrity(String),
    /// A configuration file has mistakes. Do not retry; correct it.
    #[error("{0}")]
    Configuration(ConfigErrors),
    /// What is to be signed is no JSON. Do not retry; give metadata.
    #[error("{} is no JSON that could be signed: {}", printable(path), printable(cause))]
    NoJson {
        /// The file, or `-`.
        path: String,
        /// Where and why.
        cause: String,
    },
    /// An input cannot be read. Do not retry before it can.
    #[error("cannot read {}: {source}", printable(path))]
    Input {
        /// The file, or `-`.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written. Retry once there is room or permission.
    #[error("cannot write {}: {source}", printable(path))]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Standard output cannot be written. A reader that went away is no error of ours.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// The machine has no resources for an event loop. Retry later.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl CliError {
    /// From an error of the audit room, with its causes.
    pub(super) fn integrity(error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Integrity(text)
    }

    /// Nobody reads what we write any more: end, and say nothing.
    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => exit::USAGE,
            Self::Client(error) => error.exit_code(),
            Self::Denial(denial) | Self::Unverified(denial) => denial.reason.exit_code(),
            Self::Integrity(_) => Reason::LedgerIntegrity.exit_code(),
            Self::Configuration(_) => ConfigErrors::EXIT_CODE,
            Self::NoJson { .. } => Reason::NotCanonical.exit_code(),
            Self::Input { .. } => exit::NO_INPUT,
            Self::File { .. } | Self::Stdout(_) => exit::IO,
            Self::Runtime(_) => exit::TEMPORARY,
        }
    }

    /// Four lines at most: what, what to do, who is to be asked, which request.
    pub(super) fn lines(&self) -> Vec<String> {
        // clap's own text has the usage in it, and ends with where to find help.
        if let Self::CommandLine(error) = self {
            let text = error.to_string().trim_end().to_owned();
            return std::iter::once(text).chain(misplaced(error)).collect();
        }
        // Every mistake has a line of its own, escaped where it was made.
        if let Self::Configuration(errors) = self {
            return errors.to_string().lines().map(|line| printable(line).into_owned()).collect();
        }
        let what = match self.reason() {
            // Neither refused nor broken: somebody else has to do something first.
            Some(reason) if self.approval().is_some() => format!("pending: {}: {}", printable(reason), self.detail()),
            Some(reason) => format!("{}: {}: {}", self.outcome().name(), printable(reason), self.detail()),
            None => format!("{}: {}", self.outcome().name(), self.detail()),
        };
        let advice = Some(self.advice()).filter(|advice| !advice.is_empty());
        let advice = advice.map(|advice| format!("  do:      {}", printable(&advice)));
        let request = self.request_id().map(|id| format!("  request: {}", printable(id)));
        let approval = self.approval().map(|id| format!("  approve: sealward approve show {}", printable(id)));
        std::iter::once(what).chain(advice).chain(approval).chain(request).collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({ "v": 1, "error": {
            "outcome": self.outcome().name(),
            "reason": self.reason().unwrap_or("usage"),
            "detail": self.detail(),
            "advice": self.advice(),
            "request_id": self.request_id(),
            "approval": self.approval(),
            "exit_code": self.exit_code(),
        }})
    }

    fn outcome(&self) -> Outcome {
        if self.exit_code() == exit::DENIED { Outcome::Denied } else { Outcome::Failed }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => None,
            Self::Client(error) => Some(error.reason()),
            Self::Denial(denial) | Self::Unverified(denial) => Some(denial.reason.name()),
            Self::Integrity(_) => Some(Reason::LedgerIntegrity.name()),
            Self::Configuration(_) => Some("configuration"),
            Self::NoJson { .. } => Some(Reason::NotCanonical.name()),
            Self::Input { .. } => Some("unreadable-input"),
            Self::File { .. } | Self::Stdout(_) => Some("unwritable-output"),
            Self::Runtime(_) => Some("no-resources"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Client(ClientError::Refused(refused)) => printable(&refused.detail).into_owned(),
            Self::CommandLine(error) => {
                let text = error.to_string();
                text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim_end().to_owned()
            }
            other => other.to_string(),
        }
    }

    fn advice(&self) -> Cow<'_, str> {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => "`--help` after any noun or verb shows its arguments.".into(),
            Self::Client(error) => error.advice().into(),
            Self::Denial(denial) => denial.reason.advice().into(),
            Self::Unverified(_) => {
                "Do not use this file. Check that --root is the newest root of its repository.".into()
            }
            Self::Integrity(_) => {
                "Keep it as it is: it may be evidence. Check that the verifier key is this log's, and ask its operator."
                    .into()
            }
            Self::Configuration(_) => "Correct the file; docs/configuration.md has every key.".into(),
            Self::NoJson { .. } => {
                "Give TUF metadata: the JSON of `signed` alone, or with its signatures around it.".into()
            }
            Self::Input { .. } => "Check the path and its permissions.".into(),
            Self::File { .. } | Self::Stdout(_) => "Check the path, its permissions and the room on its disk.".into(),
            Self::Runtime(_) => "Free memory or file descriptors.".into(),
        }
    }

    /// What people must approve first.
    fn approval(&self) -> Option<&str> {
        match self {
            Self::Client(ClientError::Refused(refused)) => {
                Some(refused.approval.as_str()).filter(|approval| !approval.is_empty())
            }
            _ => None,
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Client(error) => error.request_id(),
            _ => None,
        }
    }
}

/// Options that stand before the noun are unknown after it; clap would only say that.
fn misplaced(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = option.split(['=', ' ']).next()?;
    let before = ["--ca", "--cert", "--key", "--token-file", "--audience"].contains(&name);
    (error.kind() == ErrorKind::UnknownArgument && before)
        .then(|| format!("\n{name} stands before the noun: sealward {name} ... NOUN"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Refused;
    use crate::domain::outcome::Reason;

    fn refused(detail: &str, advice: &str, request_id: &str) -> CliError {
        CliError::Client(ClientError::Refused(Box::new(Refused {
            reason: "rollback".into(),
            known: Some(Reason::Rollback),
            denied: true,
            detail: detail.into(),
            advice: advice.into(),
            request_id: request_id.into(),
            approval: String::new(),
            retry_after: None,
            code: None,
        })))
    }

    #[test]
    fn an_error_says_what_what_to_do_and_which_request() {
        let lines = refused("4 is below 9", "Add one.", "req-1").lines();
        assert_eq!(lines, ["denied: rollback: 4 is below 9", "  do:      Add one.", "  request: req-1"]);
        assert_eq!(CliError::Usage("both".into()).lines()[0], "failed: both");
    }

    #[test]
    fn no_part_of_an_error_reaches_the_terminal_raw() {
        let hostile = "\u{1b}[2J\nok\u{202e}";
        let lines = refused(hostile, hostile, hostile).lines();
        assert_eq!(lines.len(), 3);
        for line in lines {
            assert!(line.is_ascii() && !line.contains(['\u{1b}', '\n']), "{line:?}");
        }
    }
}
