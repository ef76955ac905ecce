//! A request that names a key and no role: the key's roles and the payload's `_type` say which one is meant. (`law.md`
//! section 3, item 2) RSTUF asks so, because one key of it signs everything that is online.

use super::SignItem;
use super::prepare::{Prepared, prepare, read};
use crate::domain::grant::Verb;
use crate::domain::key::KeyRecord;
use crate::domain::name::{MetadataType, RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RepositoryPolicy;
use crate::domain::public_key::KeyId;
use crate::engine::audited::Scope;
use crate::engine::{Call, Engine, Rules, parse};

impl Engine {
    /// As [`prepare`], for an item that may leave out its role.
    pub(in crate::engine) async fn understand(
        &self,
        rules: &Rules,
        call: &Call,
        verb: Verb,
        mut item: SignItem,
        scope: &mut Scope,
    ) -> Result<Prepared, Denial> {
        if item.role.is_empty()
            && let Some(key) = item.key.as_deref()
        {
            item.role = self.role_meant(rules, call, verb, &item, key, scope).await?.to_string();
        }
        prepare(rules, call, verb, item, scope).await
    }

    /// The grant for the role comes after; without one for the repository nothing is told or read.
    async fn role_meant(
        &self,
        rules: &Rules,
        call: &Call,
        verb: Verb,
        item: &SignItem,
        key: &str,
        scope: &mut Scope,
    ) -> Result<Role, Denial> {
        let repository: RepositoryName = parse("repository", &item.repository)?;
        let key: KeyId = parse("key", key)?;
        *scope = Scope::of(&repository, None);
        let policy = rules.admit_repository(call, verb, &repository)?;
        scope.admit();
        let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
        let Some(record) = view.keys.iter().find(|record| record.id() == key) else {
            return Err(Denial::new(Reason::UnknownKey, format!("{repository} has no key {key}")));
        };
        let statement = read(item.payload.clone(), largest_payload(policy, record)).await?;
        choose(record, statement.metadata_type())
    }
}

fn largest_payload(policy: &RepositoryPolicy, record: &KeyRecord) -> usize {
    let limits = record.roles.iter().filter_map(|role| policy.role(role));
    limits.map(|limits| limits.max_payload_bytes).max().unwrap_or_default()
}

/// The one role of the key that has this type. Never one of several by chance.
fn choose(record: &KeyRecord, metadata_type: MetadataType) -> Result<Role, Denial> {
    let mut fitting = record.roles.iter().filter(|role| role.metadata_type() == metadata_type);
    match (fitting.next(), fitting.next()) {
        (Some(role), None) => Ok(role.clone()),
        (None, _) => {
            let detail = format!("key {} is bound to no role of type {metadata_type}", record.id());
            Err(Denial::new(Reason::WrongRole, detail))
        }
        (Some(_), Some(_)) => {
            let detail = format!("role: name it, key {} has several of type {metadata_type}", record.id());
            Err(Denial::new(Reason::Malformed, detail))
        }
    }
}
