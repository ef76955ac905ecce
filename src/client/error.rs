//! Why a call did not succeed, and what to do.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};

use super::server::{Address, InvalidServer, Server};
use super::{exit, printable};
use crate::domain::outcome::Reason;
use crate::wire::status::{Refused, from_status};

/// Why a connection or a call did not succeed. Display never shows a control character of the other side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's address cannot be read. Do not retry; correct it.
    #[error(transparent)]
    InvalidServer(#[from] InvalidServer),
    /// A TLS connection needs a file that was not named. Do not retry; name it.
    #[error("a TLS connection needs {what}")]
    TlsFilesMissing {
        /// The option and what it is for.
        what: &'static str,
    },
    /// A certificate or key file cannot be read. Do not retry before it can.
    #[error("cannot read {}: {source}", printable(&path.to_string_lossy()))]
    TlsFileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or write the private key. Do not retry before its mode is changed.
    #[error("the private key {} has mode {mode:o}: others can read or write it", printable(&path.to_string_lossy()))]
    KeyFileExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file of a token cannot be read. Do not retry before it can.
    #[error("cannot read the token in {}: {source}", printable(&path.to_string_lossy()))]
    TokenFileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No token could be had, or what stands in its place is none. Nothing was sent.
    #[error("no token: {}", printable(what))]
    Token {
        /// Why; never the token.
        what: String,
    },
    /// The files are no PEM certificates and key, or do not belong together. Do not retry.
    #[error("the TLS files are not usable: {0}")]
    TlsFilesInvalid(String),
    /// Nobody could be reached at the address, or the TLS handshake failed. Retry once the cause is gone.
    #[error("cannot connect to {server}: {cause}")]
    Connect {
        /// The address.
        server: String,
        /// Why, in words.
        cause: String,
        /// What to do next.
        advice: &'static str,
    },
    /// The request is larger than any daemon accepts; nothing was sent. Do not retry.
    #[error("the request has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The request's size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The request is larger than this daemon accepts: its doors derive their limit from its policies. Do not retry.
    #[error("the daemon accepts no request of {bytes} bytes")]
    TooLargeForDaemon {
        /// The request's size.
        bytes: usize,
    },
    /// No answer came in time. A retry of the same request is safe: what was released is returned.
    #[error("no answer within {} s", timeout.as_secs_f32())]
    Deadline {
        /// How long the call was allowed to take, attempts and pauses together.
        timeout: Duration,
    },
    /// The daemon refused or failed, and says by which rule. Whether to retry is the rule's exit code: 75 means yes.
    #[error("{}: {}: {}", if .0.denied { "denied" } else { "failed" }, printable(&.0.reason), printable(&.0.detail))]
    Refused(Box<Refused>),
    /// The connection broke, or what answered is no sealward daemon. Retry only when the code is UNAVAILABLE.
    #[error("no answer of sealward: {}", printable(detail))]
    Transport {
        /// The gRPC status code.
        code: Code,
        /// The status message.
        detail: String,
    },
    /// The answer lacks what this program needs: the daemon is of another version. Do not retry.
    #[error("the answer has no {0}")]
    Incomplete(&'static str),
}

impl ClientError {
    /// The exit code, after sysexits(3): the one table's for what the daemon said.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InvalidServer(_) | Self::TlsFilesMissing { .. } => exit::USAGE,
            Self::TlsFileUnreadable { .. } | Self::TokenFileUnreadable { .. } => exit::NO_INPUT,
            Self::Token { .. } => exit::UNAVAILABLE,
            Self::KeyFileExposed { .. } | Self::TlsFilesInvalid(_) => exit::CONFIG,
            Self::Connect { .. } => exit::UNAVAILABLE,
            Self::TooLarge { .. } | Self::TooLargeForDaemon { .. } => Reason::PayloadTooLarge.exit_code(),
            Self::Deadline { .. } => Reason::Deadline.exit_code(),
            Self::Refused(refused) => refused_exit_code(refused),
            Self::Transport { code, .. } => match code {
                Code::Unavailable => exit::UNAVAILABLE,
                Code::Unauthenticated | Code::PermissionDenied => exit::DENIED,
                Code::ResourceExhausted | Code::Aborted => exit::TEMPORARY,
                _ => exit::PROTOCOL,
            },
            Self::Incomplete(_) => exit::PROTOCOL,
        }
    }

    /// The stable name of what happened: the rule's for what the daemon said.
    pub fn reason(&self) -> &str {
        match self {
            Self::InvalidServer(_) | Self::TlsFilesMissing { .. } => "usage",
            Self::TlsFileUnreadable { .. } | Self::TokenFileUnreadable { .. } => "unreadable-file",
            Self::Token { .. } => "no-token",
            Self::KeyFileExposed { .. } => "key-file-exposed",
            Self::TlsFilesInvalid(_) => "tls-files-invalid",
            Self::Connect { .. } => "cannot-connect",
            Self::TooLarge { .. } | Self::TooLargeForDaemon { .. } => Reason::PayloadTooLarge.name(),
            Self::Deadline { .. } => Reason::Deadline.name(),
            Self::Refused(refused) => &refused.reason,
            Self::Transport { .. } => "no-answer",
            Self::Incomplete(_) => "incomplete-answer",
        }
    }

    /// What to do next. Control characters are not escaped.
    pub fn advice(&self) -> &str {
        match self {
            Self::InvalidServer(_) => {
                "Name the daemon with --server or SEALWARD_SERVER: unix:PATH or https://HOST:PORT."
            }
            Self::TlsFilesMissing { .. } => "Give the file, or connect over the unix socket, which needs none.",
            Self::TlsFileUnreadable { .. } | Self::TokenFileUnreadable { .. } => "Check the path and its permissions.",
            Self::Token { .. } => {
                "Check what hands out the token; a GitHub Actions job needs `permissions: id-token: write`. docs/ci.md has each way."
            }
            Self::KeyFileExposed { .. } => "Make it readable by its owner alone: chmod 600.",
            Self::TlsFilesInvalid(cause) if cause.contains("UnsupportedCertVersion") => {
                "The certificate is X.509 v1: have a v3 one made, with a URI or DNS subject alternative name."
            }
            Self::TlsFilesInvalid(_) => "--ca and --cert are PEM certificates, --key is the PEM private key of --cert.",
            Self::Connect { advice, .. } => advice,
            Self::TooLarge { .. } | Self::TooLargeForDaemon { .. } => Reason::PayloadTooLarge.advice(),
            // In TLS 1.3 the client's side of a handshake ends before the server has looked at its certificate.
            Self::Deadline { .. } => {
                "Ask again: what was released is returned. Over TLS, a daemon that refuses the client certificate looks \
                 like this too: check that --cert is signed by its client_ca."
            }
            Self::Refused(refused) => &refused.advice,
            Self::Transport { code: Code::Unimplemented, .. } => {
                "The daemon does not have this call: it is older than this program, or another service listens there."
            }
            Self::Transport { detail, .. } if detail.contains(ALERT) => advice_of_alert(detail),
            Self::Transport { .. } => {
                "Check that a sealward daemon listens there; where it demands a client certificate, give --cert and --key."
            }
            Self::Incomplete(_) => "Use a program and a daemon of the same version.",
        }
    }

    /// The request, as logs and leaves name it; `None` when the daemon did not say. Control characters are not escaped.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => Some(refused.request_id.as_str()).filter(|id| !id.is_empty()),
            _ => None,
        }
    }

    /// From the status of a call, its deadline, and the length of its request.
    pub(super) fn from_call(status: &Status, timeout: Duration, bytes: usize) -> Self {
        if let Some(refused) = from_status(status) {
            return Self::Refused(Box::new(refused));
        }
        match status.code() {
            Code::DeadlineExceeded => Self::Deadline { timeout },
            Code::Cancelled if status.message() == TimeoutExpired(()).to_string() => Self::Deadline { timeout },
            Code::OutOfRange if bytes >= LARGE_REQUEST_BYTES => Self::TooLargeForDaemon { bytes },
            code => {
                let detail = with_causes(status.message(), status.source());
                // The transport calls it unknown or cancelled: the daemon's TLS turned us away, or the connection broke.
                let turned_away = detail.contains(ALERT);
                let broken = turned_away || code == Code::Cancelled || has_io_error(status);
                let code = if broken { Code::Unavailable } else { code };
                Self::Transport { code, detail }
            }
        }
    }

    pub(super) fn from_connect(server: &Server, error: &(dyn Error + 'static)) -> Self {
        let cause = printable(&with_causes("", Some(error))).into_owned();
        let kind = causes(Some(error)).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let advice = match (server.address(), kind) {
            (Address::Unix(_), Some(io::ErrorKind::NotFound)) => {
                "Is the daemon running? There is no such socket; --server or SEALWARD_SERVER names another one."
            }
            (Address::Unix(_), Some(io::ErrorKind::PermissionDenied)) => {
                "Permission on the socket: become a member of the group that owns it, or ask an administrator."
            }
            (Address::Unix(_), Some(io::ErrorKind::ConnectionRefused)) => {
                "Is the daemon running? The socket is there, and nobody listens on it."
            }
            (Address::Unix(_), _) => "Is the daemon running, and is this its socket?",
            (Address::Https(_), Some(io::ErrorKind::ConnectionRefused)) => {
                "Is the daemon running, and is this its port? Nobody listens there."
            }
            (Address::Https(_), Some(io::ErrorKind::InvalidData)) => {
                "The TLS handshake failed: --ca must be the authority of the daemon's certificate, and HOST a name in it."
            }
            (Address::Https(_), _) => "Check host, port and network, and that the daemon runs.",
        };
        Self::Connect { server: server.to_string(), cause, advice }
    }

    pub(super) fn tls_invalid(error: &(dyn Error + 'static)) -> Self {
        Self::TlsFilesInvalid(printable(&with_causes("", Some(error))).into_owned())
    }

    pub(super) fn connect_timeout(server: &Server, timeout: Duration) -> Self {
        Self::Connect {
            server: server.to_string(),
            cause: format!("no connection within {} s", timeout.as_secs_f32()),
            advice: "Something accepts and does not answer: is it a sealward daemon, and is it overloaded?",
        }
    }
}

/// What stands before the name of an alert, by which the other side of a TLS connection ends it.
const ALERT: &str = "received fatal alert: ";

/// What the daemon says of a client certificate (RFC 8446, section 6.2).
fn advice_of_alert(detail: &str) -> &'static str {
    let named = |alert: &str| detail.split(ALERT).skip(1).any(|rest| rest.starts_with(alert));
    if named("UnknownC") {
        "The daemon's client_ca did not sign the certificate of --cert. Take one that it did, or have the authority added there."
    } else if named("CertificateRequired") {
        "The daemon demands a client certificate: give --cert and --key."
    } else if named("CertificateExpired") {
        "The certificate of --cert is expired, or one of the two clocks is wrong."
    } else if named("CertificateRevoked") || named("AccessDenied") {
        "The daemon turns the certificate of --cert away: it is revoked there, or no revocation list is about it."
    } else {
        "The daemon's TLS turned the connection away: look at --cert, and at the daemon's log."
    }
}

