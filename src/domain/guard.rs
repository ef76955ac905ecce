//! The guard: what a role released, so that nothing contradicts it. And how a payload relates to it: the step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::delegation::Delegations;
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
    /// What it delegates: whose keys sign for which role. Only of targets and delegated roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    /// The signatures released over it, by key. Empty for a head that came from seeding.
    pub signatures: BTreeMap<KeyId, Signature>,
    /// When it was released or seeded here.
    pub released: Instant,
    /// Who asked first.
    pub by: String,
    /// Whether it is published metadata that the guard was seeded with. What was listed before it is not known here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seeded: bool,
    /// How many payloads of this version it took the place of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub supersedes: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks with a reference
fn is_zero(number: &u32) -> bool {
    *number == 0
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
    /// The listing before the head: a payload that supersedes the head is held against it.
    pub previous_listing: Listing,
    /// What superseded heads listed above what any head lists since: it was released, and no head says so any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withdrawn: BTreeMap<String, Version>,
    /// Released (version, digest) pairs back to the lowest version that another guard still lists. Holds the head's.
    pub released: BTreeMap<Version, Sha256Digest>,
    /// The release rate; `None` is a full bucket.
    pub rate: Option<RateState>,
    /// Keys that released in this epoch. For a seeded head, whose signers nobody here saw, every key that the root of that
    /// moment listed for the role.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signers: BTreeSet<KeyId>,
    /// Keys that released in an earlier epoch: they never sign for this role again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub barred: BTreeSet<KeyId>,
    /// The version that a recovered epoch goes on from; `None` in a first epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_on_from: Option<Version>,
    /// What the last head of the epoch before delegated: it holds in a recovered epoch until that has a head of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated_before: Option<Delegations>,
    /// When a recovery closed the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Instant>,
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
    /// The head's version with another payload, where the role allows it.
    Supersede,
    /// Held against nothing: the role `targets/*` has no guard.
    Unguarded,
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
            Self::Supersede => "supersede",
            Self::Unguarded => "unguarded",
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
            withdrawn: BTreeMap::new(),
            released: BTreeMap::new(),
            rate: None,
            signers: BTreeSet::new(),
            barred: BTreeSet::new(),
            goes_on_from: None,
            delegated_before: None,
            closed: None,
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
            delegations: statement.delegations().cloned(),
            signatures: BTreeMap::new(),
            released: now,
            by,
            seeded: true,
            supersedes: 0,
        };
        let released = BTreeMap::from([(head.version, head.digest)]);
        Self { head: Some(head), released, ..Self::seeded_as_zero(name) }
    }

    /// The version that the next one must be above, 0 for none.
    pub fn floor(&self) -> u64 {
        self.head.as_ref().map(|head| head.version).or(self.goes_on_from).map_or(0, Version::get)
    }

    /// Whether it is known here to whom the role delegates. An epoch ends only with a head, so a later one knows that.
    pub fn knows_delegations(&self) -> bool {
        self.head.is_some() || self.name.epoch > 1
    }

    /// Whose keys sign for which role, as the role released it last.
    pub fn delegations(&self) -> Option<&Delegations> {
        match &self.head {
            Some(head) => head.delegations.as_ref(),
            None => self.delegated_before.as_ref(),
        }
    }

    /// Whether a payload is above the head, is the head, may take its place, or contradicts it.
    pub(super) fn relate(&self, statement: &Statement, max_supersedes: u32) -> Result<Relation, Denial> {
        let (version, role) = (statement.version(), &self.name.role);
        let head_version = self.floor();
        if version.get() > head_version {
            return Ok(Relation::Above { head_version });
        }
        let Some(head) = self.head.as_ref().filter(|head| head.version == version) else {
            let what = if self.head.is_some() { "the released" } else { "what the recovery goes on from," };
            let detail = format!("{role} {version} is not above {what} {role} {head_version}");
            return Err(Denial::new(Reason::Rollback, detail));
        };
        if statement.digest() == head.digest {
            return Ok(Relation::Same);
        }
        if max_supersedes == 0 {
            return Err(self.equivocation(statement, ""));
        }
        if head.seeded {
            return Err(self.equivocation(statement, "; it was published, and what was listed before it is not known"));
        }
        if head.supersedes >= max_supersedes {
            let spent = format!("; of {max_supersedes} supersedes of this version {} were made", head.supersedes);
            return Err(self.equivocation(statement, &spent));
        }
        Ok(Relation::Supersedes)
    }

    /// The denial of a payload that contradicts the head: when and for whom its version was released.
    pub(super) fn equivocation(&self, statement: &Statement, because: &str) -> Denial {
        let (role, version, digest) = (&self.name.role, statement.version(), statement.digest());
        let released = self.head.as_ref().map(|head| {
            let what = if head.seeded { "seeded" } else { "released" };
            format!("was {what} at {} for {} with digest {}", head.released, head.by, head.digest)
        });
        let released = released.unwrap_or_default();
        let detail = format!("{role} {version} {released}; this payload has digest {digest}{because}");
        Denial::new(Reason::Equivocation, detail)
    }

    /// Holds a new listing against the one before it: nothing falls, nothing jumps, nothing disappears.
    pub(super) fn check_listing(
        &self,
        before: &Listing,
        listing: &Listing,
        max_step: u64,
        first_max: u64,
    ) -> Result<(), Denial> {
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

    /// The listing that an advance is held against.
    pub(super) fn listing(&self) -> Option<&Listing> {
        self.head.as_ref().map(|head| &head.listing)
    }

    /// Whether a released payload of this epoch, the head or a superseded one, may have listed this version of a role. Versions
    /// that only older heads listed are below what the head lists.
    pub(super) fn has_listed(&self, role: &Role, version: Version) -> bool {
        let by_head = self.listing().and_then(|listing| listed(listing, role));
        by_head.is_some_and(|entry| entry.version == version)
            // The highest one stands for all below it, which it may have taken the place of in the record.
            || self.withdrawn.get(&format!("{role}.json")).is_some_and(|highest| *highest >= version)
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
        self.with_head(statement, signatures, rate, now, by, Succession { previous_listing, released, supersedes: 0 })
    }

    /// The guard after this payload took the head's place, with the first signatures over it. The listing before stays.
    #[must_use]
    pub(super) fn superseded(
        &self,
        statement: &Statement,
        signatures: BTreeMap<KeyId, Signature>,
        rate: ReleaseRate,
        now: Instant,
        by: String,
    ) -> Self {
        let mut released = self.released.clone();
        released.insert(statement.version(), statement.digest());
        let supersedes = self.head.as_ref().map_or(0, |head| head.supersedes).saturating_add(1);
        let previous_listing = self.previous_listing.clone();
        self.with_head(statement, signatures, rate, now, by, Succession { previous_listing, released, supersedes })
    }

    fn with_head(
        &self,
        statement: &Statement,
        signatures: BTreeMap<KeyId, Signature>,
        rate: ReleaseRate,
        now: Instant,
        by: String,
        after: Succession,
    ) -> Self {
        let Succession { previous_listing, released, supersedes } = after;
        let mut withdrawn = self.withdrawn_with_head();
        withdrawn.retain(|file, version| statement.listing().get(file).is_none_or(|entry| entry.version < *version));
        Self {
            signers: self.signers.iter().chain(signatures.keys()).copied().collect(),
            head: Some(Head {
                version: statement.version(),
                digest: statement.digest(),
                expires: statement.expires(),
                listing: statement.listing().clone(),
                delegations: statement.delegations().cloned(),
                signatures,
                released: now,
                by,
                seeded: false,
                supersedes,
            }),
            name: self.name.clone(),
            previous_listing,
            withdrawn,
            released,
            rate: Some(self.refilled(rate, now).spent()),
            barred: self.barred.clone(),
            goes_on_from: self.goes_on_from,
            delegated_before: None,
            closed: self.closed,
            signatures_made: self.signatures_made.clone(),
            revision: self.revision.saturating_add(1),
        }
    }

    /// The guard with further signatures over its head.
    #[must_use]
    pub(super) fn cosigned(&self, signatures: BTreeMap<KeyId, Signature>) -> Self {
        let mut guard = self.clone();
        guard.signers.extend(signatures.keys());
        if let Some(head) = &mut guard.head {
            head.signatures.extend(signatures);
        }
        guard.revision = guard.revision.saturating_add(1);
        guard
    }

    /// The guard after one more release of a role without a head.
    #[must_use]
    pub(super) fn rated(&self, rate: ReleaseRate, now: Instant) -> Self {
        let revision = self.revision.saturating_add(1);
        Self { rate: Some(self.refilled(rate, now).spent()), revision, ..self.clone() }
    }

    /// The guard as it stays when its epoch ends.
    pub(super) fn closed_at(&self, now: Instant) -> Self {
        Self { closed: Some(now), revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// The guard of the next epoch. The keys of this one are barred; what it listed stays known, so that nothing that a
    /// client may have met is superseded; what it delegated holds on; the release rate goes on as it is.
    pub(super) fn next_epoch(&self, goes_on_from: Option<Version>) -> Self {
        let epoch = self.name.epoch.saturating_add(1);
        let mut next = Self::seeded_as_zero(GuardName { epoch, ..self.name.clone() });
        next.withdrawn = self.withdrawn_with_head();
        next.barred = self.barred.union(&self.signers).copied().collect();
        next.rate = self.rate;
        next.signatures_made = self.signatures_made.clone();
        next.goes_on_from = goes_on_from;
        next.delegated_before = self.delegations().cloned();
        next
    }

    /// The highest listed versions, of the head and of what it took the place of.
    fn withdrawn_with_head(&self) -> BTreeMap<String, Version> {
        let mut withdrawn = self.withdrawn.clone();
        for (file, entry) in self.listing().into_iter().flatten() {
            let kept = withdrawn.entry(file.clone()).or_insert(entry.version);
            *kept = entry.version.max(*kept);
        }
        withdrawn
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
    /// It has the head's version and other bytes, and the role allows that once more.
    Supersedes,
    /// There is nothing to relate it to.
    Unguarded,
}

/// What of the past a new head leaves behind.
struct Succession {
    previous_listing: Listing,
    released: BTreeMap<Version, Sha256Digest>,
    supersedes: u32,
}

/// The entry that a listing has for a role's own file.
pub fn listed<'a>(listing: &'a Listing, role: &Role) -> Option<&'a ListedFile> {
    listing.get(&format!("{role}.json"))
}
