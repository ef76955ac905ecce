//! Policy: the validated configuration of a repository or of a pattern of repositories.

use std::collections::{BTreeMap, BTreeSet};

use super::algorithm::Algorithm;
use super::key::RoleSet;
use super::name::{KeystoreName, Pattern, RepositoryName, Role, Sha256Digest};
use super::thresholds::Thresholds;

/// How a role signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// Only in a ceremony, never through the daemon.
    Offline,
    /// People approve each payload.
    Attended,
    /// By itself, within the law.
    Online,
}

impl Custody {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Attended => "attended",
            Self::Online => "online",
        }
    }
}

/// How often a guard may release, as a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseRate {
    /// Releases per hour, in the long run.
    pub per_hour: u32,
    /// Releases that may come at once.
    pub burst: u32,
}

/// The limits of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePolicy {
    /// How it signs.
    pub custody: Custody,
    /// The furthest expiry, in seconds from now.
    pub max_expiry_seconds: i64,
    /// The largest payload, in bytes.
    pub max_payload_bytes: usize,
    /// How far a version, its own or a listed one, may advance at once.
    pub max_version_step: u64,
    /// The largest version of a listed entry that is seen for the first time.
    pub first_listed_max: u64,
    /// How often another payload may take the place of a released one of the same version.
    pub max_supersedes: u32,
    /// How often it may release.
    pub release_rate: ReleaseRate,
    /// How long a key of it may be active, in seconds.
    pub cryptoperiod: Thresholds,
    /// How many signatures a key of it may make, over all its roles.
    pub max_signatures: Thresholds,
    /// How many persons must approve a payload, where custody is attended.
    pub approvals: u32,
    /// How long a payload waits for them, in seconds.
    pub approval_expiry_seconds: i64,
    /// How many payloads may wait at once.
    pub max_pending: usize,
    /// Where its keys are made when the request does not say.
    pub keystore: Option<KeystoreName>,
    /// Of which algorithm its keys are made when the request does not say.
    pub algorithm: Option<Algorithm>,
    /// Where else its keys may be made, when the request says so.
    pub keystores: Vec<KeystoreName>,
    /// Of which other algorithms.
    pub algorithms: Vec<Algorithm>,
    /// How many pending keys a role of a repository may have.
    pub max_pending_keys: usize,
    /// Said loudly of [`Role::UNGUARDED`], and of nothing else: no guard holds what it signs.
    pub unguarded: bool,
}

/// Largest payload of targets and delegated roles unless configured.
pub const TARGETS_PAYLOAD_BYTES: usize = 64 << 20;
/// Largest payload of other roles unless configured.
pub const PAYLOAD_BYTES: usize = 8 << 20;
/// Pending keys of a role unless configured: a rotation has one.
const MAX_PENDING_KEYS: usize = 8;
const DAY: i64 = 24 * 60 * 60;
/// How long a retired key is kept unless configured: 30 days.
pub const DESTROY_DELAY_SECONDS: i64 = 30 * DAY;

impl RolePolicy {
    /// The defaults of `law.md` for a role.
    pub fn default_for(role: &Role) -> Self {
        let (custody, days, payload, rate) = match role {
            Role::Root => (Custody::Offline, 0, PAYLOAD_BYTES, (0, 0)),
            Role::Timestamp => (Custody::Online, 7, PAYLOAD_BYTES, (60, 20)),
            Role::Snapshot => (Custody::Online, 30, PAYLOAD_BYTES, (600, 600)),
            Role::Targets | Role::Delegated(_) => (Custody::Attended, 365, TARGETS_PAYLOAD_BYTES, (600, 600)),
        };
        Self {
            custody,
            max_expiry_seconds: days * DAY,
            max_payload_bytes: payload,
            max_version_step: 10,
            first_listed_max: 10_000,
            max_supersedes: 0,
            release_rate: ReleaseRate { per_hour: rate.0, burst: rate.1 },
            cryptoperiod: Thresholds::default(),
            max_signatures: Thresholds::default(),
            approvals: 1,
            approval_expiry_seconds: DAY,
            max_pending: 16,
            keystore: None,
            algorithm: None,
            keystores: Vec::new(),
            algorithms: Vec::new(),
            max_pending_keys: MAX_PENDING_KEYS,
            unguarded: false,
        }
    }

