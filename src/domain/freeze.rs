//! Freezes: what an operator stopped, until it is thawed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::{Caller, CallerPattern};
use super::name::{RepositoryName, Role, Sha256Digest};
use super::outcome::{Denial, Reason};
use super::person::Persons;
use super::public_key::KeyId;
use super::time::Instant;

/// What a freeze covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FreezeScope {
    /// Everything that signs or changes keys.
    All,
    /// Every role of one repository.
    Repository(RepositoryName),
    /// One role of one repository.
    Role(RepositoryName, Role),
    /// Whatever one caller asks for, but reading.
    Caller(FrozenCaller),
    /// One key.
    Key(KeyId),
}

impl FreezeScope {
    /// The kind, a label of metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Repository(_) => "repository",
            Self::Role(..) => "role",
            Self::Caller(_) => "caller",
            Self::Key(_) => "key",
        }
    }

    /// Whether this is larger than the other scope and freezes all of it. What a key or a caller belongs to is not known here.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, other) => *other != Self::All,
            (Self::Repository(whole), Self::Role(repository, _)) => whole == repository,
            _ => false,
        }
    }

    /// Every kind.
    pub const KINDS: [&'static str; 5] = ["all", "repository", "role", "caller", "key"];
}

impl fmt::Display for FreezeScope {
    /// The form in leaves and answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Repository(repository) => write!(f, "repository {repository}"),
            Self::Role(repository, role) => write!(f, "role {role} of {repository}"),
            Self::Caller(caller) => write!(f, "caller {caller}"),
            Self::Key(key) => write!(f, "key {key}"),
        }
    }
}

/// A caller as a grant names it (`unix:7`, `dns:*.example`, `person:alice`), or as leaves name one: whatever a
/// [`Caller`] is shown as, the bearer of a token (`oidc:PROVIDER:SUBJECT`) and URIs that are no pattern among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FrozenCaller(String);

/// The text names no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "name a caller as a grant does (unix:UID, unix-group:GID, dns:NAME, uri:URI, oidc:PROVIDER/IDENTITY, person:NAME, anonymous@LISTENER) or as the audit log does (uri:URI, oidc:PROVIDER:SUBJECT); at most 16 KiB without control characters"
)]
pub struct InvalidFrozenCaller;

/// Bytes. A subject of 1024 bytes is shown in up to ten times as many.
const LONGEST_NAME: usize = 16 << 10;

/// What stands between the beginning of a name that is too long for a leaf and the digest of the whole.
pub const SHORTENED: &str = "…sha256:";

impl FrozenCaller {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the caller is meant, by any of its names. More than one reading is no danger here: a freeze only takes
    /// away. So whoever may be a person is frozen with them.
    pub fn means(&self, caller: &Caller, persons: &Persons) -> bool {
        let named = match caller {
            Caller::Certificate { dns, uris } => {
                uris.iter().any(|uri| self.is(&format!("uri:{uri}")))
                    || dns.iter().any(|name| self.is(&format!("dns:{name}")))
            }
            other => self.is(&other.to_string()),
        };
        named
            || match CallerPattern::parse(&self.0) {
                Ok(CallerPattern::Person(name)) => persons.possible(caller).any(|possible| *possible == name),
                Ok(pattern) => pattern.matches(caller),
                Err(_) => false,
            }
    }
}

impl FrozenCaller {
    /// Whether this is a caller's name, whole or as a leaf shortens it: its beginning, and the digest of the whole.
    fn is(&self, name: &str) -> bool {
        let shortened = || {
            let (begin, digest) = self.0.rsplit_once(SHORTENED)?;
            Some(name.starts_with(begin) && digest == Sha256Digest::of(name.as_bytes()).to_string())
        };
        name == self.0 || shortened().unwrap_or(false)
    }
}

impl FromStr for FrozenCaller {
    type Err = InvalidFrozenCaller;

    fn from_str(text: &str) -> Result<Self, InvalidFrozenCaller> {
        let plain = text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
        let bearer = || {
            let parts = text.strip_prefix("oidc:").and_then(|rest| rest.split_once(':'));
            parts.is_some_and(|(provider, subject)| !provider.is_empty() && !subject.is_empty())
        };
        let name = || ["uri:", "dns:"].iter().any(|kind| text.strip_prefix(kind).is_some_and(is_shown));
        if plain && (CallerPattern::parse(text).is_ok() || bearer() || name()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFrozenCaller)
        }
    }
}

