//! One suite, every keystore: software with an identity, software with a passphrase, SoftHSM2 behind a worker. Then the
//! faults of each. Needs softhsm2, opensc and openssl.

// Clippy takes helpers of an integration test for shipped code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use sealward::domain::algorithm::Algorithm;
use sealward::domain::outcome::Reason;
use sealward::domain::public_key::{KeyId, PublicKey};
use sealward::domain::signature::Signature;
use sealward::keystore::desk::{Desk, Priority};
use sealward::keystore::secret::Secrets;
use sealward::keystore::settings::{KeystoreSettings, KindSettings, SecretSource, SoftwareSettings, UnsealSettings};
use sealward::keystore::software::{Unseal, create, create_identity};
use sealward::keystore::{Condition, Keystore, KeystoreError, Kind, open};
use tempfile::TempDir;

#[path = "support/keystore_openssl.rs"]
mod openssl;
#[path = "support/keystore_permits.rs"]
mod permits;
#[path = "support/keystore_softhsm.rs"]
mod softhsm;
#[path = "support/keystore_software_faults.rs"]
mod software_faults;
#[path = "support/keystore_token_faults.rs"]
mod token_faults;
#[path = "support/keystore_wire_faults.rs"]
mod wire_faults;

use permits::{permit, sign};
use softhsm::SoftHsm;

/// A configured keystore in a world of its own.
struct World {
    settings: KeystoreSettings,
    directory: PathBuf,
    _keep: Box<dyn std::any::Any>,
}

impl World {
    fn open(&self) -> Arc<dyn Keystore> {
        let store = open(&self.settings, &Secrets::default(), true).unwrap();
        assert_eq!(store.probe(), Condition::Ready);
        store
    }
}

fn private_file(directory: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn settings(kind: KindSettings) -> KeystoreSettings {
    KeystoreSettings { name: "k".parse().unwrap(), kind, queue_limit: 100 }
}

fn software(unseal: impl FnOnce(&TempDir) -> UnsealSettings) -> World {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let unseal = unseal(&directory);
    create(&keys, &Unseal::resolve(&unseal, &Secrets::default()).unwrap()).unwrap();
    let settings = settings(KindSettings::Software(SoftwareSettings { directory: keys, unseal }));
    World { settings, directory: directory.path().into(), _keep: Box::new(directory) }
}

fn with_identity() -> World {
    software(|directory| {
        let path = directory.path().join("identity");
        create_identity(&path).unwrap();
        UnsealSettings::Identity(SecretSource::File(path))
    })
}

fn with_passphrase() -> World {
    software(|directory| {
        let source = SecretSource::File(private_file(directory, "passphrase", "correct horse battery\n"));
        UnsealSettings::Passphrase { source, work_factor: 10 }
    })
}

fn on_softhsm() -> World {
    let token = SoftHsm::with_token("conformance");
    let settings = settings(KindSettings::Pkcs11(token.settings("conformance")));
    World { settings, directory: token.directory.path().into(), _keep: Box::new(token) }
}

/// Mounts the suite: a module per keystore, a test per sentence.
macro_rules! conformance {
    ($($keystore:ident: $world:expr;)*) => {
        $(mod $keystore {
            #[test]
            fn every_described_algorithm_signs_what_two_verifiers_accept_also_after_reopening() {
                crate::every_described_algorithm_signs_what_two_verifiers_accept_also_after_reopening(&$world);
            }
            #[test]
            fn a_destroyed_key_is_gone_for_ever_and_an_unknown_one_is_missing() {
                crate::a_destroyed_key_is_gone_for_ever_and_an_unknown_one_is_missing(&$world);
            }
            #[test]
            fn eight_threads_sign_at_once() {
                crate::eight_threads_sign_at_once(&$world);
            }
            #[test]
            fn a_desk_signs_generates_destroys_and_counts() {
                crate::a_desk_signs_generates_destroys_and_counts(&$world);
            }
            #[test]
            fn an_order_that_is_late_or_not_permitted_is_not_signed() {
                crate::an_order_that_is_late_or_not_permitted_is_not_signed(&$world);
            }
        })*
    };
}

conformance! {
    software_identity: crate::with_identity();
    software_passphrase: crate::with_passphrase();
    softhsm2: crate::on_softhsm();
}

fn messages() -> [Vec<u8>; 3] {
    [Vec::new(), vec![0x7b], (0..1 << 20).map(|n| (n % 251) as u8).collect()]
}

fn check_signatures(world: &World, store: &dyn Keystore, key: &PublicKey) {
    for message in messages() {
        let signature = sign(store, key, &message).unwrap();
        assert_eq!(key.verify(&message, &signature), Ok(()), "{} over {} bytes", key.algorithm(), message.len());
        assert!(key.verify(b"other", &signature).is_err());
        openssl::assert_verifies(&world.directory, key, &message, &signature);
    }
}

fn sorted(mut keys: Vec<PublicKey>) -> Vec<KeyId> {
    keys.sort_by_key(PublicKey::id);
    keys.iter().map(PublicKey::id).collect()
}

fn every_described_algorithm_signs_what_two_verifiers_accept_also_after_reopening(world: &World) {
    let store = world.open();
    assert_eq!(store.public_keys().unwrap(), []);
    let description = store.describe();
    assert_eq!(description.algorithms, Algorithm::ALL, "SoftHSM 2.6.1 has them all, and so has software");
    assert_eq!(description.verify_always, description.kind == Kind::Pkcs11);
    let mut keys = Vec::new();
    for algorithm in description.algorithms {
        let key = store.generate(algorithm).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        check_signatures(world, &*store, &key);
        keys.push(key);
    }
    assert_eq!(sorted(store.public_keys().unwrap()), sorted(keys.clone()));
    drop(store);

    let store = world.open();
    for key in &keys {
        check_signatures(world, &*store, key);
    }
    assert_eq!(sorted(store.public_keys().unwrap()), sorted(keys));
}

fn a_destroyed_key_is_gone_for_ever_and_an_unknown_one_is_missing(world: &World) {
    let store = world.open();
    let gone = store.generate(Algorithm::EcdsaP256).unwrap();
    let stays = store.generate(Algorithm::Ed25519).unwrap();
    assert!(sign(&*store, &gone, b"before").is_ok());
    store.destroy(&gone.id()).unwrap();
    let missing = |store: &dyn Keystore| {
        for error in [sign(store, &gone, b"after").unwrap_err(), store.destroy(&gone.id()).unwrap_err()] {
            assert_eq!(error.denial().reason, Reason::KeyMissing);
            assert!(error.to_string().contains(&gone.id().to_string()), "{error}");
        }
        assert_eq!(store.public_keys().unwrap(), std::slice::from_ref(&stays));
        assert!(sign(store, &stays, b"after").is_ok());
    };
    missing(&*store);
    drop(store);
    missing(&*world.open());
}

fn eight_threads_sign_at_once(world: &World) {
    let store = world.open();
    let keys = [store.generate(Algorithm::EcdsaP256).unwrap(), store.generate(Algorithm::Ed25519).unwrap()];
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (store, keys) = (&store, &keys);
            scope.spawn(move || {
                for round in 0..20_u32 {
                    let message = format!("{thread}/{round}").into_bytes();
                    let key = &keys[usize::try_from(round).unwrap() % 2];
                    let signature = sign(&**store, key, &message).unwrap();
                    assert_eq!(key.verify(&message, &signature), Ok(()), "an answer of another thread's request");
                }
            });
        }
    });
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

