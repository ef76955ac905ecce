//! Eight clients that are hostile as well as busy, and what they know of each other.

mod caller;
mod plan;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use sealward::client::Server;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use self::caller::Caller;
pub(crate) use self::plan::ask;
use crate::journal::{Ask, Journal, Release};
use crate::random::Random;

/// Clients of one run.
pub(crate) const CLIENTS: usize = 8;

/// What clients are told about the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Counts starts that ended in an answer.
    pub(crate) generation: u64,
    pub(crate) up: bool,
    /// No new requests; those that are open are asked until they are answered.
    pub(crate) stopping: bool,
    /// The daemon will not come back.
    pub(crate) over: bool,
}

/// What clients know of each guard, by repository and role. A hint, as clients of one server have it.
pub(crate) type Heads = BTreeMap<(String, String), Head>;

/// What was released for one guard, as far as any client knows.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) newest: Ask,
    pub(crate) versions: BTreeSet<u64>,
}

/// Keys by repository and role.
pub(crate) type Keys = BTreeMap<(String, String), Vec<String>>;

/// What the clients of one run share.
pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) phase: watch::Receiver<Phase>,
    heads: Mutex<Heads>,
    /// Checkpoints that were shown to clients and wait for the watcher's proof.
    shown: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn new(server: Server, phase: watch::Receiver<Phase>) -> Arc<Self> {
        Arc::new(Self { server, phase, heads: Mutex::default(), shown: Mutex::default() })
    }

    pub(crate) fn heads(&self) -> Heads {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn show(&self, note: String) {
        self.shown.lock().unwrap().push(note);
    }

    pub(crate) fn take_shown(&self) -> Vec<String> {
        std::mem::take(&mut self.shown.lock().unwrap())
    }

    fn learn(&self, release: &Release) {
        let ask = &release.ask;
        let mut heads = self.heads.lock().unwrap();
        let unknown = || Head { newest: ask.clone(), versions: BTreeSet::new() };
        let head = heads.entry((ask.repository.clone(), ask.role.clone())).or_insert_with(unknown);
        head.versions.insert(ask.version);
        if head.newest.version < ask.version {
            head.newest = ask.clone();
        }
    }
}

/// Sends them all off. Each ends when the phase says so and its last request is answered.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    keys: &Keys,
    mut journal: impl FnMut(&str) -> Journal,
    random: &mut Random,
    tasks: &mut JoinSet<()>,
) {
    for number in 0..CLIENTS {
        let name = format!("client-{number}");
        let caller = Caller::new(&name, Arc::clone(shared), keys.clone(), journal(&name), random.split());
        // Some do not wait until the daemon is up, but knock at a door that is just being opened.
        let caller = if number % 4 == 0 { caller.impatient() } else { caller };
        tasks.spawn(caller.run());
    }
}
