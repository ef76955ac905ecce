//! Who delegates to a role here, whom they list, and who may change that. (`law.md` section 3, item 8, and section 4)

use std::collections::{BTreeMap, BTreeSet};

use super::Situation;
use crate::domain::delegation::Delegations;
use crate::domain::guard::Guard;
use crate::domain::name::{MetadataType, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::root::RoleKeys;

/// What the heads that this daemon holds say about one delegated role.
#[derive(Clone, Debug)]
pub struct Delegators<'a> {
    /// Each role that delegates to it, with the keys and the threshold that it gives: top-level targets first.
    pub listing: Vec<(&'a Role, &'a RoleKeys)>,
    /// Whether nobody else can delegate to it: the whole tree below targets is held here.
    is_complete: bool,
}

impl<'a> Delegators<'a> {
    /// Reads what targets and every delegated role that is held here released last. Where targets is held, a role counts as
    /// a delegator only when a way leads to it from there.
    pub fn of(guards: &'a BTreeMap<Role, Guard>, role: &Role) -> Self {
        let is_known = |role: &Role| guards.get(role).is_some_and(Guard::knows_delegations);
        let held: Vec<(&Role, Option<&Delegations>)> = guards
            .iter()
            .filter(|(name, guard)| matches!(name, Role::Targets | Role::Delegated(_)) && guard.knows_delegations())
            .map(|(name, guard)| (name, guard.delegations()))
            .collect();
        let has_targets = is_known(&Role::Targets);
        let mut reached: BTreeSet<&Role> = BTreeSet::new();
        let begins = |name: &Role| !has_targets || *name == Role::Targets;
        let mut open: Vec<_> = held.iter().filter(|(name, _)| begins(name)).collect();
        let mut listing = Vec::new();
        let mut is_complete = has_targets;
        while let Some((name, delegations)) = open.pop() {
            if *name == role || !reached.insert(name) {
                continue; // a role says nothing about its own keys
            }
            let Some(delegations) = delegations else { continue };
            listing.extend(delegations.signers_of(role).map(|signers| (*name, signers)));
            is_complete = is_complete && delegations.are_all(|named| named == role || is_known(named));
            open.extend(held.iter().filter(|(named, _)| delegations.signers_of(named).is_some()));
        }
        listing.sort_by_key(|(name, _)| *name);
        Self { listing, is_complete }
    }

    /// Whether what is held here settles which keys the role has.
    pub fn decide(&self) -> bool {
        self.is_complete || !self.listing.is_empty()
    }

    /// The TUF key id under which the first of them lists a key.
    pub fn key_id_for(&self, key: &KeyId) -> Option<&'a str> {
        self.listing.iter().find_map(|(_, signers)| signers.keys.get(key)).map(String::as_str)
    }
}

/// The roles whose heads are read for a delegated one, besides those that its payload lists.
pub fn delegators_read(guards: &BTreeMap<Role, Guard>) -> impl Iterator<Item = &Role> {
    let delegates = |(_, guard): &(&Role, &Guard)| guard.delegations().is_some();
    guards.iter().filter(delegates).map(|(role, _)| role)
}

/// A key of a delegated role, where its delegator's head is held here, signs only while that lists it.
pub(super) fn check_listed(situation: &Situation<'_>, key: &KeyId) -> Result<(), Denial> {
    let Situation { repository, role, guards, .. } = *situation;
    let delegators = Delegators::of(guards, role);
    if delegators.key_id_for(key).is_some() {
        return Ok(());
    }
    let denied = |detail: String| Err(Denial::new(Reason::KeyNotListed, detail));
    match delegators.listing.as_slice() {
        [] if delegators.is_complete => denied(format!("no released metadata of {repository} delegates to {role}")),
        // Whoever delegates to it releases elsewhere, and decides there.
        [] => Ok(()),
        listing => {
            let names: Vec<_> = listing.iter().map(|(name, _)| name.as_str()).collect();
            denied(format!("the released {} lists other keys for {role} than key {key}", names.join(" and ")))
        }
    }
}

/// Changed delegations give other keys the right to sign, so they need a grant of their own. Compared are the canonical
/// bytes of the member with those of the head; the first ones are a change, and so is their end.
pub(super) fn check_change(situation: &Situation<'_>, guard: Option<&Guard>) -> Result<(), Denial> {
    let Situation { role, statement, may_delegate, .. } = *situation;
    if may_delegate || statement.metadata_type() != MetadataType::Targets {
        return Ok(());
    }
    let before = guard.and_then(Guard::delegations);
    let (before, after) = (before.map(Delegations::digest), statement.delegations().map(Delegations::digest));
    if before == after {
        return Ok(());
    }
    let detail = match (before, after) {
        (None, _) => format!("{role} {} delegates, and what is known of {role} does not", statement.version()),
        (Some(_), None) => format!("{role} {} delegates to nobody any more", statement.version()),
        (Some(_), Some(_)) => format!("the delegations of {role} {} are not those of the head", statement.version()),
    };
    Err(Denial::new(Reason::NoDelegateGrant, detail))
}
