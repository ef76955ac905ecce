//! Retire: a key that no root lists stops signing for ever.

use super::audited::Scope;
use super::{Call, Engine, KeyChange, Rules, no_grant, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::key::KeyRecord;
use crate::domain::law::retire::{Around, retire};
use crate::domain::law::sign::first_epoch;
use crate::domain::name::{MetadataType, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::ledger::{Change, CommitError, Expect, Unit, View};

impl Engine {
    /// Retires a key.
    pub async fn retire(&self, call: &Call, key: &str) -> Result<KeyChange, Denial> {
        self.change_key(call, "retire", key, |_, record, around| retire(record, around)).await
    }

    /// One act on one key's record: grant, law, one transaction with its leaf.
    pub(super) async fn change_key(
        &self,
        call: &Call,
        verb: &'static str,
        key: &str,
        decide: impl FnOnce(&Rules, &KeyRecord, Around<'_>) -> Result<Option<KeyRecord>, Denial>,
    ) -> Result<KeyChange, Denial> {
        self.audited(call, verb, async |scope| {
            let id: KeyId = parse("key", key)?;
            let rules = self.rules();
            let found = self.ledger.key(&id).map_err(|error| error.denial())?;
            let record = admit_key(&rules, call, &id, found)?;
            *scope = Scope::of(&record.repository, record.roles.iter().next());
            scope.admit();
            self.check_serving(call)?;
            let _held = self.hold_repository(call, &record.repository).await?;
            let view = self.ledger.view(&record.repository).map_err(|error| error.denial())?;
            let record = view.keys.iter().find(|other| other.id() == id).cloned().unwrap_or(record);
            let around = Around { keys: &view.keys, roots: &view.roots, guards: &view.guards, now: self.now() };
            let Some(changed) = decide(&rules, &record, around)? else {
                return Ok(KeyChange { key: record, changed: false });
            };
            let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Administration);
            event.repository = Some(record.repository.clone());
            event.role = record.roles.iter().next().cloned();
            event.key = Some(id);
            // What delegates was weighed, and that the others do not.
            let weighed = view.guards.values().filter(|guard| guard.name.role.metadata_type() == MetadataType::Targets);
            let mut read: Vec<_> = weighed.map(|guard| Expect::Guard(guard.name.clone(), guard.revision)).collect();
            if !view.guards.contains_key(&Role::Targets) {
                read.push(Expect::Guard(first_epoch(&record.repository, &Role::Targets), 0));
            }
            self.commit_key(call, &view, &changed, event, read).await?;
            Ok(KeyChange { key: changed, changed: true })
        })
        .await
    }

    /// Makes one record durable, if nothing that the law weighed has changed.
    pub(super) async fn commit_key(
        &self,
        call: &Call,
        before: &View,
        changed: &KeyRecord,
        event: Event,
        read: Vec<Expect>,
    ) -> Result<(), Denial> {
        let mut expects = read;
        expects.push(self.still_serving(call)?);
        expects.push(Expect::Roots(changed.repository.clone(), before.roots.revision));
        expects.extend(before.keys.iter().map(|key| Expect::Key(key.id(), key.revision)));
        let unit =
            Unit { expects, changes: vec![Change::Key(changed.clone())], events: vec![event], after: Vec::new() };
        match self.commit_one(unit).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => Err(Denial::new(Reason::Conflict, "keys or roots changed meanwhile")),
            Err(error) => Err(error.denial()),
        }
    }
}

/// A record that the caller may change. A key of a repository that is not the caller's is answered like one that does not
/// exist.
fn admit_key(rules: &Rules, call: &Call, id: &KeyId, found: Option<KeyRecord>) -> Result<KeyRecord, Denial> {
    let Some(record) = found else {
        return Err(if rules.grants.allow_daemon(&call.caller, Verb::ManageKeys) {
            Denial::new(Reason::UnknownKey, format!("there is no key {id}"))
        } else {
            no_grant(call, Verb::ManageKeys, "for this key")
        });
    };
    let may = |role| rules.grants.allow_role(&call.caller, Verb::ManageKeys, &record.repository, role);
    if record.roles.iter().all(may) { Ok(record) } else { Err(no_grant(call, Verb::ManageKeys, "for this key")) }
}
