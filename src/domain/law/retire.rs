//! May this key stop signing for ever, without a root that says so? (`law.md` sections 1 and 4)

use std::collections::BTreeMap;

use crate::domain::guard::Guard;
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::sign::Delegators;
use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::time::Instant;

/// What stands around a key.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The repository's keys.
    pub keys: &'a [KeyRecord],
    /// Its roots.
    pub roots: &'a Roots,
    /// Its guards: the heads of targets and of delegated roles say which keys delegated roles have.
    pub guards: &'a BTreeMap<Role, Guard>,
    /// The time of the decision.
    pub now: Instant,
}

/// The record after its retirement; `None` when it is retired already.
///
/// What a root lists, a root retires: clients still ask for its signatures. The same holds for what a delegator's released
/// metadata lists. Where neither decides (an unrooted repository, a role whose delegator is not held here), the last active
/// key of a role stays.
pub fn retire(record: &KeyRecord, around: Around<'_>) -> Result<Option<KeyRecord>, Denial> {
    let id = record.id();
    match record.state {
        KeyState::Retired => return Ok(None),
        KeyState::Destroyed => return Err(Denial::new(Reason::KeyState, format!("key {id} is destroyed"))),
        KeyState::Pending | KeyState::Active | KeyState::Retiring => {}
    }
    check_unlisted(record, around)?;
    if record.state == KeyState::Retiring {
        // Unlisted by every root and not yet retired: a first root that leaves it behind is staged.
        return Err(Denial::new(Reason::KeyListed, format!("the staged root retires key {id} when it is published")));
    }
    if record.state == KeyState::Active
        && let Some(role) = record.roles.iter().find(|role| is_last_signer(record, role, around))
    {
        return Err(Denial::new(Reason::LastSigner, format!("key {id} is the only active one of {role}")));
    }
    Ok(Some(record.with_state(KeyState::Retired, around.now)))
}

/// No root and no delegator asks for this key.
pub(super) fn check_unlisted(record: &KeyRecord, around: Around<'_>) -> Result<(), Denial> {
    let id = record.id();
    for role in record.roles.iter() {
        if let Some(delegator) = delegator_listing(&id, role, around.guards) {
            let detail = format!("the released {delegator} lists key {id} for {role}");
            return Err(Denial::new(Reason::KeyListed, detail));
        }
        // Top-level targets are signed as `targets/*` where that is configured.
        let by_root = if role.is_unguarded() { &Role::Targets } else { role };
        if let Some(root) = around.roots.iter().find(|root| root.lists(by_root, &id)) {
            let detail = format!("root {} lists key {id} for {by_root}", root.version);
            return Err(Denial::new(Reason::KeyListed, detail));
        }
    }
    Ok(())
}

/// The role whose released metadata lists a key for this one. For `targets/*`, for any: nobody says which one it signs.
fn delegator_listing<'a>(id: &KeyId, role: &Role, guards: &'a BTreeMap<Role, Guard>) -> Option<&'a Role> {
    if role.is_unguarded() {
        let lists = |guard: &Guard| guard.delegations().is_some_and(|delegations| delegations.list(id));
        return guards.iter().find(|(_, guard)| lists(guard)).map(|(delegator, _)| delegator);
    }
    let Role::Delegated(_) = role else { return None };
    let delegators = Delegators::of(guards, role).listing;
    delegators.into_iter().find(|(_, signers)| signers.keys.contains_key(id)).map(|(delegator, _)| delegator)
}

/// Whether the role signs by this key alone. Where a root or a delegator decides, an unlisted key signs nothing; a key that
/// a recovery barred signs nothing either.
fn is_last_signer(record: &KeyRecord, role: &Role, around: Around<'_>) -> bool {
    let others_decide = match role {
        _ if role.is_unguarded() => false, // the law asks neither for it
        Role::Delegated(_) => Delegators::of(around.guards, role).decide(),
        _ => !around.roots.is_unrooted(),
    };
    let is_barred = |key: &KeyRecord| around.guards.get(role).is_some_and(|guard| guard.barred.contains(&key.id()));
    let signs = |key: &KeyRecord| key.state == KeyState::Active && key.roles.contains(role) && !is_barred(key);
    !others_decide && signs(record) && !around.keys.iter().any(|key| key.id() != record.id() && signs(key))
}
