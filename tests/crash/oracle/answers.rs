//! I6: every request ends in a valid signature or a clear refusal, and no silence is without a cause.

use std::collections::{BTreeMap, BTreeSet};

use sealward::domain::name::Sha256Digest;

use super::leaves::is_release;
use super::{BoundKey, Guard, Invariant, Leaf, Violation, fixed_form, guard_of, named, released};
use crate::journal::{Ask, Entry, What};

/// What hostile and busy clients may be told: the law's word about their payload, or "not now". Anything else (a lost
/// key, an unseeded guard, a broken ledger, a defect) is no answer to a request that was good enough to be sent.
const CLEAR: [&str; 13] = [
    "rollback",
    "equivocation",
    "version-step",
    "listed-rollback",
    "listed-step",
    "listed-unreleased",
    "rate-limited",
    "conflict",
    "predecessor-failed",
    "queue-full",
    "over-quota",
    "deadline",
    "shutting-down",
];

/// Names that the client itself gives to silence.
const SILENT: [&str; 3] = ["no-answer", "cannot-connect", "deadline"];

/// The last word about each request is the daemon's, and the daemon never ended but by our hand.
pub(super) fn every_request_is_answered(entries: &[Entry]) -> Vec<Violation> {
    let mut last: BTreeMap<(&str, usize), (&Entry, &Ask, bool)> = BTreeMap::new();
    let mut violations = Vec::new();
    for entry in entries {
        let (ask, answered) = match &entry.what {
            What::Released(release) => (&release.ask, true),
            What::Refused { ask, .. } => (ask, true),
            What::Unanswered { ask, .. } | What::Abandoned { ask } => (ask, false),
            What::Ended { log } => {
                let what = format!("the daemon did not serve: {log}");
                violations.push(Violation { invariant: Invariant::I6, at: entry.ended, what });
                continue;
            }
            _ => continue,
        };
        last.insert((&ask.id, ask.item), (entry, ask, answered));
    }
    let open = last.into_values().filter(|(_, _, answered)| !answered);
    violations.extend(open.map(|(entry, ask, _)| Violation {
        invariant: Invariant::I6,
        at: entry.ended,
        what: format!("never answered: {}", named(ask)),
    }));
    violations
}

/// A call that nobody answered overlaps, from the moment its connection was begun, a time in which the daemon was down.
pub(super) fn silence_has_a_cause(entries: &[Entry]) -> Vec<Violation> {
    let down = down_times(entries);
    let silence = |entry: &Entry| match &entry.what {
        What::Unanswered { ask, since, cause } => Some((*since, format!("{} ({cause})", named(ask)))),
        What::Unread { call, since, reason } if SILENT.contains(&&**reason) => Some((*since, call.clone())),
        _ => None,
    };
    let silent = entries.iter().filter_map(|entry| silence(entry).map(|(since, what)| (entry, since, what)));
    silent
        .filter(|(entry, since, _)| !down.iter().any(|(began, ended)| *began <= entry.ended && *since <= *ended))
        .map(|(entry, _, what)| {
            let what = format!("no answer although the daemon was up: {what}");
            Violation { invariant: Invariant::I6, at: entry.ended, what }
        })
        .collect()
}

/// From before each kill until the first answer after it; and before the first start.
fn down_times(entries: &[Entry]) -> Vec<(u64, u64)> {
    let mut down = Vec::new();
    let mut began = Some(0);
    for entry in entries {
        match &entry.what {
            What::Serving => down.extend(began.take().map(|began| (began, entry.ended))),
            What::Killed { .. } | What::Stopped => began = began.or(Some(entry.began)),
            _ => {}
        }
    }
    down.extend(began.map(|began| (began, u64::MAX)));
    down
}

pub(super) fn refusals_are_clear(entries: &[Entry]) -> Vec<Violation> {
    let unclear = |entry: &Entry| match &entry.what {
        What::Refused { ask, reason, detail } if !CLEAR.contains(&&**reason) => {
            Some(format!("{reason} ({detail}) is no answer to {}", named(ask)))
        }
        What::Unread { call, reason, .. } if !SILENT.contains(&&**reason) && !CLEAR.contains(&&**reason) => {
            Some(format!("{reason} is no answer to {call}"))
        }
        _ => None,
    };
    let found = entries.iter().filter_map(|entry| Some((entry.ended, unclear(entry)?)));
    found.map(|(at, what)| Violation { invariant: Invariant::I6, at, what }).collect()
}

