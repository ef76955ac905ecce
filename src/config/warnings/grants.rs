//! What single grants give, and what they seem to give.

use std::collections::BTreeSet;

use super::File;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::report::Report;
use crate::config::rights::{Reached, caller_covers, reached, reaches_root, repositories_of};
use crate::config::schema::did_you_mean;
use crate::domain::grant::{Grant, Scope, Verb};
use crate::domain::name::{Pattern, Role};
use crate::domain::policy::RepositoryPolicy;

pub(super) fn collect(file: &File<'_>, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    let policies = file.policies();
    nobody_operates(file, report);
    for (at, grant) in file.grants {
        wildcards_that_reach_targets(*at, grant, &policies, budget, report)?;
        if file.repositories.is_empty() {
            continue;
        }
        let dead = verbs_that_reach_nothing(*at, grant, &policies, budget, report)?;
        if dead.len() == grant.verbs.len() {
            continue;
        }
        patterns_that_match_nothing(*at, grant, &policies, budget, report)?;
        if !dead.contains(&Verb::Delegate) {
            delegating_without_signing(*at, grant, file, budget, report)?;
        }
    }
    Ok(())
}

/// The verbs that the grant seems to give and does not.
fn verbs_that_reach_nothing(
    at: usize,
    grant: &Grant,
    policies: &[&RepositoryPolicy],
    budget: &mut Budget,
    report: &mut Report,
) -> Result<Vec<Verb>, Exhausted> {
    let mut rows = Vec::new();
    reached(grant, policies, budget, &mut rows)?;
    let alive = |verb: &Verb| rows.iter().any(|row| row.verb == *verb && row.blocked.is_none());
    let dead: Vec<Verb> = grant.verbs.iter().copied().filter(|verb| !alive(verb)).collect();
    let why = |verb: Verb| because(verb, &rows, grant, policies);
    if dead.len() == grant.verbs.len() {
        let reason = dead.first().map(|verb| why(*verb)).unwrap_or_default();
        report.warning("grant-never-matches", at, format!("this grant gives nothing: {reason}"));
        return Ok(dead);
    }
    for verb in &dead {
        report.warning("verb-never-granted", at, format!("`{verb}` is not given by this grant: {}", why(*verb)));
    }
    Ok(dead)
}

