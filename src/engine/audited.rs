//! The one wrapper around every verb: a refusal is in the log before it leaves, and everything is counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant as Monotonic;

use tokio::sync::oneshot;

use super::{Call, Counted, Engine, Stage};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::name::{RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Outcome, Reason};
use crate::domain::statement::Statement;
use crate::ledger::{CommitError, Committed, Unit};

/// What a request is about, as far as it was understood. Ends in the leaf of a refusal.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Whether a grant let the caller in. Without one no refusal gets a leaf of its own.
    pub(super) admitted: bool,
    pub(super) repository: Option<RepositoryName>,
    pub(super) role: Option<Role>,
    pub(super) version: Option<Version>,
    pub(super) digest: Option<Sha256Digest>,
}

impl Scope {
    pub(super) fn of(repository: &RepositoryName, role: Option<&Role>) -> Self {
        Self { repository: Some(repository.clone()), role: role.cloned(), ..Self::default() }
    }

    /// After the grant.
    pub(super) fn admit(&mut self) {
        self.admitted = true;
    }

    pub(super) fn with(mut self, statement: &Statement) -> Self {
        self.version = Some(statement.version());
        self.digest = Some(statement.digest());
        self
    }
}

/// Requests that get no leaf of their own, counted per caller, verb, reason and minute, so that nobody fills the disk.
#[derive(Default)]
pub(super) struct Aggregates(Mutex<BTreeMap<(String, &'static str, &'static str), u64>>);

/// Callers beyond this many share one line per verb and reason.
const CALLERS: usize = 1000;

impl Aggregates {
    fn add(&self, caller: Counted, verb: &'static str, what: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if counts.len() < CALLERS { caller.name() } else { "others".to_owned() };
        *counts.entry((name, verb, what)).or_default() += 1;
    }
}

impl Engine {
    /// Runs a verb whose refusals are audited. `scope` may be filled in while the verb reads its request.
    pub(super) async fn audited<T>(
        &self,
        call: &Call,
        verb: &'static str,
        work: impl AsyncFnOnce(&mut Scope) -> Result<T, Denial>,
    ) -> Result<T, Denial> {
        let begun = Monotonic::now();
        let mut scope = Scope::default();
        let result = match self.admit_caller(call) {
            Ok(()) => work(&mut scope).await,
            Err(denial) => Err(denial),
        };
        let result = match result {
            Ok(value) => Ok(value),
            Err(denial) => Err(self.refuse(call, verb, &scope, denial).await),
        };
        self.metrics.count(verb, scope.role.as_ref(), result.as_ref().err());
        self.metrics.observe(Stage::Total, begun.elapsed());
        result
    }

    /// Makes a refusal durable. When that fails, the failure is the answer.
    pub(super) async fn refuse(&self, call: &Call, verb: &'static str, scope: &Scope, denial: Denial) -> Denial {
        self.refuse_all(call, verb, vec![(scope, denial)])
            .await
            .pop()
            .unwrap_or_else(|| Denial::new(Reason::Internal, "a refusal was lost"))
    }

    /// Makes the refusals of one batch durable together, and gives them back in order.
    pub(super) async fn refuse_all(
        &self,
        call: &Call,
        verb: &'static str,
        refusals: Vec<(&Scope, Denial)>,
    ) -> Vec<Denial> {
        let mut answers = Vec::with_capacity(refusals.len());
        let mut units = Vec::new();
        let mut with_leaf = Vec::new();
        for (scope, denial) in refusals {
            if let Some(event) = self.leaf_for(call, verb, scope, &denial) {
                with_leaf.push(answers.len());
                units.push(Unit { events: vec![event], ..Unit::default() });
            }
            answers.push(denial);
        }
        if units.is_empty() {
            return answers;
        }
        for (at, committed) in with_leaf.into_iter().zip(self.commit(units).await) {
            if let (Some(answer), Err(error)) = (answers.get_mut(at), committed) {
                *answer = error.denial();
            }
        }
        answers
    }