fn answered<T>(ask: impl FnOnce(mpsc::Sender<T>)) -> T {
    let (sender, answer) = mpsc::channel();
    ask(sender);
    answer.recv_timeout(Duration::from_secs(120)).unwrap()
}

fn desk_signs(desk: &Desk, key: &PublicKey, message: &[u8]) -> Result<Signature, KeystoreError> {
    let permit = permit(key, message);
    answered(|answer| {
        desk.sign(permit, message.into(), Priority::Snapshot, later(), move |done| answer.send(done).unwrap())
    })
}

fn a_desk_signs_generates_destroys_and_counts(world: &World) {
    let desk = Desk::start(world.open(), 100, 2);
    let make = |algorithm| {
        answered(|answer| desk.generate(algorithm, later(), move |done| answer.send(done).unwrap())).unwrap()
    };
    let keys = [make(Algorithm::EcdsaP384), make(Algorithm::RsaPss2048)];
    let (sender, answers) = mpsc::channel();
    for round in 0..40_u32 {
        let key = keys[usize::try_from(round).unwrap() % 2].clone();
        let message: Arc<[u8]> = format!("round {round}").into_bytes().into();
        let (sender, permit) = (sender.clone(), permit(&key, &message));
        let priority = [Priority::Timestamp, Priority::Snapshot, Priority::Rest][usize::try_from(round).unwrap() % 3];
        desk.sign(permit, Arc::clone(&message), priority, later(), move |done| {
            sender.send((key, message, done)).unwrap();
        });
    }
    for _ in 0..40 {
        let (key, message, done) = answers.recv_timeout(Duration::from_secs(120)).unwrap();
        assert_eq!(key.verify(&message, &done.unwrap()), Ok(()));
    }
    let metrics = desk.metrics();
    assert_eq!((metrics.signed(), metrics.challenges(), metrics.failed()), (40, 2, 0));
    assert!(metrics.busy_nanoseconds() > 0 && metrics.queue_depth() == 0);
    let gone = keys[0].id();
    answered(|answer| desk.destroy(gone, later(), move |done| answer.send(done).unwrap())).unwrap();
    assert_eq!(desk_signs(&desk, &keys[0], b"m").unwrap_err().denial().reason, Reason::KeyMissing);
    assert!(desk_signs(&desk, &keys[1], b"m").is_ok());
}

fn an_order_that_is_late_or_not_permitted_is_not_signed(world: &World) {
    let store = world.open();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    let desk = Desk::start(store, 100, 1);
    let late = answered(|answer| {
        let message: Arc<[u8]> = Arc::from(&b"late"[..]);
        let permit = permit(&key, &message);
        desk.sign(permit, message, Priority::Timestamp, Instant::now(), move |done| answer.send(done).unwrap());
    });
    assert_eq!(late, Err(KeystoreError::Deadline));
    let other = answered(|answer| {
        let permit = permit(&key, b"what the law saw");
        let message: Arc<[u8]> = Arc::from(&b"something else"[..]);
        desk.sign(permit, message, Priority::Timestamp, later(), move |done| answer.send(done).unwrap());
    });
    assert_eq!(other.unwrap_err().denial().reason, Reason::Internal);
    assert_eq!((desk.metrics().signed(), desk.metrics().challenges()), (0, 0));
}
