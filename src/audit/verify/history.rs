//! What the leaves say, taken together: I1 and I2 over released signatures, times, counts.

use std::collections::{BTreeMap, HashMap};

use super::VerifyError;
use crate::audit::leaf::event_name;
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::name::{RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::Outcome;
use crate::domain::time::Instant;

/// How far a clock may step back before it is reported: leaves of one moment may be committed out of order, and clocks
/// are corrected by a little all the time.
const SKEW_SECONDS: i64 = 60;

/// What the leaves so far amount to.
#[derive(Debug, Default)]
pub(super) struct History {
    first: Option<Instant>,
    last: Option<Instant>,
    latest: Option<Instant>,
    counts: BTreeMap<(&'static str, &'static str), u64>,
    heads: HashMap<(RepositoryName, Role, u32), Head>,
    steps_back: Oddity,
    bare_cosigns: Oddity,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    version: Version,
    digest: Sha256Digest,
    leaf: u64,
}

/// Something to note: how often, and where first.
#[derive(Debug, Default)]
struct Oddity {
    count: u64,
    first: u64,
}

impl Oddity {
    fn seen_at(&mut self, leaf: u64) {
        if self.count == 0 {
            self.first = leaf;
        }
        self.count += 1;
    }
}

impl History {
    /// Takes the next leaf in.
    pub(super) fn add(&mut self, leaf: u64, event: Event) -> Result<(), VerifyError> {
        self.first.get_or_insert(event.time);
        self.last = Some(event.time);
        if self.latest.is_some_and(|latest| latest.seconds_since(event.time) > SKEW_SECONDS) {
            self.steps_back.seen_at(leaf);
        }
        self.latest = self.latest.max(Some(event.time));
        *self.counts.entry((event_name(event.event), event.outcome.name())).or_default() += 1;
        match (event.event, event.outcome) {
            (EventKind::Advance | EventKind::Cosign | EventKind::Supersede, Outcome::Succeeded) => {
                self.released(leaf, event)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    pub(super) fn into_counts(self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.counts
    }

    /// What is odd and breaks no promise.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Oddity { count, first } = self.steps_back;
        if count > 0 {
            notes.push(format!(
                "time goes back by more than {SKEW_SECONDS} seconds at {count} leaves, first at leaf {first}: the clock was changed"
            ));
        }
        let Oddity { count, first } = self.bare_cosigns;
        if count > 0 {
            notes.push(format!(
                "{count} leaves cosign or supersede a version above the one released before without a leaf that advances to it, first leaf {first}"
            ));
        }
        notes
    }

    /// The head is enough for both promises: what is below it falls under I2, what equals it under I1.
    fn released(&mut self, leaf: u64, event: Event) -> Result<(), VerifyError> {
        let lacks = |member| VerifyError::Incomplete { index: leaf, member };
        let repository = event.repository.ok_or(lacks("repository"))?;
        let role = event.role.ok_or(lacks("role"))?;
        let epoch = event.epoch.ok_or(lacks("epoch"))?;
        let version = event.version.ok_or(lacks("version"))?;
        let digest = event.digest.ok_or(lacks("digest"))?;
        let released = Head { version, digest, leaf };
        let guard = (repository, role, epoch);
        let Some(head) = self.heads.get(&guard).copied() else {
            self.heads.insert(guard, released);
            return Ok(());
        };
        let (repository, role, epoch) = guard.clone();
        if version < head.version {
            let (higher, lower) = (head.version, version);
            return Err(VerifyError::Rollback {
                repository,
                role,
                epoch,
                higher,
                lower,
                first: head.leaf,
                second: leaf,
            });
        }
        if version == head.version && digest != head.digest && event.event == EventKind::Supersede {
            self.heads.insert(guard, released);
            return Ok(());
        }
        if version == head.version && digest != head.digest {
            return Err(VerifyError::Equivocation { repository, role, epoch, version, first: head.leaf, second: leaf });
        }
        if version > head.version {
            if event.event != EventKind::Advance {
                self.bare_cosigns.seen_at(leaf);
            }
            self.heads.insert(guard, released);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::Caller;

    fn release(kind: EventKind, epoch: u32, version: u64, payload: &str, time: i64) -> Event {
        let mut event = Event::new(Instant::from_unix(time), &Caller::Daemon, "sign", "r", kind);
        event.repository = Some("acme/app".parse().unwrap());
        event.role = Some(Role::Timestamp);
        event.epoch = Some(epoch);
        event.version = Version::new(version);
        event.digest = Some(Sha256Digest::of(payload.as_bytes()));
        event
    }

    #[test]
    fn an_honest_history_passes() {
        let mut history = History::default();
        let honest = [(EventKind::Advance, 0, 5, "a"), (EventKind::Cosign, 0, 5, "a"), (EventKind::Advance, 0, 9, "b")];
        for (leaf, (kind, epoch, version, payload)) in (0..).zip(honest) {
            history.add(leaf, release(kind, epoch, version, payload, 100)).unwrap();
        }
        history.add(3, release(EventKind::Advance, 1, 1, "c", 100)).unwrap();
        assert!(history.notes().is_empty());
        assert_eq!(
            history.into_counts().into_iter().collect::<Vec<_>>(),
            [(("advance", "succeeded"), 3), (("cosign", "succeeded"), 1)]
        );
    }

    #[test]
    fn equivocation_and_rollback_are_named_with_both_leaves() {
        let mut history = History::default();
        history.add(0, release(EventKind::Advance, 0, 5, "a", 0)).unwrap();
        let refused = history.add(1, release(EventKind::Cosign, 0, 5, "b", 0));
        assert!(matches!(refused, Err(VerifyError::Equivocation { first: 0, second: 1, .. })), "{refused:?}");
        let refused = history.add(2, release(EventKind::Advance, 0, 4, "a", 0));
        assert!(matches!(refused, Err(VerifyError::Rollback { first: 0, second: 2, .. })), "{refused:?}");
    }

    #[test]
    fn a_supersede_takes_the_heads_place_and_is_contradicted_like_it() {
        let mut history = History::default();
        history.add(0, release(EventKind::Advance, 0, 5, "a", 0)).unwrap();
        history.add(1, release(EventKind::Supersede, 0, 5, "b", 0)).unwrap();
        history.add(2, release(EventKind::Supersede, 0, 5, "b", 0)).unwrap();
        history.add(3, release(EventKind::Cosign, 0, 5, "b", 0)).unwrap();
        assert!(history.notes().is_empty());
        let refused = history.add(4, release(EventKind::Cosign, 0, 5, "a", 0));
        assert!(matches!(refused, Err(VerifyError::Equivocation { first: 1, second: 4, .. })), "{refused:?}");
        let refused = history.add(5, release(EventKind::Supersede, 0, 4, "a", 0));
        assert!(matches!(refused, Err(VerifyError::Rollback { first: 1, second: 5, .. })), "{refused:?}");
    }

    #[test]
    fn what_was_not_released_breaks_no_promise() {
        let mut history = History::default();
        history.add(0, release(EventKind::Advance, 0, 5, "a", 0)).unwrap();
        history.add(1, release(EventKind::Denial, 0, 5, "b", 0)).unwrap();
        history.add(2, release(EventKind::Failure, 0, 4, "b", 0)).unwrap();
    }

    #[test]
    fn a_release_without_a_digest_is_refused() {
        for strip in [
            (|event| event.repository = None) as fn(&mut Event),
            |event| event.role = None,
            |event| event.epoch = None,
            |event| event.version = None,
            |event| event.digest = None,
        ] {
            let mut event = release(EventKind::Advance, 0, 5, "a", 0);
            strip(&mut event);
            assert!(matches!(History::default().add(0, event), Err(VerifyError::Incomplete { index: 0, .. })));
        }
    }

    #[test]
    fn a_clock_that_steps_far_back_is_noted() {
        let mut history = History::default();
        for (leaf, time) in (0..).zip([1000, 941, 1000, 900, i64::MIN, i64::MAX]) {
            history.add(leaf, release(EventKind::Denial, 0, 1, "a", time)).unwrap();
        }
        let notes = history.notes();
        assert!(notes.len() == 1 && notes[0].contains("at 2 leaves, first at leaf 3"), "{notes:?}");
    }

    #[test]
    fn a_cosign_that_jumps_is_noted() {
        let mut history = History::default();
        history.add(0, release(EventKind::Cosign, 0, 5, "seeded", 0)).unwrap();
        assert!(history.notes().is_empty(), "a seeded head may be cosigned first");
        history.add(1, release(EventKind::Cosign, 0, 6, "x", 0)).unwrap();
        assert_eq!(history.notes().len(), 1);
    }
}
