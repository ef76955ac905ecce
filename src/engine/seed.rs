//! SeedGuard: a role's guard begins at published metadata that verifies under the trusted root.

use super::audited::Scope;
use super::{Call, Engine, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::guard::KEPT_PAYLOAD_BYTES;
use crate::domain::law::{roots, sign};
use crate::domain::name::{MetadataType, RepositoryName, Role, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::statement::Statement;
use crate::ledger::{Change, CommitError, Expect, Unit, View};
use crate::tuf;

/// Where a guard begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// The version.
    pub version: Version,
    /// What cannot be known.
    pub caution: &'static str,
}

const CAUTION: &str = "What the signer before this one released but nobody published cannot be known here: if a higher \
                       version exists, clients that saw it will refuse lower ones.";

impl Engine {
    /// Seeds the guard of a role: a top-level one under the trusted root, a delegated one under the released metadata of a
    /// delegator that is held here.
    pub async fn seed_guard(&self, call: &Call, repository: &str, role: &str, file: Vec<u8>) -> Result<Seeded, Denial> {
        self.audited(call, "seed-guard", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            let role: Role = parse("role", role)?;
            *scope = Scope::of(&repository, Some(&role));
            let rules = self.rules();
            let policy = rules.admit_role(call, Verb::ManageRoots, &repository, &role)?;
            scope.admit();
            self.check_serving(call)?;
            // What is in flight for a delegated role was decided without what this file delegates.
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let delegates = role.metadata_type() == MetadataType::Targets;
            let delegated = view.guards.keys().filter(|other| delegates && matches!(other, Role::Delegated(_)));
            let names = delegated.chain([&role]).map(|role| (repository.clone(), role.clone())).collect();
            let _held = self.hold_guards(call, names).await?;
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let (statement, delegator) = match &role {
                Role::Delegated(_) => self.verify_delegated(&view, &repository, &role, &file)?,
                _ => (self.verify_top_level(&view, &repository, &role, &file)?, None),
            };
            *scope = std::mem::take(scope).with(&statement);
            let existing = view.guards.get(&role);
            let name = existing.map_or_else(|| sign::first_epoch(&repository, &role), |guard| guard.name.clone());
            let listed = roots::may_have_released(&role, &view.roots, &view.guards);
            let guard = roots::seed(&name, &statement, existing, policy, listed, self.now(), call.caller.to_string())?;
            let payload = tuf::envelope::Envelope::parse(&file, file.len())?.signed;
            let mut event =
                Event::new(self.now(), &call.caller, "seed-guard", &call.request, EventKind::Administration);
            event.repository = Some(repository.clone());
            event.role = Some(role.clone());
            event.epoch = Some(name.epoch);
            event.version = Some(statement.version());
            event.expires = Some(statement.expires());
            event.digest = Some(statement.digest());
            let mut expects = vec![
                Expect::Guard(name, existing.map_or(0, |guard| guard.revision)),
                Expect::Roots(repository, view.roots.revision),
                self.still_serving(call)?,
            ];
            expects.extend(delegator);
            let unit = Unit {
                expects,
                changes: vec![Change::Guard {
                    guard,
                    payload: (payload.len() <= KEPT_PAYLOAD_BYTES).then_some(payload),
                }],
                events: vec![event],
                after: Vec::new(),
            };
            match self.commit_one(unit).await {
                Ok(_) => Ok(Seeded { version: statement.version(), caution: CAUTION }),
                Err(CommitError::Conflict) => {
                    Err(Denial::new(Reason::Conflict, "the guard or the root changed meanwhile"))
                }
                Err(error) => Err(error.denial()),
            }
        })
        .await
    }

    fn verify_top_level(
        &self,
        view: &View,
        repository: &RepositoryName,
        role: &Role,
        file: &[u8],
    ) -> Result<Statement, Denial> {
        let Some(root) = self.file_of(view.roots.trusted.as_ref())? else {
            let detail = format!("{repository} has no trusted root to verify the file with");
            return Err(Denial::new(Reason::NoRoot, detail));
        };
        tuf::verify::verify_role_metadata(&root, role, file)
    }

    /// By the first delegator whose threshold the file meets, with what must still be so when that is committed.
    fn verify_delegated(
        &self,
        view: &View,
        repository: &RepositoryName,
        role: &Role,
        file: &[u8],
    ) -> Result<(Statement, Option<Expect>), Denial> {
        let nobody =
            format!("no metadata that {repository} released here delegates to {role}: seed its delegator first");
        let mut refused = Denial::new(Reason::SeedUnverified, nobody);
        for (delegator, _) in sign::Delegators::of(&view.guards, role).listing {
            let Some(guard) = view.guards.get(delegator) else { continue };
            let kept = self.ledger.guard(&guard.name).map_err(|error| error.denial())?;
            let Some(payload) = kept.and_then(|kept| kept.payload) else {
                let detail =
                    format!("the newest {delegator} is not kept here: it is too large, or its epoch just began");
                refused = Denial::new(Reason::SeedUnverified, detail);
                continue;
            };
            match tuf::verify::verify_delegated_metadata(&payload, role, file) {
                Ok(statement) => return Ok((statement, Some(Expect::Guard(guard.name.clone(), guard.revision)))),
                Err(denial) => refused = denial,
            }
        }
        Err(refused)
    }
}
