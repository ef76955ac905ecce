//! I3: the exported, verified log has exactly one leaf for each released signature, and none that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use sealward::domain::audit_event::{Event, EventKind};
use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::Outcome;

use super::{BoundKey, Invariant, Leaf, Violation, fixed_form, named, released};
use crate::journal::{Ask, Entry, What};

/// Whether a leaf says that a signature was released.
pub(super) fn is_release(event: &Event) -> bool {
    matches!(event.event, EventKind::Advance | EventKind::Cosign) && event.outcome == Outcome::Succeeded
}

pub(super) fn every_release_has_one_leaf(
    entries: &[Entry],
    keys: &BTreeMap<String, BoundKey>,
    log: &[Leaf],
) -> Vec<Violation> {
    let mut leaves: BTreeMap<Sha256Digest, Vec<(usize, &Event)>> = BTreeMap::new();
    for (index, leaf) in log.iter().enumerate().filter(|(_, leaf)| is_release(&leaf.event)) {
        if let Some(signature) = leaf.event.signature {
            leaves.entry(signature).or_default().push((index, &leaf.event));
        }
    }
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for (entry, release) in released(entries) {
        // A signature that is none is reported elsewhere.
        let Some(signature) = fixed_form(release, keys) else { continue };
        let name = Sha256Digest::of(signature.as_fixed());
        if !seen.insert((name, &release.ask.digest)) {
            continue;
        }
        let found = leaves.get(&name).map_or(&[][..], Vec::as_slice);
        let what = match found {
            [(index, event)] if !describes(event, &release.ask, &release.key) => {
                format!("leaf {index} records something else than {}", named(&release.ask))
            }
            [_] => continue,
            [] => format!("no leaf records {}", named(&release.ask)),
            several => {
                let places: Vec<_> = several.iter().map(|(index, _)| index).collect();
                format!("leaves {places:?} all record {}", named(&release.ask))
            }
        };
        violations.push(Violation { invariant: Invariant::I3, at: entry.ended, what });
    }
    violations
}

/// A release whose answer was lost has a leaf all the same; a release that no client asked for has no business there.
pub(super) fn every_leaf_was_asked_for(entries: &[Entry], log: &[Leaf]) -> Vec<Violation> {
    let asks = entries.iter().filter_map(|entry| match &entry.what {
        What::Released(release) => Some(&release.ask),
        What::Refused { ask, .. } | What::Unanswered { ask, .. } | What::Abandoned { ask } => Some(ask),
        _ => None,
    });
    let asked: BTreeSet<(&str, &str, &str)> = asks.map(|ask| (&*ask.repository, &*ask.role, &*ask.digest)).collect();
    let at = entries.last().map_or(0, |entry| entry.ended);
    let was_asked_for = |event: &Event| {
        let (Some(repository), Some(role), Some(digest)) = (&event.repository, &event.role, event.digest) else {
            return false;
        };
        asked.contains(&(repository.as_str(), role.as_str(), &*digest.to_string()))
    };
    let releases = log.iter().enumerate().filter(|(_, leaf)| is_release(&leaf.event));
    releases
        .filter(|(_, leaf)| !was_asked_for(&leaf.event))
        .map(|(index, _)| Violation {
            invariant: Invariant::I3,
            at,
            what: format!("leaf {index} records what nobody asked for"),
        })
        .collect()
}

fn describes(event: &Event, ask: &Ask, key: &str) -> bool {
    let text = |value: Option<String>, expected: &str| value.as_deref() == Some(expected);
    text(event.repository.as_ref().map(ToString::to_string), &ask.repository)
        && text(event.role.as_ref().map(ToString::to_string), &ask.role)
        && text(event.digest.map(|digest| digest.to_string()), &ask.digest)
        && text(event.key.map(|id| id.to_string()), key)
        && event.version.is_some_and(|version| version.get() == ask.version)
        && event.epoch == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, sign};

    fn found(story: Story) -> Vec<String> {
        let evidence = story.evidence();
        let log = evidence.log.unwrap();
        let mut found = every_release_has_one_leaf(&evidence.entries, &evidence.keys, &log);
        found.extend(every_leaf_was_asked_for(&evidence.entries, &log));
        assert!(found.iter().all(|violation| violation.invariant == Invariant::I3));
        found.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn a_release_without_a_leaf_is_seen() {
        let mut story = Story::innocent();
        story.log.retain(|leaf| !is_release(&leaf.event) || leaf.event.version.unwrap().get() != 2);
        let found = found(story);
        assert!(found.len() == 1 && found[0].starts_with("no leaf"), "{found:?}");
    }

    #[test]
    fn a_release_with_two_leaves_is_seen() {
        let mut story = Story::innocent();
        let again = story.log.iter().find(|leaf| is_release(&leaf.event)).unwrap().event.clone();
        story.append(again);
        let found = found(story);
        assert!(found.len() == 1 && found[0].contains("all record"), "{found:?}");
    }

    #[test]
    fn a_leaf_about_something_else_is_seen() {
        let other = Sha256Digest::of(b"other");
        let changes: [fn(&mut Event, Sha256Digest); 6] = [
            |event, _| event.repository = Some("other".parse().unwrap()),
            |event, _| event.role = Some("targets".parse().unwrap()),
            |event, _| event.version = Some(9.try_into().unwrap()),
            |event, _| event.epoch = Some(2),
            |event, other| event.key = Some(other.to_string().parse().unwrap()),
            |event, other| event.digest = Some(other),
        ];
        for change in changes {
            let mut story = Story::innocent();
            let leaf = story.log.iter_mut().find(|leaf| is_release(&leaf.event)).unwrap();
            change(&mut leaf.event, other);
            assert!(found(story)[0].contains("something else"));
        }
    }

    #[test]
    fn a_leaf_that_nobody_asked_for_is_seen() {
        let mut story = Story::innocent();
        let mut forged = story.log.iter().find(|leaf| is_release(&leaf.event)).unwrap().event.clone();
        forged.signature = Some(Sha256Digest::of(b"forged"));
        forged.digest = Some(Sha256Digest::of(b"forged payload"));
        story.append(forged);
        let found = found(story);
        assert!(found.len() == 1 && found[0].contains("nobody asked"), "{found:?}");
    }

    #[test]
    fn a_release_whose_answer_was_lost_is_no_violation() {
        let mut story = Story::innocent();
        story.commit(&sign("lost", "demo", "timestamp", 9, "lost"));
        story.write(
            90,
            91,
            What::Unanswered { ask: sign("lost", "demo", "timestamp", 9, "lost"), since: 90, cause: "gone".into() },
        );
        assert_eq!(found(story), Vec::<String>::new());
    }
}
