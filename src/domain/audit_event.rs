//! What an audit leaf says: an allow-list of names, numbers and digests. No payload, no free text of a caller.

use serde::{Deserialize, Serialize};

use super::approval::PendingId;
use super::caller::Caller;
use super::name::{MetadataType, RepositoryName, Role, Sha256Digest, Version};
use super::outcome::{Denial, Outcome};
use super::person::PersonName;
use super::public_key::KeyId;
use super::time::Instant;

/// One event. Members that do not apply are left out of the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided.
    pub time: Instant,
    /// Who asked, as [`Caller`]'s text.
    pub caller: String,
    /// What was asked: `sign`, `generate-key`, `stage-root`, ...
    pub verb: String,
    /// `advance`, `cosign`, `supersede`, `pending`, `approval`, `administration`, `denial`, `failure` or `aggregate`.
    pub event: EventKind,
    /// How it ended.
    pub outcome: Outcome,
    /// The request that it belongs to.
    pub request: String,
    /// The rule, for what was denied or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The guard's epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// `_type` of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_type: Option<MetadataType>,
    /// Version of the payload or the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Expiry of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Instant>,
    /// SHA-256 of the payload or file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256Digest>,
    /// SHA-256 of the released signature in its fixed-length form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Sha256Digest>,
    /// What a freeze, a thaw or a latch is about, in the words of its scope, with the reason code of a freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What waits for people, was approved or rejected by one, or was released with their approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PendingId>,
    /// The person who approved or rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonName>,
    /// How many requests an aggregate leaf stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// The kinds of `law.md` section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A first signature over a version.
    Advance,
    /// A further signature over the head.
    Cosign,
    /// A first signature over another payload of a released version, where the role allows it.
    Supersede,
    /// Something waits for people.
    Pending,
    /// A person approved or rejected what waits.
    Approval,
    /// A signature of `targets/*`, which no guard holds: it has no epoch.
    Unguarded,
    /// A key was made, a root was staged, and so on.
    Administration,
    /// The law or a grant said no to an authenticated, granted caller.
    Denial,
    /// A failure after which a signature may exist outside.
    Failure,
    /// Several alike requests of one minute.
    Aggregate,
}

impl Event {
    /// An event with what every leaf has.
    pub fn new(time: Instant, caller: &Caller, verb: &str, request: &str, event: EventKind) -> Self {
        Self {
            time,
            caller: caller.to_string(),
            verb: verb.to_owned(),
            event,
            outcome: Outcome::Succeeded,
            request: request.to_owned(),
            reason: None,
            repository: None,
            role: None,
            epoch: None,
            key: None,
            metadata_type: None,
            version: None,
            expires: None,
            digest: None,
            signature: None,
            subject: None,
            approval: None,
            person: None,
            count: None,
        }
    }

    /// The event of a refusal.
    #[must_use]
    pub fn refused(mut self, denial: &Denial) -> Self {
        self.outcome = denial.reason.outcome();
        self.reason = Some(denial.reason.name().to_owned());
        if !matches!(self.event, EventKind::Aggregate | EventKind::Pending) {
            self.event = if self.outcome == Outcome::Failed { EventKind::Failure } else { EventKind::Denial };
        }
        self
    }
}
