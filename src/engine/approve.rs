//! ListPending, GetPending, Approve and Reject: people judge what waits for them.

use std::collections::BTreeSet;

use super::audited::Scope;
use super::pending::about;
use super::{Call, Engine, Rules, no_grant, parse};
use crate::domain::approval::{Pending, PendingId, RejectionCode, Subject};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::law::attended::{self, Attendance, OPERATORS, Today, unknown};
use crate::domain::name::{RepositoryName, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::person::PersonName;
use crate::ledger::{Change, CommitError, Expect, Kept, Unit};

/// Something that waits, as it stands today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub pending: Pending,
    /// How many persons it takes.
    pub needed: u32,
    /// The persons whose approval counts.
    pub approvers: Vec<PersonName>,
    /// The persons who approved and do not count now.
    pub uncounted: Vec<PersonName>,
    /// Why it can no longer be used, if so.
    pub void: Option<&'static str>,
}

impl Waiting {
    /// `waiting`, `approved`, `rejected` or `void`.
    pub fn state(&self) -> &'static str {
        match self {
            Self { pending: Pending { rejection: Some(_), .. }, .. } => "rejected",
            Self { void: Some(_), .. } => "void",
            _ if u32::try_from(self.approvers.len()).is_ok_and(|there| there < self.needed) => "waiting",
            _ => "approved",
        }
    }
}

/// Everything that a person needs to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingFile {
    /// How it stands.
    pub waiting: Waiting,
    /// The payload that would be signed, or the text of the act.
    pub payload: Vec<u8>,
    /// The payload that the role signed last, where the guard keeps it: at most 8 MiB.
    pub last: Option<Vec<u8>>,
    /// Version and digest of what the role released last, or was seeded with.
    pub head: Option<(Version, Sha256Digest)>,
}

impl Engine {
    /// What waits for the caller's approval, in one repository or in all.
    pub async fn list_pending(&self, call: &Call, repository: &str) -> Result<Vec<Waiting>, Denial> {
        self.audited(call, "list-pending", async |scope| {
            let repository: Option<RepositoryName> = super::generate::optional("repository", repository)?;
            let rules = self.rules();
            let granted = match &repository {
                Some(repository) => rules.grants.allow_repository(&call.caller, Verb::Approve, repository),
                None => rules.grants.allow_anything(&call.caller, Verb::Approve),
            };
            if !granted {
                return Err(no_grant(call, Verb::Approve, "here"));
            }
            scope.admit();
            let now = self.now();
            let all = self.ledger.pending().map_err(|error| error.denial())?;
            let asked_for = |pending: &Pending| {
                pending.is_open(now)
                    && (repository.is_none() || pending.subject.repository() == repository.as_ref())
                    && pending.subject.may_be_approved_by(&rules.grants, &call.caller)
            };
            all.into_iter().filter(asked_for).map(|pending| self.as_it_stands(&rules, pending)).collect()
        })
        .await
    }

    /// One piece with the bytes to judge.
    pub async fn get_pending(&self, call: &Call, id: &str) -> Result<PendingFile, Denial> {
        self.audited(call, "get-pending", async |scope| {
            let rules = self.rules();
            let pending = self.find_pending(call, &rules, id, scope)?;
            let id = pending.id();
            let payload = self.ledger.pending_payload(&id).map_err(|error| error.denial())?;
            let payload = payload.ok_or_else(|| unknown(&id))?;
            let (mut head, mut last) = (None, None);
            if let Subject::Signature(binding) = &pending.subject {
                // Of one moment: what is compared with is what the digest is of.
                let kept = self.ledger.guard(&binding.guard).map_err(|error| error.denial())?;
                if let Some(Kept { guard, payload }) = kept {
                    head = guard.head.map(|head| (head.version, head.digest));
                    last = payload;
                }
            }
            Ok(PendingFile { waiting: self.as_it_stands(&rules, pending)?, payload, last, head })
        })
        .await
    }

    /// One person's approval of exactly the bytes that have this digest. True when it was not given before.
    pub async fn approve(&self, call: &Call, id: &str, digest: &str) -> Result<(Waiting, bool), Denial> {
        self.audited(call, "approve", async |scope| {
            let digest: Sha256Digest = parse("digest", digest)?;
            self.judge_pending(call, id, scope, "approve", |pending, today, attendance| {
                Ok((attended::approve(pending, digest, today, attendance, self.now())?, None))
            })
            .await
        })
        .await
    }

