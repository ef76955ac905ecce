//! May this key stop signing for ever, without a root that says so? (`law.md` sections 1 and 4)

use std::collections::BTreeMap;

use crate::domain::guard::Guard;
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::sign::Delegators;
use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
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
    for role in record.roles.iter().filter(|role| matches!(role, Role::Delegated(_))) {
        let delegators = Delegators::of(around.guards, role);
        if let Some((delegator, _)) = delegators.listing.iter().find(|(_, signers)| signers.keys.contains_key(&id)) {
            let detail = format!("the released {delegator} lists key {id} for {role}");
            return Err(Denial::new(Reason::KeyListed, detail));
        }
    }
    for root in around.roots.iter() {
        if let Some(role) = record.roles.iter().find(|role| root.lists(role, &id)) {
            let detail = format!("root {} lists key {id} for {role}", root.version);
            return Err(Denial::new(Reason::KeyListed, detail));
        }
    }
    Ok(())
}

/// Whether the role signs by this key alone. Where a root or a delegator decides, an unlisted key signs nothing.
fn is_last_signer(record: &KeyRecord, role: &Role, around: Around<'_>) -> bool {
    let others_decide = match role {
        Role::Delegated(_) => Delegators::of(around.guards, role).decide(),
        _ => !around.roots.is_unrooted(),
    };
    let signs = |key: &KeyRecord| key.state == KeyState::Active && key.roles.contains(role);
    !others_decide && !around.keys.iter().any(|key| key.id() != record.id() && signs(key))
}
