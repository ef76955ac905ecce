//! What a desk counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one desk. Plain numbers, so that the daemon registers them wherever it likes.
#[derive(Debug, Default)]
pub struct DeskMetrics {
    queue_depth: AtomicU64,
    signed: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    challenges: AtomicU64,
    busy_nanoseconds: AtomicU64,
    typical_nanoseconds: AtomicU64,
}

impl DeskMetrics {
    /// Requests that wait now.
    pub fn queue_depth(&self) -> u64 {
        self.queue_depth.load(Ordering::Relaxed)
    }

    /// Signatures handed out.
    pub fn signed(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }

    /// Work that the keystore was asked to do and that did not succeed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Requests that never reached the keystore: queue full, deadline passed, desk closing.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Self-tests of keys at their first use.
    pub fn challenges(&self) -> u64 {
        self.challenges.load(Ordering::Relaxed)
    }

    /// Time spent in the keystore and in verification, over all threads, in nanoseconds.
    pub fn busy_nanoseconds(&self) -> u64 {
        self.busy_nanoseconds.load(Ordering::Relaxed)
    }

    pub(super) fn set_queue_depth(&self, waiting: usize) {
        self.queue_depth.store(u64::try_from(waiting).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn count_signed(&self) {
        self.signed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_challenge(&self) {
        self.challenges.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_busy(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        // A moving average over about eight jobs. A lost update between threads only makes it a little older.
        let before = self.typical_nanoseconds.load(Ordering::Relaxed);
        let after = if before == 0 { nanoseconds } else { before - before / 8 + nanoseconds / 8 };
        self.typical_nanoseconds.store(after, Ordering::Relaxed);
    }

    /// How long one job takes lately.
    pub(super) fn typical(&self) -> Duration {
        Duration::from_nanos(self.typical_nanoseconds.load(Ordering::Relaxed))
    }
}
