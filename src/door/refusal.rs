//! Limits of the doors that were met, by name.

/// A limit that was met. The name stands in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `name` says it
pub enum Refusal {
    Connections,
    ConnectionsPerCaller,
    Handshake,
    HandshakeTime,
    RequestsPerConnection,
    RequestsPerCaller,
    RequestsInFlight,
    HealthAndReflection,
    Streams,
    StreamsPerCaller,
    IdleStream,
    BytesInFlight,
    MessageBytes,
    SecondMessage,
    SlowBody,
    SlowReader,
    Silent,
    NoToken,
}

impl Refusal {
    /// In metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerCaller => "connections-per-caller",
            Self::Handshake => "handshake",
            Self::HandshakeTime => "handshake-time",
            Self::RequestsPerConnection => "requests-per-connection",
            Self::RequestsPerCaller => "requests-per-caller",
            Self::RequestsInFlight => "requests-in-flight",
            Self::HealthAndReflection => "health-and-reflection",
            Self::Streams => "streams",
            Self::StreamsPerCaller => "streams-per-caller",
            Self::IdleStream => "idle-stream",
            Self::BytesInFlight => "bytes-in-flight",
            Self::MessageBytes => "message-bytes",
            Self::SecondMessage => "second-message",
            Self::SlowBody => "slow-body",
            Self::SlowReader => "slow-reader",
            Self::Silent => "silent",
            Self::NoToken => "no-token",
        }
    }
}
