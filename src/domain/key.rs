//! Key records: what the ledger knows of a key besides its public half.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::key_history::KeyHistory;
use super::name::{KeystoreName, RepositoryName, Role};
use super::outcome::{Denial, Reason};
use super::public_key::{KeyId, PublicKey};
use super::time::Instant;

/// How the bytes that a key signs are read. The kind is the key's, never guessed from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ContentKind {
    /// TUF metadata as the specification 1.0 writes it.
    Tuf,
}

/// Where a key stands in its life. Transitions are [`KeyRecord::with_state`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Made, and not yet listed by a root.
    Pending,
    /// Signs.
    Active,
    /// No longer listed by the staged root: cosigns only.
    Retiring,
    /// Signs no more.
    Retired,
    /// Its private half is gone.
    Destroyed,
}

impl KeyState {
    /// The name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        }
    }
}

/// The explicit set of roles that a key is bound to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "BTreeSet<Role>", try_from = "BTreeSet<Role>")]
pub struct RoleSet(BTreeSet<Role>);

impl RoleSet {
    /// At least one role, and never root: it is offline by type. Which sets of several roles there may be, the policy says.
    pub fn new(roles: BTreeSet<Role>) -> Result<Self, Denial> {
        let denied = |detail: &str| Err(Denial::new(Reason::RoleSet, detail));
        if roles.contains(&Role::Root) {
            return Err(Denial::new(Reason::OfflineRole, "the daemon never holds a key for root"));
        }
        if roles.is_empty() { denied("no role") } else { Ok(Self(roles)) }
    }

    /// One role, or `{timestamp, snapshot}`, which tuf-on-ci demands. Every other set has to stand in the policy.
    pub fn is_usual(&self) -> bool {
        let pair = self.0.len() == 2 && self.0.contains(&Role::Timestamp) && self.0.contains(&Role::Snapshot);
        self.0.len() == 1 || pair
    }

    /// Whether the key is bound to this role.
    pub fn contains(&self, role: &Role) -> bool {
        self.0.contains(role)
    }

    /// The roles, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.0.iter()
    }
}

impl TryFrom<BTreeSet<Role>> for RoleSet {
    type Error = Denial;

    fn try_from(roles: BTreeSet<Role>) -> Result<Self, Self::Error> {
        Self::new(roles)
    }
}

impl From<RoleSet> for BTreeSet<Role> {
    fn from(set: RoleSet) -> Self {
        set.0
    }
}

/// What the ledger holds of one key. The repository, the roles, the kind and the public key never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The public half; its digest is the key's handle.
    pub public_key: PublicKey,
    /// The one repository.
    pub repository: RepositoryName,
    /// The explicit roles.
    pub roles: RoleSet,
    /// How its payloads are read.
    pub kind: ContentKind,
    /// Where the private half lives.
    pub keystore: KeystoreName,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made here.
    pub created: Instant,
    /// When it became what it is.
    #[serde(default)]
    pub history: KeyHistory,
    /// Counts changes of this record, from 1. A commit that decided on an older one is decided again.
    pub revision: u64,
}

impl KeyRecord {
    /// The key's handle.
    pub fn id(&self) -> KeyId {
        self.public_key.id()
    }

    /// The record after a change of state at this time.
    #[must_use]
    pub fn with_state(&self, state: KeyState, now: Instant) -> Self {
        let history = self.history.after(state, now);
        Self { state, history, revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// The record with another history.
    #[must_use]
    pub(super) fn with_history(&self, history: KeyHistory) -> Self {
        Self { history, revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// Seconds since it became active; `None` while it is not.
    pub fn age(&self, now: Instant) -> Option<u64> {
        if !matches!(self.state, KeyState::Active | KeyState::Retiring) {
            return None;
        }
        let since = self.history.activated.unwrap_or(self.created);
        Some(u64::try_from(now.seconds_since(since)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_set_never_holds_root_and_is_never_empty() {
        let set = |roles: &[Role]| RoleSet::new(roles.iter().cloned().collect());
        assert_eq!(set(&[Role::Root]).unwrap_err().reason, Reason::OfflineRole);
        assert_eq!(set(&[Role::Root, Role::Timestamp]).unwrap_err().reason, Reason::OfflineRole);
        assert!(set(&[Role::Timestamp, Role::Snapshot]).unwrap().is_usual());
        assert!(!set(&[Role::Targets, Role::Snapshot]).unwrap().is_usual(), "the policy has to name it");
        assert_eq!(set(&[]).unwrap_err().reason, Reason::RoleSet);
        let stored = serde_json::from_str::<RoleSet>(r#"["root"]"#);
        assert!(stored.is_err(), "not even a ledger that someone wrote to gives a root key");
    }
}
