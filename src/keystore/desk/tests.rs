//! The desk over a keystore with faults on demand. What needs a real keystore is in `tests/keystore_conformance.rs`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::domain::law::challenge::challenge;
use crate::domain::outcome::Reason;
use crate::domain::permit::{Challenge, Order};
use crate::keystore::{Condition, Kind, lock};

/// One Ed25519 key in memory; lies, panics and hangs when told to.
struct Device {
    pair: Ed25519KeyPair,
    kind: Kind,
    lies_after: usize,
    panics: AtomicBool,
    gate: Mutex<()>,
    signed: Mutex<Vec<Vec<u8>>>,
    calls: AtomicUsize,
}

impl Device {
    fn new(kind: Kind, lies_after: usize) -> Arc<Self> {
        Arc::new(Self {
            pair: Ed25519KeyPair::generate().unwrap(),
            kind,
            lies_after,
            panics: AtomicBool::new(false),
            gate: Mutex::default(),
            signed: Mutex::default(),
            calls: AtomicUsize::new(0),
        })
    }

    fn key(&self) -> PublicKey {
        PublicKey::from_ed25519(self.pair.public_key().as_ref()).unwrap()
    }
}

impl Keystore for Device {
    fn describe(&self) -> Description {
        Description {
            name: "device".parse().unwrap(),
            kind: self.kind,
            place: String::new(),
            algorithms: vec![Algorithm::Ed25519],
            verify_always: self.kind == Kind::Pkcs11,
        }
    }

    fn probe(&self) -> Condition {
        Condition::Ready
    }

    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError> {
        Ok(vec![self.key()])
    }

    fn generate(&self, _: Algorithm) -> Result<PublicKey, KeystoreError> {
        // A key of another algorithm than the one asked for.
        Ok(self.key())
    }

    fn sign(&self, order: &Order<'_>) -> Result<Signature, KeystoreError> {
        let _open = lock(&self.gate);
        assert!(!self.panics.load(Ordering::SeqCst), "a device that panics");
        lock(&self.signed).push(order.message().to_vec());
        let lies = self.calls.fetch_add(1, Ordering::SeqCst) >= self.lies_after;
        let message = if lies { b"something else" } else { order.message() };
        Ok(Signature::from_fixed(Algorithm::Ed25519, self.pair.sign(message).as_ref().to_vec()).unwrap())
    }

    fn destroy(&self, _: &KeyId) -> Result<(), KeystoreError> {
        Ok(())
    }
}

type Answers = mpsc::Receiver<Result<Signature, KeystoreError>>;

fn permitted(device: &Device, nonce: u8) -> (Permit<Challenge>, Arc<[u8]>) {
    let (permit, message) = challenge(&device.key(), [nonce; 32]);
    (permit, message.into())
}

