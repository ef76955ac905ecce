//! What waits for people: payloads of attended roles, and acts of two operators. (`law.md` section 6)
//!
//! A pending approval is named by a digest over everything that it is bound to. When any of that changes, the same bytes
//! have another name, and what was approved under the old one is worth nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::freeze::{Freeze, Frozen};
use super::grant::{Grants, Verb};
use super::guard::GuardName;
use super::name::{MetadataType, RepositoryName, Role, Sha256Digest, Version};
use super::person::PersonName;
use super::public_key::KeyId;
use super::time::Instant;

/// Names a pending approval: 32 hexadecimal digits, the beginning of a SHA-256 over what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PendingId([u8; 16]);

/// The text names no pending approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pending approval is named by 32 hexadecimal digits, in lower case")]
pub struct InvalidPendingId;

impl PendingId {
    fn of(bound: &str) -> Self {
        let digest = Sha256Digest::of(format!("sealward-pending-v1\n{bound}").as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(digest.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
        Self(id)
    }
}

impl FromStr for PendingId {
    type Err = InvalidPendingId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let mut id = [0; 16];
        if text.len() != 32 || !lower || hex::decode_to_slice(text, &mut id).is_err() {
            return Err(InvalidPendingId);
        }
        Ok(Self(id))
    }
}

impl TryFrom<String> for PendingId {
    type Error = InvalidPendingId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PendingId> for String {
    fn from(id: PendingId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for PendingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// One payload of an attended role, with everything that its approval is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The guard that would move.
    pub guard: GuardName,
    /// Its head when the request came: version and digest.
    pub head: Option<(Version, Sha256Digest)>,
    /// SHA-256 of the payload.
    pub digest: Sha256Digest,
    /// The keys that would sign.
    pub keys: BTreeSet<KeyId>,
    /// Digest of the role's policy.
    pub policy: Sha256Digest,
    /// `_type` of the payload.
    pub metadata_type: MetadataType,
    /// Its version.
    pub version: Version,
    /// Its expiry.
    pub expires: Instant,
}

impl Binding {
    /// The name that follows from it.
    pub fn id(&self) -> PendingId {
        // Type, version and expiry follow from the digest.
        let Self { guard, head, digest, keys, policy, metadata_type: _, version: _, expires: _ } = self;
        let GuardName { repository, role, epoch } = guard;
        let head = head.map_or("none".to_owned(), |(version, digest)| format!("{version} {digest}"));
        let keys: Vec<String> = keys.iter().map(KeyId::to_string).collect();
        // No name holds a line feed.
        let bound = [
            "signature",
            repository.as_str(),
            role.as_str(),
            &epoch.to_string(),
            &head,
            &digest.to_string(),
            &policy.to_string(),
            &keys.join(" "),
        ];
        PendingId::of(&bound.join("\n"))
    }
}

/// An act that two operators must want: a key's destruction, an epoch that only they can begin, and the like.
///
/// Everything that the act depends on stands in `facts`: an act with other facts is another act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The verb, as leaves name it, such as `destroy-key`.
    pub verb: String,
    /// The repository; `None` for what concerns the whole daemon.
    pub repository: Option<RepositoryName>,
    /// The role, for leaves and people. Who may approve is decided by `root` all the same.
    pub role: Option<Role>,
    /// What exactly is to be done, by name: shown to whoever approves.
    pub facts: BTreeMap<String, String>,
}

impl Act {
    /// An act that concerns a repository.
    pub fn in_repository(verb: &str, repository: &RepositoryName, role: Option<&Role>) -> Self {
        let facts = BTreeMap::new();
        Self { verb: verb.to_owned(), repository: Some(repository.clone()), role: role.cloned(), facts }
    }

    /// An act that concerns the whole daemon.
    pub fn in_daemon(verb: &str) -> Self {
        Self { verb: verb.to_owned(), repository: None, role: None, facts: BTreeMap::new() }
    }

    /// The act with one more fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }

