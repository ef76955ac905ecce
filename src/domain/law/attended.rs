//! The third answer: have people approved this? (`law.md` section 6)

use crate::domain::approval::{Act, Binding, Given, Pending, PendingId, Rejection, RejectionCode, Subject};
use crate::domain::caller::Caller;
use crate::domain::grant::Grants;
use crate::domain::guard::Guard;
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::person::PersonName;
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};
use crate::domain::time::Instant;

/// Who asks, and what people have said so far.
#[derive(Clone, Copy, Debug)]
pub struct Attendance<'a> {
    /// What is pending in the repository, or in the whole daemon.
    pub pending: &'a [Pending],
    /// Who may approve, and who is whom.
    pub grants: &'a Grants,
    /// Who asks.
    pub caller: &'a Caller,
}

/// People approved it. Used up by what it allows: whoever acts on it ends the pending approval in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an approval is used once: end it with what it allows"]
pub struct Approved {
    /// Which.
    pub id: PendingId,
    /// The revision that was read.
    pub revision: u64,
}

/// People have not approved it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What they are asked.
    pub subject: Subject,
    /// How many persons there must be, and how many there are.
    pub persons: (u32, u32),
    /// How long to wait for them, in seconds.
    pub seconds: i64,
    /// What was pending for the same bytes and is void, with the reason.
    pub void: Vec<(PendingId, &'static str)>,
}

impl Wait {
    /// The answer to whoever asked.
    pub fn denial(&self) -> Denial {
        let (needed, given) = self.persons;
        let id = self.subject.id();
        let void: String =
            self.void.iter().map(|(void, why)| format!("; the earlier approval {void} is void: {why}")).collect();
        Denial::awaits(id, format!("{given} of {needed} approvals; pending as {id}{void}"))
    }
}

/// Whether the persons of an attended role have approved a payload that everything else allows.
pub fn signature(
    binding: Binding,
    limits: &RolePolicy,
    attendance: Attendance<'_>,
    now: Instant,
) -> Result<Result<Approved, Wait>, Denial> {
    let Attendance { pending, grants, caller } = attendance;
    let id = binding.id();
    let open = || pending.iter().filter(|pending| pending.is_open(now));
    let mut given = 0;
    if let Some(known) = open().find(|pending| pending.id() == id) {
        check_rejection(known)?;
        check_asker(known, grants, caller)?;
        given = u32::try_from(known.approvers(grants).len()).unwrap_or(u32::MAX);
        if given >= limits.approvals {
            return Ok(Ok(Approved { id, revision: known.revision }));
        }
    }
    let void = open().filter_map(|pending| match &pending.subject {
        Subject::Signature(old) if old.digest == binding.digest && old.guard.role == binding.guard.role => {
            Some((pending.id(), difference(old, &binding)?))
        }
        _ => None,
    });
    let void = void.collect();
    let persons = (limits.approvals, given);
    Ok(Err(Wait { subject: Subject::Signature(binding), persons, seconds: limits.approval_expiry_seconds, void }))
}

/// How many persons stand behind an act of operators.
pub const OPERATORS: u32 = 2;
/// How long an act waits for its second operator, in seconds.
pub const ACT_EXPIRY_SECONDS: i64 = 24 * 60 * 60;

/// Whether two operators want an act. Whoever asks for it and may approve such acts is one of them.
pub fn act(act: Act, attendance: Attendance<'_>, now: Instant) -> Result<Result<Approved, Wait>, Denial> {
    let Attendance { pending, grants, caller } = attendance;
    let subject = Subject::Act(act);
    let id = subject.id();
    let known = pending.iter().find(|pending| pending.is_open(now) && pending.id() == id);
    let mut operators = known.map(|known| known.operators(grants)).unwrap_or_default();
    if let Some(known) = known {
        check_rejection(known)?;
    }
    if subject.may_be_approved_by(grants, caller) {
        operators.extend(grants.persons().of(caller).cloned());
    }
    let there = u32::try_from(operators.len()).unwrap_or(u32::MAX);
    match known {
        Some(known) if there >= OPERATORS => Ok(Ok(Approved { id, revision: known.revision })),
        _ => Ok(Err(Wait { subject, persons: (OPERATORS, there), seconds: ACT_EXPIRY_SECONDS, void: Vec::new() })),
    }
}

/// What was once approved and is bound to something else today.
fn difference(old: &Binding, new: &Binding) -> Option<&'static str> {
    if old.guard != new.guard {
        return Some("the guard began another epoch");
    }
    if old.head != new.head {
        return Some("the guard has another head");
    }
    if old.policy != new.policy {
        return Some("the policy of the role has changed");
    }
    (old.keys != new.keys).then_some("other keys would sign")
}

