//! What is legal and probably not meant.

use super::overlap::{Budget, Exhausted};
use super::report::Report;
use super::settings::{ListenerKind, ListenerSettings};
use crate::domain::caller::CallerPattern;
use crate::domain::grant::{Grant, Verb};
use crate::domain::name::{Pattern, Role};
use crate::domain::policy::{Custody, RepositoryPolicy};
use crate::keystore::settings::KeystoreSettings;
use crate::oidc::settings::{ClaimName, ProviderSettings};

/// Looks at the parts of a file without mistakes side by side.
pub(super) fn collect(
    repositories: &[(usize, RepositoryPolicy)],
    grants: &[(usize, Grant)],
    keystores: &[KeystoreSettings],
    listeners: &[ListenerSettings],
    report: &mut Report,
) {
    if repositories.is_empty() {
        report.warning("no-repository", 0, "no [[repository]]: this daemon will sign nothing");
    }
    if keystores.is_empty() {
        report.warning("no-keystore", 0, "no [[keystore]]: this daemon has no place for private keys");
    }
    if grants.is_empty() {
        report.warning("no-grant", 0, "no [[grant]]: this daemon will answer nobody");
    }
    for (at, grant) in grants {
        callers_that_never_come(*at, grant, listeners, report);
        wildcards_that_reach_targets(*at, grant, report);
        daemon_verbs_without_all_repositories(*at, grant, report);
    }
    let mut budget = Budget::new();
    let compared = grants_without_repository(repositories, grants, &mut budget, report)
        .and_then(|()| roles_without_grant(repositories, grants, &mut budget, report));
    if let Err(Exhausted) = compared {
        let detail = "so many patterns that not every grant was compared with every [[repository]]";
        report.warning("checks-skipped", 0, detail);
    }
}

/// Claims that say more than whose repository or project it is.
const NARROWING: [&str; 10] = [
    "sub",
    "job_workflow_ref",
    "workflow_ref",
    "ci_config_ref_uri",
    "ref",
    "ref_path",
    "ref_protected",
    "environment",
    "environment_protected",
    "deployment_tier",
];

/// Providers whose tokens nobody could bring or use, and identities that mean more than they seem to.
pub(super) fn oidc(providers: &[(usize, ProviderSettings)], _listeners: &[ListenerSettings], report: &mut Report) {
    for (at, provider) in providers {
        if provider.identities.is_empty() {
            let detail = format!("provider `{}` has no [[oidc.identity]]: no grant can name its tokens", provider.name);
            report.warning("provider-without-identity", *at, detail);
        }
        for identity in &provider.identities {
            let named = |name: &&str| {
                let name = ClaimName::parse(name);
                identity.claims.iter().any(|claim| Some(&claim.name) == name.as_ref())
            };
            let whole = ["repository_id", "project_id"].iter().find(|name| named(name));
            if let Some(claim) = whole.filter(|_| !NARROWING.iter().any(|name| named(name))) {
                let detail = format!(
                    "identity `{}` is every job of its {claim}, on every branch and in every workflow; bind ref, \
                     environment or job_workflow_ref too",
                    identity.name
                );
                report.warning("identity-any-job", *at, detail);
            }
        }
    }
}

/// A caller of a kind that no listener lets in.
fn callers_that_never_come(at: usize, grant: &Grant, listeners: &[ListenerSettings], report: &mut Report) {
    let unix = listeners.iter().any(|listener| matches!(listener.kind, ListenerKind::Unix(_)));
    let tls = listeners.iter().any(|listener| matches!(listener.kind, ListenerKind::TcpMtls(_)));
    for caller in &grant.callers {
        let (comes, kind) = match caller {
            CallerPattern::UnixUser(_) | CallerPattern::UnixGroup(_) => (unix, "a unix socket"),
            CallerPattern::Dns(_) | CallerPattern::Uri(_) => (tls, "client certificates"),
            CallerPattern::Anonymous(_) => (false, "callers without authentication"),
            // Its identities are looked at where the person is configured; tokens where their providers are.
            CallerPattern::Token { .. } | CallerPattern::Person(_) => continue,
        };
        if !comes {
            let detail = format!("this grant names a caller that no listener lets in: none is for {kind}");
            report.warning("caller-never-comes", at, detail);
        }
    }
}

/// `*` in roles is easily written for "timestamp and snapshot", and gives the most dangerous role too.
fn wildcards_that_reach_targets(at: usize, grant: &Grant, report: &mut Report) {
    if !grant.verbs.contains(&Verb::Sign) {
        return;
    }
    let reaching = |pattern: &&Pattern| !pattern.is_exact() && pattern.matches(Role::Targets.as_str());
    if let Some(pattern) = grant.roles.iter().find(reaching) {
        let detail = format!("roles `{pattern}` lets these callers sign targets too; name the roles if not meant");
        report.warning("wildcard-reaches-targets", at, detail);
    }
}

/// `audit` and `status` concern the whole daemon: `Grants::allow_daemon` takes `**` and nothing less.
fn daemon_verbs_without_all_repositories(at: usize, grant: &Grant, report: &mut Report) {
    let limited = !grant.repositories.iter().any(|pattern| pattern.as_str() == "**");
    if let Some(verb) = grant.verbs.iter().find(|verb| !verb.is_per_repository()).filter(|_| limited) {
        let detail = format!("`{verb}` is about the whole daemon: only a grant with repositories = [\"**\"] gives it");
        report.warning("verb-never-granted", at, detail);
    }
}

/// A grant for repositories or roles that no [[repository]] declares.
fn grants_without_repository(
    repositories: &[(usize, RepositoryPolicy)],
    grants: &[(usize, Grant)],
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    for (at, grant) in grants {
        if !grant.verbs.iter().any(|verb| verb.is_per_repository()) {
            continue;
        }
        let mut found = false;
        for (_, policy) in repositories {
            found = found || reaches(&grant.repositories, &policy.repositories, budget)?;
        }
        if !found && !repositories.is_empty() {
            report.warning("grant-never-matches", *at, "this grant can never match a [[repository]] of this file");
        }
    }
    Ok(())
}

/// An online role that nobody may sign.
fn roles_without_grant(
    repositories: &[(usize, RepositoryPolicy)],
    grants: &[(usize, Grant)],
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    let signing: Vec<&Grant> =
        grants.iter().map(|(_, grant)| grant).filter(|grant| grant.verbs.contains(&Verb::Sign)).collect();
    for (at, policy) in repositories {
        if policy.roles.is_empty() {
            let detail = format!("`{}` has no [repository.role.NAME]: nothing is signed in it", policy.repositories);
            report.warning("no-role", *at, detail);
        }
        for (role, limits) in &policy.roles {
            if limits.custody != Custody::Online {
                continue;
            }
            let mut granted = false;
            for grant in &signing {
                granted = granted
                    || grant.roles.iter().any(|pattern| pattern.matches(role.as_str()))
                        && reaches(&grant.repositories, &policy.repositories, budget)?;
            }
            if !granted {
                let detail = format!("no grant lets anybody sign {role} of `{}`", policy.repositories);
                report.warning("role-without-grant", *at, detail);
            }
        }
    }
    Ok(())
}

fn reaches(patterns: &[Pattern], repositories: &Pattern, budget: &mut Budget) -> Result<bool, Exhausted> {
    for pattern in patterns {
        if budget.meet(pattern, repositories)? {
            return Ok(true);
        }
    }
    Ok(false)
}
