//! The oracle: what the clients saw and what the log says, held against I1 to I6 of the design. Pure: files and daemons
//! are for others.

mod answers;
mod guards;
mod leaves;
mod releases;
#[cfg(test)]
mod testing;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use sealward::audit::note::VerifierKey;
use sealward::domain::audit_event::Event;
use sealward::domain::public_key::PublicKey;
use sealward::domain::signature::{Encoding, Signature};

use crate::journal::{Ask, Entry, Release, What};

/// All that is known after a run.
pub(crate) struct Evidence {
    /// By the end of the call.
    pub(crate) entries: Vec<Entry>,
    /// Every key that was made, by its id.
    pub(crate) keys: BTreeMap<String, BoundKey>,
    /// As it was when the ledger was made.
    pub(crate) verifier_key: VerifierKey,
    /// The exported log, verified offline; or why it could not be.
    pub(crate) log: Result<Vec<Leaf>, Violation>,
}

/// A key with what it is bound to.
pub(crate) struct BoundKey {
    pub(crate) public_key: PublicKey,
    pub(crate) repository: String,
    pub(crate) role: String,
}

/// A leaf, as its bytes and as what they say.
pub(crate) struct Leaf {
    pub(crate) bytes: Vec<u8>,
    pub(crate) event: Event,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    /// When a client could see it.
    pub(crate) at: u64,
    pub(crate) what: String,
}

/// Numbered as in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// One payload per version.
    I1,
    /// Versions never go down.
    I2,
    /// Every release has its leaf.
    I3,
    /// The tree extends every tree ever shown.
    I4,
    /// Nothing that was released is forgotten.
    I5,
    /// Every request ends in a valid signature or a clear refusal.
    I6,
}

impl Invariant {
    pub(crate) const ALL: [Self; 6] = [Self::I1, Self::I2, Self::I3, Self::I4, Self::I5, Self::I6];
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} at {}.{:03} s: {}",
            self.invariant,
            self.at / 1_000_000_000,
            self.at / 1_000_000 % 1000,
            self.what
        )
    }
}

/// Every violation, the earliest first.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(releases::one_payload_per_version(&evidence.entries));
    violations.extend(releases::versions_never_fall(&evidence.entries));
    violations.extend(guards::nothing_is_forgotten(&evidence.entries));
    violations.extend(answers::every_request_is_answered(&evidence.entries));
    violations.extend(answers::silence_has_a_cause(&evidence.entries));
    violations.extend(answers::refusals_are_clear(&evidence.entries));
    violations.extend(answers::signatures_are_valid(&evidence.entries, &evidence.keys));
    violations.extend(answers::signatures_are_never_made_again(&evidence.entries, &evidence.keys));
    violations.extend(tree::sizes_never_fall(&evidence.entries, &evidence.verifier_key));
    violations.extend(tree::checkpoints_are_extended(&evidence.entries, &evidence.verifier_key));
    match &evidence.log {
        Err(violation) => violations.push(violation.clone()),
        Ok(log) => {
            violations.extend(leaves::every_release_has_one_leaf(&evidence.entries, &evidence.keys, log));
            violations.extend(leaves::every_leaf_was_asked_for(&evidence.entries, log));
            violations.extend(answers::refusals_are_explained(&evidence.entries, log));
            violations.extend(tree::checkpoints_are_in_the_log(&evidence.entries, &evidence.verifier_key, log));
        }
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}

/// A guard's name, as clients see it. Nobody asks for a second epoch here.
type Guard<'a> = (&'a str, &'a str);

fn guard_of(ask: &Ask) -> Guard<'_> {
    (&ask.repository, &ask.role)
}

fn released(entries: &[Entry]) -> impl Iterator<Item = (&Entry, &Release)> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Released(release) => Some((entry, release)),
        _ => None,
    })
}

/// The highest version that was surely released before a moment, per guard.
struct Floors<'a>(BTreeMap<Guard<'a>, Vec<(u64, u64)>>);

impl<'a> Floors<'a> {
    /// Entries stand by the end of their call, so each list is ordered, and holds the maximum so far.
    fn of(entries: &'a [Entry]) -> Self {
        let mut floors: BTreeMap<Guard<'a>, Vec<(u64, u64)>> = BTreeMap::new();
        for (entry, release) in released(entries) {
            let floor = floors.entry(guard_of(&release.ask)).or_default();
            let before = floor.last().map_or(0, |(_, version)| *version);
            floor.push((entry.ended, before.max(release.version)));
        }
        Self(floors)
    }

    /// What ended before this moment; 0 for nothing.
    fn before(&self, guard: Guard<'_>, moment: u64) -> u64 {
        let Some(floor) = self.0.get(&guard) else { return 0 };
        let count = floor.partition_point(|(ended, _)| *ended < moment);
        count.checked_sub(1).map_or(0, |last| floor[last].1)
    }

    fn guards(&self) -> impl Iterator<Item = Guard<'a>> {
        self.0.keys().copied()
    }
}

/// The signature in its fixed-length form; `None` when it is none of this key.
fn fixed_form(release: &Release, keys: &BTreeMap<String, BoundKey>) -> Option<Signature> {
    let algorithm = keys.get(&release.key)?.public_key.algorithm();
    let bytes = hex::decode(&release.signature).ok()?;
    match release.ask.encoding {
        Encoding::Der => Signature::from_der(algorithm, &bytes).ok(),
        Encoding::Raw => Signature::from_fixed(algorithm, bytes).ok(),
    }
}

fn named(ask: &Ask) -> String {
    format!(
        "{} {} {} with digest {:.12} ({} item {})",
        ask.repository, ask.role, ask.version, ask.digest, ask.id, ask.item
    )
}

#[cfg(test)]
mod tests {
    use super::testing::{Story, sign};
    use super::*;

    #[test]
    fn an_innocent_run_is_acquitted() {
        assert_eq!(judge(&Story::innocent().evidence()), []);
    }

    #[test]
    fn a_log_that_does_not_verify_is_a_violation_of_its_own() {
        let mut evidence = Story::innocent().evidence();
        let broken = Violation { invariant: Invariant::I4, at: 9, what: "the export does not verify".to_owned() };
        evidence.log = Err(broken.clone());
        assert_eq!(judge(&evidence), [broken]);
    }

    #[test]
    fn violations_come_in_the_order_in_which_they_could_be_seen() {
        let mut story = Story::innocent();
        story.release(50, 60, &sign("late", "demo", "timestamp", 1, "other"));
        story.release(40, 45, &sign("early", "demo", "snapshot", 1, "other"));
        let found: Vec<_> = judge(&story.evidence()).iter().map(|violation| violation.at).collect();
        assert!(found.is_sorted() && found.contains(&45) && found.contains(&60), "{found:?}");
    }

    #[test]
    fn a_floor_counts_only_what_ended_before() {
        let mut story = Story::default();
        story.release(10, 20, &sign("a", "demo", "timestamp", 3, "x"));
        let evidence = story.evidence();
        let floors = Floors::of(&evidence.entries);
        assert_eq!(floors.before(("demo", "timestamp"), 20), 0);
        assert_eq!(floors.before(("demo", "timestamp"), 21), 3);
        assert_eq!(floors.before(("demo", "snapshot"), 21), 0);
    }
}
