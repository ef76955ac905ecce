//! Chance that can be repeated: SplitMix64 (Steele, Lea, Flood 2014). The plan of a run follows from its seed; what the
//! machine makes of it does not.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Names the seed of a run.
pub(crate) const SEED: &str = "SEALWARD_CRASH_SEED";

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream of the same run.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    pub(crate) fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.below((to - from) * 1000))
    }
}

/// The seed that the environment names, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED} is a number, not {text:?}")),
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let plan = |seed| {
            let mut random = Random::seeded(seed);
            let mut other = random.split();
            [random.next(), other.next(), random.below(1000), other.below(1000)]
        };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut random = Random::seeded(1);
        let seen: std::collections::BTreeSet<_> = (0..1000).map(|_| random.below(5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!((0..1000).all(|_| (20..400).contains(&random.milliseconds(20, 400).as_millis())));
        let yes = (0..1000).filter(|_| random.percent(30)).count();
        assert!((200..400).contains(&yes), "{yes}");
    }
}
