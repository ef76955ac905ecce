//! What can go wrong with a token and its worker: absent, ambiguous, refusing, killed, stopped, removed, replaced.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sealward::domain::algorithm::Algorithm;
use sealward::domain::outcome::Reason;
use sealward::domain::public_key::PublicKey;
use sealward::keystore::pkcs11::Pkcs11;
use sealward::keystore::secret::Secrets;
use sealward::keystore::settings::Pkcs11Settings;
use sealward::keystore::{Condition, Keystore, KeystoreError};

use crate::permits::{permit, sign};
use crate::softhsm::{MODULE, PIN, SoftHsm};

/// From opensc: passes every call on to another module and writes it down.
const SPY: &str = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so";

fn opened(settings: &Pkcs11Settings) -> Result<Pkcs11, KeystoreError> {
    Pkcs11::open("token".parse().unwrap(), settings, &Secrets::default(), true)
}

fn cause(store: &Pkcs11) -> String {
    match store.probe() {
        Condition::NotReady { cause, .. } => cause,
        Condition::Ready => panic!("the token is ready"),
    }
}

/// Waits for something to become true.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Signs and verifies, and says whether the keystore answered at all.
fn signs(store: &Pkcs11, key: &PublicKey) -> bool {
    match sign(store, key, b"message") {
        Ok(signature) => {
            assert_eq!(key.verify(b"message", &signature), Ok(()));
            true
        }
        Err(error) => {
            assert_eq!(error.denial().reason, Reason::KeystoreUnavailable, "{error}");
            false
        }
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn an_absent_token_is_named_with_what_is_there_and_used_once_it_comes() {
    let world = SoftHsm::with_token("another");
    let store = opened(&world.settings("wanted")).unwrap();
    let said = cause(&store);
    assert!(said.contains("labelled `wanted`") && said.contains("`another` with serial number"), "{said}");
    assert_eq!(store.generate(Algorithm::Ed25519).unwrap_err().denial().reason, Reason::KeystoreUnavailable);
    assert_eq!(store.describe().algorithms, []);
    world.add_token("wanted");
    eventually("the token is found", || store.probe() == Condition::Ready);
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    assert!(signs(&store, &key));
}

#[test]
fn two_tokens_of_one_label_are_told_apart_by_their_serial_number_or_refused() {
    let world = SoftHsm::with_token("twin");
    world.add_token("twin");
    let Err(error @ KeystoreError::Token { .. }) = opened(&world.settings("twin")) else {
        panic!("one of two was taken");
    };
    let text = error.to_string();
    let serials: Vec<_> =
        text.split("serial number ").skip(1).map(|rest| rest.chars().take(16).collect::<String>()).collect();
    assert!(text.contains("2 tokens are labelled `twin`") && text.contains("Set token_serial"), "{text}");
    let mut keys = Vec::new();
    for serial in &serials[..2] {
        let store = opened(&Pkcs11Settings { token_serial: Some(serial.clone()), ..world.settings("twin") }).unwrap();
        keys.push(store.generate(Algorithm::EcdsaP256).unwrap());
        assert_eq!(store.public_keys().unwrap().len(), 1, "each is a token of its own");
    }
    assert_ne!(keys[0], keys[1]);
    let nobody = Pkcs11Settings { token_serial: Some("0000".into()), ..world.settings("twin") };
    assert!(cause(&opened(&nobody).unwrap()).contains("serial number 0000"));
}

#[test]
fn a_wrong_pin_is_tried_once_and_never_again() {
    let world = SoftHsm::with_token("token");
    let log = world.directory.path().join("spy.log");
    world.write_pin("0000-wrong");
    let mut settings = world.settings("token");
    settings.module = SPY.into();
    settings.environment.push(("PKCS11SPY".into(), MODULE.into()));
    settings.environment.push(("PKCS11SPY_OUTPUT".into(), log.to_str().unwrap().into()));
    let store = opened(&settings).unwrap();
    let said = cause(&store);
    assert!(said.contains("PinIncorrect") && !said.contains("0000-wrong"), "{said}");
    for _ in 0..5 {
        let error = store.generate(Algorithm::Ed25519).unwrap_err();
        assert_eq!(error.denial().reason, Reason::PinRefused);
        assert!(!format!("{error:?}{error}").contains("0000-wrong"));
        std::thread::sleep(Duration::from_millis(300)); // longer than the first pauses between workers
    }
    let logins = |log: &Path| std::fs::read_to_string(log).unwrap().matches("C_Login\n").count();
    assert_eq!(logins(&log), 1);
    drop(store);

    world.write_pin(PIN);
    let store = opened(&settings).unwrap();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    assert!(signs(&store, &key));
    assert_eq!(logins(&log), 2, "the spy counts: once for each daemon");
}

#[test]
fn a_killed_worker_is_replaced_at_once_and_the_key_is_there() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    for _ in 0..3 {
        let before = store.worker_pid().unwrap();
        signal(before, "-KILL");
        let died = Instant::now();
        eventually("the next worker signs", || signs(&store, &key));
        assert!(died.elapsed() < Duration::from_secs(20));
        eventually("it is another process", || store.worker_pid().is_some_and(|pid| pid != before));
    }
}

#[test]
fn a_request_in_a_worker_that_dies_is_failed_and_not_asked_twice() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    let pid = store.worker_pid().unwrap();
    signal(pid, "-STOP");
    std::thread::scope(|scope| {
        let (sender, answers) = mpsc::channel();
        for _ in 0..4 {
            let (sender, store, key) = (sender.clone(), &store, &key);
            scope.spawn(move || {
                let order = permit(key, b"message");
                sender.send(store.sign(&order.redeem(b"message").unwrap())).unwrap();
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        assert!(answers.try_recv().is_err(), "a stopped worker answers nothing");
        signal(pid, "-KILL");
        for _ in 0..4 {
            let error = answers.recv_timeout(Duration::from_secs(10)).unwrap().unwrap_err();
            assert!(matches!(error, KeystoreError::Interrupted { .. }), "{error}");
            assert!(error.to_string().contains("SIGKILL"), "{error}");
            assert_eq!(error.denial().reason, Reason::KeystoreUnavailable);
        }
    });
    eventually("the next worker signs", || signs(&store, &key));
}

#[test]
fn a_token_that_was_away_is_used_again_when_it_is_back() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    let away = world.directory.path().join("away");
    std::fs::rename(world.tokens(), &away).unwrap();
    std::fs::create_dir(world.tokens()).unwrap();
    eventually("it is noticed", || !signs(&store, &key));
    eventually("it is told", || store.probe() != Condition::Ready);
    std::fs::remove_dir(world.tokens()).unwrap();
    std::fs::rename(&away, world.tokens()).unwrap();
    eventually("it signs again", || signs(&store, &key));
    assert_eq!(store.public_keys().unwrap(), [key]);
}

#[test]
fn a_key_that_was_removed_behind_our_back_is_missing_and_the_others_sign() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    let (gone, stays) = (store.generate(Algorithm::EcdsaP256).unwrap(), store.generate(Algorithm::Ed25519).unwrap());
    let listed = world.tool("token", &["--list-objects", "--type", "privkey"]);
    let id = listed
        .lines()
        .skip_while(|line| !line.trim_end().ends_with("; EC"))
        .find(|line| line.trim().starts_with("ID:"));
    let id = id.unwrap().split_whitespace().last().unwrap();
    world.tool("token", &["--delete-object", "--type", "privkey", "--id", id]);
    eventually("it is missing", || match sign(&store, &gone, b"m") {
        Err(error) => error.denial().reason == Reason::KeyMissing,
        Ok(_) => false,
    });
    eventually("the other signs", || signs(&store, &stays));
    assert_eq!(store.public_keys().unwrap(), [stays], "a public key without its private half is not listed");
}

#[test]
fn keys_of_other_tools_are_listed_and_two_under_one_id_are_not_guessed_between() {
    let world = SoftHsm::with_token("token");
    for (kind, id) in
        [("EC:prime256v1", "01"), ("EC:edwards25519", "02"), ("EC:prime256v1", "03"), ("EC:prime256v1", "03")]
    {
        world.tool("token", &["--keypairgen", "--key-type", kind, "--id", id, "--label", "theirs"]);
    }
    world.tool("token", &["--keypairgen", "--key-type", "EC:secp521r1", "--id", "04", "--label", "unknown curve"]);
    let store = opened(&world.settings("token")).unwrap();
    let keys = store.public_keys().unwrap();
    let mut algorithms: Vec<_> = keys.iter().map(PublicKey::algorithm).collect();
    algorithms.sort_unstable();
    assert_eq!(algorithms, [Algorithm::Ed25519, Algorithm::EcdsaP256]);
    assert!(keys.iter().all(|key| signs(&store, key)));
    world.tool("token", &["--keypairgen", "--key-type", "RSA:2048", "--id", "05", "--label", "made meanwhile"]);
    assert_eq!(store.public_keys().unwrap().len(), 3);
}

#[test]
fn a_key_made_here_cannot_leave_the_token() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP384, Algorithm::RsaPss2048] {
        store.generate(algorithm).unwrap();
    }
    let listed = world.tool("token", &["--list-objects", "--type", "privkey"]);
    let access: Vec<_> = listed.lines().filter(|line| line.trim().starts_with("Access:")).collect();
    let usage: Vec<_> = listed.lines().filter(|line| line.trim().starts_with("Usage:")).collect();
    assert_eq!((access.len(), usage.len()), (3, 3), "{listed}");
    for line in access {
        assert_eq!(line.trim(), "Access:     sensitive, always sensitive, never extractable, local");
    }
    for line in usage {
        assert_eq!(line.trim(), "Usage:      sign");
    }
}

