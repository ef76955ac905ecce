//! The guard under random sequences of payloads: whatever is asked in whatever order, what `decide` allows and
//! `released` yields keeps I1 and I2, and is exactly what a naive reading of `law.md` says.

// clippy.toml lets tests unwrap; their helpers are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

#[path = "support/values.rs"]
mod values;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sealward::domain::guard::{Guard, Step};
use sealward::domain::key::{KeyRecord, KeyState};
use sealward::domain::law::recover::{Recovered, Situation, after_rotation};
use sealward::domain::law::sign::Keys;
use sealward::domain::name::{Role, Version};
use sealward::domain::outcome::Reason;
use sealward::domain::policy::ReleaseRate;
use sealward::domain::root::Roots;
use sealward::domain::signature::Signature;

use values::{DAY, Model, NOW, expiring, key_id, record, repository, root, snapshot, targets, timestamp, version};

/// The three roles, each with the two keys that it begins with.
const ROLES: [(&str, [u8; 2]); 3] = [("timestamp", [1, 11]), ("snapshot", [2, 12]), ("targets", [3, 13])];

/// Something that a busy, forgetful or hostile client does.
#[derive(Clone, Debug)]
enum Act {
    /// Offers a payload, relative to what the role released last.
    Offer {
        role: usize,
        /// Added to the head's version.
        version: i64,
        /// Added to what the head lists.
        listed: i64,
        /// Whether the entry `extra` is listed, and the sum that is added to it.
        extra: Option<i64>,
        /// Payloads of one version differ by this.
        variant: i64,
        /// `None` for all keys of the role, else one of the two.
        key: Option<usize>,
        /// Which of the two keys' tokens answer.
        answers: [bool; 2],
    },
    /// A key changes its state.
    Key { role: usize, key: usize, state: KeyState },
    /// The role gets two new keys by a published root, and its guard a new epoch that goes on from a version below its head.
    Recover { role: usize, below: u64 },
}

/// How often a version may be superseded in these games.
const SUPERSEDES: u32 = 2;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let offer = (
        0..3_usize,
        prop_oneof![3 => Just(1), 2 => Just(0), 1 => -2..=13_i64],
        prop_oneof![2 => Just(0), 2 => Just(1), 1 => -2..=13_i64],
        prop_oneof![1 => Just(None), 2 => Just(Some(0)), 1 => (-1..=11_i64).prop_map(Some)],
        prop_oneof![3 => Just(0), 1 => 0..3_i64],
        prop_oneof![2 => Just(None), 1 => (0..2_usize).prop_map(Some)],
        prop_oneof![4 => Just([true, true]), 1 => any::<[bool; 2]>()],
    )
        .prop_map(|(role, version, listed, extra, variant, key, answers)| Act::Offer {
            role,
            version,
            listed,
            extra,
            variant,
            key,
            answers,
        });
    let states = prop_oneof![Just(KeyState::Active), Just(KeyState::Retiring), Just(KeyState::Retired)];
    let key = (0..3_usize, 0..2_usize, states).prop_map(|(role, key, state)| Act::Key { role, key, state });
    let recover = (0..3_usize, 0..8_u64).prop_map(|(role, below)| Act::Recover { role, below });
    prop::collection::vec(prop_oneof![24 => offer, 2 => key, 1 => recover], 1..120)
}

/// What was released, as an honest and simple-minded observer writes it down.
#[derive(Default)]
struct Observer {
    /// The newest payload ever released of a role, epoch and version, and how many others it took the place of.
    payloads: BTreeMap<(usize, u32, u64), (String, u32)>,
    /// Per role: the newest version and what it lists.
    newest: BTreeMap<usize, (u64, BTreeMap<&'static str, u64>)>,
    /// Per role: what the version before the newest listed.
    before: BTreeMap<usize, BTreeMap<&'static str, u64>>,
    /// Per role: how many epochs were closed.
    epochs: BTreeMap<usize, u32>,
    /// Role, its epoch and its version, wherever a released payload listed it, superseded since or not.
    listed: BTreeSet<(usize, u32, u64)>,
    /// Who signed the newest.
    signed: BTreeMap<usize, BTreeMap<u8, Signature>>,
}

impl Observer {
    fn head(&self, role: usize) -> (u64, BTreeMap<&'static str, u64>) {
        self.newest.get(&role).cloned().unwrap_or_default()
    }

    fn released(&self, role: usize, number: u64) -> Option<&(String, u32)> {
        self.payloads.get(&(role, self.epoch(role), number))
    }

