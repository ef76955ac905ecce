//! RecoverGuard: a new epoch for a role that was fast-forwarded.

use super::audited::Scope;
use super::{Call, Engine, parse};
use crate::domain::approval::Act;
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::law::recover::{self, Recovered, Situation};
use crate::domain::name::{RepositoryName, Role, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::root::VerifiedRoot;
use crate::ledger::{Change, CommitError, Expect, Unit};
use crate::tuf;

/// A guard in its new epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEpoch {
    /// The epoch.
    pub epoch: u32,
    /// The version that it goes on from, 0 for none.
    pub goes_on_from: u64,
    /// The version that the closed epoch released last.
    pub closed_at: u64,
    /// Keys that never sign for the role again.
    pub barred: Vec<KeyId>,
}

impl Engine {
    /// Begins a new epoch of a role's guard. `goes_on_from` is a version, 0 for none. `by_operators` asks for an act of two
    /// operators instead of a published root.
    pub async fn recover_guard(
        &self,
        call: &Call,
        repository: &str,
        role: &str,
        goes_on_from: u64,
        by_operators: bool,
    ) -> Result<NewEpoch, Denial> {
        self.audited(call, "recover-guard", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            let role: Role = parse("role", role)?;
            *scope = Scope::of(&repository, Some(&role));
            let rules = self.rules();
            rules.admit_role(call, Verb::ManageRoots, &repository, &role)?;
            scope.admit();
            self.check_serving(call)?;
            let goes_on_from =
                match goes_on_from {
                    0 => None,
                    number => Some(Version::new(number).ok_or_else(|| {
                        Denial::new(Reason::Malformed, format!("goes_on_from: {number} is no version"))
                    })?),
                };
            // What is in flight for the role is released, or not, before its epoch ends.
            let _held = self.hold_guards(call, [(repository.clone(), role.clone())].into()).await?;
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let Some(guard) = view.guards.get(&role) else {
                let detail = format!("nothing is known of what {role} of {repository} released");
                return Err(Denial::new(Reason::Unseeded, detail));
            };
            let now = self.now();
            let situation = Situation {
                guard,
                keys: &view.keys,
                roots: &view.roots,
                lists_unreadable_keys: self.lists_unreadable_keys(view.roots.trusted.as_ref(), &role)?,
                goes_on_from,
                now,
            };
            let (Recovered { closed, begun }, approved) = if by_operators {
                let recovered = recover::by_operators(&situation)?;
                // Not the head: whoever pushes the role forward must not undo what people agreed on.
                let act = Act::in_repository("recover-guard", &repository, Some(&role))
                    .with("closes-epoch", guard.name.epoch)
                    .with("goes-on-from", goes_on_from.map_or(0, Version::get));
                (recovered, Some(self.require_two_operators(call, &rules, act).await?))
            } else {
                (recover::after_rotation(&situation)?, None)
            };
            let answer = NewEpoch {
                epoch: begun.name.epoch,
                goes_on_from: goes_on_from.map_or(0, Version::get),
                closed_at: guard.floor(),
                barred: begun.barred.iter().copied().collect(),
            };
            // Without a digest: the new epoch has released nothing.
            let mut event = Event::new(now, &call.caller, "recover-guard", &call.request, EventKind::Administration);
            event.repository = Some(repository.clone());
            event.role = Some(role);
            event.epoch = Some(begun.name.epoch);
            event.version = goes_on_from;
            let mut unit = Unit {
                expects: vec![
                    Expect::Guard(guard.name.clone(), guard.revision),
                    Expect::Guard(begun.name.clone(), 0),
                    Expect::Roots(repository, view.roots.revision),
                ],
                changes: [closed, begun].map(|guard| Change::Guard { guard, payload: None }).into(),
                events: vec![event],
                after: Vec::new(),
            };
            if let Some(approved) = approved {
                unit.uses(approved);
            }
            match self.commit_one(unit).await {
                Ok(_) => Ok(answer),
                Err(CommitError::Conflict) => {
                    Err(Denial::new(Reason::Conflict, "the guard or the root changed meanwhile"))
                }
                Err(error) => Err(error.denial()),
            }
        })
        .await
    }

    fn lists_unreadable_keys(&self, root: Option<&VerifiedRoot>, role: &Role) -> Result<bool, Denial> {
        let Some(file) = self.file_of(root)? else { return Ok(false) };
        let root = tuf::root::RootFile::parse(&file)?;
        Ok(root.listed_key_ids(role) > root.public_keys(role).len())
    }
}
