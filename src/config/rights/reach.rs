//! What one grant reaches in the repositories that the file declares.

use crate::config::overlap::{Budget, Exhausted};
use crate::domain::grant::{Grant, Scope, Verb};
use crate::domain::name::{Pattern, RepositoryName, Role};
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};

/// One verb of a grant with one thing that it is for.
pub(in crate::config) struct Reached<'p> {
    pub(in crate::config) verb: Verb,
    pub(in crate::config) repository: String,
    pub(in crate::config) role: Option<String>,
    pub(in crate::config) limits: Option<&'p RolePolicy>,
    /// Why it comes to nothing.
    pub(in crate::config) blocked: Option<String>,
    /// The place of the repository's policy in the file.
    pub(in crate::config) order: usize,
}

/// Adds what a grant is for, verb by verb; as much as the budget suffices for.
pub(in crate::config) fn reached<'p>(
    grant: &Grant,
    policies: &[&'p RepositoryPolicy],
    budget: &mut Budget,
    found: &mut Vec<Reached<'p>>,
) -> Result<(), Exhausted> {
    let mut met = Vec::new();
    let mut nowhere = Vec::new();
    for pattern in &grant.repositories {
        let repositories = repositories_of(pattern, policies, budget)?;
        if repositories.is_empty() {
            nowhere.push(pattern);
        }
        met.extend(repositories);
    }
    for &verb in &grant.verbs {
        let row = |repository: &str, order| Reached {
            verb,
            repository: repository.to_owned(),
            role: None,
            limits: None,
            blocked: None,
            order,
        };
        if verb.scope() == Scope::Daemon {
            let blocked =
                format!("`{verb}` is about the whole daemon: only a grant with repositories = [\"**\"] gives it");
            let blocked = (!all(&grant.repositories)).then_some(blocked);
            found.push(Reached { blocked, ..row("**", usize::MAX) });
            continue;
        }
        if verb == Verb::Freeze && all(&grant.repositories) && all(&grant.roles) {
            found.push(row("**", usize::MAX));
        }
        for pattern in &nowhere {
            let blocked = Some("no [[repository]] declares it".to_owned());
            found.push(Reached { blocked, ..row(pattern.as_str(), usize::MAX - 1) });
        }
        for (order, repository) in &met {
            // A freeze of the repository as a whole covers roles that do not exist yet.
            if verb == Verb::Freeze && all(&grant.roles) {
                found.push(row(repository, *order));
            }
            if verb.scope() == Scope::Repository {
                found.push(row(repository, *order));
                continue;
            }
            let Some(policy) = policies.get(*order) else { continue };
            if reaches_root(verb) && grant.roles.iter().any(|roles| roles.matches(Role::Root.as_str())) {
                found.push(Reached { role: Some(Role::Root.to_string()), ..row(repository, *order) });
            }
            for (role, limits) in policy.limits() {
                if has_no_delegations(verb, role) || !meets(&grant.roles, role, budget)? {
                    continue;
                }
                let blocked = blocked(verb, limits).map(str::to_owned);
                found.push(Reached {
                    role: Some(role.to_string()),
                    limits: Some(limits),
                    blocked,
                    ..row(repository, *order)
                });
            }
        }
    }
    Ok(())
}

/// Whether this is everything. Other patterns that mean as much do not count, as in the daemon's own grants.
fn all(patterns: &[Pattern]) -> bool {
    patterns.iter().any(|pattern| pattern.as_str() == "**")
}

/// Which policies hold for the repositories of a grant's pattern, each with the names that are meant. As
/// [`crate::domain::policy::Policies::find`]: exact names first, then the first pattern.
pub(in crate::config) fn repositories_of(
    pattern: &Pattern,
    policies: &[&RepositoryPolicy],
    budget: &mut Budget,
) -> Result<Vec<(usize, String)>, Exhausted> {
    let mut found = Vec::new();
    // No name of a repository can be that: nothing is meant.
    if pattern.is_exact() && pattern.as_str().parse::<RepositoryName>().is_err() {
        return Ok(found);
    }
    // The name of one repository, by far the most frequent: its own policy, without comparing patterns.
    budget.spend(policies.len())?;
    if let Some(order) = policies.iter().position(|policy| pattern.is_exact() && policy.repositories == *pattern) {
        return Ok(vec![(order, pattern.to_string())]);
    }
    let exact = policies.iter().enumerate().filter(|(_, policy)| !pattern.is_exact() && policy.repositories.is_exact());
    let patterns = policies.iter().enumerate().filter(|(_, policy)| !policy.repositories.is_exact());
    for (order, policy) in exact.chain(patterns) {
        if !budget.meet(pattern, &policy.repositories)? {
            continue;
        }
        if budget.covers(&policy.repositories, pattern)? {
            // Nothing is left for later patterns.
            found.push((order, pattern.to_string()));
            break;
        }
        let narrower = if budget.covers(pattern, &policy.repositories)? {
            policy.repositories.to_string()
        } else {
            format!("{pattern} and {}", policy.repositories)
        };
        found.push((order, narrower));
    }
    found.sort();
    Ok(found)
}

/// Whether a grant's roles meet a role, or a pattern of delegated roles.
fn meets(roles: &[Pattern], role: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
    let Some(role) = Pattern::new(role) else { return Ok(false) };
    for roles in roles {
        if budget.meet(roles, &role)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `manage-roots` stages roots, and `approve` for root is for acts of two operators. Nothing signs for it.
pub(in crate::config) fn reaches_root(verb: Verb) -> bool {
    matches!(verb, Verb::ManageRoots | Verb::Approve)
}

/// Only targets and delegated roles delegate.
fn has_no_delegations(verb: Verb, role: &str) -> bool {
    verb == Verb::Delegate && matches!(role, "timestamp" | "snapshot" | "root")
}

/// What the role's custody excludes.
fn blocked(verb: Verb, limits: &RolePolicy) -> Option<&'static str> {
    match (verb, limits.custody) {
        (Verb::Sign | Verb::Delegate | Verb::Approve | Verb::ManageKeys, Custody::Offline) => {
            Some("the role is offline: its keys are not here, and it signs in a ceremony only")
        }
        (Verb::Approve, Custody::Online) => Some("the role is online: nobody is asked before it signs"),
        _ => None,
    }
}
