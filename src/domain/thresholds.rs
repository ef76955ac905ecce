//! A limit that comes in three steps: warn of it, advise to stage a successor, refuse.

/// Three bounds of one growing number; each may be left out. In ascending order, as the configuration checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// From here on status warns.
    pub warn: Option<u64>,
    /// From here on status says that a successor is due now.
    pub stage: Option<u64>,
    /// From here on the law refuses.
    pub refuse: Option<u64>,
}

/// Where a number stands among its thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Below all of them, or there are none.
    Fine,
    /// Worth knowing.
    Warn,
    /// A successor is due.
    Stage,
    /// No signature any more.
    Refuse,
}

impl Level {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warn => "warn",
            Self::Stage => "stage",
            Self::Refuse => "refuse",
        }
    }
}

impl Thresholds {
    /// The highest threshold that the number has reached.
    pub fn level(&self, number: u64) -> Level {
        let reached = |bound: Option<u64>| bound.is_some_and(|bound| number >= bound);
        if reached(self.refuse) {
            Level::Refuse
        } else if reached(self.stage) {
            Level::Stage
        } else if reached(self.warn) {
            Level::Warn
        } else {
            Level::Fine
        }
    }

    /// Whether any is set.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Whether each that is set is at least the one before it.
    pub fn is_ascending(&self) -> bool {
        let set: Vec<u64> = [self.warn, self.stage, self.refuse].into_iter().flatten().collect();
        set.is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_reached_at_its_number_and_the_highest_one_counts() {
        let all = Thresholds { warn: Some(10), stage: Some(20), refuse: Some(30) };
        let levels: Vec<Level> = [0, 9, 10, 19, 20, 29, 30, u64::MAX].map(|number| all.level(number)).into();
        assert_eq!(
            levels,
            [
                Level::Fine,
                Level::Fine,
                Level::Warn,
                Level::Warn,
                Level::Stage,
                Level::Stage,
                Level::Refuse,
                Level::Refuse
            ]
        );
        assert_eq!(Thresholds::default().level(u64::MAX), Level::Fine);
        assert_eq!(Thresholds { refuse: Some(1), ..Thresholds::default() }.level(1), Level::Refuse);
    }

    #[test]
    fn thresholds_ascend_wherever_one_is_left_out() {
        let of = |warn, stage, refuse| Thresholds { warn, stage, refuse };
        assert!(of(Some(1), Some(1), Some(2)).is_ascending());
        assert!(of(Some(1), None, Some(2)).is_ascending());
        assert!(!of(Some(3), None, Some(2)).is_ascending());
        assert!(!of(None, Some(3), Some(2)).is_ascending());
    }
}
