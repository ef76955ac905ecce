//! SignStream: items one after the other, for as long as the caller sends some.
//!
//! Each turn takes the items that have arrived, a few at most, and decides them in order under the rules and for the
//! caller of that moment: a reload, a freeze, a certificate that was revoked or a token that expired bites in mid-stream.
//! The next turn begins when the answers of this one are on their way, so that a slow reader slows nobody but itself.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admit::Authenticated;
use super::call::{asked_for, request_id};
use super::places::Opened;
use super::signing::item;
use super::{Door, present, undecoded};
use crate::domain::caller::Caller;
use crate::domain::outcome::{Denial, Reason};
use crate::door::peer::Peer;
use crate::door::refusal::Refusal;
use crate::engine::{Call, SignItem, Signed};
use crate::wire::status::{of_denial, to_status};
use crate::wire::v1;
use crate::wire::v1::sign_stream_response::Result as Outcome;

/// Items of one turn.
const TURN_ITEMS: usize = 32;
/// Bytes after which a turn takes no further item.
const TURN_BYTES: usize = 4 << 20;
/// How long answers may wait for their reader.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Answers = ReceiverStream<Result<v1::SignStreamResponse, Status>>;

/// One stream.
struct SignStream {
    door: Door,
    /// Asked anew at each turn.
    peer: Peer,
    headers: HeaderMap,
    /// As of the last turn.
    caller: Caller,
    /// When the caller wants it to end at the latest.
    ends: Option<Instant>,
    items: Streaming<v1::SignStreamRequest>,
    /// What arrived behind the items of the last turn and is no item.
    behind: Option<Result<(), Status>>,
    answers: mpsc::Sender<Result<v1::SignStreamResponse, Status>>,
    /// The place among the streams that are open at once.
    _place: Opened,
}

