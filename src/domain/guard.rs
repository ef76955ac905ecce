//! The guard: what a role released, so that nothing contradicts it. And how a payload relates to it: the step.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{RepositoryName, Role, Sha256Digest, Version};
use super::outcome::{Denial, Reason};
use super::policy::ReleaseRate;
use super::public_key::KeyId;
use super::signature::Signature;
use super::statement::{ListedFile, Listing, Statement};
use super::time::Instant;

/// The largest payload that a head keeps, for whoever lost what we signed.
pub const KEPT_PAYLOAD_BYTES: usize = 8 << 20;

/// What a guard is of. Keys are not part of its name: rotation inherits it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuardName {
    /// The repository.
    pub repository: RepositoryName,
    /// The role.
    pub role: Role,
    /// Begins at 1; recovery begins the next.
    pub epoch: u32,
}

impl fmt::Display for GuardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} epoch {}", self.repository, self.role, self.epoch)
    }
}

/// The newest payload that a role released, or that it was seeded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its version.
    pub version: Version,
    /// SHA-256 of its bytes.
    pub digest: Sha256Digest,
    /// Its expiry.
    pub expires: Instant,
    /// What it lists.
    pub listing: Listing,
    /// The signatures released over it, by key. Empty for a head that came from seeding.
    pub signatures: BTreeMap<KeyId, Signature>,
    /// When it was released or seeded here.
    pub released: Instant,
    /// Who asked first.
    pub by: String,
}

/// The state of a role's release rate: a token bucket in thousandths, counted by the law from its own clock argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateState {
    millitokens: u64,
    counted: Instant,
}

/// What the ledger remembers of one (repository, role, epoch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// What it is of.
    pub name: GuardName,
    /// `None`: seeded as 0, of a new repository, and nothing released yet.
    pub head: Option<Head>,
    /// The listing before the head.
    pub previous_listing: Listing,
    /// Released (version, digest) pairs back to the lowest version that another guard still lists. Holds the head's.
    pub released: BTreeMap<Version, Sha256Digest>,
    /// The release rate; `None` is a full bucket.
    pub rate: Option<RateState>,
    /// How many signatures each key made under this guard. A replay makes none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signatures_made: BTreeMap<KeyId, u64>,
    /// Counts changes, from 1. A commit that decided on an older one is decided again.
    pub revision: u64,
}

/// How a payload relates to the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A higher version.
    Advance,
    /// The head again, by a key that has not released it.
    Cosign,
    /// The head again, by a key whose signature is on record.
    Replay,
}

impl Step {
    /// Whether a key signs anew in this step.
    pub fn makes_a_signature(self) -> bool {
        self != Self::Replay
    }

    /// The name in leaves and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Advance => "advance",
            Self::Cosign => "cosign",
            Self::Replay => "replay",
        }
    }
}

impl Guard {
    /// A guard seeded as 0, for a new repository only.
    pub fn seeded_as_zero(name: GuardName) -> Self {
        Self {
            name,
            head: None,
            previous_listing: Listing::new(),
            released: BTreeMap::new(),
            rate: None,
            signatures_made: BTreeMap::new(),
            revision: 1,
        }
    }

    /// A guard seeded from published, verified metadata.
    pub fn seeded_from(name: GuardName, statement: &Statement, now: Instant, by: String) -> Self {
        let head = Head {
            version: statement.version(),
            digest: statement.digest(),
            expires: statement.expires(),
            listing: statement.listing().clone(),
            signatures: BTreeMap::new(),
            released: now,
            by,
        };
        let released = BTreeMap::from([(head.version, head.digest)]);
        Self { head: Some(head), released, ..Self::seeded_as_zero(name) }
    }

    /// Whether a payload is above the head, is the head, or contradicts it.
    pub(super) fn relate(&self, statement: &Statement) -> Result<Relation, Denial> {
        let Some(head) = &self.head else {
            return Ok(Relation::Above { head_version: 0 });
        };
        let (version, role) = (statement.version(), &self.name.role);
        if version > head.version {
            return Ok(Relation::Above { head_version: head.version.get() });
        }
        if version < head.version {
            let detail = format!("{role} {version} is older than the released {role} {}", head.version);
            return Err(Denial::new(Reason::Rollback, detail));
        }
        if statement.digest() == head.digest {
            return Ok(Relation::Same);
        }
        let detail = format!(
            "{role} {version} was released at {} for {} with digest {}; this payload has digest {}",
            head.released,
            head.by,
            head.digest,
            statement.digest()
        );
        Err(Denial::new(Reason::Equivocation, detail))
    }

