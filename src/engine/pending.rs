//! The law's third answer: what waits for people is kept for them, and whoever asks gets its name.

use super::{Call, Engine, Rules};
use crate::domain::approval::{Act, Pending, PendingId, Subject};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::law::attended::{self, Approved, Attendance, Wait};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;
use crate::ledger::{Change, CommitError, Expect, LedgerError, Unit};

/// What waits in the whole daemon, at most: pieces, and bytes of payload.
const MOST: Bound = Bound { pieces: 1024, bytes: 1 << 30 };
/// The same for one repository. Each role's `max_pending` bounds it further.
const MOST_IN_REPOSITORY: Bound = Bound { pieces: 256, bytes: 256 << 20 };
/// The same for one caller.
const MOST_OF_CALLER: Bound = Bound { pieces: 64, bytes: 256 << 20 };
/// Acts that wait at once, in one repository or in the daemon.
const MOST_ACTS: usize = 16;
/// Callers who ask for the same thing.
const MOST_REQUESTERS: usize = 16;
/// How often a commit is tried again when an approval came in between.
const ATTEMPTS: usize = 5;

#[derive(Clone, Copy)]
struct Bound {
    pieces: usize,
    bytes: u64,
}

impl Bound {
    fn check<'a>(self, what: &str, waiting: impl Iterator<Item = &'a Pending>, next: u64) -> Result<(), Denial> {
        let (pieces, bytes) =
            waiting.fold((1, next), |(pieces, bytes), one| (pieces + 1, bytes.saturating_add(one.length)));
        if pieces <= self.pieces && bytes <= self.bytes {
            return Ok(());
        }
        let detail = format!("{what}: at most {} pieces and {} bytes wait for approval", self.pieces, self.bytes);
        Err(Denial::new(Reason::PendingLimit, detail))
    }
}

impl Engine {
    /// Whether two operators want an act, as a verb asks after its own grant and before it does anything. The answer is
    /// `awaits-approval` until they do. The unit that does the act must use the approval up ([`Unit::uses`]).
    ///
    /// Everything that the act depends on stands in its facts: revisions, digests, names of keys.
    pub async fn require_two_operators(&self, call: &Call, rules: &Rules, act: Act) -> Result<Approved, Denial> {
        let pending = match &act.repository {
            Some(repository) => self.ledger.view(repository).map(|view| view.pending.clone()),
            None => self.ledger.pending(),
        };
        let pending = pending.map_err(|error| error.denial())?;
        let attendance = Attendance { pending: &pending, grants: &rules.grants, caller: &call.caller };
        let text = act.text();
        match attended::act(act, attendance, self.now())? {
            Ok(approved) => Ok(approved),
            Err(wait) => Err(self.await_approval(call, rules, wait, text.as_bytes()).await),
        }
    }

    /// Keeps something for the people who must approve it, once, and says under which name.
    pub(super) async fn await_approval(&self, call: &Call, rules: &Rules, wait: Wait, payload: &[u8]) -> Denial {
        // One at a time: the bounds are over what all requests together have.
        let _recording = self.recording.lock().await;
        for _ in 0..ATTEMPTS {
            let unit = match self.record_of(call, rules, &wait, payload) {
                Ok(Some(unit)) => unit,
                Ok(None) => {
                    self.count_repeated_wait(call);
                    return wait.denial();
                }
                Err(denial) => return denial,
            };
            match self.commit_one(unit).await {
                Ok(_) => return wait.denial(),
                Err(CommitError::Conflict) => {}
                Err(error) => return error.denial(),
            }
        }
        Denial::new(Reason::Conflict, "what waits for approval kept changing")
    }

