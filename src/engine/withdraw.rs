//! WithdrawRoot: a staged root is taken back, and what it did to keys is undone.

use super::audited::Scope;
use super::generate::optional;
use super::{Call, Engine, RootChange, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::law::roots::{self, Known, RootDecision};
use crate::domain::name::{RepositoryName, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::ledger::{Change, CommitError, Expect, Unit};

impl Engine {
    /// Takes the staged root back. `digest`, when not empty, must be that of its file.
    pub async fn withdraw_root(&self, call: &Call, repository: &str, digest: &str) -> Result<RootChange, Denial> {
        self.audited(call, "withdraw-root", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            *scope = Scope::of(&repository, Some(&Role::Root));
            let rules = self.rules();
            let policy = rules.admit_role(call, Verb::ManageRoots, &repository, &Role::Root)?;
            scope.admit();
            self.check_serving(call)?;
            let digest: Option<Sha256Digest> = optional("digest", digest)?;
            let _held = self.hold_repository(call, &repository).await?;
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let held = std::collections::BTreeSet::new(); // whoever holds which key, a root may be taken back
            let known = Known { policy, keys: &view.keys, roots: &view.roots, held: &held, now: self.now() };
            let (after, keys) = match roots::withdraw(digest, known)? {
                RootDecision::Accepted { roots, keys } => (roots, keys),
                RootDecision::Unchanged | RootDecision::Fork { .. } => return Ok(RootChange { view, changed: false }),
            };
            let mut event =
                Event::new(self.now(), &call.caller, "withdraw-root", &call.request, EventKind::Administration);
            event.repository = Some(repository.clone());
            event.role = Some(Role::Root);
            if let Some(staged) = &view.roots.staged {
                event.version = Some(staged.version);
                event.expires = Some(staged.expires);
                event.digest = Some(staged.file_digest);
            }
            let mut expects = vec![Expect::Roots(repository.clone(), view.roots.revision)];
            // Every key of the repository was weighed, not only those that change.
            expects.extend(view.keys.iter().map(|key| Expect::Key(key.id(), key.revision)));
            let mut changes = vec![Change::Roots(after)];
            changes.extend(keys.into_iter().map(Change::Key));
            match self.commit_one(Unit { expects, changes, events: vec![event], after: Vec::new() }).await {
                Ok(_) => {}
                Err(CommitError::Conflict) => {
                    return Err(Denial::new(Reason::Conflict, "keys or roots changed meanwhile"));
                }
                Err(error) => return Err(error.denial()),
            }
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            Ok(RootChange { view, changed: true })
        })
        .await
    }
}
