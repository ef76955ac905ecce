//! An engine whose clock and token wait for the test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant as Monotonic};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::audit::note::{NoteError, NoteSigner, VerifierKey};
use sealward::domain::algorithm::Algorithm;
use sealward::domain::audit_event::Event;
use sealward::domain::caller::Caller;
use sealward::domain::freeze::{Freeze, FreezeScope, ReasonCode};
use sealward::domain::law::clock::{Bounds, Reading};
use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::permit::Order;
use sealward::domain::public_key::{KeyId, PublicKey};
use sealward::domain::signature::{Encoding, Signature};
use sealward::domain::switches::Switches;
use sealward::domain::time::Instant;
use sealward::engine::{Call, Clock, Engine, KeyOrder, Parts, Rules, SignItem, Signed};
use sealward::keystore::desk::Desk;
use sealward::keystore::software::{Software, Unseal};
use sealward::keystore::{Condition, Description, Keystore, KeystoreError, Kind};
use sealward::ledger::sqlite::{SqliteLedger, create};
use sealward::ledger::{Change, Expect, Identity, Ledger, Unit};

use crate::meanwhile::{Meanwhile, commit};
use crate::values::NOW;

/// Callers: 0 may do everything, 1 may freeze and sign one role, 2 may freeze one repository, 3 signs, 4 may freeze
/// everything and nothing else.
pub(crate) const RULES: &str = r#"
version = 1
[ledger]
directory = "ledger"
[log_key]
unseal = { identity = { file = "identity" } }
[[listener]]
name = "local"
kind = "unix"
path = "sealward.sock"
[[keystore]]
name = "software"
kind = "software"
directory = "keys"
unseal = { identity = { file = "identity" } }
[[repository]]
pattern = "**"
[repository.role.timestamp]
keystore = "software"
algorithm = "ed25519"
[repository.role.snapshot]
keystore = "software"
algorithm = "ed25519"
[repository.role.targets]
custody = "online"
keystore = "software"
algorithm = "ed25519"
[[person]]
name = "carol"
identities = ["unix:3"]
[[grant]]
callers = ["unix:0"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots", "freeze", "operate", "audit", "status"]
repositories = ["**"]
roles = ["**"]
[[grant]]
callers = ["unix:1"]
verbs = ["sign", "freeze"]
repositories = ["demo"]
roles = ["timestamp"]
[[grant]]
callers = ["unix:2"]
verbs = ["freeze"]
repositories = ["demo"]
roles = ["**"]
[[grant]]
callers = ["unix:3"]
verbs = ["sign", "explain", "read"]
repositories = ["**"]
roles = ["**"]
[[grant]]
callers = ["unix:4"]
verbs = ["freeze"]
repositories = ["**"]
roles = ["**"]
"#;

pub(crate) const BOUNDS: Bounds = Bounds { skew_seconds: 60, jump_seconds: 60 };
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds on both clocks, moved by the test alone.
pub(crate) struct HeldClock {
    wall: AtomicI64,
    boot: AtomicI64,
}

impl HeldClock {
    /// Time passes: both clocks move.
    pub(crate) fn pass(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1000, Ordering::SeqCst);
        self.boot.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_by(&self, seconds: i64) {
        self.wall.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Instant {
        Instant::from_unix(self.wall.load(Ordering::SeqCst) / 1000)
    }

    fn reading(&self) -> Reading {
        let boot = self.boot.load(Ordering::SeqCst);
        Reading { wall: self.wall.load(Ordering::SeqCst), boot_before: boot, boot_after: boot }
    }
}

/// Real software keys behind a gate. It says that it is a token, so that it signs on a thread of its own.
pub(crate) struct Gated {
    keys: Software,
    place: Mutex<String>,
    away: Mutex<bool>,
    closed: Mutex<bool>,
    arrived: Mutex<u32>,
    moved: Condvar,
}

impl Gated {
    /// From now on signatures wait.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap() = true;
        *self.arrived.lock().unwrap() = 0;
    }

    /// They are made.
    pub(crate) fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.moved.notify_all();
    }

    /// Somebody pulls the token, or puts it back.
    pub(crate) fn go_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    /// Another token has its name from now on.
    pub(crate) fn is_another(&self, place: &str) {
        place.clone_into(&mut self.place.lock().unwrap());
    }

    /// How many signatures wait.
    pub(crate) fn waiting(&self) -> u32 {
        *self.arrived.lock().unwrap()
    }

    /// Somebody puts a key on the token, and tells nobody.
    pub(crate) fn plant(&self) -> PublicKey {
        self.keys.generate(Algorithm::Ed25519).unwrap()
    }

    /// Somebody takes a key off the token.
    pub(crate) fn take_away(&self, key: &KeyId) {
        self.keys.destroy(key).unwrap();
    }

    /// Waits until a signature waits.
    pub(crate) async fn somebody_waits(&self) {
        let begun = Monotonic::now();
        while *self.arrived.lock().unwrap() == 0 {
            assert!(begun.elapsed() < PATIENCE, "nobody asks for a signature");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Keystore for Gated {
    fn describe(&self) -> Description {
        Description { kind: Kind::Pkcs11, place: self.place.lock().unwrap().clone(), ..self.keys.describe() }
    }

    fn probe(&self) -> Condition {
        if *self.away.lock().unwrap() {
            return Condition::NotReady { cause: "pulled".to_owned(), since: NOW };
        }
        self.keys.probe()
    }

    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError> {
        if *self.away.lock().unwrap() {
            return Err(KeystoreError::Unavailable { cause: "pulled".to_owned() });
        }
        self.keys.public_keys()
    }

    fn generate(&self, algorithm: Algorithm) -> Result<PublicKey, KeystoreError> {
        self.keys.generate(algorithm)
    }

    fn sign(&self, order: &Order<'_>) -> Result<Signature, KeystoreError> {
        let mut closed = self.closed.lock().unwrap();
        if *closed {
            *self.arrived.lock().unwrap() += 1;
        }
        while *closed {
            let (guard, waited) = self.moved.wait_timeout(closed, PATIENCE).unwrap();
            assert!(!waited.timed_out(), "the gate stayed closed");
            closed = guard;
        }
        drop(closed);
        self.keys.sign(order)
    }

    fn destroy(&self, key: &KeyId) -> Result<(), KeystoreError> {
        self.keys.destroy(key)
    }
}

struct LogKey(Ed25519KeyPair);

impl LogKey {
    fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap())
    }
}

impl NoteSigner for LogKey {
    fn name(&self) -> &str {
        "switches.example/log"
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(self.0.sign(text).as_ref().try_into().unwrap())
    }
}

/// A ledger on a disk, and an engine over it that may be started again.
pub(crate) struct Bench {
    directory: tempfile::TempDir,
    pub(crate) clock: Arc<HeldClock>,
    pub(crate) token: Arc<Gated>,
    engine: Option<Arc<Engine>>,
    ledger: Option<Arc<Meanwhile>>,
}

impl Bench {
    /// A new ledger, at home on a machine, with one repository `demo` that released its first versions.
    pub(crate) async fn new() -> Self {
        let mut bench = Self::empty(Some(machine(1)));
        bench.start(Some(machine(1)));
        for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
            let order = KeyOrder {
                repository: "demo".into(),
                roles: vec![role.into()],
                new_repository: new,
                ..Default::default()
            };
            bench.engine().generate_key(&call(0), order).await.unwrap();
        }
        bench.sign("targets", &crate::values::targets(1)).await.unwrap();
        bench.sign("snapshot", &crate::values::snapshot(1, &[("targets", 1)])).await.unwrap();
        bench.sign("timestamp", &crate::values::timestamp(1, 1)).await.unwrap();
        bench
    }

    /// A new ledger and no engine.
    pub(crate) fn empty(home: Option<Sha256Digest>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity {
            id: "00112233445566778899aabbccddeeff".to_owned(),
            dev: false,
            origin: LogKey::new().name().to_owned(),
            verifier_key: VerifierKey::of(&LogKey::new()).unwrap().to_string(),
            created: NOW,
        };
        create(&directory.path().join("ledger"), &identity, &Switches::new(home)).unwrap();
        let age = directory.path().join("identity");
        sealward::keystore::software::create_identity(&age).unwrap();
        let unseal = Unseal::resolve(
            &sealward::keystore::settings::UnsealSettings::Identity(sealward::keystore::settings::SecretSource::File(
                age,
            )),
            &sealward::keystore::secret::Secrets::new(None),
        )
        .unwrap();
        let keys = directory.path().join("keys");
        sealward::keystore::software::create(&keys, &unseal).unwrap();
        let keys = Software::open("software".parse().unwrap(), &keys, &unseal, false).unwrap();
        let token = Gated {
            keys,
            place: Mutex::new("the first".to_owned()),
            away: Mutex::new(false),
            closed: Mutex::new(false),
            arrived: Mutex::new(0),
            moved: Condvar::new(),
        };
        let clock = HeldClock { wall: AtomicI64::new(NOW.as_unix() * 1000), boot: AtomicI64::new(1_000_000) };
        Self { directory, clock: Arc::new(clock), token: Arc::new(token), engine: None, ledger: None }
    }

    /// Starts the engine on a machine, after it was stopped.
    pub(crate) fn start(&mut self, here: Option<Sha256Digest>) {
        let ledger = SqliteLedger::open(&self.directory.path().join("ledger"), false).unwrap();
        let ledger = Arc::new(Meanwhile::over(ledger));
        self.ledger = Some(Arc::clone(&ledger));
        let desk = Desk::start(Arc::clone(&self.token) as Arc<dyn Keystore>, 64, 2);
        let parts = Parts {
            ledger: ledger as Arc<dyn Ledger>,
            desks: BTreeMap::from([("software".parse().unwrap(), Arc::new(desk))]),
            rules: rules(RULES),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            clock_bounds: BOUNDS,
            machine: here,
            note_signer: Arc::new(LogKey::new()),
        };
        self.engine = Some(Engine::start(parts).unwrap());
    }

    /// Stops the engine and starts it again.
    pub(crate) fn restart(&mut self, here: Option<Sha256Digest>) {
        let engine = self.engine.take().unwrap();
        assert_eq!(Arc::strong_count(&engine), 1, "somebody still uses the engine");
        drop(engine);
        self.ledger = None;
        self.start(here);
    }

    /// Puts the rules in force with one piece replaced.
    pub(crate) fn replace_rules(&self, old: &str, new: &str) {
        assert!(RULES.contains(old), "{old}");
        self.engine().replace_rules(rules(&RULES.replacen(old, new, 1)));
    }

    /// Puts more rules in force.
    pub(crate) fn add_rules(&self, more: &str) {
        self.engine().replace_rules(rules(&format!("{RULES}{more}")));
    }

    /// Something that happens once a decision is made, and before it is committed.
    pub(crate) fn meanwhile(&self, act: impl FnOnce(&dyn Ledger) + Send + 'static) {
        self.ledger.as_ref().unwrap().arrange(Box::new(act));
    }

    /// Somebody freezes a scope between the next decision and its commit.
    pub(crate) fn freeze_meanwhile(&self, scope: FreezeScope) {
        self.meanwhile(|ledger| {
            let switches = ledger.switches();
            let freeze = Freeze { scope, since: NOW, by: "unix:4".to_owned(), reason_code: ReasonCode::default() };
            let changes = vec![Change::Switches(switches.frozen(freeze).unwrap())];
            let expects = vec![Expect::Switches(switches.revision)];
            commit(ledger, Unit { expects, changes, ..Unit::default() });
        });
    }

    /// The key of a role of `demo`.
    pub(crate) async fn key_of(&self, role: &str) -> KeyId {
        let keys = self.engine().list_keys(&call(0), "demo").await.unwrap();
        keys.iter().find(|key| key.roles.iter().any(|one| one.as_str() == role)).unwrap().id()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }

    pub(crate) async fn sign(&self, role: &str, payload: &str) -> Result<Signed, Denial> {
        self.sign_as(0, role, payload).await
    }

    pub(crate) async fn sign_as(&self, uid: u32, role: &str, payload: &str) -> Result<Signed, Denial> {
        self.engine().sign(&call(uid), item(role, payload)).await
    }

    /// The reason for which a payload is refused.
    pub(crate) async fn refusal(&self, role: &str, payload: &str) -> Reason {
        self.sign(role, payload).await.expect_err("it was signed").reason
    }

    /// All leaves.
    pub(crate) fn leaves(&self) -> Vec<Event> {
        let entries = self.engine().ledger().leaves(0, usize::MAX).unwrap();
        entries.iter().map(|entry| sealward::audit::leaf::decode(entry).unwrap().1).collect()
    }

    /// The names of the latches in force.
    pub(crate) fn latches(&self) -> Vec<&'static str> {
        self.engine().latches().unwrap().iter().map(|latch| latch.name).collect()
    }

    /// Waits until what was begun is written down.
    pub(crate) async fn kept(&self) {
        self.engine().watch_latches().await;
        assert_eq!(self.engine().ledger().switches().latches.len(), self.latches().len());
    }
}

fn rules(text: &str) -> Rules {
    let configuration = sealward::config::parse(text, "/etc/sealward/sealward.toml").unwrap();
    Rules { policies: configuration.policies, grants: configuration.grants, quotas: configuration.limits.quotas }
}

pub(crate) fn item(role: &str, payload: &str) -> SignItem {
    SignItem {
        repository: "demo".into(),
        role: role.into(),
        key: None,
        payload: payload.as_bytes().into(),
        encoding: Encoding::Der,
        tuf_key_id: None,
        snapshot_file: None,
    }
}

pub(crate) fn call(uid: u32) -> Call {
    Call {
        caller: Caller::Unix { uid, gids: vec![uid] },
        request: "test".to_owned(),
        deadline: Monotonic::now() + PATIENCE,
    }
}

/// The mark of a machine.
pub(crate) fn machine(number: u8) -> Sha256Digest {
    Sha256Digest::of(&[number])
}
