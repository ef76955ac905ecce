//! May this payload be signed, and by which keys? (`law.md` sections 1 to 4)

mod advance;
mod content;
mod delegations;
mod keys;
mod limits;
mod people;
mod supersede;
mod unguarded;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use advance::{check_advance, lowest_needed};
use content::check_content;
pub use delegations::{Delegators, delegators_read};
use keys::{cosigns_only, weigh_keys};
pub use limits::signatures_made;
use people::attended;
use supersede::check_supersede;
pub use supersede::lister;

use crate::domain::freeze::Frozen;
use crate::domain::guard::{Guard, GuardName, Relation, Step};
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::attended::{Approved, Attendance, Wait};
use crate::domain::name::{RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Online, Permit};
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};
use crate::domain::public_key::KeyId;
use crate::domain::root::{Roots, VerifiedRoot};
use crate::domain::signature::Signature;
use crate::domain::statement::Statement;
use crate::domain::time::Instant;

/// Everything that the decision rests on. The grant was checked before, without the payload.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// The role that is to sign.
    pub role: &'a Role,
    /// The repository's policy.
    pub policy: &'a RepositoryPolicy,
    /// What the payload says.
    pub statement: &'a Statement,
    /// The keys asked for: one by name, or all of the role's.
    pub keys: Keys<'a>,
    /// The guards of the repository in their current epochs, by role.
    pub guards: &'a BTreeMap<Role, Guard>,
    /// The repository's roots.
    pub roots: &'a Roots,
    /// The signed snapshot that came along with a timestamp.
    pub attached_snapshot: Option<&'a AttachedSnapshot>,
    /// Whether the caller may change delegations, besides signing.
    pub may_delegate: bool,
    /// The time of the decision.
    pub now: Instant,
    /// Who asks, as leaves name them.
    pub caller: &'a str,
    /// What stands still for them.
    pub frozen: Frozen<'a>,
    /// Who asks, and what people have approved: for attended roles.
    pub attendance: Attendance<'a>,
}

/// Which keys a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// One key, named in the request.
    One(&'a KeyRecord),
    /// Every key record of the repository: the law picks those of the role that are eligible.
    OfRole(&'a [KeyRecord]),
}

/// A signed snapshot as it was read from a file that came with a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedSnapshot {
    /// SHA-256 of the canonical `signed` part.
    pub signed_digest: Sha256Digest,
    /// Its version.
    pub version: Version,
    /// Length of the file in bytes.
    pub file_length: u64,
    /// SHA-256 of the file.
    pub file_digest: Sha256Digest,
}

/// Per key, how its signature would relate to the head, or why it does not sign.
pub type KeyVerdicts = Vec<(KeyId, Result<Step, Denial>)>;

/// What the law says to one payload: per key, a step or a denial. At least one key has a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Per key.
    pub keys: KeyVerdicts,
    /// The guard's version before, 0 for none.
    pub head_version: u64,
}

/// A judgement with the permits to carry it out, and the guard that follows from it.
#[derive(Debug)]
pub struct Decision {
    judgement: Judgement,
    permits: Vec<Permit<Online>>,
    replays: BTreeMap<KeyId, Signature>,
    retiring: BTreeSet<KeyId>,
    guard: Guard,
    next: NextGuard,
    approved: Option<Approved>,
}

#[derive(Debug)]
enum NextGuard {
    Advance { statement: Statement, policy: RolePolicy, floor: Version, now: Instant, caller: String },
    Supersede { statement: Statement, policy: RolePolicy, now: Instant, caller: String },
    Cosign,
    Replay,
    Count { policy: RolePolicy, now: Instant },
}

/// The law's answer, when it is no denial.
#[derive(Debug)]
pub enum Answer {
    /// Sign.
    Permit(Box<Decision>),
    /// Everything allows it, and people have not approved it yet.
    Pending(Box<Wait>),
}

/// Judges without a permit: what `Explain` shows, with what people must still approve.
pub fn judge(situation: &Situation<'_>) -> Result<(Judgement, Option<Wait>), Denial> {
    let (guard, judgement, _) = weigh(situation)?;
    let wait = attended(situation, &guard, &judgement)?.and_then(Result::err);
    Ok((judgement, wait))
}

