//! Policy: the validated configuration of a repository or of a pattern of repositories.

use std::collections::BTreeMap;

use super::algorithm::Algorithm;
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
}

/// Largest payload of targets and delegated roles unless configured.
pub const TARGETS_PAYLOAD_BYTES: usize = 64 << 20;
/// Largest payload of other roles unless configured.
pub const PAYLOAD_BYTES: usize = 8 << 20;
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
    /// Whether a repository without a trusted or staged root may sign.
    pub require_root: bool,
    /// Whether a timestamp must come with the signed snapshot that it lists.
    pub require_snapshot_bytes: bool,
    /// How many keys that are not destroyed a repository may have.
    pub max_keys: usize,
    /// How long after its retirement a key may be destroyed at the earliest, in seconds.
    pub destroy_delay_seconds: i64,
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
        let of = |policy: &RepositoryPolicy| policy.roles.values().map(|role| role.max_payload_bytes).max();
        self.0.iter().filter_map(of).max().unwrap_or(PAYLOAD_BYTES)
    }
}
