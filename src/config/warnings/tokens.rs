//! Issuers of tokens, and who their bearers are.

use super::File;
use crate::config::report::Report;
use crate::oidc::settings::{BoundClaim, ClaimName, ClaimPattern, IdentitySettings};

/// Claims of GitHub and GitLab that say more than whose repository or project it is.
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

/// What every pattern of a claim that names a branch or tag begins with, or that names any branch.
const EVERY_REF: [&str; 2] = ["refs/", "refs/heads/"];

/// Claims that GitHub, GitLab and Kubernetes write as text, numbers and flags among them.
const TEXTS: [&str; 43] = [
    "sub",
    "actor",
    "actor_id",
    "base_ref",
    "ci_config_ref_uri",
    "ci_config_sha",
    "deployment_tier",
    "environment",
    "environment_protected",
    "event_name",
    "head_ref",
    "job_id",
    "job_workflow_ref",
    "job_workflow_sha",
    "namespace_id",
    "namespace_path",
    "pipeline_id",
    "pipeline_source",
    "project_id",
    "project_path",
    "project_visibility",
    "ref",
    "ref_path",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_attempt",
    "run_id",
    "run_number",
    "runner_environment",
    "sha",
    "user_id",
    "user_login",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "/kubernetes.io/namespace",
    "/kubernetes.io/serviceaccount/name",
    "/kubernetes.io/serviceaccount/uid",
];

pub(super) fn collect(file: &File<'_>, report: &mut Report) {
    for (at, provider) in file.providers {
        if !file.listeners.iter().any(|listener| listener.kind.takes_tokens()) {
            let detail = format!("provider `{}` is never asked: no listener takes tokens", provider.name);
            report.warning("provider-never-asked", *at, detail);
        }
        if provider.identities.is_empty() {
            let detail = format!("provider `{}` has no [[oidc.identity]]: no grant can name its tokens", provider.name);
            report.warning("provider-without-identity", *at, detail);
        }
        for identity in &provider.identities {
            if let Some(claim) = every_job_of(identity) {
                let detail = format!(
                    "identity `{}` is every job of its {claim}, on every branch and in every workflow; bind ref, \
                     environment or job_workflow_ref too",
                    identity.name
                );
                report.warning("identity-any-job", *at, detail);
            }
            for claim in texts_without_quotes(identity) {
                let detail = format!(
                    "identity `{}` is nobody, or less than it seems: issuers write `{claim}` as text, so write its value \
                     in quotes",
                    identity.name
                );
                report.warning("claim-never-matches", *at, detail);
            }
        }
    }
}

/// The claim that says whose jobs they are, where no other says which of them.
fn every_job_of(identity: &IdentitySettings) -> Option<&'static str> {
    let bound = |name: &str| {
        let name = ClaimName::parse(name);
        identity.claims.iter().find(move |claim| Some(&claim.name) == name.as_ref())
    };
    let whose = ["repository_id", "project_id"].into_iter().find(|name| bound(name).is_some());
    let narrows = |name: &&str| bound(name).is_some_and(|claim: &BoundClaim| claim.values.iter().all(says_which));
    whose.filter(|_| !NARROWING.iter().any(narrows))
}

/// Whether a value says more than that there is one.
fn says_which(value: &ClaimPattern) -> bool {
    let ClaimPattern::Glob(pattern) = value else { return true };
    let begins = pattern.as_str().split('*').next().unwrap_or_default();
    pattern.is_exact() || !EVERY_REF.iter().any(|every| every.starts_with(begins))
}

fn texts_without_quotes(identity: &IdentitySettings) -> impl Iterator<Item = &'static str> {
    let texts = TEXTS.into_iter().filter_map(|name| Some((name, ClaimName::parse(name)?)));
    texts.filter_map(|(name, parsed)| {
        let is_text = |value: &ClaimPattern| matches!(value, ClaimPattern::Text(_) | ClaimPattern::Glob(_));
        let claim = identity.claims.iter().find(|claim| claim.name == parsed)?;
        (!claim.values.iter().all(is_text)).then_some(name)
    })
}