    /// What people read and whose digest they confirm: a line per fact, in UTF-8, hidden characters escaped.
    pub fn text(&self) -> String {
        let Self { verb, repository, role, facts } = self;
        let mut lines = vec![format!("act: {}", verb.escape_debug())];
        lines.extend(repository.iter().map(|repository| format!("repository: {repository}")));
        lines.extend(role.iter().map(|role| format!("role: {role}")));
        lines.extend(facts.iter().map(|(name, value)| format!("{}: {}", name.escape_debug(), value.escape_debug())));
        lines.push(String::new());
        lines.join("\n")
    }

    /// SHA-256 of [`Act::text`].
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.text().as_bytes())
    }

    /// The name of its pending approval.
    pub fn id(&self) -> PendingId {
        PendingId::of(&format!("act\n{}", self.digest()))
    }
}

/// What people are asked to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Signatures over a payload of an attended role.
    Signature(Binding),
    /// An act of two operators.
    Act(Act),
}

impl Subject {
    /// The name that follows from it.
    pub fn id(&self) -> PendingId {
        match self {
            Self::Signature(binding) => binding.id(),
            Self::Act(act) => act.id(),
        }
    }

    /// What an approver must have computed.
    pub fn digest(&self) -> Sha256Digest {
        match self {
            Self::Signature(binding) => binding.digest,
            Self::Act(act) => act.digest(),
        }
    }

    /// The repository; `None` for an act that concerns the whole daemon.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Signature(binding) => Some(&binding.guard.repository),
            Self::Act(act) => act.repository.as_ref(),
        }
    }

    /// The role that is meant.
    pub fn role(&self) -> Option<&Role> {
        match self {
            Self::Signature(binding) => Some(&binding.guard.role),
            Self::Act(act) => act.role.as_ref(),
        }
    }

    /// Whether a grant lets the caller approve it. Acts of operators decide about every role: a grant for `root` is
    /// asked for, and for the whole daemon one over all repositories.
    pub fn may_be_approved_by(&self, grants: &Grants, caller: &Caller) -> bool {
        match self {
            Self::Signature(binding) => {
                grants.allow_role(caller, Verb::Approve, &binding.guard.repository, &binding.guard.role)
            }
            Self::Act(Act { repository: Some(repository), .. }) => {
                grants.allow_role(caller, Verb::Approve, repository, &Role::Root)
            }
            Self::Act(Act { repository: None, .. }) => grants.allow_everywhere(caller, Verb::Approve, &Role::Root),
        }
    }
}

/// One person's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Who.
    pub person: PersonName,
    /// By which identity: an approval counts only as long as it is still this person's, means what it meant, and is
    /// still granted.
    pub caller: Caller,
    /// When.
    pub at: Instant,
}

/// Somebody said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Who.
    pub person: PersonName,
    /// Why.
    pub code: RejectionCode,
    /// When.
    pub at: Instant,
}

/// Why somebody said no. Codes and no free text: they end in leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionCode {
    /// Nobody announced this.
    Unexpected,
    /// It says something else than it should.
    WrongContent,
    /// It is right, and not now.
    WrongTime,
    /// It looks like an attack.
    Suspicious,
}

impl RejectionCode {
    /// Every code.
    pub const ALL: [Self; 4] = [Self::Unexpected, Self::WrongContent, Self::WrongTime, Self::Suspicious];

    /// The name on the command line, in answers and leaves.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::WrongContent => "wrong-content",
            Self::WrongTime => "wrong-time",
            Self::Suspicious => "suspicious",
        }
    }
}

impl FromStr for RejectionCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|code| code.name()).collect();
            format!("known are {}", known.join(", "))
        })
    }
}

/// Something that waits for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What is asked for.
    pub subject: Subject,
    /// Everybody who asked for it, the first one first. None of them may approve it.
    pub requesters: Vec<Caller>,
    /// Who approved.
    pub given: Vec<Given>,
    /// Who said no.
    pub rejection: Option<Rejection>,
    /// When it was asked first.
    pub asked: Instant,
    /// From then on it is as if nobody had asked.
    pub expires: Instant,
    /// Length of what is kept for people to read, in bytes.
    pub length: u64,
    /// Counts changes, from 1.
    pub revision: u64,
}

impl Pending {
    /// Its name.
    pub fn id(&self) -> PendingId {
        self.subject.id()
    }

