//! Another payload of a released version, where the role allows it. (`law.md` section 2, burnt versions)

use super::Situation;
use super::advance::check_listed;
use crate::domain::guard::Guard;
use crate::domain::name::Role;
use crate::domain::outcome::Denial;
use crate::domain::policy::RolePolicy;

/// The role whose payloads list a role's versions. `None` for timestamp and root, which no payload lists.
pub fn lister(role: &Role) -> Option<Role> {
    match role {
        Role::Root | Role::Timestamp => None,
        Role::Snapshot => Some(Role::Timestamp),
        Role::Targets | Role::Delegated(_) => Some(Role::Snapshot),
    }
}

/// What was released before, for a payload that is to take the head's place: it is held against the listing before the head,
/// so that a head that lists too much can be taken back, and refused once somebody who follows the listing role can have
/// met the head.
pub(super) fn check_supersede(situation: &Situation<'_>, limits: &RolePolicy, guard: &Guard) -> Result<(), Denial> {
    let Situation { role, statement, .. } = *situation;
    if let Some(lister) = lister(role) {
        let Some(listing) = situation.guards.get(&lister) else {
            let because = format!("; what {lister} released of it is not known here");
            return Err(guard.equivocation(statement, &because));
        };
        if listing.has_listed(role, statement.version()) {
            return Err(guard.equivocation(statement, &format!("; {lister} released a payload that lists it")));
        }
    }
    check_listed(situation, limits, guard, Some(&guard.previous_listing))?;
    guard.check_rate(limits.release_rate, situation.now)
}
