//! What the engine counts. The daemon turns it into a metrics page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Outcome};

/// A part of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Grant, reading the payload, the law.
    Decide,
    /// The keystore, with its queue.
    Sign,
    /// The ledger's durable transaction.
    Commit,
    /// All of it.
    Total,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Decide, Self::Sign, Self::Commit, Self::Total];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Sign => "sign",
            Self::Commit => "commit",
            Self::Total => "total",
        }
    }
}

/// Upper bounds of the latency buckets, in seconds; one more bucket takes the rest.
pub const BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts per bucket (not cumulative), and the sum in seconds.
    pub fn read(&self) -> (Vec<u64>, f64) {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64())
    }
}

/// Verb, role label, outcome, reason (empty when it succeeded).
pub(crate) type RequestLabels = (&'static str, &'static str, &'static str, &'static str);

/// A quota of the daemon, not of the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Requests of one caller.
    Caller,
    /// Signatures of one key.
    Key,
    /// Denials of one caller that get a leaf of their own: what is beyond is counted together.
    DenialLeaf,
}

impl Quota {
    /// Every quota.
    pub const ALL: [Self; 3] = [Self::Caller, Self::Key, Self::DenialLeaf];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Key => "key",
            Self::DenialLeaf => "denial-leaf",
        }
    }
}

/// The engine's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, u64>>,
    supersedes: Mutex<BTreeMap<&'static str, u64>>,
    stages: [Histogram; 4],
    over_quota: [AtomicU64; 3],
}

impl Metrics {
    /// Counts one request.
    pub(super) fn count(&self, verb: &'static str, role: Option<&Role>, refusal: Option<&Denial>) {
        let outcome = refusal.map_or(Outcome::Succeeded, |denial| denial.reason.outcome());
        let reason = refusal.map_or("", |denial| denial.reason.name());
        let labels = (verb, role_label(role), outcome.name(), reason);
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default() += 1;
    }

    /// Counts a payload that took the place of a released one.
    pub(super) fn count_supersede(&self, role: &Role) {
        *self.supersedes.lock().unwrap_or_else(PoisonError::into_inner).entry(role_label(Some(role))).or_default() += 1;
    }

    /// Payloads that took the place of a released one, by role label.
    pub fn supersedes(&self) -> Vec<(&'static str, u64)> {
        let supersedes = self.supersedes.lock().unwrap_or_else(PoisonError::into_inner);
        supersedes.iter().map(|(role, count)| (*role, *count)).collect()
    }

    /// Counts what was beyond a quota.
    pub(super) fn count_over_quota(&self, quota: Quota) {
        let [caller, key, denial_leaf] = &self.over_quota;
        let counter = match quota {
            Quota::Caller => caller,
            Quota::Key => key,
            Quota::DenialLeaf => denial_leaf,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What was beyond each quota.
    pub fn over_quota(&self) -> impl Iterator<Item = (Quota, u64)> {
        Quota::ALL.into_iter().zip(self.over_quota.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Counts the time of a stage.
    pub(super) fn observe(&self, stage: Stage, duration: Duration) {
        let [decide, sign, commit, total] = &self.stages;
        let histogram = match stage {
            Stage::Decide => decide,
            Stage::Sign => sign,
            Stage::Commit => commit,
            Stage::Total => total,
        };
        histogram.observe(duration);
    }

    /// Requests by labels.
    pub(crate) fn requests(&self) -> Vec<(RequestLabels, u64)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().map(|(labels, count)| (*labels, *count)).collect()
    }

    /// Latency by stage.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, &Histogram)> {
        Stage::ALL.into_iter().zip(&self.stages)
    }
}

/// Delegated roles share one label: their names come from callers, and labels must be few.
fn role_label(role: Option<&Role>) -> &'static str {
    match role {
        None => "",
        Some(Role::Root) => "root",
        Some(Role::Targets) => "targets",
        Some(Role::Snapshot) => "snapshot",
        Some(Role::Timestamp) => "timestamp",
        Some(Role::Delegated(_)) => "delegated",
    }
}
