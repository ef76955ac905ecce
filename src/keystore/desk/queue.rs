//! The bounded queue of a desk: three lanes, first in first out inside a lane.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::DeskMetrics;
use crate::keystore::lock;

/// Who goes first. A timestamp that waits behind a thousand targets expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Timestamps.
    Timestamp,
    /// Snapshots.
    Snapshot,
    /// Everything else.
    Rest,
}

/// Work that waits.
pub(super) struct Entry<J> {
    pub(super) deadline: Instant,
    pub(super) job: J,
}

/// Why an entry was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Full { waiting: usize },
    Closed,
}

pub(super) struct Queue<J> {
    inner: Mutex<Inner<J>>,
    /// Signalled when there is work or the queue closes.
    work: Condvar,
    /// Signalled when the earliest deadline moves forward or the queue closes.
    clock: Condvar,
    limit: usize,
    metrics: Arc<DeskMetrics>,
}

struct Inner<J> {
    lanes: [VecDeque<Entry<J>>; 3],
    waiting: usize,
    /// What the watcher of deadlines sleeps towards.
    next_expiry: Option<Instant>,
    closed: bool,
}

impl<J> Queue<J> {
    pub(super) fn new(limit: usize, metrics: Arc<DeskMetrics>) -> Self {
        let inner = Inner { lanes: Default::default(), waiting: 0, next_expiry: None, closed: false };
        Self { inner: Mutex::new(inner), work: Condvar::new(), clock: Condvar::new(), limit: limit.max(1), metrics }
    }

    /// Takes an entry in, or gives the job back at once.
    pub(super) fn push(&self, priority: Priority, entry: Entry<J>) -> Result<(), (J, NotTaken)> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err((entry.job, NotTaken::Closed));
        }
        if inner.waiting >= self.limit {
            return Err((entry.job, NotTaken::Full { waiting: inner.waiting }));
        }
        let deadline = entry.deadline;
        let [timestamp, snapshot, rest] = &mut inner.lanes;
        match priority {
            Priority::Timestamp => timestamp.push_back(entry),
            Priority::Snapshot => snapshot.push_back(entry),
            Priority::Rest => rest.push_back(entry),
        }
        self.set_waiting(&mut inner, |waiting| waiting + 1);
        if inner.next_expiry.is_none_or(|earliest| deadline < earliest) {
            inner.next_expiry = Some(deadline);
            self.clock.notify_one();
        }
        drop(inner);
        self.work.notify_one();
        Ok(())
    }

    /// The next entry. Blocks; `None` when the queue is closed.
    pub(super) fn pop(&self) -> Option<Entry<J>> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.closed {
                return None;
            }
            if let Some(entry) = inner.lanes.iter_mut().find_map(VecDeque::pop_front) {
                self.set_waiting(&mut inner, |waiting| waiting - 1);
                return Some(entry);
            }
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Jobs whose deadline has passed. Blocks until there are some; `None` when the queue is closed. Without this, callers behind a token that hangs would not hear of their deadline.
    pub(super) fn expired(&self) -> Option<Vec<J>> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.closed {
                return None;
            }
            let now = Instant::now();
            let expired = inner.take_expired(now);
            if !expired.is_empty() {
                self.set_waiting(&mut inner, |waiting| waiting - expired.len());
                return Some(expired);
            }
            let sleep = inner.next_expiry.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(now));
            inner = self.clock.wait_timeout(inner, sleep).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes nothing in any more, wakes everybody, and gives back what waited.
    pub(super) fn close(&self) -> Vec<J> {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        self.set_waiting(&mut inner, |_| 0);
        let left = inner.lanes.iter_mut().flat_map(std::mem::take).map(|entry| entry.job).collect();
        drop(inner);
        self.work.notify_all();
        self.clock.notify_all();
        left
    }

    /// The counter moves under the lock: outside of it, an older number could overwrite a newer one for good.
    fn set_waiting(&self, inner: &mut Inner<J>, change: impl FnOnce(usize) -> usize) {
        inner.waiting = change(inner.waiting);
        self.metrics.set_queue_depth(inner.waiting);
    }
}

impl<J> Inner<J> {
    fn take_expired(&mut self, now: Instant) -> Vec<J> {
        let mut expired = Vec::new();
        if self.next_expiry.is_some_and(|earliest| earliest > now) {
            return expired;
        }
        self.next_expiry = None;
        for lane in &mut self.lanes {
            for entry in std::mem::take(lane) {
                if entry.deadline <= now {
                    expired.push(entry.job);
                } else {
                    self.next_expiry = Some(self.next_expiry.map_or(entry.deadline, |at| at.min(entry.deadline)));
                    lane.push_back(entry);
                }
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(job: u32, milliseconds: u64) -> Entry<u32> {
        Entry { deadline: Instant::now() + Duration::from_millis(milliseconds), job }
    }

    #[test]
    fn lanes_are_served_in_order_and_each_first_in_first_out() {
        let queue = Queue::new(10, Arc::default());
        let pushed = [(Priority::Rest, 1), (Priority::Snapshot, 2), (Priority::Rest, 3), (Priority::Timestamp, 4)];
        for (priority, job) in pushed {
            assert!(queue.push(priority, entry(job, 60_000)).is_ok());
        }
        assert!(queue.push(Priority::Timestamp, entry(5, 60_000)).is_ok());
        let order: Vec<_> = (0..5).map(|_| queue.pop().unwrap().job).collect();
        assert_eq!(order, [4, 5, 2, 1, 3]);
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let queue = Queue::new(2, Arc::default());
        for job in 0..2 {
            assert!(queue.push(Priority::Rest, entry(job, 60_000)).is_ok());
        }
        let (job, why) = queue.push(Priority::Timestamp, entry(9, 60_000)).unwrap_err();
        assert_eq!((job, why), (9, NotTaken::Full { waiting: 2 }));
    }

    #[test]
    fn only_what_is_late_expires() {
        let queue = Queue::new(10, Arc::default());
        for (job, milliseconds) in [(1, 60_000), (2, 1), (3, 20), (4, 60_000)] {
            assert!(queue.push(Priority::Rest, entry(job, milliseconds)).is_ok());
        }
        let mut expired = Vec::new();
        while expired.len() < 2 {
            expired.extend(queue.expired().unwrap());
        }
        assert_eq!(expired, [2, 3]);
        assert_eq!(queue.pop().unwrap().job, 1);
        assert_eq!(queue.close(), [4]);
        assert!(queue.pop().is_none() && queue.expired().is_none());
        assert_eq!(queue.push(Priority::Rest, entry(5, 1)).unwrap_err().1, NotTaken::Closed);
    }
}
