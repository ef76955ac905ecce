//! I1 and I2, as the clients saw them.

use std::collections::BTreeMap;

use super::{Floors, Guard, Invariant, Violation, guard_of, named, released};
use crate::journal::{Entry, Release};

/// One guard in one answer to one batch.
type Answer<'a> = (Guard<'a>, &'a str, u64);

/// I1: no two released signatures for one version with different payloads.
pub(super) fn one_payload_per_version(entries: &[Entry]) -> Vec<Violation> {
    let mut first: BTreeMap<(Guard<'_>, u64), &Release> = BTreeMap::new();
    let mut violations = Vec::new();
    for (entry, release) in released(entries) {
        let earlier = first.entry((guard_of(&release.ask), release.version)).or_insert(release);
        if earlier.digest != release.digest {
            let what = format!("released twice: {} and {}", named(&earlier.ask), named(&release.ask));
            violations.push(Violation { invariant: Invariant::I1, at: entry.ended, what });
        }
    }
    violations
}

/// I2: what began after another ended is not lower. Within a batch, a later item is not lower than an earlier one.
pub(super) fn versions_never_fall(entries: &[Entry]) -> Vec<Violation> {
    let floors = Floors::of(entries);
    let mut violations = Vec::new();
    let mut batches: BTreeMap<Answer<'_>, Vec<(usize, u64)>> = BTreeMap::new();
    for (entry, release) in released(entries) {
        let guard = guard_of(&release.ask);
        let floor = floors.before(guard, entry.began);
        if release.version < floor {
            let what = format!("{floor} was released before this was asked for: {}", named(&release.ask));
            violations.push(Violation { invariant: Invariant::I2, at: entry.ended, what });
        }
        let batch = batches.entry((guard, &release.ask.id, entry.ended)).or_default();
        if batch.iter().any(|(item, version)| *item < release.ask.item && *version > release.version) {
            let what = format!("an earlier item of the batch was higher: {}", named(&release.ask));
            violations.push(Violation { invariant: Invariant::I2, at: entry.ended, what });
        }
        batch.push((release.ask.item, release.version));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, sign};

    #[test]
    fn two_payloads_of_one_version_are_seen_whoever_asked_and_when() {
        let mut story = Story::default();
        story.release(1, 2, &sign("a", "demo", "timestamp", 1, "x"));
        story.release(3, 4, &sign("b", "demo", "timestamp", 1, "x"));
        story.release(3, 4, &sign("b", "other", "timestamp", 1, "y"));
        story.release(3, 4, &sign("b", "demo", "snapshot", 1, "y"));
        assert_eq!(one_payload_per_version(&story.entries), []);
        story.release(3, 5, &sign("c", "demo", "timestamp", 1, "y"));
        let found = one_payload_per_version(&story.entries);
        assert_eq!((found.len(), found[0].invariant, found[0].at), (1, Invariant::I1, 5));
    }

    #[test]
    fn a_lower_version_counts_only_after_the_higher_one_ended() {
        let mut story = Story::default();
        story.release(1, 10, &sign("a", "demo", "timestamp", 2, "x"));
        story.release(9, 20, &sign("b", "demo", "timestamp", 1, "y"));
        story.release(30, 40, &sign("c", "demo", "timestamp", 2, "x"));
        assert_eq!(versions_never_fall(&story.entries), []);
        story.release(11, 50, &sign("d", "demo", "timestamp", 1, "y"));
        let found = versions_never_fall(&story.entries);
        assert_eq!((found.len(), found[0].invariant, found[0].at), (1, Invariant::I2, 50));
    }

    #[test]
    fn items_of_a_batch_are_in_order() {
        let mut story = Story::default();
        let batch = |item, version| {
            let mut ask = sign("a", "demo", "timestamp", version, "x");
            ask.item = item;
            ask
        };
        story.release(1, 10, &batch(0, 1));
        story.release(1, 10, &batch(1, 2));
        assert_eq!(versions_never_fall(&story.entries), []);
        story.release(1, 10, &batch(2, 1));
        assert_eq!(versions_never_fall(&story.entries).len(), 1);
    }
}