    /// What an approval is bound to. Not comparable between versions of sealward: an upgrade voids what is pending, which
    /// is the safe side.
    pub fn digest(&self) -> Sha256Digest {
        // The derived form has every field, also those that are added later.
        Sha256Digest::of(format!("{self:?}").as_bytes())
    }
}

/// What holds for a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPolicy {
    /// Which repositories it is for.
    pub repositories: Pattern,
    /// The roles that may sign here. A role that is not named has no keys and signs nothing. Root is never here.
    pub roles: BTreeMap<Role, RolePolicy>,
    /// Delegated roles by pattern, in the order of the file, for those that `roles` does not name.
    pub role_patterns: Vec<(Pattern, RolePolicy)>,
    /// Sets of roles that one key may be bound to, besides single roles and `{timestamp, snapshot}`.
    pub role_sets: Vec<BTreeSet<Role>>,
    /// Whether a repository without a trusted or staged root may sign.
    pub require_root: bool,
    /// Whether a timestamp must come with the signed snapshot that it lists.
    pub require_snapshot_bytes: bool,
    /// How many keys that are not destroyed a repository may have.
    pub max_keys: usize,
    /// How long after its retirement a key may be destroyed at the earliest, in seconds.
    pub destroy_delay_seconds: i64,
}

impl RepositoryPolicy {
    /// The limits of a role: those of its own name, else for a delegated role those of the first pattern in the file. No
    /// pattern reaches a top-level role, nor `targets/*`, which has to be said.
    pub fn role(&self, role: &Role) -> Option<&RolePolicy> {
        let named = self.roles.get(role).filter(|limits| limits.unguarded == role.is_unguarded());
        if named.is_some() || role.is_unguarded() || !matches!(role, Role::Delegated(_)) {
            return named;
        }
        self.role_patterns.iter().find(|(pattern, _)| pattern.matches(role.as_str())).map(|(_, limits)| limits)
    }

    /// The limits of `targets/*`, where it was configured.
    pub fn unguarded(&self) -> Option<&RolePolicy> {
        self.roles.iter().find(|(role, limits)| role.is_unguarded() && limits.unguarded).map(|(_, limits)| limits)
    }

    /// Whether one key may be bound to these roles.
    pub fn allows_set(&self, roles: &RoleSet) -> bool {
        roles.is_usual() || self.role_sets.iter().any(|set| roles.iter().eq(set))
    }

    /// Every role's limits, with the name or the pattern.
    pub fn limits(&self) -> impl Iterator<Item = (&str, &RolePolicy)> {
        let named = self.roles.iter().map(|(role, limits)| (role.as_str(), limits));
        named.chain(self.role_patterns.iter().map(|(pattern, limits)| (pattern.as_str(), limits)))
    }
}

/// All policies of the daemon, in the order of the file. The first that matches holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies(Vec<RepositoryPolicy>);

impl Policies {
    /// From the configuration.
    pub fn new(policies: Vec<RepositoryPolicy>) -> Self {
        Self(policies)
    }

    /// The policy of a repository: an exact name before any pattern, then the first pattern in the file.
    pub fn find(&self, repository: &RepositoryName) -> Option<&RepositoryPolicy> {
        let matches = |policy: &&RepositoryPolicy| policy.repositories.matches(repository.as_str());
        let exact = self.0.iter().find(|policy| policy.repositories.is_exact() && matches(policy));
        exact.or_else(|| self.0.iter().find(matches))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &RepositoryPolicy> {
        self.0.iter()
    }

    /// The largest payload that any role may have; message limits of doors and clients derive from it.
    pub fn largest_payload(&self) -> usize {
        let of = |policy: &RepositoryPolicy| policy.limits().map(|(_, role)| role.max_payload_bytes).max();
        self.0.iter().filter_map(of).max().unwrap_or(PAYLOAD_BYTES)
    }
}