/// Judges, and hands out a permit for each signature that is to be made.
pub fn decide(situation: &Situation<'_>) -> Result<Answer, Denial> {
    let (guard, judgement, relation) = weigh(situation)?;
    let role_policy = role_policy(situation)?;
    let approved = match attended(situation, &guard, &judgement)? {
        None => None,
        Some(Ok(approved)) => Some(approved),
        Some(Err(wait)) => return Ok(Answer::Pending(Box::new(wait))),
    };
    let mut permits = Vec::new();
    let mut replays = BTreeMap::new();
    for (key, step) in &judgement.keys {
        match step {
            Ok(Step::Replay) => {
                let stored = guard.head.as_ref().and_then(|head| head.signatures.get(key)).cloned();
                replays.extend(stored.map(|signature| (*key, signature)));
            }
            Ok(Step::Advance | Step::Cosign | Step::Supersede | Step::Unguarded) => {
                let record = candidates(situation).find(|record| record.id() == *key);
                permits.extend(record.map(|record| {
                    let at = (guard.name.clone(), guard.revision);
                    Permit::issue(record.public_key.clone(), situation.statement.digest(), Some(at))
                }));
            }
            Err(_) => {}
        }
    }
    let next = match relation {
        Relation::Above { .. } => NextGuard::Advance {
            statement: situation.statement.clone(),
            policy: role_policy.clone(),
            floor: lowest_needed(situation),
            now: situation.now,
            caller: situation.caller.to_owned(),
        },
        Relation::Supersedes => NextGuard::Supersede {
            statement: situation.statement.clone(),
            policy: role_policy.clone(),
            now: situation.now,
            caller: situation.caller.to_owned(),
        },
        Relation::Unguarded => NextGuard::Count { policy: role_policy.clone(), now: situation.now },
        Relation::Same if permits.is_empty() => NextGuard::Replay,
        Relation::Same => NextGuard::Cosign,
    };
    let retires = |record: &&KeyRecord| record.state == KeyState::Retiring;
    let retiring = candidates(situation).filter(retires).map(KeyRecord::id).collect();
    let decision = Decision { judgement, permits, replays, retiring, guard: guard.into_owned(), next, approved };
    Ok(Answer::Permit(Box::new(decision)))
}

impl Decision {
    /// What was judged.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The approval that is used up when the first signature is released.
    pub fn approved(&self) -> Option<Approved> {
        self.approved
    }

    /// Takes the permits out; they are used once.
    pub fn take_permits(&mut self) -> Vec<Permit<Online>> {
        std::mem::take(&mut self.permits)
    }

    /// Signatures on record that answer the request.
    pub fn replays(&self) -> &BTreeMap<KeyId, Signature> {
        &self.replays
    }

    /// The guard that the decision rests on.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Takes the signatures of retiring keys out when no active key's leaves with them, each with its refusal: the law
    /// allowed both, and then the active key's token may have failed.
    pub fn withhold(&self, signatures: &mut BTreeMap<KeyId, Signature>) -> Vec<(KeyId, Denial)> {
        let leaving = signatures.keys().chain(self.replays.keys());
        if leaving.into_iter().any(|key| !self.retiring.contains(key)) {
            return Vec::new();
        }
        let withheld = std::mem::take(signatures);
        withheld.into_keys().map(|key| (key, cosigns_only())).collect()
    }

    /// The guard as it will be if every permitted key signs, without the signatures: what later items of a batch are held
    /// against. `None` when nothing changes.
    pub fn tentative(&self) -> Option<Guard> {
        let makes = |(key, step): &(KeyId, Result<Step, Denial>)| {
            matches!(step, Ok(step) if step.makes_a_signature()).then_some(*key)
        };
        let keys: Vec<KeyId> = self.judgement.keys.iter().filter_map(makes).collect();
        Some(self.next_guard(BTreeMap::new())?.counted(&keys))
    }

    /// The guard after these signatures are released; `None` when nothing changes.
    pub fn released(&self, signatures: BTreeMap<KeyId, Signature>) -> Option<Guard> {
        let keys: Vec<KeyId> = signatures.keys().copied().collect();
        Some(self.next_guard(signatures)?.counted(&keys))
    }

