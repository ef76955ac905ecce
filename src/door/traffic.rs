//! What one connection has in flight: requests, and answers that wait for their reader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by a connection and its requests.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests in flight, those that the client gave up on included.
    pub(super) requests: Arc<AtomicUsize>,
    /// Whether a request of it had a caller.
    admitted: AtomicBool,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    next: u64,
    /// Since when each waits for its reader.
    waiting: BTreeMap<u64, Instant>,
}

impl Traffic {
    /// Requests in flight.
    pub fn requests(&self) -> &Arc<AtomicUsize> {
        &self.requests
    }

    /// A request has a caller.
    pub fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
    }

    /// Whether one ever had.
    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// An answer that begins, and waits.
    pub fn answer(self: &Arc<Self>) -> Answer {
        let mut answers = self.answers();
        answers.next += 1;
        let number = answers.next;
        drop(answers);
        let answer = Answer { traffic: Arc::clone(self), number };
        answer.waits();
        answer
    }

    /// How long the answer that waits longest has waited for its reader.
    pub fn longest_wait(&self) -> Duration {
        self.answers().waiting.values().map(Instant::elapsed).max().unwrap_or_default()
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer. Dropping it ends its waiting.
#[derive(Debug)]
pub struct Answer {
    traffic: Arc<Traffic>,
    number: u64,
}

impl Answer {
    /// A part of it is ready, and its reader has to take it.
    pub fn waits(&self) {
        self.traffic.answers().waiting.entry(self.number).or_insert_with(Instant::now);
    }

    /// Its reader takes what there is.
    pub fn is_taken(&self) {
        self.traffic.answers().waiting.remove(&self.number);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.is_taken();
    }
}
