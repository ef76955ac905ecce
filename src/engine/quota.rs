//! Quotas per caller and per key: buckets in memory, full at each start.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant as Monotonic;

use super::metrics::Quota;
use super::{Call, Engine};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::quota::Rate;

/// What was taken lately.
#[derive(Default)]
pub(super) struct Taken {
    requests: Buckets<String>,
    signatures: Buckets<KeyId>,
    denials: Buckets<String>,
}

/// A bucket per name. One that is full again is forgotten.
struct Buckets<K>(Mutex<HashMap<K, Bucket>>);

struct Bucket {
    tokens: f64,
    counted: Monotonic,
}

/// Beyond so many names full buckets are swept.
const NAMES: usize = 4096;

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// Takes one; `false` when there is none.
    fn take(&self, name: K, rate: Rate, now: Monotonic) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > NAMES {
            buckets.retain(|_, bucket| bucket.at(rate, now) < f64::from(rate.burst));
        }
        let full = Bucket { tokens: f64::from(rate.burst), counted: now };
        let bucket = buckets.entry(name).or_insert(full);
        bucket.tokens = bucket.at(rate, now);
        bucket.counted = bucket.counted.max(now);
        let is_there = bucket.tokens >= 1.0;
        if is_there {
            bucket.tokens -= 1.0;
        }
        is_there
    }
}

impl Bucket {
    /// What it holds by now.
    fn at(&self, rate: Rate, now: Monotonic) -> f64 {
        let seconds = now.saturating_duration_since(self.counted).as_secs_f64();
        (self.tokens + seconds * f64::from(rate.per_minute) / 60.0).min(f64::from(rate.burst))
    }
}

impl Engine {
    /// Before anything is read: one request of this caller.
    pub(super) fn admit_caller(&self, call: &Call) -> Result<(), Denial> {
        let rate = self.rules().quotas.request_rate_per_caller;
        let name = self.counted(&call.caller).name();
        if self.taken.requests.take(name.clone(), rate, Monotonic::now()) {
            return Ok(());
        }
        self.metrics.count_over_quota(Quota::Caller);
        Err(over(rate, "requests", &name))
    }

    /// Before a token is asked: one signature of this key.
    pub(super) fn admit_key(&self, key: KeyId) -> Result<(), Denial> {
        let rate = self.rules().quotas.signature_rate_per_key;
        if self.taken.signatures.take(key, rate, Monotonic::now()) {
            return Ok(());
        }
        self.metrics.count_over_quota(Quota::Key);
        Err(over(rate, "signatures", &format!("key {key}")))
    }

    /// Whether one more denial of this caller gets a leaf of its own.
    pub(super) fn admit_denial(&self, call: &Call) -> bool {
        let per_minute = self.rules().quotas.denial_leaves_per_minute;
        let rate = Rate { per_minute, burst: per_minute };
        let admitted = self.taken.denials.take(call.caller.to_string(), rate, Monotonic::now());
        if !admitted {
            self.metrics.count_over_quota(Quota::DenialLeaf);
        }
        admitted
    }
}

fn over(rate: Rate, what: &str, of: &dyn std::fmt::Display) -> Denial {
    let Rate { per_minute, burst } = rate;
    Denial::new(Reason::OverQuota, format!("{of} has at most {per_minute} {what} a minute, {burst} at once"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate_and_each_name_has_its_own() {
        let (buckets, begun, rate) = (Buckets::default(), Monotonic::now(), Rate { per_minute: 60, burst: 3 });
        let take = |name, seconds| buckets.take(name, rate, begun + Duration::from_secs(seconds));
        assert_eq!([0, 0, 0, 0].map(|seconds| take("one", seconds)), [true, true, true, false]);
        assert!(take("other", 0));
        assert_eq!([1, 1].map(|seconds| take("one", seconds)), [true, false]);
        assert_eq!([3600; 4].map(|seconds| take("one", seconds)), [true, true, true, false]);
        assert!(!take("one", 0), "a clock that went back gives nothing");
    }

    #[test]
    fn names_that_took_nothing_lately_are_forgotten() {
        let (buckets, begun, rate) = (Buckets::default(), Monotonic::now(), Rate { per_minute: 60, burst: 3 });
        for name in 0..=NAMES {
            assert!(buckets.take(name, rate, begun));
        }
        assert!(buckets.take(NAMES + 1, rate, begun + Duration::from_secs(60)));
        assert_eq!(buckets.0.lock().unwrap().len(), 1);
    }
}
