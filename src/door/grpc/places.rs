//! How much is served at once, over all listeners.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::door::refusal::Refusal;

/// Requests that are served at once.
const MOST_IN_FLIGHT: usize = 1024;
/// Streams that are open at once: each may sleep, and holds little until it does something.
const MOST_STREAMS: usize = 256;
/// Of these, by one caller.
const STREAMS_OF_ONE: usize = MOST_STREAMS / 4;

/// What is being served. A stop waits for requests, and not for clients that merely stay connected.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    requests: Arc<AtomicUsize>,
    /// By caller.
    streams: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: Arc<watch::Sender<bool>>,
}

impl InFlight {
    /// Requests, now.
    pub fn count(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Ends what would go on for as long as its client likes.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Until [`Self::stop`].
    pub(super) async fn stopping(&self) {
        // The sender lives as long as we do.
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// A place for a request. A client that hangs up frees its connection at once, and its work not.
    pub(super) fn enter(&self) -> Result<Entered, Refusal> {
        if self.requests.fetch_add(1, Ordering::AcqRel) < MOST_IN_FLIGHT {
            return Ok(Entered(Arc::clone(&self.requests)));
        }
        self.requests.fetch_sub(1, Ordering::AcqRel);
        Err(Refusal::RequestsInFlight)
    }

    /// A place for a stream.
    pub(super) fn open_stream(&self, caller: String) -> Result<Opened, Refusal> {
        let mut streams = self.streams();
        if streams.values().sum::<usize>() >= MOST_STREAMS {
            return Err(Refusal::Streams);
        }
        let own = streams.entry(caller.clone()).or_default();
        if *own >= STREAMS_OF_ONE {
            return Err(Refusal::StreamsPerCaller);
        }
        *own += 1;
        drop(streams);
        Ok(Opened { of: self.clone(), caller })
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts down when it is dropped, also in a panic.
pub(super) struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A stream's place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Opened {
    of: InFlight,
    caller: String,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut streams = self.of.streams();
        if let Some(own) = streams.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                streams.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_a_quarter_of_the_streams_and_gives_them_back() {
        let in_flight = InFlight::default();
        let open = |caller: &str| in_flight.open_stream(caller.to_owned());
        let mut held = Vec::new();
        for caller in ["a", "b", "c", "d"] {
            held.extend((0..STREAMS_OF_ONE).map(|_| open(caller).unwrap()));
            let most = if caller == "d" { Refusal::Streams } else { Refusal::StreamsPerCaller };
            assert_eq!(open(caller).unwrap_err(), most);
        }
        assert_eq!(open("e").unwrap_err(), Refusal::Streams);
        held.pop();
        drop(open("e").unwrap());
        drop(held);
        assert!(in_flight.streams().is_empty());
    }
}
