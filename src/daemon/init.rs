//! `init` makes what nothing else ever makes; `recover` lifts a fault.

use std::path::Path;

use super::log_signer::LogSigner;
use super::{DaemonError, administrator, machine, open, say};
use crate::audit::note::VerifierKey;
use crate::config::Configuration;
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::switches::Switches;
use crate::domain::time::Instant;
use crate::engine::Clock as _;
use crate::keystore::secret::Secrets;
use crate::keystore::settings::{KindSettings, SecretSource, UnsealSettings};
use crate::keystore::software::{self, NoteKey, Unseal};
use crate::ledger::sqlite::{self, SqliteLedger};
use crate::ledger::{Identity, Ledger as _, Unit};

/// `sealwardd init`: with the first administrator, whom the file names or gets.
pub(super) fn from_file(path: &Path, origin: Option<&str>, administrator: Option<&str>) -> Result<(), DaemonError> {
    // Looked at first, so that a second `init` touches nothing.
    let configuration = super::load(path)?;
    sqlite::refuse_existing(&configuration.ledger.directory)?;
    let (configuration, administrator) = administrator::ensure(path, configuration, administrator)?;
    init(&configuration, origin, &administrator, false)?;
    say(&format!("serve with: sealwardd --config {}", path.display()));
    Ok(())
}

/// Makes the ledger, the log key, and what software keystores need. Refuses when a ledger is there.
pub(super) fn init(
    configuration: &Configuration,
    origin: Option<&str>,
    administrator: &str,
    dev: bool,
) -> Result<(), DaemonError> {
    let directory = &configuration.ledger.directory;
    let id = random_hex()?;
    let origin = match (origin, dev) {
        (Some(origin), _) => origin.to_owned(),
        (None, true) => format!("dev.{}/{}", host_name(), &id[..8]),
        (None, false) => format!("{}/sealward-{}", host_name(), &id[..8]),
    };
    check_origin(&origin, dev)?;
    sqlite::refuse_existing(directory)?;
    let machine = machine::mark(&configuration.machine, &id)?;
    open::private_directory(directory)?;
    let secrets = open::secrets();
    make_keystores(configuration, &secrets)?;
    let log_key = make_log_key(configuration, &origin, &secrets)?;
    let origin = log_key.name().to_owned();
    check_origin(&origin, dev)?;
    let verifier_key = VerifierKey::of(&LogSigner(log_key))
        .map_err(|error| DaemonError::File { path: configuration.log_key.path.clone(), what: error.to_string() })?
        .to_string();
    let created = super::clock::SystemClock.now();
    let identity = Identity { id, dev, origin, verifier_key: verifier_key.clone(), created };
    sqlite::create(directory, &identity, &Switches::new(machine))?;
    record(directory, administrator, created, dev)?;
    say(&format!("made the ledger in {}", directory.display()));
    say(&format!("audit log {}; keep its verifier key where this machine cannot change it:", identity.origin));
    say(&format!("  {verifier_key}"));
    Ok(())
}

/// The log's first leaf: who may command this daemon from its first day on, as the configuration says it.
fn record(directory: &Path, administrator: &str, now: Instant, dev: bool) -> Result<(), DaemonError> {
    let mut event = Event::new(now, &Caller::Daemon, "init", "init", EventKind::Administration);
    administrator.clone_into(&mut event.caller);
    let ledger = SqliteLedger::open(directory, dev)?;
    let (done, wait) = std::sync::mpsc::channel();
    let unit = Unit { events: vec![event], ..Unit::default() };
    // The receiver waits below; a send can fail only when it is gone.
    ledger.submit(vec![unit], Box::new(move |results| drop(done.send(results))));
    let committed = wait.recv().ok().and_then(|results| results.into_iter().next());
    match committed {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(first_leaf_missing(directory, &error.to_string())),
        None => Err(first_leaf_missing(directory, "the ledger answered nothing")),
    }
}

fn first_leaf_missing(directory: &Path, what: &str) -> DaemonError {
    let what = format!("the log's first leaf was not written ({what}); remove the directory and run init again");
    DaemonError::File { path: directory.to_owned(), what }
}

/// Lifts a fault.
pub(super) fn recover(configuration: &Configuration) -> Result<(), DaemonError> {
    let recovery = sqlite::recover(&configuration.ledger.directory)?;
    say(&format!("recovered: {} leaves; the old database is kept as {}", recovery.leaves, recovery.kept.display()));
    say("compare the last checkpoint that you hold elsewhere: `sealward audit checkpoint` after the start");
    Ok(())
}

fn make_log_key(configuration: &Configuration, origin: &str, secrets: &Secrets) -> Result<NoteKey, DaemonError> {
    let settings = &configuration.log_key;
    let failed = |error| DaemonError::Keystore { what: "log key".to_owned(), error };
    make_identity(&settings.unseal)?;
    let unseal = Unseal::resolve(&settings.unseal, secrets).map_err(failed)?;
    if settings.path.join("log-key.age").exists() {
        // Left by an `init` that was interrupted: there is no ledger, so no log was begun with it.
        say(&format!("using the log key that an interrupted init left in {}", settings.path.display()));
        return NoteKey::load(&settings.path, &unseal).map_err(failed);
    }
    NoteKey::create(&settings.path, origin, &unseal).map_err(failed)
}

/// The origin tells a throw-away log from a real one to whoever sees a checkpoint, also where a log key was left behind.
fn check_origin(origin: &str, dev: bool) -> Result<(), DaemonError> {
    match (origin.starts_with("dev."), dev) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err(DaemonError::DevRefused(
            "the log's origin begins with dev., which only throw-away logs do; choose another one, and another log key",
        )),
        (false, true) => Err(DaemonError::DevRefused("the log key here is that of a real log; --dev refuses it")),
    }
}

fn make_keystores(configuration: &Configuration, secrets: &Secrets) -> Result<(), DaemonError> {
    for keystore in &configuration.keystores {
        let KindSettings::Software(settings) = &keystore.kind else { continue };
        if settings.directory.exists() {
            say(&format!("keystore {}: {} is there and is used as it is", keystore.name, settings.directory.display()));
            continue;
        }
        let failed = |error| DaemonError::Keystore { what: format!("keystore {}", keystore.name), error };
        make_identity(&settings.unseal)?;
        let unseal = Unseal::resolve(&settings.unseal, secrets).map_err(failed)?;
        software::create(&settings.directory, &unseal).map_err(failed)?;
        say(&format!("made keystore {} in {}", keystore.name, settings.directory.display()));
    }
    Ok(())
}

/// An identity file that is named and not there is made; a passphrase is never made up.
fn make_identity(unseal: &UnsealSettings) -> Result<(), DaemonError> {
    let UnsealSettings::Identity(SecretSource::File(path)) = unseal else { return Ok(()) };
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        open::private_directory(parent)?;
    }
    software::create_identity(path)
        .map_err(|error| DaemonError::Keystore { what: "age identity".to_owned(), error })?;
    say(&format!("made the age identity {}: back it up, without it the keys are lost", path.display()));
    Ok(())
}

fn random_hex() -> Result<String, DaemonError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DaemonError::File {
        path: Path::new("/dev/urandom").to_owned(),
        what: "no randomness".to_owned(),
    })?;
    Ok(hex::encode(bytes))
}

/// The machine's name as far as it fits into an origin.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).take(100).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
