//! Which of a role's keys may sign, and how each relates to the head. (`law.md` sections 1, 2 and 4)

use std::collections::BTreeSet;

use super::delegations::check_listed;
use super::limits::check_limits;
use super::{KeyVerdicts, Keys, Situation, candidates};
use crate::domain::guard::{Guard, Relation, Step};
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RolePolicy;

/// Which of the keys may sign, and how each relates to the head.
pub(super) fn weigh_keys(
    situation: &Situation<'_>,
    limits: &RolePolicy,
    guard: &Guard,
    relation: Relation,
) -> Result<KeyVerdicts, Denial> {
    let Situation { repository, role, .. } = *situation;
    let mut keys = KeyVerdicts::new();
    let mut retiring = BTreeSet::new();
    let mut active_signs = false;
    for record in candidates(situation) {
        let id = record.id();
        let eligible = check_key(situation, guard, record);
        if let Keys::OfRole(_) = situation.keys
            && matches!(record.state, KeyState::Pending | KeyState::Retired | KeyState::Destroyed)
        {
            continue; // not asked for: the request names a role, and these do not sign for it
        }
        if record.state == KeyState::Retiring {
            retiring.insert(id);
        }
        let step = eligible.and_then(|()| {
            let step = match relation {
                Relation::Above { .. } => Step::Advance,
                Relation::Same if guard.head.as_ref().is_some_and(|head| head.signatures.contains_key(&id)) => {
                    Step::Replay
                }
                Relation::Same => Step::Cosign,
                Relation::Supersedes => Step::Supersede,
                Relation::Unguarded => Step::Unguarded,
            };
            check_limits(situation, limits, record, step)?;
            Ok(step)
        });
        active_signs |= step.is_ok() && record.state == KeyState::Active;
        keys.push((id, step));
    }
    if !active_signs {
        for (id, step) in &mut keys {
            if retiring.contains(id) {
                *step = Err(cosigns_only());
            }
        }
    }
    if keys.iter().any(|(_, step)| step.is_ok()) {
        return Ok(keys);
    }
    let first = keys.into_iter().find_map(|(_, step)| step.err());
    Err(first
        .unwrap_or_else(|| Denial::new(Reason::NoKeyForRole, format!("{repository} has no active key for {role}"))))
}

pub(super) fn cosigns_only() -> Denial {
    Denial::new(Reason::KeyState, "a retiring key cosigns only what an active key signs in the same request")
}

fn check_key(situation: &Situation<'_>, guard: &Guard, record: &KeyRecord) -> Result<(), Denial> {
    let Situation { repository, role, statement, roots, .. } = *situation;
    let id = record.id();
    if record.repository != *repository {
        // Not said which: the caller may have no grant for the other one.
        return Err(Denial::new(Reason::WrongRepository, format!("key {id} does not belong to {repository}")));
    }
    if !record.roles.contains(role) {
        return Err(Denial::new(Reason::WrongRole, format!("key {id} is not a key of {role}")));
    }
    if record.kind != statement.kind() {
        return Err(Denial::new(Reason::WrongRole, format!("key {id} signs payloads of another kind")));
    }
    situation.frozen.check_key(&id)?;
    if !matches!(record.state, KeyState::Active | KeyState::Retiring) {
        return Err(Denial::new(Reason::KeyState, format!("key {id} is {}", record.state.name())));
    }
    if guard.barred.contains(&id) {
        let detail = format!("key {id} released {role} before epoch {} began", guard.name.epoch);
        return Err(Denial::new(Reason::EpochClosed, detail));
    }
    if !situation.policy.allows_set(&record.roles) {
        let detail =
            format!("key {id} is bound to several roles that role_sets of {repository} does not name together");
        return Err(Denial::new(Reason::RoleSet, detail));
    }
    if role.is_unguarded() {
        return Ok(()); // nobody says whose signers would have to list it
    }
    if let Role::Delegated(_) = role {
        return check_listed(situation, &id);
    }
    if !roots.is_unrooted() && roots.key_id_for(role, &id).is_none() {
        return Err(Denial::new(Reason::KeyNotListed, format!("no root of {repository} lists key {id} for {role}")));
    }
    Ok(())
}
