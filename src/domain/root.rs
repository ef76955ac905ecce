//! The trusted and the staged root of a repository, as far as the law weighs them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::name::{RepositoryName, Role, Sha256Digest, Version};
use super::public_key::KeyId;
use super::time::Instant;

/// The keys and the threshold that a root, or a delegator, gives to one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// How many distinct public keys must sign.
    pub threshold: u64,
    /// The keys that sealward can read, by public key, each with the TUF key id under which it is listed.
    pub keys: BTreeMap<KeyId, String>,
}

/// A root whose signatures were verified, in the part that the law needs. The file itself is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedRoot {
    /// `version`.
    pub version: Version,
    /// `expires`; an expired root is accepted and reported, because a rescue must not wait.
    pub expires: Instant,
    /// SHA-256 of the canonical bytes of `signed`.
    pub signed_digest: Sha256Digest,
    /// SHA-256 of the file.
    pub file_digest: Sha256Digest,
    /// The four top-level roles.
    pub roles: BTreeMap<Role, RoleKeys>,
}

impl RoleKeys {
    /// Whether the signatures of these keys meet the threshold.
    pub fn is_met_by(&self, signed: &BTreeSet<KeyId>) -> bool {
        let count = self.keys.keys().filter(|key| signed.contains(key)).count();
        u64::try_from(count).is_ok_and(|count| count >= self.threshold)
    }
}

impl VerifiedRoot {
    /// The TUF key id under which this root lists the key for the role.
    pub fn key_id_for(&self, role: &Role, key: &KeyId) -> Option<&str> {
        self.roles.get(role)?.keys.get(key).map(String::as_str)
    }

    /// Whether this root lists the key for the role.
    pub fn lists(&self, role: &Role, key: &KeyId) -> bool {
        self.key_id_for(role, key).is_some()
    }

    /// Every key that it lists for any role.
    pub fn all_keys(&self) -> BTreeSet<KeyId> {
        self.roles.values().flat_map(|role| role.keys.keys().copied()).collect()
    }
}

/// What a repository trusts, and what it is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// The repository.
    pub repository: RepositoryName,
    /// The newest root that is known to be published.
    pub trusted: Option<VerifiedRoot>,
    /// A verified successor that is not yet published.
    pub staged: Option<VerifiedRoot>,
    /// Keys that were pending until the staged root listed them: pending again when another takes its place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub activated: BTreeSet<KeyId>,
    /// A verified root of the trusted version with other bytes was shown: the digest of its file. Nothing signs.
    #[serde(default)]
    pub fork: Option<Sha256Digest>,
    /// Counts changes, from 0 for a repository without roots.
    pub revision: u64,
}

impl Roots {
    /// A repository without any root.
    pub fn unrooted(repository: RepositoryName) -> Self {
        Self { repository, trusted: None, staged: None, activated: BTreeSet::new(), fork: None, revision: 0 }
    }

    /// Whether there is neither a trusted nor a staged root.
    pub fn is_unrooted(&self) -> bool {
        self.trusted.is_none() && self.staged.is_none()
    }

    /// Trusted, then staged.
    pub fn iter(&self) -> impl Iterator<Item = &VerifiedRoot> {
        self.trusted.iter().chain(self.staged.iter())
    }

    /// The TUF key id under which the trusted root, else the staged one, lists the key.
    pub fn key_id_for(&self, role: &Role, key: &KeyId) -> Option<&str> {
        self.iter().find_map(|root| root.key_id_for(role, key))
    }
}