    /// The leaf of a refusal, when it gets one of its own; otherwise it is counted here.
    fn leaf_for(&self, call: &Call, verb: &'static str, scope: &Scope, denial: &Denial) -> Option<Event> {
        tracing::info!(
            request = %call.request, caller = %call.caller, verb, reason = %denial.reason, detail = %denial.detail.escape_debug(),
            "refused"
        );
        let leaf = match leaf_of(denial.reason, scope.admitted) {
            // A failure may be the trace of a signature that exists: it is never counted together with others.
            LeafOf::Own if denial.reason.outcome() == Outcome::Denied && !self.admit_denial(call) => LeafOf::Aggregate,
            leaf => leaf,
        };
        match leaf {
            LeafOf::None => None,
            LeafOf::Aggregate => {
                self.aggregates.add(self.counted(&call.caller), verb, denial.reason.name());
                None
            }
            LeafOf::Own => {
                let mut event =
                    Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Denial).refused(denial);
                event.repository.clone_from(&scope.repository);
                event.role.clone_from(&scope.role);
                event.version = scope.version;
                event.digest = scope.digest;
                Some(event)
            }
        }
    }

    /// Counts a peer that a listener turned away because nobody knows, or could find out, who it is.
    pub fn count_turned_away(&self, listener: &str, reason: Reason) {
        let peer = Caller::Anonymous { listener: listener.to_owned() };
        self.aggregates.add(self.counted(&peer), "connect", reason.name());
        self.metrics.count("connect", None, Some(&Denial::new(reason, String::new())));
    }

    /// Counts a request that never became one.
    pub fn count_undecoded(&self, caller: &Caller, reason: Reason) {
        self.aggregates.add(self.counted(caller), "decode", reason.name());
        self.metrics.count("decode", None, Some(&Denial::new(reason, String::new())));
    }

    /// Counts a request whose verb panicked: what it had done, its own leaves say.
    pub fn count_panic(&self, caller: &Caller) {
        self.aggregates.add(self.counted(caller), "panic", Reason::Internal.name());
        self.metrics.count("panic", None, Some(&Denial::new(Reason::Internal, String::new())));
    }

    /// Counts what is answered from the record.
    pub(super) fn count_replay(&self, call: &Call) {
        self.aggregates.add(self.counted(&call.caller), "sign", "replay");
    }

    /// Counts who asks again for what waits for people.
    pub(super) fn count_repeated_wait(&self, call: &Call) {
        self.aggregates.add(self.counted(&call.caller), "sign", Reason::AwaitsApproval.name());
    }

    /// Counts what waited for people too long.
    pub(super) fn count_expired(&self, count: usize) {
        for _ in 0..count {
            self.aggregates.add(self.counted(&Caller::Daemon), "sweep-pending", "expired");
        }
    }

    /// Commits units and waits until they are durable.
    pub(super) async fn commit(&self, units: Vec<Unit>) -> Vec<Result<Committed, CommitError>> {
        let begun = Monotonic::now();
        let count = units.len();
        let (done, committed) = oneshot::channel();
        self.ledger.submit(
            units,
            Box::new(move |results| {
                // The asker may have given up at its deadline; what is durable stays durable.
                drop(done.send(results));
            }),
        );
        let results = committed.await.unwrap_or_else(|_| {
            let lost = CommitError::Fault("the ledger's thread dropped a commit".to_owned());
            std::iter::repeat_n(Err(lost), count).collect()
        });
        self.metrics.observe(Stage::Commit, begun.elapsed());
        results
    }

    pub(super) async fn commit_one(&self, unit: Unit) -> Result<Committed, CommitError> {
        let lost = || Err(CommitError::Fault("the ledger answered nothing".to_owned()));
        self.commit(vec![unit]).await.into_iter().next().unwrap_or_else(lost)
    }

    /// Writes the aggregate leaves of the time since the last call. The daemon calls it each minute and at its end.
    pub async fn write_aggregates(&self) {
        // What stands still writes nothing, and forgets nothing.
        if self.check_latches().is_err() {
            return;
        }
        let counts = std::mem::take(&mut *self.aggregates.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return;
        }
        let now = self.now();
        let events = counts
            .iter()
            .map(|((caller, verb, what), count)| {
                let mut event = Event::new(now, &Caller::Daemon, verb, "aggregate", EventKind::Aggregate);
                event.caller.clone_from(caller);
                event.count = Some(*count);
                event.reason = Some((*what).to_owned());
                let reason = Reason::ALL.iter().find(|reason| reason.name() == *what);
                event.outcome = reason.map_or(Outcome::Succeeded, |reason| reason.outcome());
                event
            })
            .collect();
        if let Err(error) = self.commit_one(Unit { events, ..Unit::default() }).await {
            tracing::warn!(%error, "aggregate leaves were not written; they are tried again with the next ones");
            let mut waiting = self.aggregates.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in counts {
                *waiting.entry(key).or_default() += count;
            }
        }
    }
}

enum LeafOf {
    /// Nothing was decided.
    None,
    /// Counted per minute.
    Aggregate,
    /// A leaf of its own.
    Own,
}

/// `law.md` section 7.
fn leaf_of(reason: Reason, admitted: bool) -> LeafOf {
    match reason {
        Reason::Unauthenticated | Reason::NoGrant | Reason::Malformed | Reason::OverQuota | Reason::QueueFull | Reason::PendingLimit => {
            LeafOf::Aggregate
        }
        Reason::Latched
        | Reason::LedgerFault
        | Reason::LedgerIntegrity
        | Reason::DiskFull
        | Reason::LedgerBusy
        | Reason::Conflict
        | Reason::PredecessorFailed
        // Its leaf was written with what waits.
        | Reason::AwaitsApproval
        | Reason::ShuttingDown => LeafOf::None,
        _ if !admitted => LeafOf::Aggregate,
        _ => LeafOf::Own,
    }
}