/// No door of gRPC refuses what is shorter, so a status about too long a message is then about the answer.
const LARGE_REQUEST_BYTES: usize = 4 << 20;

/// For a rule that only a newer daemon knows, the outcome and the code decide.
fn refused_exit_code(refused: &Refused) -> u8 {
    match (refused.known, refused.denied, refused.code) {
        (Some(reason), _, _) => reason.exit_code(),
        (None, true, _) => exit::DENIED,
        (None, false, Some(Code::Unavailable)) => exit::UNAVAILABLE,
        (None, false, Some(Code::Aborted | Code::ResourceExhausted | Code::DeadlineExceeded)) => exit::TEMPORARY,
        (None, false, _) => exit::SOFTWARE,
    }
}

fn causes<'a>(first: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    };
    // Bounded, because a cause is a foreign type's word.
    std::iter::successors(first, next).take(16)
}

/// The message with its causes, less those that only repeat what was said, or say that there is a cause.
/// Whether it was the connection that failed.
fn has_io_error(status: &Status) -> bool {
    causes(status.source()).any(|cause| cause.is::<io::Error>())
}

fn with_causes(message: &str, first: Option<&(dyn Error + 'static)>) -> String {
    let all = causes(first).fold(message.to_owned(), |mut out, cause| {
        let text = cause.to_string();
        if !text.is_empty() && !out.contains(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
        out
    });
    all.strip_prefix("transport error: ").map(str::to_owned).unwrap_or(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::to_status;

    const TIMEOUT: Duration = Duration::from_secs(3);

    #[test]
    fn the_table_decides_the_exit_code() {
        for &reason in Reason::ALL {
            let error = ClientError::from_call(&to_status(reason, "detail", "req-9"), TIMEOUT, 0);
            assert_eq!(error.exit_code(), reason.exit_code(), "{reason}");
            assert_eq!((error.reason(), error.advice()), (reason.name(), reason.advice()));
            assert_eq!(error.request_id(), Some("req-9"));
        }
    }

    #[test]
    fn hostile_details_are_escaped() {
        let status = to_status(Reason::Malformed, "a\u{1b}]0;owned\u{7}\nfailed: b\u{202e}", "r");
        let shown = ClientError::from_call(&status, TIMEOUT, 0).to_string();
        assert_eq!(shown, "denied: malformed: a\\u{1b}]0;owned\\u{7}\\nfailed: b\\u{202e}");
        let transport = ClientError::from_call(&Status::unknown("\u{1b}[2J"), TIMEOUT, 0).to_string();
        assert!(!transport.contains('\u{1b}'), "{transport:?}");
    }

    #[test]
    fn what_the_transport_says_has_codes_too() {
        let code = |status: Status| ClientError::from_call(&status, TIMEOUT, 0).exit_code();
        assert_eq!(code(Status::unavailable("")), 69);
        assert_eq!(code(Status::cancelled("Timeout expired")), 75);
        assert_eq!(code(Status::unimplemented("")), 76);
        assert_eq!(code(Status::unauthenticated("")), 77);
        assert_eq!(code(Status::unknown("")), 76);
    }

    #[test]
    fn a_certificate_that_is_turned_away_is_told_why() {
        let advice = |cause: &str| {
            let status = Status::unknown(format!("transport error: received fatal alert: {cause}"));
            ClientError::from_call(&status, TIMEOUT, 0).advice().to_owned()
        };
        assert!(advice("UnknownCA").contains("client_ca did not sign"));
        assert!(advice("CertificateRequired").contains("give --cert and --key"));
        assert!(advice("CertificateExpired").contains("expired"));
        assert!(advice("HandshakeFailure").contains("turned the connection away"));
        let v1 = ClientError::TlsFilesInvalid("invalid peer certificate: Other(UnsupportedCertVersion)".into());
        assert!(v1.advice().contains("X.509 v1"));
    }

    #[test]
    fn unknown_rules_of_a_newer_daemon_keep_denied_and_failed_apart() {
        let refused = |denied, code| Refused {
            reason: "brand-new".into(),
            known: None,
            denied,
            detail: String::new(),
            advice: String::new(),
            request_id: String::new(),
            approval: String::new(),
            retry_after: None,
            code,
        };
        assert_eq!(refused_exit_code(&refused(true, Some(Code::Unavailable))), 77);
        assert_eq!(refused_exit_code(&refused(false, Some(Code::Unavailable))), 69);
        assert_eq!(refused_exit_code(&refused(false, Some(Code::Aborted))), 75);
        assert_eq!(refused_exit_code(&refused(false, None)), 70);
    }
}
