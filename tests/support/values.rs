//! A repository as plain values: for tests of the law and of the ledger, which need no daemon.
#![allow(dead_code, unreachable_pub)] // each test crate uses a part

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::domain::algorithm::Algorithm;
use sealward::domain::approval::Pending;
use sealward::domain::caller::Caller;
use sealward::domain::freeze::{Freeze, FreezeScope, Frozen};
use sealward::domain::grant::Grants;
use sealward::domain::guard::Guard;
use sealward::domain::key::{ContentKind, KeyRecord, KeyState, RoleSet};
use sealward::domain::key_history::KeyHistory;
use sealward::domain::law::attended::Attendance;
use sealward::domain::law::sign::{Answer, AttachedSnapshot, Decision, Keys, Situation, decide, first_epoch};
use sealward::domain::name::{Pattern, RepositoryName, Role, Sha256Digest, Version};
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::{Custody, RepositoryPolicy, RolePolicy};
use sealward::domain::public_key::{KeyId, PublicKey};
use sealward::domain::root::{RoleKeys, Roots, VerifiedRoot};
use sealward::domain::signature::Signature;
use sealward::domain::statement::Statement;
use sealward::domain::time::Instant;
use sealward::tuf::metadata::read_signed;

/// The time of every decision unless a test moves it.
pub const NOW: Instant = Instant::from_unix(1_900_000_000);
/// A day in seconds.
pub const DAY: i64 = 24 * 60 * 60;
/// Who asks.
pub const CALLER: &str = "unix:1000";

/// The repository of all tests.
pub fn repository() -> RepositoryName {
    "demo".parse().unwrap()
}

/// A role by its name.
pub fn role(name: &str) -> Role {
    name.parse().unwrap()
}

/// A version.
pub fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

/// The same key for the same number, always.
pub fn public_key(number: u8) -> PublicKey {
    static KEYS: OnceLock<Vec<PublicKey>> = OnceLock::new();
    let make = |number| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
        PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap()
    };
    KEYS.get_or_init(|| (0..=u8::MAX).map(make).collect())[usize::from(number)].clone()
}

/// The handle of [`public_key`].
pub fn key_id(number: u8) -> KeyId {
    public_key(number).id()
}

/// The record of [`public_key`].
pub fn record(number: u8, roles: &[Role], state: KeyState) -> KeyRecord {
    KeyRecord {
        public_key: public_key(number),
        repository: repository(),
        roles: RoleSet::new(roles.iter().cloned().collect()).unwrap(),
        kind: ContentKind::Tuf,
        keystore: "software".parse().unwrap(),
        state,
        created: NOW,
        history: KeyHistory::default(),
        revision: 1,
    }
}

/// Bytes that stand for a signature; the law never verifies one.
pub fn signature(number: u8) -> Signature {
    Signature::from_fixed(Algorithm::Ed25519, vec![number; 64]).unwrap()
}

/// A payload as the `tuf` room reads it.
pub fn statement(text: &str) -> Statement {
    read_signed(text.as_bytes(), usize::MAX).unwrap_or_else(|denial| panic!("{denial}\n{text}"))
}

/// Metadata with the members that all types have, and `members` (each begins with a comma) between expiry and the rest.
pub fn metadata(kind: &str, number: u64, expires: Instant, meta: &str) -> String {
    match kind {
        "targets" => format!(
            r#"{{"_type":"targets","expires":"{expires}","spec_version":"1.0.31","targets":{{{meta}}},"version":{number}}}"#
        ),
        _ => format!(
            r#"{{"_type":"{kind}","expires":"{expires}","meta":{{{meta}}},"spec_version":"1.0.31","version":{number}}}"#
        ),
    }
}

