//! How long and how often keys signed, against what their roles allow.

use super::Engine;
use crate::domain::law::sign::signatures_made;
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::Denial;
use crate::domain::public_key::KeyId;
use crate::domain::thresholds::{Level, Thresholds};

/// One key that signs, for one of its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The key.
    pub key: KeyId,
    /// Its repository.
    pub repository: RepositoryName,
    /// The role whose policy holds.
    pub role: Role,
    /// Seconds since it became active.
    pub age: u64,
    /// The role's cryptoperiod.
    pub cryptoperiod: Thresholds,
    /// How many signatures it made, over all its roles.
    pub signatures: u64,
    /// The role's limit.
    pub max_signatures: Thresholds,
}

impl KeyUse {
    /// Where its age stands.
    pub fn age_level(&self) -> Level {
        self.cryptoperiod.level(self.age)
    }

    /// Where its number of signatures stands.
    pub fn signatures_level(&self) -> Level {
        self.max_signatures.level(self.signatures)
    }

    /// What an operator should know of it, if anything.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let Self { key, repository, role, age, signatures, .. } = self;
        let what = |level, fact: String| {
            let advice = match level {
                Level::Fine => return None,
                Level::Warn => "it needs a successor soon".to_owned(),
                Level::Stage => {
                    format!("a successor is due: `sealward key rotate --repository {repository} --role {role}`")
                }
                Level::Refuse => format!("it signs nothing more for {role}: a root must list a successor"),
            };
            Some(format!("key {key} of {repository} {fact}: {advice}"))
        };
        let old = what(self.age_level(), format!("is active for {} days", age / (24 * 60 * 60)));
        let used = what(self.signatures_level(), format!("made {signatures} signatures"));
        old.into_iter().chain(used)
    }
}

impl Engine {
    /// Every key that signs, for each of its roles that policy names.
    pub fn key_uses(&self) -> Result<Vec<KeyUse>, Denial> {
        let rules = self.rules();
        let now = self.now();
        let mut uses = Vec::new();
        for repository in self.ledger.repositories().map_err(|error| error.denial())? {
            let Some(policy) = rules.policies.find(&repository) else { continue };
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            for (record, age) in view.keys.iter().filter_map(|record| Some((record, record.age(now)?))) {
                let signatures = signatures_made(&view.guards, record);
                uses.extend(record.roles.iter().filter_map(|role| {
                    let limits = policy.role(role)?;
                    Some(KeyUse {
                        key: record.id(),
                        repository: repository.clone(),
                        role: role.clone(),
                        age,
                        cryptoperiod: limits.cryptoperiod,
                        signatures,
                        max_signatures: limits.max_signatures,
                    })
                }));
            }
        }
        Ok(uses)
    }
}
