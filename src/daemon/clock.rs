//! This machine's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::law::clock::Reading;
use crate::domain::time::Instant;
use crate::engine::Clock;

pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        // A clock before 1970 is no clock; every expiry is then in the future and the law's bound refuses it.
        Instant::from_unix(milliseconds().div_euclid(1000))
    }

    fn reading(&self) -> Reading {
        let boot_before = since_boot();
        let wall = milliseconds();
        Reading { wall, boot_before, boot_after: since_boot() }
    }
}

/// Since the Unix epoch.
fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Milliseconds since the machine started, sleep included (clock_gettime(2), CLOCK_BOOTTIME).
fn since_boot() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}