/// A rollback needs a higher version in the log, an equivocation other bytes of the same version, and not these; what
/// failed with its predecessor needs one in its batch that was not released.
pub(super) fn refusals_are_explained(entries: &[Entry], log: &[Leaf]) -> Vec<Violation> {
    let mut released: BTreeMap<(String, String), BTreeMap<u64, Sha256Digest>> = BTreeMap::new();
    for event in log.iter().map(|leaf| &leaf.event).filter(|event| is_release(event)) {
        if let (Some(repository), Some(role), Some(version), Some(digest)) =
            (&event.repository, &event.role, event.version, event.digest)
        {
            released.entry((repository.to_string(), role.to_string())).or_default().insert(version.get(), digest);
        }
    }
    let failed: BTreeSet<(&str, u64, usize)> = entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Refused { ask, .. } => Some((&*ask.id, entry.ended, ask.item)),
            _ => None,
        })
        .collect();
    let mut violations = Vec::new();
    for entry in entries {
        let What::Refused { ask, reason, .. } = &entry.what else { continue };
        let guard = released.get(&(ask.repository.clone(), ask.role.clone()));
        let there = guard.and_then(|guard| guard.get(&ask.version)).map(ToString::to_string);
        let highest = guard.and_then(|guard| guard.keys().next_back()).copied().unwrap_or(0);
        let explained = match reason.as_str() {
            "rollback" => highest > ask.version,
            "equivocation" => there.is_some_and(|digest| digest != ask.digest),
            "predecessor-failed" => {
                failed.range((&*ask.id, entry.ended, 0)..(&*ask.id, entry.ended, ask.item)).next().is_some()
            }
            _ => true,
        };
        if !explained {
            let what = format!("{reason}, and the log has no release that explains it: {}", named(ask));
            violations.push(Violation { invariant: Invariant::I6, at: entry.ended, what });
        }
    }
    violations
}

/// Each signature is of the bytes that were asked for, by a key of this role, and verifies.
pub(super) fn signatures_are_valid(entries: &[Entry], keys: &BTreeMap<String, BoundKey>) -> Vec<Violation> {
    let fault = |release: &crate::journal::Release| {
        let ask = &release.ask;
        if Sha256Digest::of(ask.payload.as_bytes()).to_string() != ask.digest
            || release.digest != ask.digest
            || release.version != ask.version
        {
            return Some("the answer is about other bytes");
        }
        let key = keys.get(&release.key).filter(|key| (&*key.repository, &*key.role) == guard_of(ask));
        let Some(key) = key else { return Some("the key is not one of this role") };
        let Some(signature) = fixed_form(release, keys) else { return Some("the bytes are no signature") };
        match key.public_key.verify(ask.payload.as_bytes(), &signature) {
            Ok(()) => None,
            Err(_) => Some("the signature does not verify"),
        }
    };
    let found = released(entries).filter_map(|(entry, release)| Some((entry, release, fault(release)?)));
    found
        .map(|(entry, release, fault)| Violation {
            invariant: Invariant::I6,
            at: entry.ended,
            what: format!("{fault}: {}", named(&release.ask)),
        })
        .collect()
}

