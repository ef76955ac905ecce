//! Repositories and their roles.

use super::File;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::report::Report;
use crate::domain::grant::{Grant, Verb};
use crate::domain::name::Role;
use crate::domain::policy::{Custody, RepositoryPolicy};

pub(super) fn collect(file: &File<'_>, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    for (index, (at, policy)) in file.repositories.iter().enumerate() {
        if policy.roles.is_empty() {
            let detail = format!("`{}` has no [repository.role.NAME]: nothing is signed in it", policy.repositories);
            report.warning("no-role", *at, detail);
        }
        never_chosen(file, index, budget, report)?;
        for (role, limits) in &policy.roles {
            let place = |role: &Role| file.roles.get(index).and_then(|roles| roles.get(role.as_str())).copied();
            let at = place(role).unwrap_or(*at);
            if limits.custody == Custody::Offline {
                continue;
            }
            if limits.keystore.is_none() && !file.keystores.is_empty() {
                let detail = format!(
                    "{role} of `{}` names no keystore: no key of it is made unless each request names one",
                    policy.repositories
                );
                report.warning("role-without-keystore", at, detail);
            }
            if !someone(Verb::Sign, role, policy, file, budget)? {
                let detail = format!("no grant lets anybody sign {role} of `{}`", policy.repositories);
                report.warning("role-without-grant", at, detail);
            }
        }
    }
    Ok(())
}

/// A pattern whose every name an earlier pattern has. Exact names are looked up before any pattern.
fn never_chosen(file: &File<'_>, index: usize, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    let Some((at, policy)) = file.repositories.get(index) else { return Ok(()) };
    if policy.repositories.is_exact() {
        return Ok(());
    }
    for (earlier_at, earlier) in file.repositories.get(..index).unwrap_or_default() {
        if !earlier.repositories.is_exact() && budget.covers(&earlier.repositories, &policy.repositories)? {
            let detail = format!(
                "`{}` is never chosen: `{}` in line {} comes first and means all of it",
                policy.repositories,
                earlier.repositories,
                file.line(*earlier_at)
            );
            report.warning("repository-never-chosen", *at, detail);
            return Ok(());
        }
    }
    Ok(())
}

/// Whether some grant gives somebody the verb for the role, in some repository of the policy.
fn someone(
    verb: Verb,
    role: &Role,
    policy: &RepositoryPolicy,
    file: &File<'_>,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    let gives =
        |grant: &&Grant| grant.verbs.contains(&verb) && grant.roles.iter().any(|roles| roles.matches(role.as_str()));
    for grant in file.grants.iter().map(|(_, grant)| grant).filter(gives) {
        for pattern in &grant.repositories {
            if budget.meet(pattern, &policy.repositories)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
