//! Repositories and their roles.

use std::collections::BTreeSet;

use super::File;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::report::Report;
use crate::config::rights::{Who, caller_meets};
use crate::config::schema;
use crate::domain::caller::CallerPattern;
use crate::domain::grant::{Grant, Verb};
use crate::domain::name::{Pattern, Role};
use crate::domain::person::{Person, PersonName};
use crate::domain::policy::{Custody, RepositoryPolicy};

pub(super) fn collect(file: &File<'_>, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    for (index, (at, policy)) in file.repositories.iter().enumerate() {
        if policy.limits().next().is_none() {
            let detail = format!("`{}` has no [repository.role.NAME]: nothing is signed in it", policy.repositories);
            report.warning("no-role", *at, detail);
        }
        never_chosen(file, index, budget, report)?;
        for set in &policy.role_sets {
            let names: Vec<_> = set.iter().map(Role::as_str).collect();
            let (names, repositories) = (names.join(", "), &policy.repositories);
            let detail = format!("one key of `{repositories}` may sign for {names}: who steals it has all of them");
            report.warning("key-of-several-roles", *at, detail);
        }
        for (role, limits) in policy.limits() {
            let at = file.roles.get(index).and_then(|roles| roles.get(role)).copied().unwrap_or(*at);
            if let Some(meant) = schema::misspelt(role, ["targets", "snapshot", "timestamp"]) {
                let detail = format!(
                    "`{role}` of `{}` is a delegated role of this name; did you mean `{meant}`?",
                    policy.repositories
                );
                report.warning("role-misspelt", at, detail);
            }
            if limits.unguarded {
                let detail = format!(
                    "`{role}` of `{}` has no guard, nor has targets under its keys: type, expiry, size and rate are \
                     checked, rollback and equivocation are not",
                    policy.repositories
                );
                report.warning("unguarded-targets", at, detail);
            }
            if limits.custody == Custody::Offline {
                continue;
            }
            if limits.keystore.is_none() && limits.keystores.is_empty() && !file.keystores.is_empty() {
                let detail = format!("{role} of `{}` names no keystore: no key of it can be made", policy.repositories);
                report.warning("role-without-keystore", at, detail);
            }
            if !someone(Verb::Sign, role, policy, file, budget)? {
                let detail = format!("no grant lets anybody sign {role} of `{}`", policy.repositories);
                report.warning("role-without-grant", at, detail);
            } else if limits.custody == Custody::Attended {
                approvals_out_of_reach(at, role, (policy, limits.approvals), file, budget, report)?;
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

/// An attended role whose payloads never find enough people: whoever asks is none of them.
fn approvals_out_of_reach(
    at: usize,
    role: &str,
    (policy, approvals): (&RepositoryPolicy, u32),
    file: &File<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    let wanted = usize::try_from(approvals).unwrap_or(usize::MAX);
    let (approvers, _) = persons_with(Verb::Approve, role, policy, file, budget)?;
    let (signers, others_sign) = persons_with(Verb::Sign, role, policy, file, budget)?;
    let names = approvers.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let of = &policy.repositories;
    let enough_for = |one: &&PersonName| approvers.iter().filter(|other| *other != one).count() >= wanted;
    if approvers.len() < wanted {
        let who = if approvers.is_empty() { "nobody may".to_owned() } else { format!("only {names} may") };
        let detail = format!("{role} of `{of}` takes {approvals} approvals, and {who} approve it: it never signs");
        report.warning("approvals-out-of-reach", at, detail);
    } else if !others_sign && !signers.iter().any(enough_for) {
        let detail = format!(
            "{role} of `{of}` takes {approvals} approvals of others than who asks; only {names} may approve it, and \
             nobody who may ask finds so many"
        );
        report.warning("approvals-out-of-reach", at, detail);
    }
    Ok(())
}

/// The persons whom some grant gives the verb for the role, and whether it is given to anybody who is no person.
fn persons_with<'f>(
    verb: Verb,
    role: &str,
    policy: &RepositoryPolicy,
    file: &File<'f>,
    budget: &mut Budget,
) -> Result<(BTreeSet<&'f PersonName>, bool), Exhausted> {
    let (mut persons, mut others) = (BTreeSet::new(), false);
    for (_, grant) in file.grants {
        if !gives(grant, verb, role, policy, budget)? {
            continue;
        }
        for caller in &grant.callers {
            for (_, person) in file.people {
                if is_meant(caller, person, budget)? {
                    persons.insert(&person.name);
                }
            }
            others = others || Who::only(caller, file.persons).person().is_none();
        }
    }
    Ok((persons, others))
}

/// Whether a person may come in as this caller. Who is in a group, the machine knows.
fn is_meant(caller: &CallerPattern, person: &Person, budget: &mut Budget) -> Result<bool, Exhausted> {
    for identity in &person.identities {
        let in_group = matches!((caller, identity), (CallerPattern::UnixGroup(_), CallerPattern::UnixUser(_)));
        if in_group || caller_meets(caller, identity, budget)? {
            return Ok(true);
        }
    }
    Ok(*caller == CallerPattern::Person(person.name.clone()))
}

/// Whether some grant gives somebody the verb for the role, in some repository of the policy.
fn someone(
    verb: Verb,
    role: &str,
    policy: &RepositoryPolicy,
    file: &File<'_>,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    for (_, grant) in file.grants {
        if gives(grant, verb, role, policy, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a grant gives the verb for a role of the file, or for some role of a pattern of delegated ones.
fn gives(
    grant: &Grant,
    verb: Verb,
    role: &str,
    policy: &RepositoryPolicy,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    budget.spend(1)?;
    let Some(meant) = Pattern::new(role).filter(|_| grant.verbs.contains(&verb)) else { return Ok(false) };
    let mut reaches = false;
    for roles in &grant.roles {
        reaches = reaches || budget.meet(roles, &meant)?;
    }
    if !reaches {
        return Ok(false);
    }
    for pattern in &grant.repositories {
        if budget.meet(pattern, &policy.repositories)? {
            return Ok(true);
        }
    }
    Ok(false)
}