/// One key releases one signature over one payload, whenever and in whatever encoding it is asked again.
pub(super) fn signatures_are_never_made_again(entries: &[Entry], keys: &BTreeMap<String, BoundKey>) -> Vec<Violation> {
    let mut first: BTreeMap<(Guard<'_>, &str, &str), Vec<u8>> = BTreeMap::new();
    let mut violations = Vec::new();
    for (entry, release) in released(entries) {
        let Some(signature) = fixed_form(release, keys) else { continue };
        let name = (guard_of(&release.ask), &*release.key, &*release.ask.digest);
        let earlier = first.entry(name).or_insert_with(|| signature.as_fixed().to_vec());
        if earlier != signature.as_fixed() {
            let what = format!("another signature was released before over {}", named(&release.ask));
            violations.push(Violation { invariant: Invariant::I6, at: entry.ended, what });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::{Story, sign};

    fn ask(id: &str) -> Ask {
        sign(id, "demo", "timestamp", 1, "x")
    }

    fn refused(id: &str, reason: &str) -> What {
        What::Refused { ask: ask(id), reason: reason.to_owned(), detail: String::new() }
    }

    fn unanswered(since: u64) -> What {
        What::Unanswered { ask: ask("a"), since, cause: "gone".to_owned() }
    }

    fn ends(violations: &[Violation]) -> Vec<u64> {
        assert!(violations.iter().all(|violation| violation.invariant == Invariant::I6));
        violations.iter().map(|violation| violation.at).collect()
    }

    #[test]
    fn a_request_without_a_last_word_is_seen() {
        let mut story = Story::default();
        story.write(1, 2, unanswered(1));
        story.release(3, 4, &ask("a"));
        story.write(3, 5, refused("b", "rollback"));
        assert_eq!(every_request_is_answered(&story.entries), []);
        story.write(6, 7, unanswered(6));
        story.write(6, 8, What::Abandoned { ask: ask("c") });
        let mut open = ends(&every_request_is_answered(&story.entries));
        open.sort_unstable();
        assert_eq!(open, [7, 8]);
    }

    #[test]
    fn a_daemon_that_ends_by_itself_is_seen() {
        let mut story = Story::default();
        story.write(1, 2, What::Ended { log: "the ledger is corrupt".to_owned() });
        assert_eq!(ends(&every_request_is_answered(&story.entries)), [2]);
    }

    #[test]
    fn silence_counts_as_soon_as_the_daemon_is_up() {
        let mut story = Story::default();
        story.write(0, 1, unanswered(0)); // before the first start
        story.write(0, 10, What::Serving);
        story.write(12, 101, unanswered(11)); // its connection met the kill
        story.write(100, 105, What::Killed { power_cut: false });
        story.write(106, 110, unanswered(106));
        story.write(107, 120, What::Serving);
        story.write(121, 125, unanswered(119)); // begun before the first answer
        assert_eq!(silence_has_a_cause(&story.entries), []);
        story.write(122, 130, unanswered(121));
        let unread = |reason: &str| What::Unread { call: "status".into(), since: 131, reason: reason.into() };
        story.write(131, 140, unread("no-answer"));
        story.write(131, 141, unread("over-quota"));
        assert_eq!(ends(&silence_has_a_cause(&story.entries)), [130, 140]);
        story.write(150, 151, What::Killed { power_cut: false });
        story.write(152, 153, unanswered(152));
        assert_eq!(ends(&silence_has_a_cause(&story.entries)), [130, 140]);
    }

    #[test]
    fn only_the_law_and_not_now_are_clear() {
        let mut story = Story::default();
        for (at, reason) in (1..).zip(CLEAR) {
            story.write(at, at, refused("a", reason));
        }
        assert_eq!(refusals_are_clear(&story.entries), []);
        for (at, reason) in (50..).zip(["internal", "unseeded", "key-missing", "ledger-integrity", "no-grant"]) {
            story.write(at, at, refused("a", reason));
        }
        story.write(60, 60, What::Unread { call: "status".into(), since: 1, reason: "internal".into() });
        assert_eq!(ends(&refusals_are_clear(&story.entries)), [50, 51, 52, 53, 54, 60]);
    }

    #[test]
    fn a_clear_reason_is_true() {
        let mut story = Story::default();
        story.commit(&sign("x", "demo", "timestamp", 3, "x"));
        let mut refuse = |at, version, content, reason: &str| {
            let ask = sign("a", "demo", "timestamp", version, content);
            story.write(at, at, What::Refused { ask, reason: reason.to_owned(), detail: String::new() });
        };
        refuse(1, 2, "x", "rollback");
        refuse(2, 3, "other", "equivocation");
        refuse(3, 9, "x", "conflict");
        refuse(4, 3, "x", "rollback"); // nothing higher was released
        refuse(5, 3, "x", "equivocation"); // these are the released bytes
        refuse(6, 4, "x", "equivocation"); // nothing was released
        assert_eq!(ends(&refusals_are_explained(&story.entries, &story.log)), [4, 5, 6]);
    }

    #[test]
    fn a_failed_predecessor_is_in_the_same_batch() {
        let mut story = Story::default();
        let item = |id: &str, item| Ask { item, ..ask(id) };
        let failed = |ask| What::Refused { ask, reason: "predecessor-failed".to_owned(), detail: String::new() };
        story.write(1, 2, What::Refused { ask: item("a", 0), reason: "conflict".to_owned(), detail: String::new() });
        story.write(1, 2, failed(item("a", 1)));
        story.commit(&ask("a"));
        assert_eq!(refusals_are_explained(&story.entries, &story.log), []);
        story.release(3, 4, &item("b", 0));
        story.write(3, 4, failed(item("b", 1))); // its predecessor was released
        story.write(5, 6, failed(item("a", 1))); // another answer, without a predecessor
        assert_eq!(ends(&refusals_are_explained(&story.entries, &story.log)), [4, 6]);
    }

    #[test]
    fn a_signature_that_is_not_what_was_asked_for_is_seen() {
        let mut story = Story::default();
        story.release(1, 2, &ask("a"));
        let evidence = story.evidence();
        assert_eq!(signatures_are_valid(&evidence.entries, &evidence.keys), []);
        let changes: [fn(&mut crate::journal::Release); 6] = [
            |release| release.version = 2,
            |release| release.digest = "00".repeat(32),
            |release| release.ask.payload.push(' '),
            |release| release.key = "00".repeat(32),
            |release| release.signature.truncate(100),
            |release| release.signature.replace_range(0..1, if release.signature.starts_with('0') { "1" } else { "0" }),
        ];
        for change in changes {
            let mut entries = evidence.entries.clone();
            let What::Released(release) = &mut entries[0].what else { panic!() };
            change(release);
            assert_eq!(ends(&signatures_are_valid(&entries, &evidence.keys)), [2]);
        }
    }

    #[test]
    fn a_signature_that_was_made_again_is_seen() {
        let mut story = Story::default();
        story.release(1, 2, &ask("a"));
        story.release(3, 4, &ask("b"));
        let mut evidence = story.evidence();
        assert_eq!(signatures_are_never_made_again(&evidence.entries, &evidence.keys), []);
        let What::Released(release) = &mut evidence.entries[1].what else { panic!() };
        release.signature = "11".repeat(64);
        assert_eq!(ends(&signatures_are_never_made_again(&evidence.entries, &evidence.keys)), [4]);
    }
}