    fn epoch(&self, role: usize) -> u32 {
        self.epochs.get(&role).copied().unwrap_or_default()
    }

    /// Whether a released payload listed this version of a role in the role's epoch.
    fn is_listed(&self, role: usize, number: u64) -> bool {
        self.listed.contains(&(role, self.epoch(role), number))
    }

    /// Whether one listed this version or a higher one in any epoch. Of what was withdrawn the law remembers the highest
    /// version alone, and takes it to stand for all below.
    fn may_be_listed(&self, role: usize, number: u64) -> bool {
        self.listed.iter().any(|(other, _, listed)| *other == role && *listed >= number)
    }

    /// Whether nothing before its newest version holds a role to what it listed, and it names less than the newest now.
    fn lists_its_first_below_a_head(&self, role: usize, listing: &BTreeMap<&'static str, u64>) -> bool {
        let newest = |entry: &str| ["", "snapshot", "targets"].iter().position(|name| *name == entry);
        self.before.get(&role).is_none_or(BTreeMap::is_empty)
            && listing.iter().any(|(entry, listed)| newest(entry).is_some_and(|role| *listed < self.head(role).0))
    }

    /// `law.md` 2 and 3.3 in a few lines, with the whole history at hand. Where a version was listed in an earlier epoch
    /// only, the law may be as careful as it likes.
    fn allows(&self, role: usize, number: u64, text: &str, listing: &BTreeMap<&'static str, u64>) -> Option<bool> {
        let (head, mut before) = self.head(role);
        let mut careful = false;
        if number < head {
            return Some(false);
        }
        if number == head {
            let Some((released, supersedes)) = self.released(role, number) else { return Some(false) };
            if released == text {
                return Some(true);
            }
            if *supersedes >= SUPERSEDES || self.is_listed(role, number) {
                return Some(false);
            }
            careful = self.may_be_listed(role, number);
            before = self.before.get(&role).cloned().unwrap_or_default();
        }
        let near = |new: u64, old: u64| new >= old && new - old <= 10;
        let held = |entry: &str, listed: u64| match entry {
            "snapshot" => self.released(1, listed).is_some(),
            "targets" => self.released(2, listed).is_some(),
            _ => true,
        };
        let allowed = number - head <= 10
            && before.keys().all(|entry| listing.contains_key(entry))
            && listing.iter().all(|(entry, listed)| before.get(entry).is_none_or(|old| near(*listed, *old)))
            && listing.iter().all(|(entry, listed)| held(entry, *listed));
        (!allowed || !careful).then_some(allowed)
    }

    fn write_down(&mut self, role: usize, number: u64, text: &str, listing: &BTreeMap<&'static str, u64>) {
        let (head, mut before) = self.head(role);
        let other = self.released(role, number).cloned();
        let supersedes = match &other {
            None => {
                self.before.insert(role, before.clone());
                self.signed.remove(&role);
                0
            }
            Some((released, supersedes)) if released == text => *supersedes,
            Some((_, supersedes)) => {
                // A supersede counts from the head that it replaces.
                before = self.before.get(&role).cloned().unwrap_or_default();
                assert!(!self.is_listed(role, number), "I1: {number} of role {role} was out");
                self.signed.remove(&role);
                supersedes + 1
            }
        };
        assert!(supersedes <= SUPERSEDES, "I1: version {number} of role {role} has {supersedes} payloads too many");
        self.payloads.insert((role, self.epoch(role), number), (text.to_owned(), supersedes));
        assert!(number >= head, "I2: {number} after {head}");
        for (entry, listed) in before {
            assert!(listing.get(entry).is_some_and(|now| *now >= listed), "I2: the listed {entry} falls");
        }
        for (entry, listed) in listing {
            let role = ["", "snapshot", "targets"].iter().position(|name| name == entry);
            self.listed.extend(role.map(|role| (role, self.epoch(role), *listed)));
        }
        self.newest.insert(role, (number, listing.clone()));
    }