    /// Whether it still stands.
    pub fn is_open(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// The persons who asked. An identity that several persons share counts for each of them: whoever may have asked
    /// does not approve.
    pub fn askers<'a>(&'a self, grants: &'a Grants) -> impl Iterator<Item = &'a PersonName> {
        self.requesters.iter().flat_map(|caller| grants.persons().possible(caller))
    }

    /// The persons whose approval counts today: still the same person, still granted, not frozen, and none who asked.
    pub fn approvers(&self, grants: &Grants, freezes: &[Freeze]) -> BTreeSet<PersonName> {
        let askers: BTreeSet<&PersonName> = self.askers(grants).collect();
        let counts = |given: &&Given| {
            grants.persons().still_named(&given.caller)
                && grants.persons().of(&given.caller) == Some(&given.person)
                && self.subject.may_be_approved_by(grants, &given.caller)
                && !askers.contains(&given.person)
                && !is_frozen(&given.caller, grants, freezes)
        };
        self.given.iter().filter(counts).map(|given| given.person.clone()).collect()
    }

    /// The two or more persons who stand behind an act: those who approved it, and those who asked for it and could
    /// have approved it.
    pub fn operators(&self, grants: &Grants, freezes: &[Freeze]) -> BTreeSet<PersonName> {
        let mut operators = self.approvers(grants, freezes);
        for caller in &self.requesters {
            let stands = grants.persons().still_named(caller) && !is_frozen(caller, grants, freezes);
            if stands && self.subject.may_be_approved_by(grants, caller) {
                operators.extend(grants.persons().of(caller).cloned());
            }
        }
        operators
    }
}

fn is_frozen(caller: &Caller, grants: &Grants, freezes: &[Freeze]) -> bool {
    Frozen::for_caller(freezes, caller, grants.persons()).check_caller().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        let digest = |text: &str| Sha256Digest::of(text.as_bytes());
        Binding {
            guard: GuardName { repository: "acme/app".parse().unwrap(), role: Role::Targets, epoch: 1 },
            head: Version::new(4).map(|version| (version, digest("head"))),
            digest: digest("payload"),
            keys: ["00".repeat(32).parse().unwrap()].into(),
            policy: digest("policy"),
            metadata_type: MetadataType::Targets,
            version: Version::new(5).unwrap(),
            expires: Instant::from_unix(7),
        }
    }

    #[test]
    fn whatever_an_approval_is_bound_to_changes_its_name() {
        let first = binding();
        let mut ids = BTreeSet::from([first.id()]);
        let changes: [fn(&mut Binding); 8] = [
            |b| b.guard.repository = "acme/other".parse().unwrap(),
            |b| b.guard.role = "releases".parse().unwrap(),
            |b| b.guard.epoch = 2,
            |b| b.head = None,
            |b| b.head = Version::new(4).map(|version| (version, Sha256Digest::of(b"other"))),
            |b| b.digest = Sha256Digest::of(b"other"),
            |b| b.keys = ["11".repeat(32).parse().unwrap()].into(),
            |b| b.policy = Sha256Digest::of(b"other"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = binding();
            change(&mut other);
            assert!(ids.insert(other.id()), "change {number}");
        }
        assert_eq!(binding().id(), first.id(), "the same again has the same name");
        assert_eq!(first.id().to_string().parse(), Ok(first.id()));
    }

    #[test]
    fn hostile_names_are_no_ids() {
        for text in ["", "00", &"0".repeat(33), &"G".repeat(32), &"A".repeat(32), "../../../../../../../etc/passwd!"] {
            assert!(text.parse::<PendingId>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_fact_of_an_act_can_pass_for_another() {
        let act = |value: &str| Act::in_daemon("destroy-key").with("key", value);
        let hostile = act("1\nreason: approved\u{1b}[2J");
        assert_eq!(hostile.text().lines().count(), 2);
        assert!(!hostile.text().contains('\u{1b}'));
        let two = act("1").with("reason", "approved\\u{1b}[2J");
        assert_ne!(hostile.id(), two.id());
        assert_ne!(act("1").id(), act("2").id());
    }
}
