//! I5: what was released is remembered.

use std::collections::BTreeMap;

use super::{Floors, Guard, Invariant, Violation};
use crate::journal::{Entry, What};

/// Every guard that the daemon shows is at least as high as what was released before it was asked, and as what it showed
/// before; a guard that is not shown has forgotten everything.
pub(super) fn nothing_is_forgotten(entries: &[Entry]) -> Vec<Violation> {
    let floors = Floors::of(entries);
    let mut violations = Vec::new();
    let mut shown: BTreeMap<Guard<'_>, Vec<(u64, u64)>> = BTreeMap::new();
    for entry in entries {
        let mut forgotten =
            |what: String| violations.push(Violation { invariant: Invariant::I5, at: entry.ended, what });
        let seen: BTreeMap<Guard<'_>, u64> = match &entry.what {
            What::Guards { guards } => {
                for guard in guards.iter().filter(|guard| guard.epoch != 1) {
                    forgotten(format!(
                        "{} {} is in epoch {}, and nobody asked for one",
                        guard.repository, guard.role, guard.epoch
                    ));
                }
                let seen = guards.iter().map(|guard| ((&*guard.repository, &*guard.role), guard.version));
                floors.guards().map(|guard| (guard, 0)).chain(seen).collect()
            }
            What::Explained { repository, role, version } => BTreeMap::from([((&**repository, &**role), *version)]),
            _ => continue,
        };
        for (guard, version) in seen {
            let floor = floors.before(guard, entry.began);
            if version < floor {
                forgotten(format!("the guard of {} {} is at {version}, released was {floor}", guard.0, guard.1));
            }
            let before = shown.entry(guard).or_default();
            if before.iter().any(|(ended, earlier)| *ended < entry.began && *earlier > version) {
                forgotten(format!("the guard of {} {} fell to {version}", guard.0, guard.1));
            }
            // Only a rise can be fallen from.
            if before.last().is_none_or(|(_, earlier)| *earlier < version) {
                before.push((entry.ended, version));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::GuardSeen;
    use crate::oracle::testing::{Story, sign};

    fn guards(version: u64, epoch: u32) -> What {
        let (repository, role) = ("demo".to_owned(), "timestamp".to_owned());
        What::Guards { guards: vec![GuardSeen { repository, role, epoch, version }] }
    }

    fn found(story: &Story) -> Vec<(u64, Invariant)> {
        nothing_is_forgotten(&story.entries).iter().map(|violation| (violation.at, violation.invariant)).collect()
    }

    #[test]
    fn a_guard_below_what_was_released_is_seen() {
        let mut story = Story::default();
        story.release(1, 10, &sign("a", "demo", "timestamp", 5, "x"));
        story.write(9, 20, guards(4, 1)); // the release had not ended
        story.write(11, 30, guards(5, 1));
        story.write(11, 31, What::Explained { repository: "demo".into(), role: "timestamp".into(), version: 6 });
        assert_eq!(found(&story), []);
        story.write(12, 40, guards(4, 1));
        story.write(12, 41, What::Explained { repository: "demo".into(), role: "timestamp".into(), version: 4 });
        assert_eq!(found(&story), [(40, Invariant::I5), (41, Invariant::I5)]);
    }

    #[test]
    fn a_guard_that_is_gone_is_seen() {
        let mut story = Story::default();
        story.release(1, 10, &sign("a", "demo", "timestamp", 5, "x"));
        story.write(11, 20, What::Guards { guards: Vec::new() });
        assert_eq!(found(&story), [(20, Invariant::I5)]);
    }

    #[test]
    fn a_guard_that_falls_and_a_new_epoch_are_seen() {
        let mut story = Story::default();
        story.write(1, 2, guards(7, 1));
        story.write(3, 4, guards(7, 1));
        assert_eq!(found(&story), []);
        story.write(5, 6, guards(6, 1));
        story.write(7, 8, guards(7, 2));
        assert_eq!(found(&story), [(6, Invariant::I5), (8, Invariant::I5)]);
    }
}
