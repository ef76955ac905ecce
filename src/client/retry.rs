//! When a call is made again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tonic::{Code, Status};

use crate::wire::status::from_status;

/// Calls per request, the first one included.
pub(super) const MAX_ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// EX_TEMPFAIL of sysexits(3): the table's word for "the same request may do later".
const TEMPORARY: u8 = 75;

/// Whether asking twice does no more than asking once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A read, or a request that is answered by replay.
    Harmless,
    /// A second call would make a second key, or get another answer.
    Never,
}

/// The pause before the next attempt, or `None` when there must not be one.
///
/// Only UNAVAILABLE is tried again; and of what the daemon itself says, only what its table calls temporary: a latch, a
/// refused PIN and a missing token do not mend in a second, and a PIN has few tries.
pub(super) fn pause_before_next(repeat: Repeat, attempt: u32, status: &Status) -> Option<Duration> {
    if repeat == Repeat::Never || attempt >= MAX_ATTEMPTS || status.code() != Code::Unavailable {
        return None;
    }
    let temporary = match from_status(status) {
        Some(refused) => refused.known.is_some_and(|reason| reason.exit_code() == TEMPORARY),
        None => true,
    };
    temporary.then(|| jittered(FIRST_PAUSE.saturating_mul(1 << attempt.min(8).saturating_sub(1))))
}

/// Between half of the pause and all of it, so that callers that lost the same daemon do not come back as one.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    pause / 2 + (pause / 2_000) * u32::try_from(random).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Reason;
    use crate::wire::status::to_status;

    #[test]
    fn only_what_may_mend_by_itself_is_tried_again() {
        let again = |status: &Status| pause_before_next(Repeat::Harmless, 1, status).is_some();
        assert!(again(&Status::unavailable("connection lost")));
        assert!(again(&to_status(Reason::ShuttingDown, "", "")));
        assert!(again(&to_status(Reason::DiskFull, "", "")));
        for reason in [Reason::Latched, Reason::PinRefused, Reason::KeystoreUnavailable, Reason::LedgerFault] {
            assert_eq!(reason.grpc_code() as i32, Code::Unavailable as i32);
            assert!(!again(&to_status(reason, "", "")), "{reason}");
        }
        for status in [Status::internal(""), Status::aborted(""), Status::resource_exhausted(""), Status::unknown("")] {
            assert!(!again(&status), "{status}");
        }
        assert_eq!(pause_before_next(Repeat::Never, 1, &Status::unavailable("")), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let pause = |attempt| pause_before_next(Repeat::Harmless, attempt, &Status::unavailable(""));
        for (attempt, most) in [(1, 100), (2, 200), (3, 400)] {
            let pause = pause(attempt).unwrap();
            assert!(pause >= Duration::from_millis(most / 2) && pause <= Duration::from_millis(most), "{pause:?}");
        }
        assert_eq!(pause(MAX_ATTEMPTS), None);
    }
}
