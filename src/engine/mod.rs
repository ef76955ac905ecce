//! **The verbs.** The only room where law, keystores, ledger and audit meet, each verb in a file of its own.
//!
//! Every verb takes the caller first, and passes through one audited wrapper ([`audited`]) that nobody can forget: it
//! writes the leaf of a refusal before the refusal leaves, and counts.

mod approve;
mod audit;
mod audited;
mod begin;
mod counted;
mod destroy;
mod explain;
mod freeze;
mod generate;
mod key_use;
mod keys;
mod latches;
mod locks;
mod metrics;
mod pending;
mod quota;
mod recover;
mod released;
mod reload;
mod retire;
mod root;
mod rotate;
mod rotation;
mod seed;
mod sign;
mod start;
mod status;
mod whoami;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant as Monotonic;

pub use approve::{PendingFile, Waiting};
pub use audit::{Consistency, Inclusion, Leaves};
pub use counted::Counted;
pub use destroy::KeyChange;
pub use explain::Explanation;
pub use freeze::{FreezeOrder, Thawed};
pub use generate::KeyOrder;
pub use key_use::KeyUse;
pub use keys::key_forms;
pub use latches::{Latch, LatchOrder};
pub use metrics::{BUCKETS, Metrics, Stage};
pub use recover::NewEpoch;
pub use released::{Released, ReleasedQuery};
pub use reload::{ConfigurationStatus, Prepare, Prepared, Reloaded};
pub use root::{RootChange, RootFiles, RootUpload};
pub use rotate::Rotated;
pub use seed::Seeded;
pub use sign::{DelegationMet, KeySigned, SignItem, Signed};
pub use start::StartError;
pub use status::{GuardStatus, KeystoreStatus, Status};
pub use whoami::Identity;

use crate::audit::note::NoteSigner;
use crate::domain::caller::Caller;
use crate::domain::grant::{Grants, Verb};
use crate::domain::law::clock;
use crate::domain::name::{KeystoreName, RepositoryName, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::{Policies, RepositoryPolicy};
use crate::domain::public_key::KeyId;
use crate::domain::quota::Quotas;
use crate::domain::time::Instant;
use crate::keystore::desk::Desk;
use crate::ledger::{Expect, Ledger};

/// Who asks, under which number, and until when an answer is of use.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller, as a door authenticated it.
    pub caller: Caller,
    /// Names the request in logs, leaves and errors.
    pub request: String,
    /// After this the answer is `deadline`.
    pub deadline: Monotonic,
}

/// What the configuration says of repositories and callers.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Per repository.
    pub policies: Policies,
    /// Per caller.
    pub grants: Grants,
    /// Per caller and per key.
    pub quotas: Quotas,
}

/// The time, handed in.
pub trait Clock: Send + Sync {
    /// Now, in seconds.
    fn now(&self) -> Instant;

    /// The wall clock beside the boot clock, by which it is judged.
    fn reading(&self) -> clock::Reading;
}

/// What an engine is made of.
pub struct Parts {
    /// The memory.
    pub ledger: Arc<dyn Ledger>,
    /// The keystores, each behind its queue.
    pub desks: BTreeMap<KeystoreName, Arc<Desk>>,
    /// The rules.
    pub rules: Rules,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How far the time may stray.
    pub clock_bounds: clock::Bounds,
    /// The mark of this machine; `None` where nobody looks.
    pub machine: Option<Sha256Digest>,
    /// The audit log's own key.
    pub note_signer: Arc<dyn NoteSigner>,
}

/// The verbs over their parts.
pub struct Engine {
    ledger: Arc<dyn Ledger>,
    desks: RwLock<Arc<BTreeMap<KeystoreName, Arc<Desk>>>>,
    rules: RwLock<Arc<Rules>>,
    clock: Arc<dyn Clock>,
    note_signer: Arc<dyn NoteSigner>,
    locks: locks::Locks,
    aggregates: audited::Aggregates,
    metrics: Arc<Metrics>,
    explained: explain::Limiter,
    taken: quota::Taken,
    checkpointing: tokio::sync::Mutex<()>,
    /// Held while something that waits for people is written down.
    recording: tokio::sync::Mutex<()>,
    /// Every public key that a keystore was seen to hold, and whose destruction was not seen. It grows with private keys
    /// that were really made in one, never with what callers name.
    held: Mutex<BTreeSet<KeyId>>,
    /// Keystores that were not there when the daemon started, and have not listed their keys yet.
    unlisted: Mutex<BTreeSet<KeystoreName>>,
    latches: latches::Latches,
    /// Keys that are to be destroyed, and when to look at each.
    destructions: Mutex<BTreeMap<KeyId, Instant>>,
    started: Instant,
    /// Shared by whatever makes or destroys keys; alone, while keystores are exchanged: two that are open over one place
    /// must not both change it.
    keystores: tokio::sync::RwLock<()>,
    /// How the configuration is read anew; held while that happens.
    reloading: tokio::sync::Mutex<Option<Prepare>>,
    configuration: Mutex<Option<ConfigurationStatus>>,
    besides: OnceLock<Besides>,
}

