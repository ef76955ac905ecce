//! SeedGuard of a new repository: every guard begins at 0, and no key is made.

use super::audited::Scope;
use super::{Call, Engine, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::law::keys::begin;
use crate::domain::name::RepositoryName;
use crate::domain::outcome::{Denial, Reason};
use crate::ledger::{Change, CommitError, Expect, Unit};

impl Engine {
    /// Says that nothing of a repository was ever published, for keys that were made without saying so. It takes
    /// `manage-roots` for each role whose guard begins, as seeding from metadata does.
    pub async fn begin_repository(&self, call: &Call, repository: &str) -> Result<(), Denial> {
        self.audited(call, "seed-guard", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            *scope = Scope::of(&repository, None);
            let rules = self.rules();
            let policy = rules.admit_repository(call, Verb::ManageRoots, &repository)?;
            let _held = self.hold_repository(call, &repository).await?;
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let begun = begin(&repository, policy, &view.guards, &view.roots);
            for guard in begun.iter().flatten() {
                rules.admit_role(call, Verb::ManageRoots, &repository, &guard.name.role)?;
            }
            scope.admit();
            self.check_serving(call)?;
            let guards = begun?;
            let mut expects = vec![Expect::Roots(repository.clone(), view.roots.revision), self.still_serving(call)?];
            expects.extend(guards.iter().map(|guard| Expect::Guard(guard.name.clone(), 0)));
            let changes = guards.into_iter().map(|guard| Change::Guard { guard, payload: None }).collect();
            let mut event =
                Event::new(self.now(), &call.caller, "seed-guard", &call.request, EventKind::Administration);
            event.repository = Some(repository);
            event.subject = Some("new repository".to_owned());
            match self.commit_one(Unit { expects, changes, events: vec![event], after: Vec::new() }).await {
                Ok(_) => Ok(()),
                Err(CommitError::Conflict) => {
                    Err(Denial::new(Reason::Conflict, "the guards or the root changed meanwhile"))
                }
                Err(error) => Err(error.denial()),
            }
        })
        .await
    }
}