    /// What every client forgets.
    fn forget(&mut self, role: usize, goes_on_from: u64) {
        *self.epochs.entry(role).or_default() += 1;
        self.newest.insert(role, (goes_on_from, BTreeMap::new()));
        self.before.remove(&role);
        self.signed.remove(&role);
    }
}

fn offered(role: usize, number: u64, listing: &BTreeMap<&'static str, u64>, variant: i64) -> String {
    let entries: Vec<(&str, u64)> = listing.iter().map(|(entry, listed)| (*entry, *listed)).collect();
    let text = match role {
        0 => timestamp(number, listing["snapshot"]),
        1 => snapshot(number, &entries),
        _ => targets(number),
    };
    expiring(&text, NOW.plus_seconds(DAY + variant))
}

fn shifted(number: u64, by: i64) -> u64 {
    number.saturating_add_signed(by).max(1)
}

fn two_keys_per_role() -> Model {
    let mut model = Model::new();
    let plenty = ReleaseRate { per_hour: u32::MAX, burst: u32::MAX };
    model.policy.roles.values_mut().for_each(|limits| {
        limits.release_rate = plenty;
        limits.max_supersedes = SUPERSEDES;
    });
    for (name, [_, second]) in ROLES {
        model.add(second, name, KeyState::Active);
    }
    model
}

/// Which of a role's two keys may sign: active ones, and retiring ones beside an active one.
fn eligible(model: &Model, numbers: [u8; 2], asked: Option<usize>) -> BTreeSet<u8> {
    let asked: Vec<u8> = asked.map_or(numbers.to_vec(), |one| vec![numbers[one]]);
    let active = asked.iter().any(|number| model.state(*number) == KeyState::Active);
    let may = |number: &u8| match model.state(*number) {
        KeyState::Active => true,
        KeyState::Retiring => active,
        _ => false,
    };
    asked.into_iter().filter(may).collect()
}

fn play(acts: Vec<Act>) {
    let mut model = two_keys_per_role();
    let mut observer = Observer::default();
    let mut keys = ROLES.map(|(_, numbers)| numbers);
    let mut fresh = 20..=250;
    for act in acts {
        match act {
            Act::Key { role, key, state } => model.put(keys[role][key], state),
            Act::Recover { role, below } => {
                let (Some(one), Some(two)) = (fresh.next(), fresh.next()) else { continue };
                recover(&mut model, &mut observer, role, below, [one, two]).then(|| keys[role] = [one, two]);
            }
            Act::Offer { role, version, listed, extra, variant, key, answers } => {
                let (head, before) = observer.head(role);
                let number = shifted(head, version);
                let mut listing = BTreeMap::new();
                if let Some(entry) = [Some("snapshot"), Some("targets"), None][role] {
                    listing.insert(entry, shifted(before.get(entry).copied().unwrap_or_default(), listed));
                }
                if let (1, Some(by)) = (role, extra) {
                    listing.insert("extra", shifted(before.get("extra").copied().unwrap_or(1), by));
                }
                let text = offered(role, number, &listing, variant);
                offer(&mut model, &mut observer, role, keys[role], number, &text, &listing, key, answers);
            }
        }
        for guard in model.guards.values() {
            assert_eq!(&round_trip::<Guard>(guard), guard);
        }
    }
}

/// A published root lists two new keys for the role, and the epoch ends. Old keys that released stay active, so that
/// nothing but the guard keeps them from signing.
fn recover(model: &mut Model, observer: &mut Observer, role: usize, below: u64, new: [u8; 2]) -> bool {
    let (name, _) = ROLES[role];
    let guard = model.guard(name).clone();
    let head = guard.head.as_ref().map(|head| head.version.get());
    let goes_on_from = head.map_or(0, |head| head.saturating_sub(below));
    let mut keys = model.keys.clone();
    keys.extend(new.map(|number| record(number, std::slice::from_ref(&guard.name.role), KeyState::Active)));
    let mut roots = Roots::unrooted(repository());
    roots.trusted = Some(root(2, &[(guard.name.role.clone(), &new)]));
    let situation = Situation {
        guard: &guard,
        keys: &keys,
        roots: &roots,
        lists_unreadable_keys: false,
        goes_on_from: Version::new(goes_on_from),
        now: model.now,
    };
    let recovered = after_rotation(&situation);
    assert_eq!(recovered.is_ok(), head.is_some(), "{:?}", recovered.err());
    let Ok(Recovered { closed, begun }) = recovered else { return false };
    // While a root lists a key that released, there is no new epoch.
    let signer = guard.signers.iter().next().copied().expect("somebody released the head");
    let number = (0..=u8::MAX).find(|number| key_id(*number) == signer).unwrap();
    let mut still = roots.clone();
    still.trusted = Some(root(2, &[(guard.name.role.clone(), &[new[0], number])]));
    assert!(after_rotation(&Situation { roots: &still, ..situation }).is_err());
    assert_eq!(&round_trip::<Guard>(&closed), &closed);
    assert!(closed.closed.is_some() && closed.revision == guard.revision + 1 && closed.head == guard.head);
    assert_eq!(begun.barred, guard.barred.union(&guard.signers).copied().collect());
    for key in keys.iter_mut().filter(|key| key.roles.contains(&guard.name.role)) {
        let is_new = new.iter().any(|number| key_id(*number) == key.id());
        if !is_new && !begun.barred.contains(&key.id()) {
            *key = key.with_state(KeyState::Retired, model.now);
        }
    }
    model.keys = keys;
    model.guards.insert(guard.name.role, begun);
    observer.forget(role, goes_on_from);
    true
}

#[allow(clippy::too_many_arguments)] // one payload, spelled out
fn offer(
    model: &mut Model,
    observer: &mut Observer,
    role: usize,
    numbers: [u8; 2],
    number: u64,
    text: &str,
    listing: &BTreeMap<&'static str, u64>,
    key: Option<usize>,
    answers: [bool; 2],
) {
    let (name, _) = ROLES[role];
    let eligible = eligible(model, numbers, key);
    let records = model.keys.clone();
    let asked = match key {
        None => Keys::OfRole(&records),
        Some(one) => Keys::One(records.iter().find(|record| record.id() == key_id(numbers[one])).unwrap()),
    };
    let decided = model.decide_with(name, text, asked);
    // A role that lists, and whose guard began anew or lists its first, may name only what the listed role still has in mind.
    let forgotten = (observer.epoch(role) > 0 || observer.lists_its_first_below_a_head(role, listing))
        && decided.as_ref().is_err_and(|denial| denial.reason == Reason::ListedUnreleased);
    match observer.allows(role, number, text, listing) {
        Some(allowed) if !forgotten => {
            assert_eq!(decided.is_ok(), allowed && !eligible.is_empty(), "{text}\n{:?}", decided.err());
        }
        _ => {}
    }
    let Ok(mut decision) = decided else { return };

    let signed_before = observer.signed.get(&role).cloned().unwrap_or_default();
    let released = observer.released(role, number).map(|(released, _)| released == text);
    for (key, step) in &decision.judgement().keys {
        let Some(number) = numbers.iter().copied().find(|number| key_id(*number) == *key) else {
            assert_eq!(step.as_ref().map_err(|denial| denial.reason), Err(Reason::EpochClosed));
            continue;
        };
        let expected = match (released, signed_before.contains_key(&number)) {
            (None, _) => Step::Advance,
            (Some(false), _) => Step::Supersede,
            (Some(true), false) => Step::Cosign,
            (Some(true), true) => Step::Replay,
        };
        assert_eq!(step.as_ref().ok(), eligible.contains(&number).then_some(&expected), "{number}: {step:?}");
    }
    for (key, signature) in decision.replays() {
        let number = *numbers.iter().find(|number| key_id(**number) == *key).unwrap();
        assert_eq!(Some(signature), signed_before.get(&number), "a replay is the stored signature");
    }
    let permitted: BTreeSet<_> = decision.take_permits().iter().map(|permit| permit.key()).collect();
    let answer = |(index, number): (usize, &u8)| {
        let made = answers[index] && permitted.contains(&key_id(*number));
        made.then(|| (key_id(*number), values::signature(*number)))
    };
    let mut signatures: BTreeMap<_, _> = numbers.iter().enumerate().filter_map(answer).collect();
    decision.withhold(&mut signatures);
    if signatures.is_empty() {
        return; // nothing is released: the head stays as it is
    }
    let guard = decision.released(signatures.clone()).expect("signatures change the guard");
    assert_eq!(guard.revision, model.guard(name).revision + 1);
    assert!(guard.has_released(Version::new(number).unwrap()));
    model.guards.insert(guard.name.role.clone(), guard);
    observer.write_down(role, number, text, listing);
    let signed = observer.signed.entry(role).or_default();
    signed.extend(numbers.iter().filter_map(|number| Some((*number, signatures.get(&key_id(*number))?.clone()))));
    let on_record = &model.guard(name).head.as_ref().unwrap().signatures;
    assert_eq!(
        on_record.keys().copied().collect::<BTreeSet<_>>(),
        signed.keys().map(|number| key_id(*number)).collect()
    );
}

fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// Attempts at a timestamp, each some seconds after the one before.
fn attempts() -> impl Strategy<Value = (ReleaseRate, Vec<i64>)> {
    let rate = (1..2000_u32, 1..30_u32).prop_map(|(per_hour, burst)| ReleaseRate { per_hour, burst });
    (rate, prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0..10_i64, 1 => 0..4000_i64], 1..150))
}

