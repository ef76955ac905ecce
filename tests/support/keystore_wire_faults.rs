//! What daemon and worker do with each other's nonsense.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealward::domain::algorithm::Algorithm;
use sealward::domain::outcome::Reason;
use sealward::keystore::pkcs11::Pkcs11;
use sealward::keystore::protocol::{self, Answer, Answered, Asked, Failure, Request};
use sealward::keystore::secret::Secrets;
use sealward::keystore::settings::Pkcs11Settings;
use sealward::keystore::{Condition, Keystore};

use crate::softhsm::{MODULE, PIN, SoftHsm};

/// A worker that is a shell script; standard input is the socket, in both directions.
fn scripted(world: &SoftHsm, script: &str) -> Pkcs11Settings {
    let path = world.directory.path().join("worker");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Pkcs11Settings { worker: Some(path), ..world.settings("token") }
}

#[test]
fn a_worker_that_talks_nonsense_is_replaced_and_never_gets_the_pin() {
    let world = SoftHsm::empty();
    let taken = world.directory.path().join("taken");
    let heard = world.directory.path().join("heard");
    let listen = format!("exec /bin/cat >> {}", heard.display());
    let frame = |header: &str, body: usize| {
        let octal = |n: usize| u32::try_from(n).unwrap().to_be_bytes().map(|b| format!("\\{b:03o}")).concat();
        format!("printf '{}{}%s' '{header}' >&0", octal(header.len()), octal(body))
    };
    let cases = [
        ("noise", format!("/usr/bin/head -c 4096 /dev/urandom >&0; {listen}"), "protocol"),
        ("huge", format!("printf '\\377\\377\\377\\377\\377\\377\\377\\377' >&0; {listen}"), "protocol"),
        ("no-json", format!("{}; {listen}", frame("hello", 0)), "protocol"),
        ("nobody-asked", format!("{}; {listen}", frame(r#"{"id":99,"answer":"done"}"#, 0)), "nobody made"),
        ("wrong-answer", format!("{}; {listen}", frame(r#"{"id":1,"answer":"done"}"#, 0)), "did not attach"),
        ("half", format!("{}; exit 3", frame(r#"{"id":1,"answer":"done"}"#, 500)), "ended: exit status: 3"),
        ("gone", "exit 7".to_owned(), "ended: exit status: 7"),
    ];
    for (name, script, expected) in cases {
        let record = format!("/bin/echo x >> {}-{name}\n", taken.display());
        let started = Instant::now();
        let settings = scripted(&world, &(record + &script));
        let store = Pkcs11::open("k".parse().unwrap(), &settings, &Secrets::default(), true).unwrap();
        // The cause of the attempt that just ended; between two of them it is starting.
        let said = loop {
            match store.probe() {
                Condition::NotReady { cause, .. } if cause != "its worker is starting" => break cause,
                _ => assert!(started.elapsed() < Duration::from_secs(20), "{name}"),
            }
        };
        assert!(said.contains(expected), "{name}: {said}");
        assert_eq!(store.generate(Algorithm::Ed25519).unwrap_err().denial().reason, Reason::KeystoreUnavailable);
        std::thread::sleep(Duration::from_millis(400));
        drop(store);
        let starts = std::fs::read_to_string(format!("{}-{name}", taken.display())).unwrap().lines().count();
        assert!((2..8).contains(&starts), "{name}: tried again, with pauses: {starts} starts");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
    }
    let heard = String::from_utf8_lossy(&std::fs::read(heard).unwrap()).into_owned();
    assert!(heard.contains("attach") && !heard.contains(PIN), "{heard}");
}

/// The real worker at the other end of a socket of ours.
struct Worker {
    child: Child,
    socket: UnixStream,
}

impl Worker {
    fn start(environment: &[(String, String)]) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sealward-token"))
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    fn ask(&mut self, id: u64, request: Request, body: &[u8]) -> (Answer, Vec<u8>) {
        protocol::write(&mut self.socket, &Asked { id, request }, body).unwrap();
        let (answered, body) = protocol::read::<Answered>(&mut self.socket).unwrap().unwrap();
        assert_eq!(answered.id, id);
        (answered.answer, body.to_vec())
    }

    /// Hangs up and waits; the exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        let until = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the worker does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn attach(world: &SoftHsm, protocol: u32) -> Request {
    let settings = world.settings("token");
    Request::Attach { protocol, module: MODULE.into(), label: settings.token_label, serial: None, sessions: 2 }
}

#[test]
fn the_worker_refuses_what_is_not_the_protocol() {
    let asked = |id, request| {
        let mut bytes = Vec::new();
        protocol::write(&mut bytes, &Asked { id, request }, b"").unwrap();
        bytes
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("huge", vec![0xff; 64]),
        ("noise", (0..=255).collect()),
        ("a truncated frame", asked(1, Request::List)[..9].to_vec()),
        ("login first", asked(1, Request::Login)),
        ("sign first", asked(1, Request::Generate { algorithm: Algorithm::Ed25519 })),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let mut worker = Worker::start(&[]);
        let _ = worker.socket.write_all(&bytes); // it may have gone already
        let (code, said) = worker.end();
        assert_eq!(code, Some(76), "{name}: {said}");
        assert!(said.contains("does not keep to the protocol"), "{name}: {said}");
    }
    assert_eq!(Worker::start(&[]).end(), (Some(0), String::new()), "a daemon that goes away is no fault");
}

#[test]
fn a_worker_of_another_release_and_one_that_is_logged_in_say_no() {
    let world = SoftHsm::with_token("token");
    let environment = world.settings("token").environment;
    let mut worker = Worker::start(&environment);
    let (answer, _) = worker.ask(1, attach(&world, protocol::VERSION + 1), b"");
    assert_eq!(answer, Answer::Failed(Failure::Version { worker: protocol::VERSION }));
    assert_eq!(worker.end().0, Some(0));

    let mut worker = Worker::start(&environment);
    assert!(matches!(worker.ask(1, attach(&world, protocol::VERSION), b"").0, Answer::Attached(_)));
    assert_eq!(worker.ask(2, Request::Login, PIN.as_bytes()).0, Answer::Done);
    let unknown = Request::Sign { key: "0".repeat(64).parse().unwrap() };
    assert_eq!(worker.ask(3, unknown, b"message").0, Answer::Failed(Failure::KeyMissing));
    let (answer, spki) = worker.ask(4, Request::Generate { algorithm: Algorithm::EcdsaP256 }, b"ignored");
    assert!(answer == Answer::Done && spki.len() == 91);
    protocol::write(&mut worker.socket, &Asked { id: 5, request: Request::Login }, b"another pin").unwrap();
    let (code, said) = worker.end();
    assert_eq!(code, Some(76), "{said}");
    assert!(!said.contains("another pin") && !said.contains(PIN));
}

#[test]
fn by_hand_it_explains_itself() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sealward-token"));
    for (arguments, input) in [(&["--help"][..], Stdio::null()), (&[], Stdio::null()), (&[], Stdio::piped())] {
        let output = Command::new(&program).args(arguments).stdin(input).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("The daemon starts it") && said.contains("start sealwardd"), "{said}");
    }
}
