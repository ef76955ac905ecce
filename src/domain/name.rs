//! Names of repositories, roles and keystores; patterns over them; versions and digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A name did not have the form that its kind demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no {kind}: {rule}", shown(.text))]
pub struct InvalidName {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

/// At most 60 characters, control characters escaped: names come from the network and end in logs and terminals.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

const NAME_RULE: &str =
    "1 to 255 characters out of a-z A-Z 0-9 . _ : / - with no empty, `.` or `..` part between slashes";

/// ASCII only: two names that look alike must not be two repositories.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

macro_rules! text_type {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

/// The name of one concrete TUF repository; Notary calls it a GUN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName { kind: "repository name", text: text.to_owned(), rule: NAME_RULE })
        }
    }
}

text_type!(RepositoryName);

/// The name of a configured keystore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeystoreName(String);

impl KeystoreName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeystoreName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                kind: "keystore name",
                text: text.to_owned(),
                rule: "1 to 64 characters out of a-z A-Z 0-9 - _",
            })
        }
    }
}

text_type!(KeystoreName);

/// A TUF role. Every name that is none of the four top-level roles is a delegated targets role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Role {
    /// `root`: offline by type, never signed by the daemon.
    Root,
    /// Top-level `targets`.
    Targets,
    /// `snapshot`.
    Snapshot,
    /// `timestamp`.
    Timestamp,
    /// A delegated targets role, by its name.
    Delegated(DelegatedName),
}

/// The name of a delegated targets role. Made only by parsing a [`Role`], so it never is a top-level role's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelegatedName(String);

impl Role {
    /// The hash bins of one shared key, and the top-level targets under that key, when nobody says which of them a payload
    /// is: a role in keys, policies and requests, and never in metadata. It has no guard.
    pub const UNGUARDED: &str = "targets/*";

    /// Whether this is [`Role::UNGUARDED`].
    pub fn is_unguarded(&self) -> bool {
        self.as_str() == Self::UNGUARDED
    }

    /// The role's name as it stands in metadata and file names (without `.json`).
    pub fn as_str(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Delegated(name) => &name.0,
        }
    }

    /// The `_type` that metadata of this role carries: delegated targets say `targets`.
    pub fn metadata_type(&self) -> MetadataType {
        match self {
            Self::Root => MetadataType::Root,
            Self::Targets | Self::Delegated(_) => MetadataType::Targets,
            Self::Snapshot => MetadataType::Snapshot,
            Self::Timestamp => MetadataType::Timestamp,
        }
    }

    /// The role whose metadata a snapshot's or timestamp's `meta` lists under this file name, such as `targets.json`.
    pub fn from_listed_file(file: &str) -> Option<Self> {
        file.strip_suffix(".json")?.parse().ok().filter(|role: &Self| !role.is_unguarded())
    }
}

impl FromStr for Role {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "root" => Ok(Self::Root),
            "targets" => Ok(Self::Targets),
            "snapshot" => Ok(Self::Snapshot),
            "timestamp" => Ok(Self::Timestamp),
            Self::UNGUARDED => Ok(Self::Delegated(DelegatedName(text.to_owned()))),
            other if is_name(other) && !is_look_alike(other) => Ok(Self::Delegated(DelegatedName(other.to_owned()))),
            other => Err(InvalidName {
                kind: "role name",
                text: other.to_owned(),
                rule: "root, targets, snapshot, timestamp, or a delegated name: 1 to 255 characters out of a-z A-Z 0-9 . _ : / - \
                       that is no top-level role in other letters",
            }),
        }
    }
}

/// `Root` or `TIMESTAMP` as a delegated role would be read as a top-level role by people, and by Notary.
fn is_look_alike(text: &str) -> bool {
    ["root", "targets", "snapshot", "timestamp"].iter().any(|role| text.eq_ignore_ascii_case(role))
}

text_type!(Role);

/// The `_type` of a piece of TUF metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataType {
    /// `root`
    Root,
    /// `targets`, top-level or delegated
    Targets,
    /// `snapshot`
    Snapshot,
    /// `timestamp`
    Timestamp,
}

