//! What a new configuration changes, read and checked whole before any of it counts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::file;
use super::listen::{Terms, Tls};
use super::open;
use super::tokens::Tokens;
use crate::config::Configuration;
use crate::config::settings::{ListenerKind, ListenerSettings, TcpSettings};
use crate::door::limits::LimitsInForce;
use crate::engine::{Engine, Prepare, Prepared};
use crate::oidc::Bearers;

/// Reads the file anew for the engine.
pub(super) struct Reloader {
    pub(super) file: PathBuf,
    pub(super) dev: bool,
    pub(super) in_force: Mutex<Configuration>,
    /// By the listener's name.
    pub(super) tls: BTreeMap<String, Arc<Tls>>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) limits: Arc<LimitsInForce>,
    pub(super) engine: Weak<Engine>,
}

impl Reloader {
    /// As the engine wants it. Files and devices block, so that threads read them.
    pub(super) fn prepare(self: Arc<Self>) -> Prepare {
        Box::new(move || {
            let reloader = Arc::clone(&self);
            Box::pin(async move {
                let read = tokio::task::spawn_blocking(move || reloader.read()).await;
                read.unwrap_or_else(|_| Err(vec!["reading the configuration ended in a panic".to_owned()]))
            })
        })
    }

    fn read(self: Arc<Self>) -> Result<Prepared, Vec<String>> {
        let new = crate::config::load(&self.file)
            .map_err(|errors| errors.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems = fixed(&in_force, &new);
        // Nothing is opened for a file that is refused anyway: a wrong PIN costs a try.
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut terms = Vec::new();
        for listener in &new.listeners {
            let ListenerKind::Tcp(tcp) = &listener.kind else { continue };
            match (self.tls.get(&listener.name), Terms::of(tcp)) {
                (Some(tls), Ok(read)) => terms.push((Arc::clone(tls), read)),
                (_, Err(what)) => problems.push(format!("listener {}: {what}", listener.name)),
                (None, Ok(_)) => problems.push(format!("listener {} was not there at the start", listener.name)),
            }
        }
        let issuers = Bearers::prepare(&new.oidc, &file::bytes).map_err(|error| problems.push(error.to_string()));
        let Ok(issuers) = issuers else { return Err(problems) };
        if !problems.is_empty() {
            return Err(problems);
        }
        let engine = self.engine.upgrade().ok_or_else(|| vec!["the daemon is stopping".to_owned()])?;
        let (known, secrets) = (engine.desks(), open::secrets());
        let mut desks = BTreeMap::new();
        for settings in &new.keystores {
            let goes_on = known.get(&settings.name).filter(|_| in_force.keystores.contains(settings));
            match goes_on.cloned().map_or_else(|| open::desk(settings, &secrets, self.dev), Ok) {
                Ok(desk) => drop(desks.insert(settings.name.clone(), desk)),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (rules, digest, warnings) = (open::rules(&new), new.digest, new.warnings.clone());
        let apply = Box::new(move || {
            terms.into_iter().for_each(|(tls, terms)| tls.replace(terms));
            self.tokens.0.install(issuers);
            self.limits.replace(super::listen::door_limits(&new.limits));
            *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = new;
        });
        Ok(Prepared { rules, desks, digest, warnings, apply })
    }
}

/// What differs and cannot change while the daemon runs, each by the key that says it.
fn fixed(old: &Configuration, new: &Configuration) -> Vec<String> {
    // Every member by name: a new one does not compile until somebody has thought about it here.
    let Configuration {
        version: _,
        ledger,
        log_key,
        listeners,
        observe,
        keystores: _,
        policies: _,
        grants: _,
        oidc: _,
        limits,
        log,
        clock,
        machine,
        digest: _,
        places: _,
        warnings: _,
    } = new;
    // HTTP/2 tells it to peers when they connect.
    let same_streams = limits.requests_per_connection == old.limits.requests_per_connection;
    let mut problems: Vec<String> = [
        ("[ledger]", *ledger == old.ledger),
        ("[log_key]", *log_key == old.log_key),
        ("[observe]", *observe == old.observe),
        ("[log]", *log == old.log),
        ("[clock]", *clock == old.clock),
        ("[machine]", *machine == old.machine),
        ("requests_per_connection of [limits]", same_streams),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(what, _)| format!("{what} cannot change while the daemon runs; restart it, or take the change back"))
    .collect();
    for listener in listeners {
        let name = &listener.name;
        match named(&old.listeners, name) {
            None => problems.push(format!("[[listener]] `{name}` is new; listeners come with a restart")),
            Some(known) if !same_socket(&known.kind, &listener.kind) => problems.push(format!(
                "[[listener]] `{name}`: kind, path, mode, group, address and activation cannot change while the daemon runs"
            )),
            Some(_) => {}
        }
    }
    for gone in old.listeners.iter().filter(|one| named(listeners, &one.name).is_none()) {
        problems.push(format!("[[listener]] `{}` is gone; listeners go with a restart", gone.name));
    }
    problems
}

fn named<'l>(listeners: &'l [ListenerSettings], name: &str) -> Option<&'l ListenerSettings> {
    listeners.iter().find(|one| one.name == name)
}

/// Whether a listener is the same but for what may change: certificates, and what they are held against.
fn same_socket(old: &ListenerKind, new: &ListenerKind) -> bool {
    match (old, new) {
        (ListenerKind::Unix(old), ListenerKind::Unix(new)) => old == new,
        (ListenerKind::Tcp(old), ListenerKind::Tcp(new)) => {
            let kind = |tcp: &TcpSettings| std::mem::discriminant(&tcp.callers);
            old.endpoint == new.endpoint && kind(old) == kind(new)
        }
        _ => false,
    }
}
