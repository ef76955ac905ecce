//! What was released before, for a payload above the head. (`law.md` section 2 and section 3, items 3 and 6)

use super::{Situation, lister, unguarded};
use crate::domain::guard::{Guard, listed};
use crate::domain::name::{Role, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RolePolicy;
use crate::domain::statement::Listing;

/// How many released pairs a guard keeps at most, whatever lags behind it.
const KEPT_PAIRS: u64 = 10_000;

/// What was released before, for a payload above the head.
pub(super) fn check_advance(
    situation: &Situation<'_>,
    limits: &RolePolicy,
    guard: &Guard,
    head_version: u64,
) -> Result<(), Denial> {
    let Situation { role, statement, .. } = *situation;
    let version = statement.version().get();
    if version - head_version > limits.max_version_step {
        let detail = format!("{role} goes from {head_version} to {version}; the bound is {}", limits.max_version_step);
        return Err(Denial::new(Reason::VersionStep, detail));
    }
    check_listed(situation, limits, guard, guard.listing())?;
    guard.check_rate(limits.release_rate, situation.now)
}

/// Holds what a payload lists against the listing before it, and against what the listed roles released.
pub(super) fn check_listed(
    situation: &Situation<'_>,
    limits: &RolePolicy,
    guard: &Guard,
    before: Option<&Listing>,
) -> Result<(), Denial> {
    let (statement, empty) = (situation.statement, Listing::new());
    let before = before.unwrap_or(&empty);
    guard.check_listing(before, statement.listing(), limits.max_version_step, limits.first_listed_max)?;
    for (file, entry) in statement.listing() {
        let role = Role::from_listed_file(file).filter(|role| unguarded::is_held(situation, role));
        let held = role.and_then(|role| situation.guards.get(&role));
        if held.is_some_and(|listed| !listed.has_released(entry.version)) {
            let detail = format!("`{file}` version {} is no release that is remembered here", entry.version);
            return Err(Denial::new(Reason::ListedUnreleased, detail));
        }
    }
    Ok(())
}

/// The lowest version of this role that a later listing may still name.
pub(super) fn lowest_needed(situation: &Situation<'_>) -> Version {
    let own = situation.statement.version();
    let Some(lister) = lister(situation.role) else { return own };
    // The listing before the head counts, too: it is what the head would be held against if it were replaced.
    let listings =
        situation.guards.get(&lister).and_then(|guard| Some([&guard.head.as_ref()?.listing, &guard.previous_listing]));
    let entries = listings.into_iter().flatten().filter_map(|listing| listed(listing, situation.role));
    let listed = entries.map(|entry| entry.version.get()).min().unwrap_or(1);
    let floor = listed.max(own.get().saturating_sub(KEPT_PAIRS));
    Version::new(floor).unwrap_or(own)
}
