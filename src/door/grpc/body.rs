//! Bodies: what comes is counted before it is read, what goes is watched until it is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::door::limits::Share;
use crate::door::peer::Peer;
use crate::door::refusal::Refusal;
use crate::door::traffic::Answer;

/// How long a message may take to begin where one is due, and how long one without bytes may take to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);
/// Bytes a second with which a message must arrive beyond that: a line of 2 Mbit/s.
const SLOWEST: usize = 256 << 10;
/// However large a message is.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(600);

/// How long a message of so many bytes may take.
fn arrival(bytes: usize) -> Duration {
    let seconds = u64::try_from(bytes.div_ceil(SLOWEST)).unwrap_or(u64::MAX);
    ARRIVAL.saturating_add(Duration::from_secs(seconds)).min(LONGEST_ARRIVAL)
}

/// What a body may bring.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// One message, at once, and then its end.
    One,
    /// Any number, each so soon after the one before.
    Many(Option<Duration>),
}

/// A request's body: messages of gRPC (gRPC over HTTP/2, "Length-Prefixed-Message"), each held against the limits when
/// its length is known and before it is read.
pub(super) struct Metered {
    inner: Body,
    share: Arc<Share>,
    peer: Peer,
    expected: Expected,
    prefix: [u8; 5],
    /// Bytes of the prefix that are there.
    read: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// Whether a message has begun.
    begun: bool,
    /// When what is due must be there.
    late: Option<Pin<Box<Sleep>>>,
    /// Tells by its end that nothing more is waited for.
    _arriving: oneshot::Sender<()>,
}

impl Metered {
    /// The body, and what ends when it has been read or given up.
    pub(super) fn new(inner: Body, share: Arc<Share>, peer: Peer, expected: Expected) -> (Self, oneshot::Receiver<()>) {
        let (arriving, arrived) = oneshot::channel();
        let (prefix, read, left, begun, late) = ([0; 5], 0, 0, false, None);
        let mut body = Self { inner, share, peer, expected, prefix, read, left, begun, late, _arriving: arriving };
        body.wait_for_next();
        (body, arrived)
    }

    fn account(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(rest.len());
                self.left -= taken;
                rest = rest.get(taken..).unwrap_or_default();
            } else {
                if self.read == 0 {
                    self.begin()?;
                }
                let taken = (self.prefix.len() - self.read).min(rest.len());
                for (to, from) in self.prefix.iter_mut().skip(self.read).zip(rest) {
                    *to = *from;
                }
                self.read += taken;
                rest = rest.get(taken..).unwrap_or_default();
                if self.read == self.prefix.len() {
                    let [_, a, b, c, d] = self.prefix;
                    self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                    self.share.take(self.left)?;
                    self.read = 0;
                    self.wait(Some(arrival(self.left)));
                }
            }
            if self.left == 0 && self.read == 0 {
                self.wait_for_next();
            }
        }
        Ok(())
    }

    /// The first byte of a message.
    fn begin(&mut self) -> Result<(), Refusal> {
        // Messages behind the one would be read and forgotten, for as long as somebody sends them.
        if self.begun && matches!(self.expected, Expected::One) {
            return Err(Refusal::SecondMessage);
        }
        self.begun = true;
        self.wait(Some(ARRIVAL));
        Ok(())
    }

    fn wait_for_next(&mut self) {
        self.wait(match self.expected {
            Expected::One => Some(ARRIVAL),
            Expected::Many(patience) => patience,
        });
    }

    fn wait(&mut self, patience: Option<Duration>) {
        match (&mut self.late, patience) {
            (Some(late), Some(patience)) => late.as_mut().reset(Instant::now() + patience),
            (late, patience) => *late = patience.map(|patience| Box::pin(sleep(patience))),
        }
    }

    /// As tonic finds it among the causes of an error.
    fn refuse(&self, refusal: Refusal) -> axum::Error {
        self.peer.limits.count(&self.peer.listener, refusal);
        axum::Error::new(status_of(refusal))
    }
}

/// As tonic would say it by itself: what is said so gets its name where every answer goes out.
fn status_of(refusal: Refusal) -> Status {
    match refusal {
        Refusal::MessageBytes => Status::out_of_range(refusal.name()),
        Refusal::SlowBody => Status::deadline_exceeded(refusal.name()),
        Refusal::SecondMessage => Status::invalid_argument(refusal.name()),
        _ => Status::resource_exhausted(refusal.name()),
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Before the body, which may have something without end.
        if self.late.as_mut().is_some_and(|late| late.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Some(Err(self.refuse(Refusal::SlowBody))));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        if let Some(bytes) = frame.data_ref() {
            let accounted = self.account(bytes);
            if let Err(refusal) = accounted {
                return Poll::Ready(Some(Err(self.refuse(refusal))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body, which the connection knows of until it is on its way.
pub(super) struct Watched {
    inner: Body,
    answer: Answer,
    /// What is given back when the answer is out, where nothing else holds it.
    _share: Option<Arc<Share>>,
}

impl Watched {
    pub(super) fn new(inner: Body, peer: &Peer, share: Option<Arc<Share>>) -> Self {
        Self { inner, answer: peer.traffic.answer(), _share: share }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The transport asks for more only when there is room for it: from here on it is we who are waited for.
        self.answer.is_taken();
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        self.answer.waits();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_may_take_longer_and_none_for_ever() {
        assert_eq!(arrival(0), ARRIVAL);
        assert_eq!(arrival(1), Duration::from_secs(11));
        assert_eq!(arrival(64 << 20), Duration::from_secs(10 + 256));
        assert_eq!(arrival(usize::MAX), LONGEST_ARRIVAL);
    }
}
