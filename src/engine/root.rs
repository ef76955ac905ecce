//! StageRoot, PublishRoot and GetRoot.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::audited::Scope;
use super::{Call, Engine, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::freeze::Frozen;
use crate::domain::grant::Verb;
use crate::domain::law::roots::{self, Known, RootDecision};
use crate::domain::name::{RepositoryName, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::root::{Roots, VerifiedRoot};
use crate::ledger::{Change, CommitError, Expect, Unit, View};
use crate::tuf;

/// A root's file, as it came through a door.
#[derive(Clone, Debug, Default)]
pub struct RootUpload {
    /// The repository's name.
    pub repository: String,
    /// The file.
    pub file: Vec<u8>,
    /// For a first root: SHA-256 of the file; empty for none.
    pub pin: String,
    /// For a first root: active keys that it leaves behind.
    pub retire: Vec<String>,
}

/// What stands after a root was shown.
#[derive(Clone, Debug)]
pub struct RootChange {
    /// Roots and keys.
    pub view: Arc<View>,
    /// False when it stood before.
    pub changed: bool,
}

/// Roots, keys and files.
#[derive(Clone, Debug)]
pub struct RootFiles {
    /// Roots and keys.
    pub view: Arc<View>,
    /// The trusted root's file.
    pub trusted: Option<Vec<u8>>,
    /// The staged root's file.
    pub staged: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Stage,
    Publish,
}

impl Engine {
    /// Verifies a root that is not yet out and makes its keys sign.
    pub async fn stage_root(&self, call: &Call, upload: RootUpload) -> Result<RootChange, Denial> {
        self.audited(call, "stage-root", async |scope| self.change_root(call, upload, Act::Stage, scope).await).await
    }

    /// Records that a root is out and promotes it.
    pub async fn publish_root(&self, call: &Call, upload: RootUpload) -> Result<RootChange, Denial> {
        self.audited(call, "publish-root", async |scope| self.change_root(call, upload, Act::Publish, scope).await)
            .await
    }

    /// The trusted and the staged root with their files.
    pub async fn get_root(&self, call: &Call, repository: &str) -> Result<RootFiles, Denial> {
        self.audited(call, "get-root", async |scope| {
            let repository: RepositoryName = parse("repository", repository)?;
            *scope = Scope::of(&repository, Some(&Role::Root));
            self.rules().admit_repository(call, Verb::Read, &repository)?;
            scope.admit();
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let trusted = self.file_of(view.roots.trusted.as_ref())?;
            let staged = self.file_of(view.roots.staged.as_ref())?;
            Ok(RootFiles { view, trusted, staged })
        })
        .await
    }

    async fn change_root(
        &self,
        call: &Call,
        upload: RootUpload,
        act: Act,
        scope: &mut Scope,
    ) -> Result<RootChange, Denial> {
        let repository: RepositoryName = parse("repository", &upload.repository)?;
        *scope = Scope::of(&repository, Some(&Role::Root));
        let rules = self.rules();
        // A grant for other roles must not reach the root, which decides about all of them.
        let policy = rules.admit_role(call, Verb::ManageRoots, &repository, &Role::Root)?;
        scope.admit();
        self.check_serving(call)?;
        let pin: Option<Sha256Digest> = super::generate::optional("pin", &upload.pin)?;
        let retire = upload.retire.iter().map(|key| parse("retire", key)).collect::<Result<BTreeSet<KeyId>, _>>()?;
        let held = self.list_held(call).await;
        let _held = self.hold_repository(call, &repository).await?;
        let switches = self.ledger.switches();
        self.check_serving(call)?;
        let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
        if view.roots.trusted.is_none() {
            // A first root rests on the caller's word. Every later one carries the signatures of the offline root, and is
            // the way out of what made somebody freeze.
            Frozen::for_caller(&switches.freezes, &call.caller, rules.grants.persons())
                .check_repository(&repository)?;
        }
        let candidate = self.verify(&view.roots, &upload.file)?;
        scope.version = Some(candidate.version);
        scope.digest = Some(candidate.file_digest);
        let known = Known { policy, keys: &view.keys, roots: &view.roots, held: &held, now: self.now() };
        let decision = match act {
            Act::Stage => roots::stage(candidate.clone(), pin, &retire, known)?,
            Act::Publish => roots::publish(candidate.clone(), pin, &retire, known)?,
        };
        let (after, keys, fork) = match decision {
            RootDecision::Unchanged => return Ok(RootChange { view, changed: false }),
            RootDecision::Accepted { roots, keys } => (roots, keys, false),
            RootDecision::Fork { roots } => (roots, Vec::new(), true),
        };
        let verb = if act == Act::Stage { "stage-root" } else { "publish-root" };
        let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Administration);
        event.repository = Some(repository.clone());
        event.role = Some(Role::Root);
        event.version = Some(candidate.version);
        event.expires = Some(candidate.expires);
        event.digest = Some(candidate.file_digest);
        let forked =
            || Denial::new(Reason::Latched, format!("root-fork: a second root {} verifies", candidate.version));
        if fork {
            event = event.refused(&forked());
        }
        let file = Change::RootFile {
            repository: repository.clone(),
            version: candidate.version,
            digest: candidate.file_digest,
            file: upload.file,
        };
        let changes = [Change::Roots(after), file].into_iter().chain(keys.into_iter().map(Change::Key)).collect();
        self.commit_root(&view, switches.revision, changes, event).await?;
        // A keystore that came while the root was weighed is held against it at the next look.
        self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).extend(self.desks().keys().cloned());
        if fork {
            return Err(forked());
        }
        let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
        Ok(RootChange { view, changed: true })
    }

    async fn commit_root(
        &self,
        before: &View,
        switches: u64,
        changes: Vec<Change>,
        event: Event,
    ) -> Result<(), Denial> {
        let roots = &before.roots;
        let mut expects = vec![Expect::Roots(roots.repository.clone(), roots.revision), Expect::Switches(switches)];
        // Every key of the repository was weighed, not only those that change.
        expects.extend(before.keys.iter().map(|key| Expect::Key(key.id(), key.revision)));
        match self.commit_one(Unit { expects, changes, events: vec![event], after: Vec::new() }).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => {
                Err(Denial::new(Reason::Conflict, "keys, roots or what is frozen changed meanwhile"))
            }
            Err(error) => Err(error.denial()),
        }
    }

    /// By its own threshold when it is the first, otherwise by the trusted root's and its own.
    fn verify(&self, roots: &Roots, file: &[u8]) -> Result<VerifiedRoot, Denial> {
        let Some(trusted) = self.file_of(roots.trusted.as_ref())? else {
            return tuf::root::verify_first(file);
        };
        match tuf::root::verify_successor(&trusted, file) {
            Err(denial) if denial.reason == Reason::RootVersion => {
                // The trusted version again: either the same root, or a fork that verifies. Anything else is the denial.
                tuf::root::verify_same_version(&trusted, file).map_err(|_| denial)
            }
            other => other,
        }
    }

    pub(super) fn file_of(&self, root: Option<&VerifiedRoot>) -> Result<Option<Vec<u8>>, Denial> {
        let Some(root) = root else { return Ok(None) };
        match self.ledger.root_file(&root.file_digest).map_err(|error| error.denial())? {
            Some(file) => Ok(Some(file)),
            None => Err(Denial::new(
                Reason::LedgerIntegrity,
                format!("the file of root {} is not in the ledger", root.version),
            )),
        }
    }

    /// Every public key within reach, as far as the keystores answer; what was seen once counts for ever.
    async fn list_held(&self, call: &Call) -> BTreeSet<KeyId> {
        for desk in self.desks().values() {
            let keystore = Arc::clone(desk.keystore());
            let listed = tokio::task::spawn_blocking(move || keystore.public_keys());
            match tokio::time::timeout_at(call.deadline.into(), listed).await {
                Ok(Ok(Ok(keys))) => {
                    let ids = keys.iter().map(|key| key.id());
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
                }
                _ => tracing::warn!("a keystore did not list its keys; what it listed before is used"),
            }
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