    /// One person's no, which ends it for everybody. True when nobody had said it before.
    pub async fn reject(&self, call: &Call, id: &str, code: &str) -> Result<(Waiting, bool), Denial> {
        self.audited(call, "reject", async |scope| {
            let code: RejectionCode = parse("code", code)?;
            self.judge_pending(call, id, scope, "reject", |pending, _, attendance| {
                Ok((attended::reject(pending, code, attendance, self.now())?, Some(code)))
            })
            .await
        })
        .await
    }

    async fn judge_pending(
        &self,
        call: &Call,
        id: &str,
        scope: &mut Scope,
        verb: &'static str,
        judge: impl Fn(&Pending, Today<'_>, Attendance<'_>) -> Result<(Option<Pending>, Option<RejectionCode>), Denial>,
    ) -> Result<(Waiting, bool), Denial> {
        let rules = self.rules();
        let serving = self.still_serving(call)?;
        let pending = self.find_pending(call, &rules, id, scope)?;
        let switches = self.ledger.switches();
        let freezes = &switches.freezes;
        let attendance = Attendance { pending: &[], grants: &rules.grants, caller: &call.caller, freezes };
        let (after, code) = self.with_today(&rules, &pending, |today| judge(&pending, today, attendance))??;
        let Some(after) = after else { return Ok((self.as_it_stands(&rules, pending)?, false)) };
        let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Approval);
        event = about(event, &pending.subject);
        event.person = rules.grants.persons().of(&call.caller).cloned();
        event.reason = code.map(|code| code.name().to_owned());
        let unit = Unit {
            expects: vec![Expect::Pending(pending.id(), pending.revision), serving],
            changes: vec![Change::Pending { pending: after.clone(), payload: None }],
            events: vec![event],
            after: Vec::new(),
        };
        match self.commit_one(unit).await {
            Ok(_) => Ok((self.as_it_stands(&rules, after)?, true)),
            Err(CommitError::Conflict) => {
                Err(Denial::new(Reason::Conflict, format!("{} changed meanwhile; look at it again", pending.id())))
            }
            Err(error) => Err(error.denial()),
        }
    }

    /// What a caller may judge. To all others it does not exist.
    fn find_pending(&self, call: &Call, rules: &Rules, id: &str, scope: &mut Scope) -> Result<Pending, Denial> {
        let id: PendingId = parse("id", id)?;
        if !rules.grants.allow_anything(&call.caller, Verb::Approve) {
            return Err(no_grant(call, Verb::Approve, "anywhere"));
        }
        let now = self.now();
        let all = self.ledger.pending().map_err(|error| error.denial())?;
        let visible = |pending: &Pending| {
            pending.id() == id
                && pending.is_open(now)
                && pending.subject.may_be_approved_by(&rules.grants, &call.caller)
        };
        let found = all.into_iter().find(visible).ok_or_else(|| unknown(&id))?;
        scope.repository = found.subject.repository().cloned();
        scope.role = found.subject.role().cloned();
        scope.digest = Some(found.subject.digest());
        scope.admit();
        Ok(found)
    }

    fn as_it_stands(&self, rules: &Rules, pending: Pending) -> Result<Waiting, Denial> {
        let void = self.with_today(rules, &pending, |today| attended::void(&pending, today))?;
        let switches = self.ledger.switches();
        let freezes = &switches.freezes;
        let (needed, approvers) = match &pending.subject {
            Subject::Act(_) => (OPERATORS, pending.operators(&rules.grants, freezes)),
            Subject::Signature(binding) => {
                let policy = rules.policies.find(&binding.guard.repository);
                let limits = policy.and_then(|policy| policy.role(&binding.guard.role));
                (limits.map_or(1, |limits| limits.approvals), pending.approvers(&rules.grants, freezes))
            }
        };
        let given: BTreeSet<&PersonName> = pending.given.iter().map(|given| &given.person).collect();
        let uncounted = given.into_iter().filter(|person| !approvers.contains(person)).cloned().collect();
        Ok(Waiting { needed, approvers: approvers.into_iter().collect(), uncounted, void, pending })
    }

    fn with_today<T>(&self, rules: &Rules, pending: &Pending, weigh: impl FnOnce(Today<'_>) -> T) -> Result<T, Denial> {
        let Subject::Signature(binding) = &pending.subject else {
            return Ok(weigh(Today { policy: None, guard: None, keys: &[] }));
        };
        let name = &binding.guard;
        let view = self.ledger.view(&name.repository).map_err(|error| error.denial())?;
        let policy = rules.policies.find(&name.repository);
        Ok(weigh(Today { policy, guard: view.guards.get(&name.role), keys: &view.keys }))
    }
}
