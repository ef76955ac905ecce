//! Connections that know who is at the other end, and that give their place back when they end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;

use super::peer::Peer;

/// How long a peer may take for its first bytes: a place is taken before anybody is known.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// How long a peer may be silent later. HTTP/2 pings are answered by every live client well within it.
const SILENCE: Duration = Duration::from_secs(90);

/// A connection with its peer and its place among the connections that are allowed at once. A peer that says nothing
/// loses it.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    peer: Peer,
    patience: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    /// Puts them together.
    pub fn new(stream: S, peer: Peer, place: OwnedSemaphorePermit) -> Self {
        Self { stream, peer, patience: Box::pin(sleep(FIRST_BYTES)), _place: place }
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
                self.patience.as_mut().reset(Instant::now() + SILENCE);
            }
            return polled;
        }
        match self.patience.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
