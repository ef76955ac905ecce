//! Rotate: a pending successor, and the change that the next root must make.

use super::audited::Scope;
use super::generate::optional;
use super::{Call, Engine, parse};
use crate::domain::grant::Verb;
use crate::domain::key::{KeyRecord, KeyState, RoleSet};
use crate::domain::law::keys::KeyRequest;
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::tuf;

/// A successor, and what the root must change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The pending key.
    pub key: KeyRecord,
    /// The change, as JSON.
    pub root_change_json: String,
}

impl Engine {
    /// Makes a successor for a role's key. The root decides when it signs.
    pub async fn rotate(
        &self,
        call: &Call,
        repository: &str,
        role: &str,
        keystore: &str,
        algorithm: &str,
    ) -> Result<Rotated, Denial> {
        self.audited(call, "rotate", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            let role: Role = parse("role", role)?;
            *scope = Scope::of(&repository, Some(&role));
            let rules = self.rules();
            rules.admit_role(call, Verb::ManageKeys, &repository, &role)?;
            scope.admit();
            self.check_serving(call)?;
            let keystore = optional("keystore", keystore)?;
            let algorithm = optional("algorithm", algorithm)?;
            let _held = self.hold_repository(call, &repository).await?;
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let living = |key: &&KeyRecord| {
                key.roles.contains(&role) && matches!(key.state, KeyState::Active | KeyState::Pending)
            };
            let Some(newest) = view.keys.iter().rfind(living) else {
                let detail =
                    format!("{repository} has no key for {role} to succeed; make its first one with GenerateKey");
                return Err(Denial::new(Reason::NoKeyForRole, detail));
            };
            let roles: &RoleSet = &newest.roles;
            for other in roles.iter() {
                rules.admit_role(call, Verb::ManageKeys, &repository, other)?;
            }
            let request = KeyRequest {
                repository: &repository,
                roles,
                keystore: keystore.or_else(|| Some(newest.keystore.clone())),
                algorithm: algorithm.or_else(|| Some(newest.public_key.algorithm())),
                new_repository: false,
            };
            let key = self.make_key(call, &rules, "rotate", &request).await?;
            let old: Vec<KeyId> = view.keys.iter().filter(living).map(KeyRecord::id).collect();
            let root_change_json = tuf::change::root_change_json(&view.roots, &role, &key.public_key, &old);
            Ok(Rotated { key, root_change_json })
        })
        .await
    }
}