#[test]
fn a_module_that_is_none_or_that_others_own_is_refused() {
    let world = SoftHsm::with_token("token");
    let with_module = |module: &Path| opened(&Pkcs11Settings { module: module.into(), ..world.settings("token") });
    for module in ["/absent/module.so", "module.so", "/usr/lib/softhsm"] {
        let error = with_module(Path::new(module)).map(|_| ()).unwrap_err();
        assert!(matches!(error, KeystoreError::Path { .. }) && error.to_string().contains("absolute path"), "{error}");
    }
    let text = world.directory.path().join("text.so");
    std::fs::write(&text, "not a library").unwrap();
    let said = cause(&with_module(&text).unwrap());
    assert!(said.contains("does not load"), "{said}");
    let other_library = Path::new("/lib/x86_64-linux-gnu/libm.so.6");
    let said = cause(&with_module(other_library).unwrap());
    assert!(said.contains("does not load"), "{said}");

    let copy = world.directory.path().join("copy.so");
    std::fs::copy(MODULE, &copy).unwrap();
    assert_eq!(with_module(&copy).unwrap().probe(), Condition::Ready);
    if std::os::unix::fs::chown(&copy, Some(65534), None).is_ok() {
        let error = with_module(&copy).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("owned by user 65534"), "{error}");
    } else {
        eprintln!("not root: a module owned by others cannot be made here");
    }
}

#[test]
fn the_worker_has_no_secret_outside_its_memory_and_no_rights_to_gain() {
    let world = SoftHsm::with_token("token");
    let store = opened(&world.settings("token")).unwrap();
    let key = store.generate(Algorithm::EcdsaP256).unwrap();
    assert!(signs(&store, &key));
    let pid = store.worker_pid().unwrap();
    let read =
        |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).map(|b| String::from_utf8_lossy(&b).into_owned());
    assert_eq!(read("cmdline").unwrap().matches('\0').count(), 1, "no arguments");
    assert!(read("status").unwrap().lines().any(|line| line == "NoNewPrivs:\t1"));
    let limits = read("limits").unwrap();
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    match read("environ") {
        Ok(environment) => assert!(
            environment.starts_with("SOFTHSM2_CONF=") && environment.matches('\0').count() == 1,
            "{environment}"
        ),
        // What is not dumpable belongs to root.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    drop(store);
    eventually("it ends with the keystore", || !Path::new(&format!("/proc/{pid}")).exists());
}
