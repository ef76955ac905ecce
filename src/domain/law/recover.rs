//! A new epoch of a guard, so that a repository that was fast-forwarded comes back to its own versions. (`law.md` section 2)
//!
//! Clients hold a version against the newest one that they trust, and trust only what verifies under the newest root. So
//! a root that lists none of the keys behind a high version makes every client forget it, and nothing else does. A new
//! epoch lowers exactly that: the role's own version, and what its payloads listed. What another role lists of it stands in
//! that role's guard, and falls only with that role's keys.

use std::collections::BTreeSet;

use crate::domain::guard::Guard;
use crate::domain::key::KeyRecord;
use crate::domain::name::{Role, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::time::Instant;

/// What a recovery rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The guard whose epoch is to be closed.
    pub guard: &'a Guard,
    /// The repository's key records.
    pub keys: &'a [KeyRecord],
    /// The repository's roots.
    pub roots: &'a Roots,
    /// Whether the trusted root lists keys for the role that sealward cannot read.
    pub lists_unreadable_keys: bool,
    /// The version that the new epoch goes on from; `None` to begin anew.
    pub goes_on_from: Option<Version>,
    /// The time.
    pub now: Instant,
}

/// The guard of the closed epoch and of the new one: both are written in one transaction, so that whoever decided on the
/// old one decides again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// As it stays.
    pub closed: Guard,
    /// As it begins.
    pub begun: Guard,
}

/// Decides about a recovery after a published root took the role from every key that released in the epoch.
pub fn after_rotation(situation: &Situation<'_>) -> Result<Recovered, Denial> {
    let Situation { guard, keys, roots, .. } = *situation;
    let name = &guard.name;
    let denied = |why: String| Err(Denial::new(Reason::RecoveryNotAllowed, why));
    check_not_forked(situation)?;
    if let Role::Delegated(_) = name.role {
        return denied(format!("no root lists the keys of {}: it is a delegated role", name.role));
    }
    let Some(published) = &roots.trusted else {
        return Err(Denial::new(Reason::NoRoot, format!("{} has no published root", name.repository)));
    };
    let (root, role) = (published.version, &name.role);
    let listed: BTreeSet<KeyId> =
        published.roles.get(role).map(|keys| keys.keys.keys().copied().collect()).unwrap_or_default();
    if let Some(key) = listed.intersection(&guard.signers).next() {
        return denied(format!("root {root} lists key {key} for {role}, which released in epoch {}", name.epoch));
    }
    // What another signer's key released is not known here, and clients would go on trusting it.
    if let Some(key) = listed.iter().find(|key| !keys.iter().any(|record| record.id() == **key)) {
        return denied(format!("root {root} lists key {key} for {role}; what it released is not known here"));
    }
    if situation.lists_unreadable_keys {
        return denied(format!("root {root} lists a key for {role} that cannot be read here"));
    }
    next_epoch(situation)
}

/// Decides about a recovery that two operators want, whatever the roots say: what clients forget is then on their word. Only
/// new keys sign in the new epoch, as in any other.
pub fn by_operators(situation: &Situation<'_>) -> Result<Recovered, Denial> {
    check_not_forked(situation)?;
    next_epoch(situation)
}

fn check_not_forked(situation: &Situation<'_>) -> Result<(), Denial> {
    if situation.roots.fork.is_none() {
        return Ok(());
    }
    let detail = format!("{} was shown two verified roots of one version", situation.guard.name.repository);
    Err(Denial::new(Reason::Latched, detail))
}

/// The new epoch itself, whatever allows it.
fn next_epoch(situation: &Situation<'_>) -> Result<Recovered, Denial> {
    let Situation { guard, goes_on_from, now, .. } = *situation;
    let denied = |why: String| Err(Denial::new(Reason::RecoveryNotAllowed, why));
    let Some(head) = &guard.head else {
        return denied(format!("{} released nothing in epoch {}", guard.name.role, guard.name.epoch));
    };
    if let Some(version) = goes_on_from.filter(|version| *version > head.version) {
        return denied(format!(
            "{version} is above the released {} {}: recovery only lowers",
            guard.name.role, head.version
        ));
    }
    Ok(Recovered { closed: guard.closed_at(now), begun: guard.next_epoch(goes_on_from) })
}