fn because(verb: Verb, rows: &[Reached<'_>], grant: &Grant, policies: &[&RepositoryPolicy]) -> String {
    let row = rows.iter().find(|row| row.verb == verb && row.blocked.is_some());
    match row {
        Some(Reached { role: Some(role), repository, blocked: Some(blocked), .. }) => {
            format!("{role} of {repository}: {blocked}")
        }
        Some(Reached { repository, blocked: Some(blocked), .. }) if verb.is_per_repository() => {
            let names = policies.iter().map(|policy| policy.repositories.as_str());
            let known = policies.iter().any(|policy| policy.repositories.as_str() == repository);
            let near = if known { String::new() } else { did_you_mean(repository, names) };
            format!("{repository}: {blocked}{near}")
        }
        Some(Reached { blocked: Some(blocked), .. }) => blocked.clone(),
        _ if verb == Verb::Delegate => {
            "of the roles that it names only targets and delegated roles delegate".to_owned()
        }
        _ => {
            let near: Vec<String> = grant.roles.iter().map(|roles| role_near(roles, policies)).collect();
            let near = near.into_iter().find(|near| !near.is_empty()).unwrap_or_default();
            format!("none of the roles that it names has a [repository.role.NAME] there{near}")
        }
    }
}

/// A role that some repository has and whose name a pattern nearly is.
fn role_near(pattern: &Pattern, policies: &[&RepositoryPolicy]) -> String {
    let known: BTreeSet<&str> = policies.iter().flat_map(|policy| policy.roles.keys()).map(Role::as_str).collect();
    if known.contains(pattern.as_str()) { String::new() } else { did_you_mean(pattern.as_str(), known) }
}

/// Whoever makes keys is there, and nobody who undoes a freeze or a latch.
fn nobody_operates(file: &File<'_>, report: &mut Report) {
    let all = |grant: &Grant| grant.repositories.iter().any(|pattern| pattern.as_str() == "**");
    let operates = |(_, grant): &(usize, Grant)| grant.verbs.contains(&Verb::Operate) && all(grant);
    let administers = |(_, grant): &&(usize, Grant)| grant.verbs.contains(&Verb::ManageKeys);
    if let Some((at, _)) = file.grants.iter().find(administers)
        && !file.grants.iter().any(operates)
    {
        let detail = "no grant gives anybody `operate`: nobody may thaw, resolve a latch, or type `sealward reload`; give \
                      it to the administrator, in a grant that names no repositories and roles";
        report.warning("nobody-operates", *at, detail);
    }
}

/// One typing error among patterns that match.
fn patterns_that_match_nothing(
    at: usize,
    grant: &Grant,
    policies: &[&RepositoryPolicy],
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    if !grant.verbs.iter().any(|verb| verb.is_per_repository()) {
        return Ok(());
    }
    let mut met = BTreeSet::new();
    for pattern in &grant.repositories {
        let found = repositories_of(pattern, policies, budget)?;
        if found.is_empty() {
            let near = did_you_mean(pattern.as_str(), policies.iter().map(|policy| policy.repositories.as_str()));
            let detail = format!("no [[repository]] has a name that `{pattern}` means{near}");
            report.warning("pattern-never-matches", at, detail);
        }
        met.extend(found.into_iter().map(|(order, _)| order));
    }
    if !grant.verbs.iter().any(|verb| verb.scope() == Scope::Role) {
        return Ok(());
    }
    let mut roles: BTreeSet<&Role> =
        met.iter().filter_map(|order| policies.get(*order)).flat_map(|policy| policy.roles.keys()).collect();
    if grant.verbs.iter().any(|verb| reaches_root(*verb)) {
        roles.insert(&Role::Root);
    }
    for pattern in &grant.roles {
        budget.spend(roles.len())?;
        if !roles.iter().any(|role| pattern.matches(role.as_str())) {
            let near = role_near(pattern, policies);
            let detail =
                format!("no role of the repositories that this grant is for has a name that `{pattern}` means{near}");
            report.warning("pattern-never-matches", at, detail);
        }
    }
    Ok(())
}

/// `*` in roles is easily written for "timestamp and snapshot", and gives the most dangerous roles too.
fn wildcards_that_reach_targets(
    at: usize,
    grant: &Grant,
    policies: &[&RepositoryPolicy],
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    let verbs = [Verb::Sign, Verb::Delegate, Verb::Approve];
    let Some(verb) = verbs.into_iter().find(|verb| grant.verbs.contains(verb)) else { return Ok(()) };
    let reaching = |pattern: &&Pattern| !pattern.is_exact() && pattern.matches(Role::Targets.as_str());
    let Some(pattern) = grant.roles.iter().find(reaching) else { return Ok(()) };
    let mut delegated = BTreeSet::new();
    for repositories in &grant.repositories {
        for (order, _) in repositories_of(repositories, policies, budget)? {
            let roles = policies.get(order).into_iter().flat_map(|policy| policy.roles.keys());
            let is_delegated = |role: &&Role| matches!(role, Role::Delegated(_)) && pattern.matches(role.as_str());
            delegated.extend(roles.filter(is_delegated));
        }
    }
    let more: String = delegated.iter().take(3).map(|role| format!(", {role}")).collect();
    let and_more = if delegated.len() > 3 { format!(" and {} more", delegated.len() - 3) } else { String::new() };
    let detail =
        format!("roles `{pattern}` lets these callers {verb} targets{more}{and_more} too; name the roles if not meant");
    report.warning("wildcard-reaches-targets", at, detail);
    Ok(())
}

/// `delegate` is of use to a caller who signs the same role.
fn delegating_without_signing(
    at: usize,
    grant: &Grant,
    file: &File<'_>,
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    if !grant.verbs.contains(&Verb::Delegate) || grant.verbs.contains(&Verb::Sign) {
        return Ok(());
    }
    for caller in &grant.callers {
        let mut signs = false;
        for (_, other) in file.grants.iter().filter(|(_, other)| other.verbs.contains(&Verb::Sign)) {
            signs = signs || means(other, caller, budget)?;
        }
        if !signs {
            let detail = format!("`delegate` gives `{caller}` nothing: it is of use together with `sign`");
            report.warning("verb-never-granted", at, detail);
        }
    }
    Ok(())
}

fn means(grant: &Grant, caller: &crate::domain::caller::CallerPattern, budget: &mut Budget) -> Result<bool, Exhausted> {
    for pattern in &grant.callers {
        if caller_covers(pattern, caller, budget)? || caller_covers(caller, pattern, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}