/// A timestamp that expires tomorrow.
pub fn timestamp(number: u64, snapshot: u64) -> String {
    metadata("timestamp", number, NOW.plus_seconds(DAY), &format!(r#""snapshot.json":{{"version":{snapshot}}}"#))
}

/// A snapshot that expires tomorrow, with entries such as `("targets", 3)` in the order of their names.
pub fn snapshot(number: u64, entries: &[(&str, u64)]) -> String {
    let entry = |(name, listed): &(&str, u64)| format!(r#""{name}.json":{{"version":{listed}}}"#);
    let entries: Vec<String> = entries.iter().map(entry).collect();
    metadata("snapshot", number, NOW.plus_seconds(DAY), &entries.join(","))
}

/// Targets that expire tomorrow.
pub fn targets(number: u64) -> String {
    metadata("targets", number, NOW.plus_seconds(DAY), "")
}

/// The same payload with another expiry, and so with other bytes.
pub fn expiring(text: &str, expires: Instant) -> String {
    text.replace(&NOW.plus_seconds(DAY).to_string(), &expires.to_string())
}

/// A root that gives roles to keys, threshold 1 each. Key 100 is its key of root.
pub fn root(number: u64, listed: &[(Role, &[u8])]) -> VerifiedRoot {
    let tuf_key_id = |number: &u8| (key_id(*number), format!("tuf-{number}"));
    let keys = |numbers: &[u8]| RoleKeys { threshold: 1, keys: numbers.iter().map(tuf_key_id).collect() };
    let mut roles: BTreeMap<Role, RoleKeys> =
        listed.iter().map(|(role, numbers)| (role.clone(), keys(numbers))).collect();
    roles.entry(Role::Root).or_insert_with(|| keys(&[100]));
    let digest = Sha256Digest::of(format!("{number} {roles:?}").as_bytes());
    VerifiedRoot {
        version: version(number),
        expires: NOW.plus_seconds(365 * DAY),
        signed_digest: digest,
        file_digest: Sha256Digest::of(digest.as_bytes()),
        roles,
    }
}

/// A policy with timestamp, snapshot and targets online, each with the defaults of `law.md`.
pub fn policy() -> RepositoryPolicy {
    let online = |role: Role| {
        let limits = RolePolicy {
            custody: Custody::Online,
            keystore: Some("software".parse().unwrap()),
            algorithm: Some(Algorithm::Ed25519),
            ..RolePolicy::default_for(&role)
        };
        (role, limits)
    };
    RepositoryPolicy {
        repositories: Pattern::new("demo").unwrap(),
        roles: [Role::Timestamp, Role::Snapshot, Role::Targets].map(online).into(),
        role_patterns: Vec::new(),
        role_sets: Vec::new(),
        require_root: false,
        require_snapshot_bytes: false,
        max_keys: 100,
        destroy_delay_seconds: 30 * DAY,
    }
}

/// Everything that a decision rests on, and a hand that makes it so.
#[derive(Clone)]
pub struct Model {
    pub policy: RepositoryPolicy,
    pub keys: Vec<KeyRecord>,
    pub guards: BTreeMap<Role, Guard>,
    pub roots: Roots,
    pub attached: Option<AttachedSnapshot>,
    pub freezes: Vec<Freeze>,
    pub may_delegate: bool,
    pub now: Instant,
    pub pending: Vec<Pending>,
    pub grants: Grants,
    pub caller: Caller,
}

impl Model {
    /// A new, unrooted repository: key 1 for timestamp, 2 for snapshot, 3 for targets, guards seeded as 0.
    pub fn new() -> Self {
        let guard = |role: Role| (role.clone(), Guard::seeded_as_zero(first_epoch(&repository(), &role)));
        Self {
            policy: policy(),
            keys: vec![
                record(1, &[Role::Timestamp], KeyState::Active),
                record(2, &[Role::Snapshot], KeyState::Active),
                record(3, &[Role::Targets], KeyState::Active),
            ],
            guards: [Role::Timestamp, Role::Snapshot, Role::Targets].map(guard).into(),
            roots: Roots::unrooted(repository()),
            attached: None,
            freezes: Vec::new(),
            may_delegate: true,
            now: NOW,
            pending: Vec::new(),
            grants: Grants::default(),
            caller: Caller::Unix { uid: 1000, gids: Vec::new() },
        }
    }

    /// As [`Model::new`], with targets 1, snapshot 1 and timestamp 1 released.
    pub fn with_first_versions() -> Self {
        let mut model = Self::new();
        model.release("targets", &targets(1));
        model.release("snapshot", &snapshot(1, &[("targets", 1)]));
        model.release("timestamp", &timestamp(1, 1));
        model
    }

    /// A guard of which only the head's version and listing matter, as seeding leaves it.
    pub fn seed(&mut self, name: &str, text: &str) {
        let role = role(name);
        let guard = Guard::seeded_from(first_epoch(&repository(), &role), &statement(text), NOW, CALLER.to_owned());
        self.guards.insert(role, guard);
    }

    /// Asks for every key of a role.
    pub fn decide(&self, name: &str, text: &str) -> Result<Decision, Denial> {
        self.decide_with(name, text, Keys::OfRole(&self.keys))
    }

    /// Asks for one key.
    pub fn decide_one(&self, name: &str, text: &str, number: u8) -> Result<Decision, Denial> {
        let key = self.keys.iter().find(|key| key.id() == key_id(number)).expect("a record of this key");
        self.decide_with(name, text, Keys::One(key))
    }

    /// As the answer of `Sign`: what waits for people is `awaits-approval`.
    pub fn decide_with(&self, name: &str, text: &str, keys: Keys<'_>) -> Result<Decision, Denial> {
        match self.answer_with(name, text, keys)? {
            Answer::Permit(decision) => Ok(*decision),
            Answer::Pending(wait) => Err(wait.denial()),
        }
    }

    /// The law's own answer.
    pub fn answer(&self, name: &str, text: &str) -> Result<Answer, Denial> {
        self.answer_with(name, text, Keys::OfRole(&self.keys))
    }

    fn answer_with(&self, name: &str, text: &str, keys: Keys<'_>) -> Result<Answer, Denial> {
        decide(&Situation {
            repository: &repository(),
            role: &role(name),
            policy: &self.policy,
            statement: &statement(text),
            keys,
            guards: &self.guards,
            roots: &self.roots,
            attached_snapshot: self.attached.as_ref(),
            may_delegate: self.may_delegate,
            now: self.now,
            caller: CALLER,
            attendance: Attendance { pending: &self.pending, grants: &self.grants, caller: &self.caller },
            frozen: Frozen::for_caller(&self.freezes, &self.caller, self.grants.persons()),
        })
    }

    /// Freezes a scope.
    pub fn freeze(&mut self, scope: FreezeScope) {
        let (by, reason_code) = ("unix:0".to_owned(), "drill".parse().unwrap());
        self.freezes.push(Freeze { scope, since: NOW, by, reason_code });
    }

    /// Decides and releases with every permitted key. The keys that signed anew.
    pub fn release(&mut self, name: &str, text: &str) -> BTreeSet<KeyId> {
        let decision = self.decide(name, text).unwrap_or_else(|denial| panic!("{denial}\n{text}"));
        self.carry_out(decision)
    }

    /// Releases what was decided.
    pub fn carry_out(&mut self, mut decision: Decision) -> BTreeSet<KeyId> {
        let keys: BTreeSet<KeyId> = decision.take_permits().iter().map(|permit| permit.key()).collect();
        let signatures = keys.iter().map(|key| (*key, signature(key.digest().as_bytes()[0]))).collect();
        if let Some(guard) = decision.released(signatures) {
            self.guards.insert(guard.name.role.clone(), guard);
        }
        keys
    }

    /// Why it is refused.
    pub fn refusal(&self, name: &str, text: &str) -> Reason {
        self.denial(name, text).reason
    }

    /// Why it is refused, with the detail.
    pub fn denial(&self, name: &str, text: &str) -> Denial {
        match self.decide(name, text) {
            Err(denial) => denial,
            Ok(_) => panic!("it was allowed: {text}"),
        }
    }

    /// Whether it is allowed.
    pub fn allows(&self, name: &str, text: &str) -> bool {
        self.decide(name, text).is_ok()
    }

    /// The limits of a role.
    pub fn limits(&mut self, name: &str) -> &mut RolePolicy {
        self.policy.roles.get_mut(&role(name)).unwrap()
    }

    /// The guard of a role.
    pub fn guard(&self, name: &str) -> &Guard {
        &self.guards[&role(name)]
    }

    /// Adds a key.
    pub fn add(&mut self, number: u8, name: &str, state: KeyState) {
        self.keys.push(record(number, &[role(name)], state));
    }

    /// Puts a key into a state.
    pub fn put(&mut self, number: u8, state: KeyState) {
        let key = self.keys.iter_mut().find(|key| key.id() == key_id(number)).expect("a record of this key");
        *key = key.with_state(state, self.now);
    }

    /// Where a key stands.
    pub fn state(&self, number: u8) -> KeyState {
        self.keys.iter().find(|key| key.id() == key_id(number)).expect("a record of this key").state
    }

    /// Merges changed records.
    pub fn change_keys(&mut self, changed: Vec<KeyRecord>) {
        for key in changed {
            let old = self.keys.iter_mut().find(|old| old.id() == key.id()).expect("a record of this key");
            *old = key;
        }
    }
}
