//! The bounded queue of a desk: three lanes, and inside a lane a turn for each asker.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lane::{Asker, Lane};
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

/// Where in the queue, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Before whom.
    pub priority: Priority,
    /// For whom: those of one priority take turns.
    pub asker: Asker,
}

impl From<Priority> for Place {
    fn from(priority: Priority) -> Self {
        Self { priority, asker: Asker::default() }
    }
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
    lanes: [Lane<J>; 3],
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

    /// Takes an entry in, or gives the job back at once. Where the queue is full of another asker's work of this priority or
    /// a lower one, the newest of that has to make room and is what comes back.
    pub(super) fn push(&self, place: Place, entry: Entry<J>) -> Result<(), (J, NotTaken)> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err((entry.job, NotTaken::Closed));
        }
        let mut crowded_out = None;
        if inner.waiting >= self.limit {
            let full = NotTaken::Full { waiting: inner.waiting };
            let Some(newest) = inner.make_room(place) else { return Err((entry.job, full)) };
            self.set_waiting(&mut inner, |waiting| waiting - 1);
            crowded_out = Some((newest.job, full));
        }
        let deadline = entry.deadline;
        let [timestamp, snapshot, rest] = &mut inner.lanes;
        match place.priority {
            Priority::Timestamp => timestamp.push(place.asker, entry),
            Priority::Snapshot => snapshot.push(place.asker, entry),
            Priority::Rest => rest.push(place.asker, entry),
        }
        self.set_waiting(&mut inner, |waiting| waiting + 1);
        if inner.next_expiry.is_none_or(|earliest| deadline < earliest) {
            inner.next_expiry = Some(deadline);
            self.clock.notify_one();
        }
        drop(inner);
        self.work.notify_one();
        crowded_out.map_or(Ok(()), Err)
    }

    /// The next entry. Blocks; `None` when the queue is closed.
    pub(super) fn pop(&self) -> Option<Entry<J>> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.closed {
                return None;
            }
            if let Some(entry) = inner.lanes.iter_mut().find_map(Lane::pop) {
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
        let left = inner.lanes.iter_mut().flat_map(Lane::drain).collect();
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
    /// Takes out the newest entry of the asker with the most of them, in the lowest lane first, when that has more than one
    /// more than whoever comes.
    fn make_room(&mut self, place: Place) -> Option<Entry<J>> {
        let own: usize = self.lanes.iter().map(|lane| lane.count(place.asker)).sum();
        let [timestamp, snapshot, rest] = &mut self.lanes;
        let lanes = [(Priority::Rest, rest), (Priority::Snapshot, snapshot), (Priority::Timestamp, timestamp)];
        for (_, lane) in lanes.into_iter().filter(|(priority, _)| *priority >= place.priority) {
            if let Some((asker, count)) = lane.longest()
                && asker != place.asker
                && count > own + 1
            {
                return lane.drop_newest(asker);
            }
        }
        None
    }

    fn take_expired(&mut self, now: Instant) -> Vec<J> {
        let mut expired = Vec::new();
        if self.next_expiry.is_some_and(|earliest| earliest > now) {
            return expired;
        }
        self.next_expiry = None;
        for lane in &mut self.lanes {
            let next = &mut self.next_expiry;
            lane.take_expired(now, &mut expired, |deadline| {
                *next = Some(next.map_or(deadline, |at| at.min(deadline)));
            });
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
            assert!(queue.push(priority.into(), entry(job, 60_000)).is_ok());
        }
        assert!(queue.push(Priority::Timestamp.into(), entry(5, 60_000)).is_ok());
        let order: Vec<_> = (0..5).map(|_| queue.pop().unwrap().job).collect();
        assert_eq!(order, [4, 5, 2, 1, 3]);
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let queue = Queue::new(2, Arc::default());
        for job in 0..2 {
            assert!(queue.push(Priority::Rest.into(), entry(job, 60_000)).is_ok());
        }
        let (job, why) = queue.push(Priority::Timestamp.into(), entry(9, 60_000)).unwrap_err();
        assert_eq!((job, why), (9, NotTaken::Full { waiting: 2 }));
    }

    #[test]
    fn only_what_is_late_expires() {
        let queue = Queue::new(10, Arc::default());
        for (job, milliseconds) in [(1, 60_000), (2, 1), (3, 20), (4, 60_000)] {
            assert!(queue.push(Priority::Rest.into(), entry(job, milliseconds)).is_ok());
        }
        let mut expired = Vec::new();
        while expired.len() < 2 {
            expired.extend(queue.expired().unwrap());
        }
        assert_eq!(expired, [2, 3]);
        assert_eq!(queue.pop().unwrap().job, 1);
        assert_eq!(queue.close(), [4]);
        assert!(queue.pop().is_none() && queue.expired().is_none());
        assert_eq!(queue.push(Priority::Rest.into(), entry(5, 1)).unwrap_err().1, NotTaken::Closed);
    }

    fn place(priority: Priority, asker: &str) -> Place {
        Place { priority, asker: Asker::named(asker) }
    }

    #[test]
    fn askers_of_one_priority_take_turns() {
        let queue = Queue::new(10, Arc::default());
        for (asker, job) in [("greedy", 1), ("greedy", 2), ("greedy", 3), ("modest", 11), ("modest", 12), ("other", 21)]
        {
            assert!(queue.push(place(Priority::Rest, asker), entry(job, 60_000)).is_ok());
        }
        let order: Vec<_> = (0..6).map(|_| queue.pop().unwrap().job).collect();
        assert_eq!(order, [1, 11, 21, 2, 12, 3]);
    }

    #[test]
    fn who_fills_the_queue_makes_room_for_others_and_not_for_itself() {
        let queue = Queue::new(4, Arc::default());
        for job in 1..=4 {
            assert!(queue.push(place(Priority::Rest, "greedy"), entry(job, 60_000)).is_ok());
        }
        let full = NotTaken::Full { waiting: 4 };
        assert_eq!(queue.push(place(Priority::Rest, "greedy"), entry(5, 60_000)), Err((5, full)));
        let newest = queue.push(place(Priority::Rest, "modest"), entry(11, 60_000)).unwrap_err();
        assert_eq!(newest.0, 4, "its newest comes back in the place of the other's");
        assert_eq!(queue.push(place(Priority::Timestamp, "modest"), entry(12, 60_000)).unwrap_err().0, 3);
        let even = queue.push(place(Priority::Rest, "modest"), entry(13, 60_000)).unwrap_err();
        assert_eq!(even.0, 13, "each has two");
        let order: Vec<_> = (0..4).map(|_| queue.pop().unwrap().job).collect();
        assert_eq!(order, [12, 1, 11, 2]);
    }

    #[test]
    fn nobody_crowds_out_what_goes_first() {
        let queue = Queue::new(3, Arc::default());
        for job in 1..=3 {
            assert!(queue.push(place(Priority::Timestamp, "greedy"), entry(job, 60_000)).is_ok());
        }
        assert_eq!(queue.push(place(Priority::Rest, "modest"), entry(11, 60_000)).unwrap_err().0, 11);
        assert_eq!(queue.push(place(Priority::Timestamp, "modest"), entry(12, 60_000)).unwrap_err().0, 3);
    }
}
