//! GetRotation: where a rotation stands.

use super::audited::Scope;
use super::{Call, Engine, parse};
use crate::domain::grant::Verb;
use crate::domain::law::rotation::{Checklist, Standing, checklist};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::Denial;

impl Engine {
    /// The ordered list of a repository's rotation.
    pub async fn get_rotation(&self, call: &Call, repository: &str) -> Result<Checklist, Denial> {
        self.audited(call, "get-rotation", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            *scope = Scope::of(&repository, Some(&Role::Root));
            let rules = self.rules();
            let policy = rules.admit_repository(call, Verb::Read, &repository)?;
            scope.admit();
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            Ok(checklist(Standing {
                repository: &repository,
                policy,
                keys: &view.keys,
                roots: &view.roots,
                guards: &view.guards,
            }))
        })
        .await
    }
}
