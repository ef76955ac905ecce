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
use sealward::domain::law::sign::Keys;
use sealward::domain::name::{Role, Version};
use sealward::domain::outcome::Reason;
use sealward::domain::policy::ReleaseRate;
use sealward::domain::root::Roots;
use sealward::domain::signature::Signature;

use values::{DAY, Model, NOW, expiring, key_id, record, repository, root, snapshot, targets, timestamp, version};

/// The three roles, each with two keys.
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
}

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
    prop::collection::vec(prop_oneof![12 => offer, 1 => key], 1..120)
}

/// What was released, as an honest and simple-minded observer writes it down.
#[derive(Default)]
struct Observer {
    /// Every payload ever released.
    payloads: BTreeMap<(usize, u64), String>,
    /// Per role: the newest version and what it lists.
    newest: BTreeMap<usize, (u64, BTreeMap<&'static str, u64>)>,
    /// Who signed the newest.
    signed: BTreeMap<usize, BTreeMap<u8, Signature>>,
}

impl Observer {
    fn head(&self, role: usize) -> (u64, BTreeMap<&'static str, u64>) {
        self.newest.get(&role).cloned().unwrap_or_default()
    }

    /// `law.md` 2 and 3.3 in a few lines, with the whole history at hand.
    fn allows(&self, role: usize, number: u64, text: &str, listing: &BTreeMap<&'static str, u64>) -> bool {
        let (head, before) = self.head(role);
        if number <= head {
            return self.payloads.get(&(role, number)).is_some_and(|released| number == head && released == text);
        }
        let near = |new: u64, old: u64| new >= old && new - old <= 10;
        let held = |entry: &str, listed: u64| match entry {
            "snapshot" => self.payloads.contains_key(&(1, listed)),
            "targets" => self.payloads.contains_key(&(2, listed)),
            _ => true,
        };
        number - head <= 10
            && before.keys().all(|entry| listing.contains_key(entry))
            && listing.iter().all(|(entry, listed)| before.get(entry).is_none_or(|old| near(*listed, *old)))
            && listing.iter().all(|(entry, listed)| held(entry, *listed))
    }

    fn write_down(&mut self, role: usize, number: u64, text: &str, listing: &BTreeMap<&'static str, u64>) {
        let other = self.payloads.insert((role, number), text.to_owned());
        assert!(other.is_none_or(|other| other == text), "I1: version {number} of role {role} has two payloads");
        let (head, before) = self.head(role);
        assert!(number >= head, "I2: {number} after {head}");
        for (entry, listed) in before {
            assert!(listing.get(entry).is_some_and(|now| *now >= listed), "I2: the listed {entry} falls");
        }
        if number > head {
            self.signed.remove(&role);
        }
        self.newest.insert(role, (number, listing.clone()));
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
    model.policy.roles.values_mut().for_each(|limits| limits.release_rate = plenty);
    for (name, [_, second]) in ROLES {
        model.add(second, name, KeyState::Active);
    }
    model
}

/// Which of a role's two keys may sign: active ones, and retiring ones beside an active one.
fn eligible(model: &Model, role: usize, asked: Option<usize>) -> BTreeSet<u8> {
    let (_, numbers) = ROLES[role];
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
    for act in acts {
        match act {
            Act::Key { role, key, state } => model.put(ROLES[role].1[key], state),
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
                offer(&mut model, &mut observer, role, number, &text, &listing, key, answers);
            }
        }
        for guard in model.guards.values() {
            assert_eq!(&round_trip::<Guard>(guard), guard);
        }
    }
}

#[allow(clippy::too_many_arguments)] // one payload, spelled out
fn offer(
    model: &mut Model,
    observer: &mut Observer,
    role: usize,
    number: u64,
    text: &str,
    listing: &BTreeMap<&'static str, u64>,
    key: Option<usize>,
    answers: [bool; 2],
) {
    let (name, numbers) = ROLES[role];
    let eligible = eligible(model, role, key);
    let records = model.keys.clone();
    let asked = match key {
        None => Keys::OfRole(&records),
        Some(one) => Keys::One(records.iter().find(|record| record.id() == key_id(numbers[one])).unwrap()),
    };
    let expected = observer.allows(role, number, text, listing) && !eligible.is_empty();
    let decided = model.decide_with(name, text, asked);
    assert_eq!(decided.is_ok(), expected, "{text}\n{:?}", decided.err());
    let Ok(mut decision) = decided else { return };

    let signed_before = observer.signed.get(&role).cloned().unwrap_or_default();
    let is_head = number == observer.head(role).0;
    for (key, step) in &decision.judgement().keys {
        let number = *numbers.iter().find(|number| key_id(**number) == *key).unwrap();
        let expected = match (is_head, signed_before.contains_key(&number)) {
            (false, _) => Step::Advance,
            (true, false) => Step::Cosign,
            (true, true) => Step::Replay,
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