fn play_rate(rate: ReleaseRate, waits: &[i64]) {
    let mut model = Model::with_first_versions();
    model.limits("timestamp").release_rate = rate;
    model.limits("timestamp").max_expiry_seconds = 10_000 * DAY;
    model.guards.get_mut(&Role::Timestamp).unwrap().rate = None;
    let mut released: Vec<i64> = Vec::new();
    let mut number = 1;
    for wait in waits {
        model.now = model.now.plus_seconds(*wait);
        let text = expiring(&timestamp(number + 1, 1), NOW.plus_seconds(9_000 * DAY));
        match model.decide("timestamp", &text) {
            Ok(decision) => {
                model.carry_out(decision);
                released.push(model.now.as_unix());
                number += 1;
            }
            Err(denial) => {
                assert_eq!(denial.reason, Reason::RateLimited);
                let mut later = model.clone();
                later.now = model.now.plus_seconds(3600 / i64::from(rate.per_hour) + 1);
                assert!(later.allows("timestamp", &text), "one token's time later there is a token");
            }
        }
    }
    // The stated bound, over every window.
    for (first, begin) in released.iter().enumerate() {
        for (count, end) in released.iter().skip(first).enumerate() {
            let in_window = u64::try_from(count + 1).unwrap();
            let gained = u64::try_from(end - begin).unwrap() * u64::from(rate.per_hour) / 3600;
            assert!(in_window <= u64::from(rate.burst) + gained + 1, "{in_window} in {} s", end - begin);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_law_allows_keeps_i1_and_i2_and_is_what_it_says(acts in acts()) {
        play(acts);
    }

    #[test]
    fn no_window_holds_more_releases_than_burst_and_rate_and_no_wait_is_longer_than_one_token((rate, waits) in attempts()) {
        play_rate(rate, &waits);
    }

    #[test]
    fn key_records_and_roots_read_back_from_json(
        numbers in prop::collection::btree_set(any::<u8>(), 0..6),
        state in prop_oneof![
            Just(KeyState::Pending), Just(KeyState::Active), Just(KeyState::Retiring), Just(KeyState::Retired),
            Just(KeyState::Destroyed),
        ],
        versions in (1..(1_u64 << 53), any::<u64>()),
        what in any::<[bool; 3]>(),
    ) {
        let (number, revision) = versions;
        for key in &numbers {
            let record = KeyRecord { revision, ..record(*key, &[Role::Timestamp, Role::Snapshot], state) };
            prop_assert_eq!(&round_trip::<KeyRecord>(&record), &record);
        }
        let listed: Vec<u8> = numbers.iter().copied().collect();
        let one = root(number, &[(Role::Timestamp, &listed), (Role::Targets, &[])]);
        let mut roots = Roots { revision, ..Roots::unrooted(repository()) };
        roots.trusted = what[0].then(|| one.clone());
        roots.staged = what[1].then(|| one.clone());
        roots.fork = what[2].then_some(one.file_digest);
        roots.activated = numbers.iter().map(|key| key_id(*key)).collect();
        prop_assert_eq!(&round_trip::<Roots>(&roots), &roots);
    }

    #[test]
    fn hostile_json_is_no_guard_and_no_panic(text in "\\PC{0,60}", cut in 0..900_usize) {
        prop_assert!(serde_json::from_str::<Guard>(&text).is_err());
        let whole = serde_json::to_string(Model::with_first_versions().guard("timestamp")).unwrap();
        let cut = cut.min(whole.len() - 1);
        prop_assert!(serde_json::from_str::<Guard>(&whole[..cut]).is_err());
    }
}

#[test]
fn a_stored_version_outside_its_bounds_is_no_guard() {
    let whole = serde_json::to_string(Model::with_first_versions().guard("targets")).unwrap();
    assert!(serde_json::from_str::<Guard>(&whole).is_ok());
    for bad in ["0", "9007199254740992", "-1", "1.5", "\"1\""] {
        let changed = whole.replacen("\"version\":1", &format!("\"version\":{bad}"), 1);
        assert_ne!(changed, whole);
        assert!(serde_json::from_str::<Guard>(&changed).is_err(), "{bad}");
    }
    assert_eq!(version(1).get(), 1);
}