/// Whether a certificate's name can be this: doors take visible ASCII only.
fn is_shown(name: &str) -> bool {
    let (name, _) = name.split_once(SHORTENED).unwrap_or((name, ""));
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl TryFrom<String> for FrozenCaller {
    type Error = InvalidFrozenCaller;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FrozenCaller> for String {
    fn from(caller: FrozenCaller) -> Self {
        caller.0
    }
}

impl fmt::Display for FrozenCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why, as a word that may stand in a leaf: 1 to 64 characters out of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReasonCode(String);

/// The text is no reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason code is 1 to 64 characters out of a-z 0-9 -")]
pub struct InvalidReasonCode;

impl Default for ReasonCode {
    fn default() -> Self {
        Self("unspecified".to_owned())
    }
}

impl FromStr for ReasonCode {
    type Err = InvalidReasonCode;

    fn from_str(text: &str) -> Result<Self, InvalidReasonCode> {
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidReasonCode) }
    }
}

impl TryFrom<String> for ReasonCode {
    type Error = InvalidReasonCode;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReasonCode> for String {
    fn from(code: ReasonCode) -> Self {
        code.0
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// What it covers.
    pub scope: FreezeScope,
    /// Since when.
    pub since: Instant,
    /// Who froze it, as leaves name callers.
    pub by: String,
    /// Why.
    pub reason_code: ReasonCode,
}

impl Freeze {
    fn denial(&self) -> Denial {
        let Self { scope, since, by, reason_code } = self;
        Denial::new(Reason::Frozen, format!("{scope} is frozen since {since}, by {by} ({reason_code})"))
    }
}

/// The freezes as they concern one caller.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    freezes: &'a [Freeze],
    caller: Option<&'a Freeze>,
}

impl<'a> Frozen<'a> {
    /// No freeze at all.
    pub const NOTHING: Frozen<'static> = Frozen { freezes: &[], caller: None };

    /// What of these freezes concerns the caller.
    pub fn for_caller(freezes: &'a [Freeze], caller: &Caller, persons: &Persons) -> Self {
        let means = |freeze: &&Freeze| match &freeze.scope {
            FreezeScope::Caller(frozen) => frozen.means(caller, persons),
            _ => false,
        };
        Self { freezes, caller: freezes.iter().find(means) }
    }

    /// Whether the caller may do more than read.
    pub fn check_caller(&self) -> Result<(), Denial> {
        self.caller.map_or(Ok(()), |freeze| Err(freeze.denial()))
    }

    /// Whether the caller may have something done in a repository as a whole.
    pub fn check_repository(&self, repository: &RepositoryName) -> Result<(), Denial> {
        self.check_caller()?;
        self.check(|scope| match scope {
            FreezeScope::All => true,
            FreezeScope::Repository(frozen) => frozen == repository,
            _ => false,
        })
    }

    /// Whether the caller may have something done for a role of a repository.
    pub fn check_role(&self, repository: &RepositoryName, role: &Role) -> Result<(), Denial> {
        self.check_repository(repository)?;
        // `targets/*` signs whatever is of type targets, so a freeze of any such role stops it.
        let covers =
            |frozen: &Role| frozen == role || role.is_unguarded() && frozen.metadata_type() == role.metadata_type();
        self.check(|scope| matches!(scope, FreezeScope::Role(in_it, frozen) if in_it == repository && covers(frozen)))
    }

    /// Whether a key may sign.
    pub fn check_key(&self, key: &KeyId) -> Result<(), Denial> {
        self.check(|scope| matches!(scope, FreezeScope::Key(frozen) if frozen == key))
    }