fn check_rejection(pending: &Pending) -> Result<(), Denial> {
    match &pending.rejection {
        None => Ok(()),
        Some(Rejection { person, code, at }) => {
            let (id, code) = (pending.id(), code.name());
            let detail = format!("{person} rejected {id} at {at}: {code}; this stands until {}", pending.expires);
            Err(Denial::new(Reason::ApprovalRejected, detail))
        }
    }
}

/// Whoever approved does not take the signature out as well.
fn check_asker(pending: &Pending, grants: &Grants, caller: &Caller) -> Result<(), Denial> {
    let asker = grants.persons().possible(caller).find(|person| pending.given.iter().any(|g| g.person == **person));
    match asker {
        None => Ok(()),
        Some(person) => Err(Denial::new(
            Reason::SelfApproval,
            format!("{person} approved {}; another caller asks for the signature", pending.id()),
        )),
    }
}

/// What the approval of something pending rests on today.
#[derive(Clone, Copy, Debug)]
pub struct Today<'a> {
    /// The repository's policy; `None` when the configuration declares none any more.
    pub policy: Option<&'a RepositoryPolicy>,
    /// The role's guard in its newest epoch.
    pub guard: Option<&'a Guard>,
    /// The repository's keys.
    pub keys: &'a [KeyRecord],
}

/// Why something pending can no longer lead to a signature; `None` while it can. Acts are weighed by their own verbs.
pub fn void(pending: &Pending, today: Today<'_>) -> Option<&'static str> {
    let Subject::Signature(binding) = &pending.subject else { return None };
    let limits = today.policy.and_then(|policy| policy.role(&binding.guard.role));
    let Some(limits) = limits.filter(|limits| limits.custody == Custody::Attended) else {
        return Some("the role is not attended any more");
    };
    let signs = |record: &&KeyRecord| matches!(record.state, KeyState::Active | KeyState::Retiring);
    let keys = today.keys.iter().filter(signs).map(KeyRecord::id).filter(|key| binding.keys.contains(key)).collect();
    let guard = today.guard?;
    let head = guard.head.as_ref().map(|head| (head.version, head.digest));
    let current = Binding { guard: guard.name.clone(), head, keys, policy: limits.digest(), ..binding.clone() };
    difference(binding, &current)
}

/// A person who may judge what is pending.
fn judge_of(pending: &Pending, grants: &Grants, caller: &Caller) -> Result<PersonName, Denial> {
    if !pending.subject.may_be_approved_by(grants, caller) {
        return Err(unknown(&pending.id()));
    }
    let nobody = || Denial::new(Reason::NoPerson, format!("{caller} is no configured person, or more than one"));
    grants.persons().of(caller).cloned().ok_or_else(nobody)
}

/// Something is not there, or none of the caller's business: one answer.
pub fn unknown(id: &PendingId) -> Denial {
    Denial::new(Reason::UnknownApproval, format!("nothing is pending as {id}"))
}

/// What follows from one person's approval; `None` when that person had approved before.
pub fn approve(
    pending: &Pending,
    digest: crate::domain::name::Sha256Digest,
    today: Today<'_>,
    attendance: Attendance<'_>,
    now: Instant,
) -> Result<Option<Pending>, Denial> {
    let Attendance { grants, caller, .. } = attendance;
    let person = judge_of(pending, grants, caller)?;
    if !pending.is_open(now) {
        return Err(unknown(&pending.id()));
    }
    check_rejection(pending)?;
    if let Some(why) = void(pending, today) {
        return Err(Denial::new(Reason::ApprovalVoid, format!("{} is void: {why}", pending.id())));
    }
    if digest != pending.subject.digest() {
        let detail = format!("{} has digest {}, approved was {digest}", pending.id(), pending.subject.digest());
        return Err(Denial::new(Reason::ApprovalDigest, detail));
    }
    if pending.askers(grants).any(|asker| *asker == person) {
        return Err(Denial::new(Reason::SelfApproval, format!("{person} asked for {}", pending.id())));
    }
    if pending.given.iter().any(|given| given.person == person && given.caller == *caller) {
        return Ok(None);
    }
    let mut after = pending.clone();
    // By another identity than before: the newer one counts.
    after.given.retain(|given| given.person != person);
    after.given.push(Given { person, caller: caller.clone(), at: now });
    after.revision = after.revision.saturating_add(1);
    Ok(Some(after))
}

/// What follows from one person's no; `None` when somebody had said it before.
pub fn reject(
    pending: &Pending,
    code: RejectionCode,
    attendance: Attendance<'_>,
    now: Instant,
) -> Result<Option<Pending>, Denial> {
    let Attendance { grants, caller, .. } = attendance;
    let person = judge_of(pending, grants, caller)?;
    if !pending.is_open(now) {
        return Err(unknown(&pending.id()));
    }
    if pending.rejection.is_some() {
        return Ok(None);
    }
    let mut after = pending.clone();
    after.rejection = Some(Rejection { person, code, at: now });
    after.revision = after.revision.saturating_add(1);
    Ok(Some(after))
}
