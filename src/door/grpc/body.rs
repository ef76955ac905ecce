//! Bodies: what comes is counted before it is read, what goes is watched until it is read.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::door::limits::{Refusal, Share};
use crate::door::peer::Peer;
use crate::door::traffic::Answer;

/// How long one message may take to arrive once it has begun.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

/// A request's body: messages of gRPC (gRPC over HTTP/2, "Length-Prefixed-Message"), each held against the limits when
/// its length is known and before it is read.
pub(super) struct Metered {
    inner: Body,
    share: Arc<Share>,
    peer: Peer,
    prefix: [u8; 5],
    /// Bytes of the prefix that are there.
    read: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    /// When the message that has begun must be there.
    late: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    pub(super) fn new(inner: Body, share: Arc<Share>, peer: Peer) -> Self {
        Self { inner, share, peer, prefix: [0; 5], read: 0, left: 0, late: None }
    }

    fn account(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(rest.len());
                self.left -= taken;
                rest = rest.get(taken..).unwrap_or_default();
            } else {
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
                }
            }
        }
        match (self.left > 0 || self.read > 0, &self.late) {
            (true, None) => self.late = Some(Box::pin(sleep_until(Instant::now() + ARRIVAL))),
            (false, _) => self.late = None,
            (true, Some(_)) => {}
        }
        Ok(())
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
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let Poll::Ready(frame) = polled else {
            if self.late.as_mut().is_some_and(|late| late.as_mut().poll(context).is_ready()) {
                return Poll::Ready(Some(Err(self.refuse(Refusal::SlowBody))));
            }
            return Poll::Pending;
        };
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
}

impl Watched {
    pub(super) fn new(inner: Body, peer: &Peer) -> Self {
        Self { inner, answer: peer.traffic.answer() }
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
