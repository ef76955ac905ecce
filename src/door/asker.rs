//! Whose share a request takes.

use super::limits::Limits;

/// Who begins a request, as the limits know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A caller whom some grant means, by name.
    Caller(String),
    /// Everybody whom no grant means and who came in by one way, by the name of that: they choose the names that their
    /// tokens and certificates bear, so that those give no share.
    Strangers(String),
    /// Who asks for health or reflection, known or not, by listener and by what its connection is counted as.
    Anybody {
        /// The listener's configured name.
        listener: String,
        /// An address, or a caller's name.
        who: String,
    },
}

/// Requests for health and reflection in flight by one peer: a watch and a few questions.
const OF_ANYBODY: usize = 16;
/// Of all peers of one listener.
pub(super) const OF_EVERYBODY: usize = 256;
/// The largest message of a stranger, in bytes: enough to ask who one is, and to be told of no grant.
const STRANGERS_MESSAGE: usize = 64 << 10;
/// The largest request for health or reflection in bytes: the name of a service or of a symbol.
pub(super) const ANYBODYS_MESSAGE: usize = 4096;

impl Asker {
    /// By which requests and bytes are counted. No caller's name begins with `anybody@`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Caller(name) | Self::Strangers(name) => name.clone(),
            Self::Anybody { listener, who } => format!("anybody@{listener}/{who}"),
        }
    }

    /// Requests in flight.
    pub(super) fn most_requests(&self, limits: &Limits) -> usize {
        match self {
            Self::Caller(_) | Self::Strangers(_) => limits.requests_per_caller,
            Self::Anybody { .. } => OF_ANYBODY,
        }
    }

    /// Bytes of one message.
    pub(super) fn most_bytes(&self, limits: &Limits) -> usize {
        match self {
            Self::Caller(_) => limits.message_bytes,
            Self::Strangers(_) => limits.message_bytes.min(STRANGERS_MESSAGE),
            Self::Anybody { .. } => limits.message_bytes.min(ANYBODYS_MESSAGE),
        }
    }
}
