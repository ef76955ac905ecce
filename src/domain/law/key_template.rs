//! What keys may be made for a role: where, of which algorithm, how many. (`law.md` section 1)
//!
//! Who may make keys does not decide that: a caller with `manage-keys` and no template would fill a token, or make the
//! keys that sign slowest.

use crate::domain::algorithm::Algorithm;
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::law::keys::Known;
use crate::domain::name::{KeystoreName, RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RolePolicy;

/// Every role of a key allows its keystore and its algorithm, by name or as the default. Nothing named allows nothing.
pub(super) fn check_allowed(
    roles: &[(&Role, &RolePolicy)],
    keystore: &KeystoreName,
    algorithm: Algorithm,
) -> Result<(), Denial> {
    for (role, limits) in roles {
        if limits.keystore.as_ref() != Some(keystore) && !limits.keystores.contains(keystore) {
            let names = limits.keystore.iter().chain(&limits.keystores).map(KeystoreName::as_str).collect::<Vec<_>>();
            let allowed = some(&names);
            let detail = format!("keys of {role} are made in {allowed}, not in keystore {keystore}");
            return Err(Denial::new(Reason::NoKeyTemplate, detail));
        }
        if limits.algorithm != Some(algorithm) && !limits.algorithms.contains(&algorithm) {
            let names = limits.algorithm.iter().chain(&limits.algorithms).map(|one| one.name()).collect::<Vec<_>>();
            let detail = format!("keys of {role} are of {}, not of {algorithm}", some(&names));
            return Err(Denial::new(Reason::NoKeyTemplate, detail));
        }
    }
    Ok(())
}

fn some(names: &[&str]) -> String {
    if names.is_empty() { "none that the policy names".to_owned() } else { names.join(" or ") }
}

/// Keys that are not destroyed lie on tokens, and so may those whose making began and was never recorded.
pub(super) fn check_number(
    repository: &RepositoryName,
    limits: &[(&Role, &RolePolicy)],
    known: Known<'_>,
) -> Result<(), Denial> {
    let living = known.keys.iter().filter(|key| key.state != KeyState::Destroyed).count();
    if living.saturating_add(known.unrecorded) >= known.policy.max_keys {
        let begun = match known.unrecorded {
            0 => String::new(),
            begun => format!(", and {begun} that were begun and not recorded"),
        };
        return Err(Denial::new(Reason::KeyLimit, format!("{repository} has {living} keys{begun}")));
    }
    for (role, limits) in limits {
        let is_pending = |key: &&KeyRecord| key.state == KeyState::Pending && key.roles.contains(role);
        let pending = known.keys.iter().filter(is_pending).count();
        if pending >= limits.max_pending_keys {
            return Err(Denial::new(Reason::KeyLimit, format!("{role} of {repository} has {pending} pending keys")));
        }
    }
    Ok(())
}
