//! Issuers of tokens, and who their bearers are.

use super::File;
use crate::config::report::Report;
use crate::oidc::settings::{ClaimName, IdentitySettings};

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
        }
    }
}

/// The claim that says whose jobs they are, where no other says which of them.
fn every_job_of(identity: &IdentitySettings) -> Option<&'static str> {
    let binds = |name: &&str| {
        let name = ClaimName::parse(name);
        identity.claims.iter().any(|claim| Some(&claim.name) == name.as_ref())
    };
    let whose = ["repository_id", "project_id"].into_iter().find(binds);
    whose.filter(|_| !NARROWING.iter().any(binds))
}