impl Door {
    pub(super) async fn open_stream(
        &self,
        request: Request<Streaming<v1::SignStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let id = request_id();
        let refused = |denial: Denial| of_denial(&denial, &id);
        let extensions = request.extensions();
        let (Some(peer), Some(known)) = (extensions.get::<Peer>(), extensions.get::<Authenticated>()) else {
            return Err(refused(Denial::new(Reason::Unauthenticated, "the connection carries no identity")));
        };
        let (peer, caller) = (peer.clone(), known.caller.clone());
        let deadline = Instant::now() + self.limits.now().deadline;
        let call = Call { caller, request: id.clone(), deadline };
        self.engine.open_stream(&call).await.map_err(refused)?;
        let caller = call.caller;
        let place = self.in_flight.open_stream(self.engine.counted(&caller).name());
        let place = place.map_err(|refusal| refused(self.over(&peer, &caller, refusal)))?;
        let (answers, stream) = mpsc::channel(TURN_ITEMS);
        let opened = SignStream {
            door: self.clone(),
            peer,
            caller,
            headers: request.metadata().clone().into_headers(),
            ends: asked_for(&request).and_then(|wish| Instant::now().checked_add(wish)),
            items: request.into_inner(),
            behind: None,
            answers,
            _place: place,
        };
        tokio::spawn(opened.run());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl SignStream {
    /// Serves turns until the caller or the daemon has had enough. What ends it by our doing is told as its last word.
    async fn run(mut self) {
        let end = loop {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(end) => break end,
            }
        };
        let id = request_id();
        tracing::info!(request = %id, reason = %end.reason, detail = %end.detail.escape_debug(), "a stream ended");
        let last = self.answers.send(Err(to_status(end.reason, &end.detail, &id)));
        // A reader that is gone misses nothing.
        drop(tokio::time::timeout(PATIENCE, last).await);
    }

    /// Whether there may be another one.
    async fn turn(&mut self) -> Result<bool, Denial> {
        let waited = self.wait().await;
        let Some(first) = waited.inspect_err(|end| self.count(end.reason))? else { return Ok(false) };
        let mut requests = vec![first];
        let mut bytes = requests.iter().map(v1::SignStreamRequest::encoded_len).sum::<usize>();
        while requests.len() < TURN_ITEMS && bytes < TURN_BYTES {
            let Some(next) = self.arrived().await else { break };
            bytes += next.encoded_len();
            requests.push(next);
        }
        let asked = self.peer.caller(&self.headers).await;
        let caller = asked.map_err(|error| self.door.turned_away(&self.peer, &error))?;
        self.caller.clone_from(&caller);
        let latest = Instant::now() + self.door.limits.now().deadline;
        let deadline = self.ends.map_or(latest, |ends| ends.min(latest));
        let call = Call { caller, request: request_id(), deadline };
        let (ids, items): (Vec<u64>, Vec<SignItem>) =
            requests.into_iter().map(|one| (one.id, item(one.request.unwrap_or_default()))).unzip();
        let results = self.sign(&call, items).await;
        for (id, result) in ids.into_iter().zip(results) {
            let result = Some(match result {
                Ok(signed) => Outcome::Response(present::signed(signed, &call.request)),
                Err(denial) => Outcome::Refusal(denial.into()),
            });
            let answer = v1::SignStreamResponse { id, result, request_id: call.request.clone() };
            match tokio::time::timeout(PATIENCE, self.answers.send(Ok(answer))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(false),
                Err(_) => {
                    self.count(Reason::Deadline);
                    tracing::info!(request = %call.request, caller = %call.caller, "answers of a stream are not read");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Counts what ended the stream, or an answer that nobody read. A stop is nobody's doing.
    fn count(&self, reason: Reason) {
        if reason != Reason::ShuttingDown {
            self.door.engine.count_undecoded(&self.caller, reason);
        }
    }

    /// The next item, `None` at the stream's end.
    async fn wait(&mut self) -> Result<Option<v1::SignStreamRequest>, Denial> {
        match self.behind.take() {
            Some(Ok(())) => return Ok(None),
            Some(Err(status)) => return Err(undecoded::denial(&status)),
            None => {}
        }
        let Self { door, peer, ends, items, answers, .. } = self;
        let idle = door.limits.now().stream_idle;
        let late = async {
            match *ends {
                Some(ends) => tokio::time::sleep_until(ends.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Ends come first: items that nobody decided on are the caller's still.
            biased;
            () = door.in_flight.stopping() => Err(Denial::new(Reason::ShuttingDown, "the daemon is stopping")),
            () = answers.closed() => Ok(None),
            () = late => Err(Denial::new(Reason::Deadline, "the stream's own deadline passed")),
            item = items.message() => item.map_err(|status| undecoded::denial(&status)),
            () = tokio::time::sleep(idle) => {
                peer.limits.count(&peer.listener, Refusal::IdleStream);
                let detail = format!("no item came for {} seconds; open a stream when there is one", idle.as_secs());
                Err(Denial::new(Reason::Deadline, detail))
            }
        }
    }

    /// An item that is here already.
    async fn arrived(&mut self) -> Option<v1::SignStreamRequest> {
        let items = &mut self.items;
        let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut *items).poll_next(context))).await;
        match polled {
            Poll::Pending => None,
            Poll::Ready(Some(Ok(item))) => Some(item),
            Poll::Ready(Some(Err(status))) => {
                self.behind = Some(Err(status));
                None
            }
            Poll::Ready(None) => {
                self.behind = Some(Ok(()));
                None
            }
        }
    }

    /// Goes on when the caller hangs up: what was begun is finished and recorded. A panic ends this turn and no other.
    async fn sign(&self, call: &Call, items: Vec<SignItem>) -> Vec<Result<Signed, Denial>> {
        let count = items.len();
        let all = |denial: Denial| std::iter::repeat_n(Err(denial), count).collect();
        let entered = match self.door.in_flight.enter() {
            Ok(entered) => entered,
            Err(refusal) => return all(self.door.over(&self.peer, &call.caller, refusal)),
        };
        let (engine, call) = (self.door.engine.clone(), call.clone());
        let work = tokio::spawn(async move {
            let _entered = entered;
            engine.sign_batch(&call, items).await
        });
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a verb panicked");
            self.door.engine.count_panic(&self.caller);
            all(Denial::new(Reason::Internal, "the request ended in a panic"))
        })
    }
}
