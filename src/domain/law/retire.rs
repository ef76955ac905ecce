//! May this key stop signing for ever, without a root that says so? (`law.md` sections 1 and 4)

use crate::domain::key::{KeyRecord, KeyState};
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
    /// The time of the decision.
    pub now: Instant,
}

/// The record after its retirement; `None` when it is retired already.
///
/// What a root lists, a root retires: clients still ask for its signatures. Where no root decides (an unrooted repository,
/// a delegated role), the last active key of a role stays.
pub fn retire(record: &KeyRecord, around: Around<'_>) -> Result<Option<KeyRecord>, Denial> {
    let id = record.id();
    match record.state {
        KeyState::Retired => return Ok(None),
        KeyState::Destroyed => return Err(Denial::new(Reason::KeyState, format!("key {id} is destroyed"))),
        KeyState::Pending | KeyState::Active | KeyState::Retiring => {}
    }
    check_unlisted(record, around.roots)?;
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

/// No root asks for this key.
pub(super) fn check_unlisted(record: &KeyRecord, roots: &Roots) -> Result<(), Denial> {
    let id = record.id();
    for root in roots.iter() {
        if let Some(role) = record.roles.iter().find(|role| root.lists(role, &id)) {
            let detail = format!("root {} lists key {id} for {role}", root.version);
            return Err(Denial::new(Reason::KeyListed, detail));
        }
    }
    Ok(())
}

/// Whether the role signs by this key alone. Of a role that a root decides about, an unlisted key signs nothing.
fn is_last_signer(record: &KeyRecord, role: &Role, around: Around<'_>) -> bool {
    let root_decides = !matches!(role, Role::Delegated(_)) && !around.roots.is_unrooted();
    let signs = |key: &KeyRecord| key.state == KeyState::Active && key.roles.contains(role);
    !root_decides && !around.keys.iter().any(|key| key.id() != record.id() && signs(key))
}