/// What an operator should know of things that the engine knows nothing about.
pub type Besides = Box<dyn Fn() -> Vec<String> + Send + Sync>;

impl Engine {
    /// More warnings for status, from the daemon; the first that are handed in stay.
    pub fn warn_besides(&self, warnings: Besides) {
        if self.besides.set(warnings).is_err() {
            tracing::error!("more warnings were handed in twice");
        }
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The memory's counters and condition.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The keystores in force.
    pub fn desks(&self) -> Arc<BTreeMap<KeystoreName, Arc<Desk>>> {
        Arc::clone(&self.desks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The engine's clock.
    pub fn time(&self) -> Instant {
        self.clock.now()
    }

    /// The rules in force. A request keeps those that it began with, up to its commit.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force, at once and for every later request and item of a stream.
    pub fn replace_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn desk(&self, name: &KeystoreName) -> Result<Arc<Desk>, Denial> {
        self.latches.check_keystore(name)?;
        self.desks()
            .get(name)
            .cloned()
            .ok_or_else(|| Denial::new(Reason::UnknownKeystore, format!("there is no keystore {name}")))
    }

    /// Waits for guards, no longer than the caller does.
    async fn hold_guards(&self, call: &Call, names: BTreeSet<locks::Name>) -> Result<locks::Held, Denial> {
        let caller = call.caller.to_string();
        let late = || Denial::new(Reason::Deadline, "an earlier request for the same role is in flight");
        tokio::time::timeout_at(call.deadline.into(), self.locks.guards(names, &caller)).await.map_err(|_| late())
    }

    /// Waits for a repository's keys and roots, no longer than the caller does.
    async fn hold_repository(&self, call: &Call, repository: &RepositoryName) -> Result<locks::Held, Denial> {
        let late = || Denial::new(Reason::Deadline, "an earlier request that changes the same repository is in flight");
        tokio::time::timeout_at(call.deadline.into(), self.locks.repository(repository)).await.map_err(|_| late())
    }

    /// What stands before every verb that signs or changes something: no latch over everything, no freeze of the caller.
    fn check_serving(&self, call: &Call) -> Result<(), Denial> {
        self.check_latches()?;
        self.check_not_frozen(call)
    }

    /// The same after a wait, with what must still be so at the commit: a freeze or a latch of that time counts.
    fn still_serving(&self, call: &Call) -> Result<Expect, Denial> {
        let revision = self.ledger.switches().revision;
        self.check_serving(call)?;
        Ok(Expect::Switches(revision))
    }
}

impl Rules {
    /// The policy of a repository for a caller that may do this with a role of it. Without a grant there is one answer,
    /// whether the repository exists or not.
    fn admit_role(
        &self,
        call: &Call,
        verb: Verb,
        repository: &RepositoryName,
        role: &Role,
    ) -> Result<&RepositoryPolicy, Denial> {
        if !self.grants.allow_role(&call.caller, verb, repository, role) {
            return Err(no_grant(call, verb, &format!("for {role} of {repository}")));
        }
        self.policy(repository)
    }

    /// As [`Rules::admit_role`], for what concerns a repository as a whole.
    fn admit_repository(
        &self,
        call: &Call,
        verb: Verb,
        repository: &RepositoryName,
    ) -> Result<&RepositoryPolicy, Denial> {
        if !self.grants.allow_repository(&call.caller, verb, repository) {
            return Err(no_grant(call, verb, &format!("for {repository}")));
        }
        self.policy(repository)
    }

    /// As [`Rules::admit_role`], for what concerns the daemon as a whole.
    fn admit_daemon(&self, call: &Call, verb: Verb) -> Result<(), Denial> {
        if self.grants.allow_daemon(&call.caller, verb) {
            Ok(())
        } else {
            Err(no_grant(call, verb, "over the whole daemon"))
        }
    }

    fn policy(&self, repository: &RepositoryName) -> Result<&RepositoryPolicy, Denial> {
        self.policies.find(repository).ok_or_else(|| {
            Denial::new(Reason::UnknownRepository, format!("the configuration declares no repository {repository}"))
        })
    }
}

fn no_grant(call: &Call, verb: Verb, what: &str) -> Denial {
    Denial::new(Reason::NoGrant, format!("{} has no grant of the verb {verb} {what}", call.caller))
}

/// A name from the network.
fn parse<T>(field: &str, text: &str) -> Result<T, Denial>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Denial::new(Reason::Malformed, format!("{field}: {error}")))
}
