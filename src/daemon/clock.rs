//! This machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Instant;
use crate::engine::Clock;

pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        // A clock before 1970 is no clock; every expiry is then in the future and the law's bound refuses it.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Instant::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}
