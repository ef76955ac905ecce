//! ListKeys, GetKey and GetPublicKey.

use super::audited::Scope;
use super::{Call, Engine, no_grant, parse};
use crate::domain::grant::Verb;
use crate::domain::key::KeyRecord;
use crate::domain::name::RepositoryName;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::{KeyId, PublicKey};
use crate::tuf;
use crate::tuf::key_id::KeyForm;

impl Engine {
    /// The keys of one repository, or with an empty name of all that the caller may read.
    pub async fn list_keys(&self, call: &Call, repository: &str) -> Result<Vec<KeyRecord>, Denial> {
        self.audited(call, "list-keys", async |scope| {
            let rules = self.rules();
            if repository.is_empty() {
                let mut keys = Vec::new();
                for repository in self.ledger.repositories().map_err(|error| error.denial())? {
                    if rules.grants.allow_repository(&call.caller, Verb::Read, &repository) {
                        let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
                        keys.extend(view.keys.iter().cloned());
                    }
                }
                return Ok(keys);
            }
            let repository: RepositoryName = parse("repository", repository)?;
            *scope = Scope::of(&repository, None);
            rules.admit_repository(call, Verb::Read, &repository)?;
            scope.admit();
            Ok(self.ledger.view(&repository).map_err(|error| error.denial())?.keys.clone())
        })
        .await
    }

    /// One key record. A key of a repository that the caller may not read is answered like one that does not exist.
    pub async fn get_key(&self, call: &Call, key: &str) -> Result<KeyRecord, Denial> {
        self.audited(call, "get-key", async |scope| {
            let id: KeyId = parse("key", key)?;
            let rules = self.rules();
            let record = self.ledger.key(&id).map_err(|error| error.denial())?;
            match record {
                Some(record) if rules.grants.allow_repository(&call.caller, Verb::Read, &record.repository) => {
                    *scope = Scope::of(&record.repository, None);
                    Ok(record)
                }
                _ if rules.grants.allow_daemon(&call.caller, Verb::Read) => {
                    Err(Denial::new(Reason::UnknownKey, format!("there is no key {id}")))
                }
                _ => Err(no_grant(call, Verb::Read, "for this key")),
            }
        })
        .await
    }
}

/// Every form in which TUF clients write a public key, with the key id that follows from it. The first is
/// securesystemslib's.
pub fn key_forms(key: &PublicKey) -> Vec<KeyForm> {
    tuf::key_id::forms(key)
}