fn ask(desk: &Desk, device: &Device, nonce: u8, priority: Priority, deadline: Instant) -> Answers {
    let (permit, message) = permitted(device, nonce);
    let (sender, answers) = mpsc::channel();
    desk.sign(permit, message, priority, deadline, move |result| sender.send(result).unwrap());
    answers
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn wait(answers: &Answers) -> Result<Signature, KeystoreError> {
    answers.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn a_key_is_challenged_once_before_its_first_signature() {
    let device = Device::new(Kind::Pkcs11, usize::MAX);
    let desk = Desk::start(device.clone(), 10, 4);
    let answers: Vec<_> = (0..8).map(|n| ask(&desk, &device, n, Priority::Rest, later())).collect();
    for answer in &answers {
        assert!(wait(answer).is_ok());
    }
    assert_eq!(desk.metrics().challenges(), 1);
    assert_eq!(desk.metrics().signed(), 8);
    assert_eq!(lock(&device.signed).len(), 9);
    let first = lock(&device.signed)[0].clone();
    assert!((0..8).all(|n| permitted(&device, n).1.as_ref() != first), "the challenge has a nonce of its own");
}

#[test]
fn a_lying_token_never_reaches_the_caller() {
    for lies_after in [0, 1, 5] {
        let device = Device::new(Kind::Pkcs11, lies_after);
        let desk = Desk::start(device.clone(), 10, 1);
        for n in 0..8 {
            let answer = wait(&ask(&desk, &device, n, Priority::Rest, later()));
            let is_honest = usize::from(n) + 1 < lies_after;
            match answer {
                Ok(signature) => {
                    assert!(is_honest && device.key().verify(&permitted(&device, n).1, &signature).is_ok())
                }
                Err(error) => {
                    assert!(!is_honest, "{error}");
                    assert_eq!(error.denial().reason, Reason::BadTokenSignature);
                }
            }
        }
    }
}

#[test]
fn a_software_key_that_goes_bad_is_caught_by_the_sample_and_then_watched() {
    let device = Device::new(Kind::Software, 10);
    let desk = Desk::start(device.clone(), 10, 1);
    let answers: Vec<_> = (0..100).map(|n| wait(&ask(&desk, &device, n, Priority::Rest, later())).is_ok()).collect();
    assert!(answers[..64].iter().all(|ok| *ok), "unseen between samples: that is what sampling means");
    assert!(answers[64..].iter().all(|ok| !ok), "the 65th is verified, and every one after it");
}

#[test]
fn a_message_that_is_not_the_permits_is_a_defect_and_is_not_signed() {
    let device = Device::new(Kind::Software, usize::MAX);
    let desk = Desk::start(device.clone(), 10, 1);
    let (sender, answers) = mpsc::channel();
    let (permit, _) = permitted(&device, 1);
    let other: Arc<[u8]> = Arc::from(&b"{\"_type\":\"timestamp\"}"[..]);
    desk.sign(permit, other, Priority::Rest, later(), move |result| sender.send(result).unwrap());
    assert_eq!(wait(&answers).unwrap_err().denial().reason, Reason::Internal);
    assert!(lock(&device.signed).is_empty());
}

#[test]
fn software_ed25519_is_answered_before_submit_returns() {
    let device = Device::new(Kind::Software, usize::MAX);
    let desk = Desk::start(device.clone(), 1, 1);
    let (permit, message) = permitted(&device, 1);
    let thread = std::thread::current().id();
    let (sender, answers) = mpsc::channel();
    desk.sign(permit, message, Priority::Rest, later(), move |result| {
        assert_eq!(std::thread::current().id(), thread);
        sender.send(result).unwrap();
    });
    assert!(answers.try_recv().unwrap().is_ok());
    let late = ask(&desk, &device, 2, Priority::Rest, Instant::now());
    assert_eq!(late.try_recv().unwrap(), Err(KeystoreError::Deadline));
}

#[test]
fn a_panic_in_the_keystore_is_an_answer_and_the_desk_goes_on() {
    for kind in [Kind::Software, Kind::Pkcs11] {
        let device = Device::new(kind, usize::MAX);
        let desk = Desk::start(device.clone(), 10, 1);
        device.panics.store(true, Ordering::SeqCst);
        assert_eq!(
            wait(&ask(&desk, &device, 1, Priority::Rest, later())).unwrap_err().denial().reason,
            Reason::Internal
        );
        device.panics.store(false, Ordering::SeqCst);
        assert!(wait(&ask(&desk, &device, 2, Priority::Rest, later())).is_ok());
        let (permit, message) = permitted(&device, 3);
        let called = catch_unwind(AssertUnwindSafe(|| {
            desk.sign(permit, message, Priority::Rest, later(), |_| panic!("a callback that panics"));
        }));
        assert_eq!(called.is_err(), kind == Kind::Software, "inline it is the caller's own panic");
        assert!(wait(&ask(&desk, &device, 4, Priority::Rest, later())).is_ok());
    }
}

#[test]
fn a_full_queue_and_a_passed_deadline_are_answered_while_the_token_hangs() {
    let device = Device::new(Kind::Pkcs11, usize::MAX);
    let desk = Desk::start(device.clone(), 2, 1);
    assert!(wait(&ask(&desk, &device, 0, Priority::Rest, later())).is_ok());
    let hang = lock(&device.gate);
    let working = ask(&desk, &device, 1, Priority::Rest, later());
    while desk.metrics().queue_depth() > 0 {
        std::thread::yield_now();
    }
    let soon = Instant::now() + Duration::from_millis(30);
    let expires = ask(&desk, &device, 2, Priority::Rest, soon);
    let waits = ask(&desk, &device, 3, Priority::Rest, later());
    let refused = ask(&desk, &device, 4, Priority::Timestamp, later()).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.denial().reason, Reason::QueueFull);
    assert!(refused.retry_after().unwrap() >= Duration::from_millis(20));
    assert_eq!(wait(&expires), Err(KeystoreError::Deadline));
    drop(hang);
    assert!(wait(&working).is_ok() && wait(&waits).is_ok());
    assert_eq!(desk.metrics().rejected(), 2);
    let signed = lock(&device.signed).clone();
    assert!(!signed.contains(&permitted(&device, 2).1.to_vec()), "an expired request never touches the token");
}

#[test]
fn a_timestamp_overtakes_and_a_dropped_desk_answers_everybody() {
    let device = Device::new(Kind::Pkcs11, usize::MAX);
    let desk = Desk::start(device.clone(), 10, 1);
    assert!(wait(&ask(&desk, &device, 0, Priority::Rest, later())).is_ok());
    let hang = lock(&device.gate);
    let working = ask(&desk, &device, 1, Priority::Rest, later());
    while desk.metrics().queue_depth() > 0 {
        std::thread::yield_now();
    }
    let others = [
        ask(&desk, &device, 2, Priority::Rest, later()),
        ask(&desk, &device, 3, Priority::Snapshot, later()),
        ask(&desk, &device, 4, Priority::Timestamp, later()),
    ];
    drop(hang);
    assert!(wait(&working).is_ok() && others.iter().all(|answers| wait(answers).is_ok()));
    let order: Vec<_> = lock(&device.signed)[2..].to_vec();
    assert_eq!(order, [1, 4, 3, 2].map(|n| permitted(&device, n).1.to_vec()));

    let hang = lock(&device.gate);
    let working = ask(&desk, &device, 5, Priority::Rest, later());
    while desk.metrics().queue_depth() > 0 {
        std::thread::yield_now();
    }
    let waiting = ask(&desk, &device, 6, Priority::Rest, later());
    let dropper = std::thread::spawn(move || drop(desk));
    assert_eq!(wait(&waiting), Err(KeystoreError::ShuttingDown));
    drop(hang);
    assert!(wait(&working).is_ok(), "work in hand is finished");
    dropper.join().unwrap();
}

#[test]
fn a_device_that_makes_another_kind_of_key_is_not_believed() {
    let device = Device::new(Kind::Pkcs11, usize::MAX);
    let desk = Desk::start(device, 10, 1);
    let (sender, answers) = mpsc::channel();
    desk.generate(Algorithm::EcdsaP256, later(), move |result| sender.send(result).unwrap());
    let error = answers.recv_timeout(Duration::from_secs(30)).unwrap().unwrap_err();
    assert!(matches!(error, KeystoreError::Refused { .. }), "{error}");
}
