//! Connections that know who is at the other end, and that give their place back when they end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;

use super::limits::Place;
use super::peer::{Peer, Proof};
use super::refusal::Refusal;

/// How long a peer may take for its first bytes: a place is taken before anybody is known.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// How long a peer may be silent later. HTTP/2 pings are answered by every live client well within it.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a peer may go without a token that counts where each request brings one: who merely answers pings is nobody.
const UNKNOWN: Duration = Duration::from_secs(30);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A connection with its peer and its place among the connections that are allowed at once. A peer that says nothing, or
/// does not read what it asked for, loses it.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    peer: Peer,
    /// When the peer has said something last, and whether it ever has.
    heard: (Instant, bool),
    begun: Instant,
    /// Since when the peer takes no bytes.
    blocked: Option<Instant>,
    look: Pin<Box<Sleep>>,
    _place: Place,
}

impl<S> Connection<S> {
    /// Puts them together.
    pub fn new(stream: S, peer: Peer, place: Place) -> Self {
        let begun = Instant::now();
        Self { stream, peer, heard: (begun, false), begun, blocked: None, look: Box::pin(sleep(LOOK)), _place: place }
    }

    /// Why the peer has lost its connection.
    fn overdue(&self) -> Option<Refusal> {
        let (last, ever) = self.heard;
        let patience = self.peer.limits.now().answer_patience;
        let blocked = self.blocked.map(|since| since.elapsed()).unwrap_or_default();
        if self.peer.traffic.longest_wait().max(blocked) > patience {
            return Some(Refusal::SlowReader);
        }
        let is_unknown = matches!(self.peer.proof, Proof::Bearer(_)) && !self.peer.traffic.is_admitted();
        if is_unknown && self.begun.elapsed() > UNKNOWN {
            return Some(Refusal::NoToken);
        }
        (last.elapsed() > if ever { SILENCE } else { FIRST_BYTES }).then_some(Refusal::Silent)
    }

    /// What a wait becomes: the end of the connection, or a wait until the next look.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.look.as_mut().poll(context).is_ready() {
            if let Some(refusal) = self.overdue() {
                self.peer.limits.count(&self.peer.listener, refusal);
                tracing::info!(listener = %self.peer.listener, reason = refusal.name(), "a connection was closed");
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)));
            }
            self.look.as_mut().reset(Instant::now() + LOOK);
        }
        Poll::Pending
    }

    /// As [`Self::wait`], for bytes that the peer does not take.
    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.blocked = None;
            return polled;
        }
        self.blocked.get_or_insert_with(Instant::now);
        self.wait(context)
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            if buffer.filled().len() > before {
                self.heard = (Instant::now(), true);
            }
            // Somebody who talks without end is looked at all the same.
            return match self.wait(context) {
                Poll::Ready(overdue) => Poll::Ready(overdue),
                Poll::Pending => polled,
            };
        }
        self.wait(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::caller::Caller;
    use crate::door::identity::NoIdentity;
    use crate::door::limits::{Limits, LimitsInForce};
    use crate::door::peer::Bearers;

    struct Nobodies;

    #[tonic::async_trait]
    impl Bearers for Nobodies {
        async fn caller(&self, _: &str, _: &str) -> Result<Caller, NoIdentity> {
            Err(NoIdentity::NoToken)
        }
    }

    /// Why a connection ends now that was begun so long ago, and whose peer talks all the time.
    fn overdue(proof: Proof, admitted: bool, seconds: u64) -> Option<Refusal> {
        let limits = Arc::new(LimitsInForce::new(Limits {
            connections: 1,
            connections_per_caller: 1,
            requests_per_connection: 1,
            requests_per_caller: 1,
            bytes_in_flight: 2,
            message_bytes: 1,
            deadline: Duration::from_secs(1),
            answer_patience: Duration::from_secs(1),
            stream_idle: Duration::from_secs(1),
            batch_items: 1,
        }));
        let place = limits.connect("a", "x").unwrap();
        let peer = Peer { listener: "a".into(), who: "x".into(), proof, limits, traffic: Arc::default() };
        if admitted {
            peer.traffic.admit();
        }
        let mut connection = Connection::new(tokio::io::empty(), peer, place);
        connection.begun = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        connection.heard = (Instant::now(), true);
        connection.overdue()
    }

    #[tokio::test]
    async fn who_never_shows_a_token_where_tokens_are_asked_for_does_not_stay() {
        let bearer = || Proof::Bearer(Arc::new(Nobodies));
        assert_eq!(overdue(bearer(), false, 29), None);
        assert_eq!(overdue(bearer(), false, 31), Some(Refusal::NoToken));
        assert_eq!(overdue(bearer(), true, 31), None);
        assert_eq!(overdue(Proof::Unix(Caller::Daemon), false, 31), None);
    }
}