    /// Holds a new listing against the head's: nothing falls, nothing jumps, nothing disappears.
    pub(super) fn check_listing(&self, listing: &Listing, max_step: u64, first_max: u64) -> Result<(), Denial> {
        let empty = Listing::new();
        let before = self.head.as_ref().map_or(&empty, |head| &head.listing);
        for file in before.keys() {
            if !listing.contains_key(file) {
                let detail = format!("`{file}` is listed in the released {}, and not in this one", self.name.role);
                return Err(Denial::new(Reason::EntryRemoved, detail));
            }
        }
        for (file, entry) in listing {
            let version = entry.version.get();
            match before.get(file) {
                Some(old) if entry.version < old.version => {
                    let detail = format!("`{file}` falls from {} to {version}", old.version);
                    return Err(Denial::new(Reason::ListedRollback, detail));
                }
                Some(old) if version - old.version.get() > max_step => {
                    let detail = format!("`{file}` jumps from {} to {version}; the bound is {max_step}", old.version);
                    return Err(Denial::new(Reason::ListedStep, detail));
                }
                None if version > first_max => {
                    let detail = format!("`{file}` is first seen at {version}; the bound is {first_max}");
                    return Err(Denial::new(Reason::ListedStep, detail));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether this guard released the version (with these bytes, where the caller knows them), or was seeded with it.
    pub fn has_released(&self, version: Version) -> bool {
        self.released.contains_key(&version)
    }

    /// The guard after an advance to this payload, with the first signatures over it.
    #[must_use]
    pub(super) fn advanced(
        &self,
        statement: &Statement,
        signatures: BTreeMap<KeyId, Signature>,
        rate: ReleaseRate,
        now: Instant,
        by: String,
        still_listed: Option<Version>,
    ) -> Self {
        let mut released = self.released.clone();
        // Below what another guard lists, only the law's own future questions matter, and it asks about none of these.
        let floor = still_listed.map_or(statement.version(), |listed| listed.min(statement.version()));
        released.retain(|version, _| *version >= floor);
        released.insert(statement.version(), statement.digest());
        let previous_listing = self.head.as_ref().map(|head| head.listing.clone()).unwrap_or_default();
        Self {
            name: self.name.clone(),
            head: Some(Head {
                version: statement.version(),
                digest: statement.digest(),
                expires: statement.expires(),
                listing: statement.listing().clone(),
                signatures,
                released: now,
                by,
            }),
            previous_listing,
            released,
            rate: Some(self.refilled(rate, now).spent()),
            signatures_made: self.signatures_made.clone(),
            revision: self.revision.saturating_add(1),
        }
    }

    /// The guard with further signatures over its head.
    #[must_use]
    pub(super) fn cosigned(&self, signatures: BTreeMap<KeyId, Signature>) -> Self {
        let mut guard = self.clone();
        if let Some(head) = &mut guard.head {
            head.signatures.extend(signatures);
        }
        guard.revision = guard.revision.saturating_add(1);
        guard
    }

    /// The guard with one more signature counted for each of these keys.
    #[must_use]
    pub(super) fn counted<'k>(mut self, keys: impl IntoIterator<Item = &'k KeyId>) -> Self {
        for key in keys {
            let made = self.signatures_made.entry(*key).or_default();
            *made = made.saturating_add(1);
        }
        self
    }

    /// Whether the release rate allows one more now.
    pub(super) fn check_rate(&self, rate: ReleaseRate, now: Instant) -> Result<(), Denial> {
        if self.refilled(rate, now).millitokens >= 1000 {
            return Ok(());
        }
        let detail = format!("{} releases at most {} per hour, {} at once", self.name.role, rate.per_hour, rate.burst);
        Err(Denial::new(Reason::RateLimited, detail))
    }

    fn refilled(&self, rate: ReleaseRate, now: Instant) -> RateState {
        let full = u64::from(rate.burst) * 1000;
        let Some(state) = self.rate else {
            return RateState { millitokens: full, counted: now };
        };
        // A clock that went back refills nothing.
        let seconds = u64::try_from(now.seconds_since(state.counted)).unwrap_or(0);
        let gained = seconds.saturating_mul(u64::from(rate.per_hour)).saturating_mul(1000) / 3600;
        // Time that bought less than a thousandth is kept for the next count.
        let counted = if gained == 0 { state.counted } else { now };
        RateState { millitokens: state.millitokens.saturating_add(gained).min(full), counted }
    }
}

impl RateState {
    fn spent(self) -> Self {
        Self { millitokens: self.millitokens.saturating_sub(1000), ..self }
    }
}

/// A payload that does not contradict the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Its version is higher.
    Above { head_version: u64 },
    /// It is the head.
    Same,
}

/// The entry that a listing has for a role's own file.
pub fn listed<'a>(listing: &'a Listing, role: &Role) -> Option<&'a ListedFile> {
    listing.get(&format!("{role}.json"))
}
