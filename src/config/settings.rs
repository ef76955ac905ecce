//! What the configuration says about the daemon itself. Plain values: the daemon translates them for the rooms that
//! own listeners, logs and limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::law::clock::Bounds;
use crate::domain::quota::Quotas;
use crate::keystore::settings::{SecretSource, UnsealSettings};

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// The directory, absolute, mode 0700. Made by `sealwardd init` and by nothing else.
    pub directory: PathBuf,
}

/// The key that signs the audit log's checkpoints. A software key, never a TUF key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKeySettings {
    /// Its age file, absolute; `log-key` in the ledger's directory unless configured.
    pub path: PathBuf,
    /// What opens it.
    pub unseal: UnsealSettings,
}

/// How far this machine's clock may stray before nothing is signed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    /// Seconds that it may lie before the newest leaf of the audit log.
    pub skew_seconds: u64,
    /// Seconds that it may move against the boot clock.
    pub jump_seconds: u64,
}

impl ClockSettings {
    /// As the law takes them.
    pub fn bounds(self) -> Bounds {
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        Bounds { skew_seconds: seconds(self.skew_seconds), jump_seconds: seconds(self.jump_seconds) }
    }
}

/// How a copy of the ledger on another machine is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSettings {
    /// Whether anybody looks.
    pub check: bool,
    /// The file with the machine's id, absolute.
    pub id_file: PathBuf,
}

/// One socket on which requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Its name in logs and metrics; 1 to 64 characters out of a-z A-Z 0-9 - _, unique in the file.
    pub name: String,
    /// How callers reach it and prove who they are.
    pub kind: ListenerKind,
}

/// How callers reach a listener and prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// A unix socket: the kernel names the caller.
    Unix(UnixEndpoint),
    /// TCP with TLS 1.3.
    Tcp(TcpSettings),
}

/// Where a unix socket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixEndpoint {
    /// The daemon binds it.
    Bind {
        /// Absolute, at most 107 bytes (`sun_path` of unix(7), less its NUL).
        path: PathBuf,
        /// Permission bits of the socket file, within 0o777.
        mode: u32,
        /// The group of the socket file; the daemon's own unless configured.
        group: Option<SocketGroup>,
    },
    /// systemd hands it in under this `FileDescriptorName=`.
    Activation(String),
}

/// The group of a socket file, as written: a name is looked up by the daemon when it binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketGroup {
    /// A number.
    Id(u32),
    /// A name of the group database.
    Name(String),
}

/// What a TCP listener needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Where the socket comes from.
    pub endpoint: TcpEndpoint,
    /// Who the daemon is.
    pub server: ServerIdentity,
    /// How callers prove who they are.
    pub callers: TcpCallers,
}

/// How callers of a TCP listener prove who they are. One kind per listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpCallers {
    /// `tcp-mtls`: by a client certificate.
    Certificates(MtlsSettings),
    /// `tcp-token`: by an OIDC token with each request.
    Tokens,
}

/// Whose certificates count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsSettings {
    /// The certificates that sign callers' certificates, PEM.
    pub client_ca: PathBuf,
    /// Certificate revocation lists, PEM or DER. Without any, revocation is not looked at.
    pub crls: Vec<PathBuf>,
    /// Whether a certificate that no list is about gets in all the same. Only with `crls`.
    pub allow_unknown_revocation: bool,
    /// Keys and certificates that are turned away, whoever signed them.
    pub deny_list: Option<PathBuf>,
}

/// How a TCP listener proves to callers whom they reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: SecretSource,
}

impl ListenerKind {
    /// Whether its callers prove who they are by tokens.
    pub fn takes_tokens(&self) -> bool {
        matches!(self, Self::Tcp(TcpSettings { callers: TcpCallers::Tokens, .. }))
    }
}

/// Where a TCP socket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpEndpoint {
    /// The daemon binds it. Port 0 takes any free one.
    Bind(SocketAddr),
    /// systemd hands it in under this `FileDescriptorName=`.
    Activation(String),
}

/// Where metrics are served: never off this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObserveSettings {
    /// HTTP on a loopback address.
    Loopback(SocketAddr),
    /// HTTP on a unix socket, absolute path, at most 107 bytes.
    Unix(PathBuf),
}

/// What one caller, one connection and one message may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The largest gRPC message in bytes. Not configured: it follows from the largest payload of any role, and from
    /// the snapshot that a timestamp must bring where `require_snapshot_bytes` is set.
    pub max_message_bytes: usize,
    /// For requests that bring no deadline.
    pub default_deadline: Duration,
    /// Open connections of one listener.
    pub max_connections: usize,
    /// Of these, by one caller; by one address while nobody is known.
    pub connections_per_caller: usize,
    /// Requests in flight on one connection.
    pub requests_per_connection: usize,
    /// Requests in flight for one caller.
    pub requests_per_caller: usize,
    /// Bytes of all messages in flight.
    pub bytes_in_flight: usize,
    /// How long an answer may wait for its reader.
    pub answer_patience: Duration,
    /// How long a stream may be without an item.
    pub stream_idle: Duration,
    /// Items of one SignBatch.
    pub batch_items: usize,
    /// What one caller, and one key, may take.
    pub quotas: Quotas,
}

/// How the daemon talks to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// How severe an event must be to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the tracing crate's own
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Every level, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