impl MetadataType {
    /// The value in metadata of kind `tuf`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for MetadataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pattern over names: `*` stands for any run of characters but `/`, `**` for any run at all. Anchored at both ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern from its text; `None` when it is empty or has characters that no name has.
    pub fn new(text: &str) -> Option<Self> {
        let good = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-*@=".contains(&b));
        good.then(|| Self(text.to_owned()))
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a name without any wildcard.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether the whole text matches. Takes time in the product of both lengths at most.
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Dynamic programming over pattern positions: hostile patterns cost a product, never an exponential.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = pattern;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match (first, tail.first()) {
            (b'*', Some(b'*')) => {
                rest = tail.get(1..).unwrap_or_default();
                Token::Anything
            }
            (b'*', _) => Token::Segment,
            (byte, _) => Token::Byte(byte),
        });
    }
    // reachable[i]: the first i tokens match the text read so far.
    let mut reachable = vec![false; tokens.len() + 1];
    let close = |reachable: &mut Vec<bool>| {
        for (i, token) in tokens.iter().enumerate() {
            if !matches!(token, Token::Byte(_))
                && reachable.get(i) == Some(&true)
                && let Some(next) = reachable.get_mut(i + 1)
            {
                *next = true;
            }
        }
    };
    if let Some(start) = reachable.first_mut() {
        *start = true;
    }
    close(&mut reachable);
    for &byte in text {
        let mut next = vec![false; tokens.len() + 1];
        for (i, token) in tokens.iter().enumerate() {
            if reachable.get(i) != Some(&true) {
                continue;
            }
            let target = match token {
                Token::Byte(expected) if *expected == byte => i + 1,
                Token::Segment if byte != b'/' => i,
                Token::Anything => i,
                _ => continue,
            };
            if let Some(slot) = next.get_mut(target) {
                *slot = true;
            }
        }
        reachable = next;
        close(&mut reachable);
    }
    reachable.last() == Some(&true)
}

enum Token {
    Byte(u8),
    Segment,
    Anything,
}

/// A metadata version: 1 to 2^53 - 1, the integers that every JSON reader holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub struct Version(u64);

impl Version {
    /// The largest version.
    pub const MAX: u64 = (1 << 53) - 1;

    /// `None` for 0 and for what JSON readers cannot hold exactly.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number > Self::MAX { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Version {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a version is 1 to 2^53 - 1")
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidName {
            kind: "SHA-256 digest",
            text: text.to_owned(),
            rule: "64 hexadecimal digits",
        })?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(256);
        for bad in ["", "a\0b", "a\nb", "a//b", "/a", "a/", "../a", "a/./b", "приклад", "a b", "a\u{202e}b", &long]
        {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
            assert!(bad.parse::<Role>().is_err(), "{bad:?}");
        }
        assert!("docker.io/library/app".parse::<RepositoryName>().is_ok());
        assert!("Root".parse::<Role>().is_err());
        assert!(matches!("releases/stable".parse(), Ok(Role::Delegated(_))));
    }

    #[test]
    fn an_error_shows_no_control_characters() {
        let error = "x\u{1b}[31m".parse::<RepositoryName>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    #[test]
    fn patterns_are_anchored_and_a_star_stops_at_a_slash() {
        let p = |t: &str| Pattern::new(t).unwrap();
        assert!(p("acme/*").matches("acme/app"));
        assert!(!p("acme/*").matches("acme/app/x"));
        assert!(p("acme/**").matches("acme/app/x"));
        assert!(!p("acme/*").matches("xacme/app"));
        assert!(!p("app").matches("apple"));
        assert!(p("**").matches("a/b"));
        assert!(p("*-x-*").matches("1-x-x-2"));
        assert!(!p(&"*a".repeat(80)).matches(&"a".repeat(60)), "long hostile patterns end");
    }

    #[test]
    fn versions_have_json_bounds() {
        assert!(Version::new(0).is_none());
        assert!(Version::new((1 << 53) - 1).is_some());
        assert!(Version::new(1 << 53).is_none());
    }
}
