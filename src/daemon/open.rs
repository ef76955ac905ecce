//! From a configuration to the parts of an engine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use super::DaemonError;
use super::clock::SystemClock;
use super::log_signer::LogSigner;
use crate::audit::note::VerifierKey;
use crate::config::Configuration;
use crate::engine::{Engine, Parts, Rules};
use crate::keystore::desk::Desk;
use crate::keystore::secret::Secrets;
use crate::keystore::settings::{KeystoreSettings, KindSettings};
use crate::keystore::software::{NoteKey, Unseal};
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{Ledger, LedgerError};

/// Opens everything and starts the engine. Must run inside the runtime.
pub(super) fn engine(configuration: &Configuration, dev: bool) -> Result<Arc<Engine>, DaemonError> {
    let directory = &configuration.ledger.directory;
    private_if_there(directory)?;
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(directory, dev)?);
    let machine = super::machine::mark(&configuration.machine, &ledger.identity().id)?;
    let secrets = secrets();
    let note_signer = log_signer(configuration, ledger.as_ref(), &secrets)?;
    let mut desks = BTreeMap::new();
    for settings in &configuration.keystores {
        desks.insert(settings.name.clone(), desk(settings, &secrets, dev)?);
    }
    let rules = rules(configuration);
    let clock_bounds = configuration.clock.bounds();
    Ok(Engine::start(Parts { ledger, desks, rules, clock: Arc::new(SystemClock), clock_bounds, machine, note_signer })?)
}

/// One keystore behind its queue.
pub(super) fn desk(settings: &KeystoreSettings, secrets: &Secrets, dev: bool) -> Result<Arc<Desk>, DaemonError> {
    let keystore = crate::keystore::open(settings, secrets, dev)
        .map_err(|error| DaemonError::Keystore { what: format!("keystore {}", settings.name), error })?;
    let threads = match &settings.kind {
        KindSettings::Software(_) => std::thread::available_parallelism().map_or(2, usize::from).min(8),
        KindSettings::Pkcs11(token) => token.sessions,
    };
    Ok(Arc::new(Desk::start(keystore, settings.queue_limit, threads)))
}

/// What the law is asked with.
pub(super) fn rules(configuration: &Configuration) -> Rules {
    Rules {
        policies: configuration.policies.clone(),
        grants: configuration.grants.clone(),
        quotas: configuration.limits.quotas,
    }
}

fn log_signer(
    configuration: &Configuration,
    ledger: &dyn Ledger,
    secrets: &Secrets,
) -> Result<Arc<LogSigner>, DaemonError> {
    let failed = |error| DaemonError::Keystore { what: "log key".to_owned(), error };
    let settings = &configuration.log_key;
    let unseal = Unseal::resolve(&settings.unseal, secrets).map_err(failed)?;
    let signer = LogSigner(NoteKey::load(&settings.path, &unseal).map_err(failed)?);
    let found = VerifierKey::of(&signer)
        .map_err(|error| DaemonError::File { path: settings.path.clone(), what: error.to_string() })?
        .to_string();
    let expected = ledger.identity().verifier_key.clone();
    if found != expected {
        return Err(DaemonError::LogKey { path: settings.path.clone(), expected, found });
    }
    Ok(Arc::new(signer))
}

/// Where secrets come from in this process.
pub(super) fn secrets() -> Secrets {
    Secrets::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into))
}

/// Makes a directory for us alone, or accepts one that is.
pub(super) fn private_directory(path: &Path) -> Result<(), DaemonError> {
    let failed = |error: std::io::Error| DaemonError::File { path: path.to_owned(), what: error.to_string() };
    if !path.exists() {
        return fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed);
    }
    private_if_there(path)
}

/// A directory that others may write to is not ours to keep a memory in.
fn private_if_there(path: &Path) -> Result<(), DaemonError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let refused = |what: &str| Err(DaemonError::File { path: path.to_owned(), what: what.to_owned() });
    if !metadata.is_dir() {
        return refused("is no directory (a symbolic link is not followed)");
    }
    if metadata.mode() & 0o022 != 0 {
        return refused("is writable by its group or by others; `chmod go-w` it");
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(LedgerError::ReadOnly {
            path: path.to_owned(),
            what: format!("it belongs to user {}, the daemon runs as {us}", metadata.uid()),
        }
        .into());
    }
    Ok(())
}