    fn next_guard(&self, signatures: BTreeMap<KeyId, Signature>) -> Option<Guard> {
        match &self.next {
            NextGuard::Advance { statement, policy, floor, now, caller } => Some(self.guard.advanced(
                statement,
                signatures,
                policy.release_rate,
                *now,
                caller.clone(),
                Some(*floor),
            )),
            NextGuard::Supersede { statement, policy, now, caller } => {
                Some(self.guard.superseded(statement, signatures, policy.release_rate, *now, caller.clone()))
            }
            NextGuard::Cosign => Some(self.guard.cosigned(signatures)),
            NextGuard::Replay => None,
            NextGuard::Count { policy, now } => Some(self.guard.rated(policy.release_rate, *now)),
        }
    }
}

/// The first rule, before the payload is read: the role's custody. Returns the limits for reading.
pub fn role_limits<'p>(
    policy: &'p RepositoryPolicy,
    repository: &RepositoryName,
    role: &Role,
) -> Result<&'p RolePolicy, Denial> {
    if *role == Role::Root {
        return Err(Denial::new(Reason::OfflineRole, "root never signs through the daemon"));
    }
    let Some(limits) = policy.role(role) else {
        let detail = format!("the policy of {repository} has no role {role}");
        return Err(Denial::new(Reason::WrongRole, detail));
    };
    match limits.custody {
        Custody::Online | Custody::Attended => Ok(limits),
        Custody::Offline => Err(Denial::new(Reason::OfflineRole, format!("{role} of {repository} is offline"))),
    }
}

fn role_policy<'a>(situation: &Situation<'a>) -> Result<&'a RolePolicy, Denial> {
    role_limits(situation.policy, situation.repository, situation.role)
}

fn candidates<'a>(situation: &Situation<'a>) -> impl Iterator<Item = &'a KeyRecord> {
    let role = situation.role;
    let (one, all) = match situation.keys {
        Keys::One(record) => (Some(record), &[][..]),
        Keys::OfRole(records) => (None, records),
    };
    one.into_iter().chain(all.iter().filter(move |record| record.roles.contains(role)))
}

fn weigh<'a>(situation: &Situation<'a>) -> Result<(Cow<'a, Guard>, Judgement, Relation), Denial> {
    let Situation { repository, role, statement, roots, .. } = *situation;
    let limits = role_policy(situation)?;
    situation.frozen.check_role(repository, role)?;
    if roots.fork.is_some() {
        let detail = format!("{repository} was shown two verified roots of one version");
        return Err(Denial::new(Reason::Latched, detail));
    }
    if situation.policy.require_root && roots.is_unrooted() {
        return Err(Denial::new(Reason::NoRoot, format!("{repository} has no trusted root")));
    }
    if role.is_unguarded() {
        let (guard, judgement) = unguarded::weigh(situation, limits)?;
        return Ok((Cow::Owned(guard), judgement, Relation::Unguarded));
    }
    check_content(situation, limits)?;
    let Some(guard) = situation.guards.get(role) else {
        return Err(Denial::new(Reason::Unseeded, format!("nothing is known of what {role} of {repository} released")));
    };
    if let Some(closed) = guard.closed {
        // Only when the epoch after it is missing from what was read.
        let detail = format!("epoch {} of {role} was closed at {closed}", guard.name.epoch);
        return Err(Denial::new(Reason::EpochClosed, detail));
    }
    let relation = guard.relate(statement, limits.max_supersedes)?;
    delegations::check_change(situation, Some(guard))?;
    match relation {
        Relation::Above { head_version } => check_advance(situation, limits, guard, head_version)?,
        Relation::Supersedes => check_supersede(situation, limits, guard)?,
        Relation::Same | Relation::Unguarded => {}
    }
    let keys = weigh_keys(situation, limits, guard, relation)?;
    Ok((Cow::Borrowed(guard), Judgement { keys, head_version: guard.floor() }, relation))
}

/// Whether the signatures of a head meet a role's threshold in a root.
pub fn meets_threshold(root: &VerifiedRoot, role: &Role, signed: &BTreeSet<KeyId>) -> bool {
    root.roles.get(role).is_some_and(|signers| signers.is_met_by(signed))
}

/// The name of a role's guard in its first epoch. Later epochs come with recovery.
pub fn first_epoch(repository: &RepositoryName, role: &Role) -> GuardName {
    GuardName { repository: repository.clone(), role: role.clone(), epoch: 1 }
}
