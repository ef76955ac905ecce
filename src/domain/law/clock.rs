//! May the clock be believed? (`law.md` section 6)

use crate::domain::time::Instant;

/// The wall clock beside the boot clock, read one after the other.
///
/// The boot clock counts time since the machine started, sleep included, and nobody sets it. The wall clock was read
/// between its two readings, which bounds how far a process that was held up in between can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds since the Unix epoch.
    pub wall: i64,
    /// Milliseconds since the machine started, read before the wall clock.
    pub boot_before: i64,
    /// The same, read after it.
    pub boot_after: i64,
}

/// How far the clock may stray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Seconds that the clock may lie before the newest leaf.
    pub skew_seconds: i64,
    /// Seconds that it may move against the boot clock, over the life of the daemon.
    pub jump_seconds: i64,
}

/// Why the clock cannot be believed; `None` when it can.
///
/// `first` is the reading to which jumps are measured. It stays the same while the daemon runs, so that many small steps
/// count as the large one that they make. A clock that is slewed (NTP) moves both clocks alike; a leap second is one
/// second; sleep is counted by both.
pub fn doubt(newest_leaf: Option<Instant>, first: Reading, now: Reading, bounds: Bounds) -> Option<String> {
    let seconds = Instant::from_unix(now.wall.div_euclid(1000));
    if let Some(leaf) = newest_leaf
        && seconds < leaf.plus_seconds(bounds.skew_seconds.saturating_neg())
    {
        return Some(format!("the clock says {seconds}, and the newest leaf was written at {leaf}"));
    }
    // The true distance of the two clocks lies between these, then and now.
    let least = |reading: Reading| reading.wall.saturating_sub(reading.boot_after);
    let most = |reading: Reading| reading.wall.saturating_sub(reading.boot_before);
    let forward = least(now).saturating_sub(most(first));
    let backward = least(first).saturating_sub(most(now));
    let bound = bounds.jump_seconds.saturating_mul(1000);
    match (forward > bound, backward > bound) {
        (true, _) => Some(format!("the clock jumped {} s ahead of the boot clock, to {seconds}", forward / 1000)),
        (_, true) => Some(format!("the clock jumped {} s back against the boot clock, to {seconds}", backward / 1000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { skew_seconds: 60, jump_seconds: 60 };

    fn at(wall: i64, boot: i64) -> Reading {
        Reading { wall, boot_before: boot, boot_after: boot }
    }

    fn jumps(first: Reading, now: Reading) -> bool {
        doubt(None, first, now, BOUNDS).is_some()
    }

    #[test]
    fn a_clock_before_the_newest_leaf_less_the_skew_is_doubted() {
        let leaf = Some(Instant::from_unix(10_000));
        let at_second = |second: i64| doubt(leaf, at(second * 1000, 0), at(second * 1000, 0), BOUNDS);
        assert_eq!(at_second(9_940), None);
        assert_eq!(at_second(10_500), None, "the future is no doubt by itself");
        let said = at_second(9_939).unwrap();
        assert!(said.contains("1970-01-01T02:45:39Z") && said.contains("1970-01-01T02:46:40Z"), "{said}");
    }

    #[test]
    fn a_jump_against_the_boot_clock_is_doubted_in_both_directions() {
        let first = at(1_000_000, 5_000);
        assert!(!jumps(first, at(1_060_000, 5_000)) && jumps(first, at(1_061_000, 5_000)));
        assert!(!jumps(first, at(940_000, 5_000)) && jumps(first, at(939_000, 5_000)));
    }

    #[test]
    fn sleep_slewing_and_leap_seconds_are_no_jumps() {
        let first = at(1_000_000, 5_000);
        let asleep = 3 * 24 * 3600 * 1000;
        assert!(!jumps(first, at(1_000_000 + asleep, 5_000 + asleep)), "the boot clock counts sleep");
        assert!(!jumps(first, at(1_000_000 + asleep - 1000, 5_000 + asleep)), "a leap second, or a coarse RTC");
    }

    #[test]
    fn many_small_steps_are_one_large_jump() {
        let first = at(0, 0);
        let doubted = (0..100).find(|step| jumps(first, at(step * 5_000, 0)));
        assert_eq!(doubted, Some(13), "65 s in steps of 5");
    }

    #[test]
    fn a_process_that_was_held_up_between_the_readings_doubts_nothing() {
        let first = at(1_000_000, 5_000);
        let held_up = Reading { wall: 1_000_000 + 600_000, boot_before: 5_000, boot_after: 5_000 + 600_000 };
        assert!(!jumps(first, held_up) && !jumps(held_up, at(1_700_000, 705_000)));
    }

    #[test]
    fn clocks_at_the_ends_of_their_range_overflow_nothing() {
        for wall in [i64::MIN, 0, i64::MAX] {
            for boot in [i64::MIN, 0, i64::MAX] {
                let _ = doubt(Some(Instant::from_unix(wall)), at(boot, wall), at(wall, boot), BOUNDS);
            }
        }
    }
}