    /// What is to be written; `None` when this caller's request is on record already.
    fn record_of(&self, call: &Call, rules: &Rules, wait: &Wait, payload: &[u8]) -> Result<Option<Unit>, Denial> {
        let now = self.now();
        let all = self.ledger.pending().map_err(|error| error.denial())?;
        let id = wait.subject.id();
        let known = all.iter().find(|pending| pending.id() == id);
        let mut unit = Unit { events: vec![waits(now, call, wait)], ..Unit::default() };
        unit.expects.push(Expect::Pending(id, known.map_or(0, |pending| pending.revision)));
        if let Some(open) = known.filter(|pending| pending.is_open(now)) {
            if open.requesters.contains(&call.caller) {
                return Ok(None);
            }
            if open.requesters.len() >= MOST_REQUESTERS {
                let detail = format!("{MOST_REQUESTERS} callers ask for {id} already");
                return Err(Denial::new(Reason::PendingLimit, detail));
            }
            let mut pending = open.clone();
            pending.requesters.push(call.caller.clone());
            pending.revision = pending.revision.saturating_add(1);
            unit.changes.push(Change::Pending { pending, payload: None });
            return Ok(Some(unit));
        }
        let over = |pending: &Pending| !pending.is_open(now) || wait.void.iter().any(|(void, _)| *void == pending.id());
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let stays: Vec<&Pending> = all.iter().filter(|pending| !over(pending)).collect();
        check_bounds(&wait.subject, &call.caller, rules, &stays, length)?;
        let ended = all.iter().filter(|pending| over(pending) && pending.id() != id);
        unit.changes.extend(ended.map(|pending| Change::PendingEnds(pending.id())));
        let pending = Pending {
            subject: wait.subject.clone(),
            requesters: vec![call.caller.clone()],
            given: Vec::new(),
            rejection: None,
            asked: now,
            expires: now.plus_seconds(wait.seconds),
            length,
            revision: known.map_or(0, |pending| pending.revision).saturating_add(1),
        };
        unit.changes.push(Change::Pending { pending, payload: Some(payload.to_vec()) });
        Ok(Some(unit))
    }

    /// Forgets what waited too long. The daemon calls it each minute.
    pub async fn sweep_pending(&self) -> Result<usize, LedgerError> {
        let now = self.now();
        let expired: Vec<(PendingId, u64)> =
            self.ledger.pending()?.iter().filter(|one| !one.is_open(now)).map(|one| (one.id(), one.revision)).collect();
        let units: Vec<Unit> = expired
            .iter()
            .map(|(id, revision)| Unit {
                expects: vec![Expect::Pending(*id, *revision)],
                changes: vec![Change::PendingEnds(*id)],
                ..Unit::default()
            })
            .collect();
        if units.is_empty() || self.check_latches().is_err() {
            return Ok(0);
        }
        let swept = self.commit(units).await.iter().filter(|result| result.is_ok()).count();
        self.count_expired(swept);
        Ok(swept)
    }
}

fn check_bounds(
    subject: &Subject,
    caller: &Caller,
    rules: &Rules,
    stays: &[&Pending],
    length: u64,
) -> Result<(), Denial> {
    let (repository, role) = (subject.repository(), subject.role());
    let is_act = |pending: &Pending| matches!(pending.subject, Subject::Act(_));
    let here = || stays.iter().copied().filter(|pending| pending.subject.repository() == repository);
    let pieces = match subject {
        Subject::Act(_) => MOST_ACTS,
        Subject::Signature(_) => max_pending(rules, repository, role),
    };
    let alike = here().filter(|pending| {
        is_act(pending) == matches!(subject, Subject::Act(_)) && (is_act(pending) || pending.subject.role() == role)
    });
    let name = role.map_or_else(|| "acts of operators".to_owned(), ToString::to_string);
    Bound { pieces, bytes: u64::MAX }.check(&name, alike, length)?;
    MOST_IN_REPOSITORY.check("in one repository", here(), length)?;
    let own = stays.iter().copied().filter(|pending| pending.requesters.first() == Some(caller));
    MOST_OF_CALLER.check("of one caller", own, length)?;
    MOST.check("in this daemon", stays.iter().copied(), length)
}

fn max_pending(rules: &Rules, repository: Option<&RepositoryName>, role: Option<&Role>) -> usize {
    let policy = repository.and_then(|repository| rules.policies.find(repository));
    let limits = policy.zip(role).and_then(|(policy, role)| policy.role(role));
    limits.map_or(0, |limits| limits.max_pending)
}

/// The leaf of something that waits. It moves no guard, so it names no epoch.
fn waits(now: Instant, call: &Call, wait: &Wait) -> Event {
    let verb = match &wait.subject {
        Subject::Signature(_) => "sign",
        Subject::Act(act) => &act.verb,
    };
    let event = Event::new(now, &call.caller, verb, &call.request, EventKind::Pending).refused(&wait.denial());
    about(event, &wait.subject)
}

/// What a leaf says of something that waits, or that people judge.
pub(super) fn about(mut event: Event, subject: &Subject) -> Event {
    event.approval = Some(subject.id());
    event.repository = subject.repository().cloned();
    event.role = subject.role().cloned();
    event.digest = Some(subject.digest());
    if let Subject::Signature(binding) = subject {
        event.metadata_type = Some(binding.metadata_type);
        event.version = Some(binding.version);
        event.expires = Some(binding.expires);
    }
    event
}