    fn check(&self, covers: impl Fn(&FreezeScope) -> bool) -> Result<(), Denial> {
        match self.freezes.iter().find(|freeze| covers(&freeze.scope)) {
            Some(freeze) => Err(freeze.denial()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::person::Person;

    fn freeze(scope: FreezeScope) -> Freeze {
        let reason_code = "stolen-key".parse().unwrap();
        Freeze { scope, since: Instant::from_unix(0), by: "unix:0".into(), reason_code }
    }

    #[test]
    fn a_caller_is_frozen_by_a_grants_name_and_by_the_name_in_the_log() {
        let token = Caller::Token {
            provider: "github".into(),
            subject: "repo:acme/app:ref:refs/heads/main".into(),
            identities: vec!["release".into()],
            rules: Sha256Digest::of(&[]),
        };
        let persons = Persons::default();
        for text in ["oidc:github/release", "oidc:github:repo:acme/app:ref:refs/heads/main"] {
            let freezes = [freeze(FreezeScope::Caller(text.parse().unwrap()))];
            assert!(Frozen::for_caller(&freezes, &token, &persons).check_caller().is_err(), "{text}");
        }
        for text in ["oidc:github/other", "oidc:gitlab:repo:acme/app:ref:refs/heads/main", "unix:7"] {
            let freezes = [freeze(FreezeScope::Caller(text.parse().unwrap()))];
            assert!(Frozen::for_caller(&freezes, &token, &persons).check_caller().is_ok(), "{text}");
        }
    }

    #[test]
    fn whatever_a_caller_is_shown_as_freezes_it() {
        let certificate = |name: &str| Caller::Certificate { dns: vec![], uris: vec![name.into()] };
        let token = |subject: String| {
            let rules = Sha256Digest::of(&[]);
            Caller::Token { provider: "ci".into(), subject, identities: vec![], rules }
        };
        for caller in [
            certificate("https://ci.example/x?job=7&y=%20~+z"),
            certificate(&format!("https://ci.example/{}", "x".repeat(490))),
            Caller::Certificate { dns: vec!["a_b+c.example".into()], uris: vec![] },
            token("\\u{10ffff}".repeat(1000)),
            token("repo:acme/app:environment:Prod 1".into()),
            Caller::Unix { uid: 7, gids: vec![] },
            Caller::Anonymous { listener: "harbor".into() },
        ] {
            let frozen: FrozenCaller = caller.to_string().parse().unwrap();
            assert!(frozen.means(&caller, &Persons::default()), "{caller}");
            assert!(!frozen.means(&certificate("https://ci.example/"), &Persons::default()), "{caller}");
        }
        let long = token("x".repeat(1000));
        let digest = Sha256Digest::of(long.to_string().as_bytes());
        let short: FrozenCaller = format!("oidc:ci:xxx{SHORTENED}{digest}").parse().unwrap();
        assert!(short.means(&long, &Persons::default()), "as a leaf shows it");
        assert!(!short.means(&token("x".repeat(999)), &Persons::default()));
        let two = Caller::Certificate { dns: vec!["a.example".into()], uris: vec!["https://x/?".into(), "b:?".into()] };
        for name in ["uri:https://x/?", "uri:b:?", "dns:a.example"] {
            assert!(name.parse::<FrozenCaller>().unwrap().means(&two, &Persons::default()), "{name}");
        }
    }

    #[test]
    fn a_freeze_of_a_person_is_not_evaded_by_a_certificate_of_two() {
        let person = |name: &str| Person {
            name: name.parse().unwrap(),
            identities: vec![CallerPattern::parse(&format!("uri:spiffe://acme/{name}/*")).unwrap()],
        };
        let persons = Persons::new(vec![person("alice"), person("bob")]);
        let both = Caller::Certificate {
            dns: vec![],
            uris: vec!["spiffe://acme/alice/1".into(), "spiffe://acme/bob/1".into()],
        };
        assert_eq!(persons.of(&both), None);
        for name in ["person:alice", "person:bob"] {
            let frozen: FrozenCaller = name.parse().unwrap();
            assert!(frozen.means(&both, &persons), "{name}");
        }
        assert!(!"person:carol".parse::<FrozenCaller>().unwrap().means(&both, &persons));
    }

    #[test]
    fn what_names_no_caller_and_what_is_no_word_is_refused() {
        for bad in [
            "",
            "root",
            "unix:-1",
            "oidc::x",
            "oidc:x:",
            "oidc:a:b\u{7}",
            "uri:",
            "uri:a b",
            "uri:é?",
            &format!("dns:{}", "a".repeat(20_000)),
        ] {
            assert!(bad.parse::<FrozenCaller>().is_err(), "{bad:?}");
        }
        for bad in ["", "Stolen", "a b", "a_b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<ReasonCode>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_freeze_covers_its_scope_and_nothing_else() {
        let app: RepositoryName = "acme/app".parse().unwrap();
        let lib: RepositoryName = "acme/lib".parse().unwrap();
        let nobody = Caller::Unix { uid: 7, gids: vec![] };
        let verdicts = |scope| {
            let freezes = [freeze(scope)];
            let frozen = Frozen::for_caller(&freezes, &nobody, &Persons::default());
            [(&app, Role::Timestamp), (&app, Role::Snapshot), (&lib, Role::Timestamp)]
                .map(|(repository, role)| frozen.check_role(repository, &role).is_ok())
        };
        assert_eq!(verdicts(FreezeScope::All), [false, false, false]);
        assert_eq!(verdicts(FreezeScope::Repository(app.clone())), [false, false, true]);
        assert_eq!(verdicts(FreezeScope::Role(app.clone(), Role::Timestamp)), [false, true, true]);
        assert_eq!(verdicts(FreezeScope::Caller("unix:7".parse().unwrap())), [false, false, false]);
        assert_eq!(verdicts(FreezeScope::Caller("unix:8".parse().unwrap())), [true, true, true]);
        assert_eq!(verdicts(FreezeScope::Key("00".repeat(32).parse().unwrap())), [true, true, true]);
    }
}
