//! `targets/*`, where it was configured loudly: what is left of the law without a guard. (`law.md` section 3, item 7)

use super::Situation;
use super::content::check_content;
use super::delegations::check_change;
use super::first_epoch;
use super::keys::weigh_keys;
use super::{Judgement, KeyVerdicts};
use crate::domain::guard::{Guard, Relation};
use crate::domain::name::Role;
use crate::domain::outcome::Denial;
use crate::domain::policy::RolePolicy;

/// Type, expiry, size and rate. Nobody says which role a payload is of, so nothing is held against what was released
/// before, and I1 and I2 do not hold. The guard that comes back has no head, ever: it counts the releases.
pub(super) fn weigh(situation: &Situation<'_>, limits: &RolePolicy) -> Result<(Guard, Judgement), Denial> {
    check_content(situation, limits)?;
    check_change(situation, None)?;
    let Situation { repository, role, guards, now, .. } = *situation;
    let fresh = || Guard { revision: 0, ..Guard::seeded_as_zero(first_epoch(repository, role)) };
    let guard = guards.get(role).cloned().unwrap_or_else(fresh);
    guard.check_rate(limits.release_rate, now)?;
    let keys: KeyVerdicts = weigh_keys(situation, limits, &guard, Relation::Unguarded)?;
    Ok((guard, Judgement { keys, head_version: 0 }))
}

/// Whether what this role released is known here: not where any of its payloads may be signed as `targets/*`.
pub(super) fn is_held(situation: &Situation<'_>, role: &Role) -> bool {
    let policy = situation.policy;
    policy.unguarded().is_none() || !matches!(role, Role::Targets | Role::Delegated(_)) || policy.role(role).is_some()
}
