//! Who asks. Doors authenticate; here an identity is a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{Pattern, Sha256Digest};
use super::person::PersonName;

/// An authenticated identity, or the explicit absence of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Caller {
    /// A process on a unix socket: the kernel's word (`SO_PEERCRED`, `SO_PEERGROUPS`) at the time of connection.
    Unix {
        /// Effective user id.
        uid: u32,
        /// Primary and supplementary groups.
        gids: Vec<u32>,
    },
    /// The holder of a verified client certificate, by its subject alternative names; never by its common name.
    Certificate {
        /// DNS names.
        dns: Vec<String>,
        /// URIs, SPIFFE ids among them.
        uris: Vec<String>,
    },
    /// The bearer of an OIDC token that a configured provider signed.
    Token {
        /// The provider's configured name.
        provider: String,
        /// The token's `sub`.
        subject: String,
        /// The configured identities whose bound claims the token has, in the order of the file. Grants name these.
        identities: Vec<String>,
        /// What these identities meant when the token was looked at. See [`TokenRules`](super::person::TokenRules).
        rules: Sha256Digest,
    },
    /// A peer that a listener lets in without authentication.
    Anonymous {
        /// The listener's configured name.
        listener: String,
    },
    /// The daemon itself: aggregate leaves, recovery after a start.
    Daemon,
}

impl fmt::Display for Caller {
    /// One stable text per caller, the form in which grants and audit leaves name it: `unix:1000`, `uri:spiffe://…`,
    /// `dns:…`, `oidc:PROVIDER:SUBJECT`, `anonymous@…`. A certificate with several names is named by its first URI, else its first DNS name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid, .. } => write!(f, "unix:{uid}"),
            Self::Certificate { dns, uris } => match (uris.first(), dns.first()) {
                (Some(uri), _) => write!(f, "uri:{uri}"),
                (None, Some(name)) => write!(f, "dns:{name}"),
                (None, None) => f.write_str("certificate-without-names"),
            },
            Self::Token { provider, subject, .. } => write!(f, "oidc:{provider}:{subject}"),
            Self::Anonymous { listener } => write!(f, "anonymous@{listener}"),
            Self::Daemon => f.write_str("daemon"),
        }
    }
}

/// What a grant says about callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallerPattern {
    /// `unix:UID`
    UnixUser(u32),
    /// `unix-group:GID`
    UnixGroup(u32),
    /// `dns:PATTERN`
    Dns(Pattern),
    /// `uri:PATTERN`
    Uri(Pattern),
    /// `oidc:PROVIDER/IDENTITY`: tokens that have the claims bound to this configured identity.
    Token {
        /// The provider's configured name.
        provider: String,
        /// The identity's configured name.
        identity: String,
    },
    /// `anonymous@LISTENER`
    Anonymous(String),
    /// `person:NAME`: any identity of a configured person. Who that is, [`super::person::Persons`] knows.
    Person(PersonName),
}

impl fmt::Display for CallerPattern {
    /// The form that [`CallerPattern::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnixUser(uid) => write!(f, "unix:{uid}"),
            Self::UnixGroup(gid) => write!(f, "unix-group:{gid}"),
            Self::Dns(pattern) => write!(f, "dns:{pattern}"),
            Self::Uri(pattern) => write!(f, "uri:{pattern}"),
            Self::Token { provider, identity } => write!(f, "oidc:{provider}/{identity}"),
            Self::Anonymous(listener) => write!(f, "anonymous@{listener}"),
            Self::Person(name) => write!(f, "person:{name}"),
        }
    }
}

/// The text is no caller pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no caller; write unix:UID, unix-group:GID, dns:NAME, uri:URI, oidc:PROVIDER/IDENTITY, person:NAME or anonymous@LISTENER (names and URIs may hold * and **)"
)]
pub struct InvalidCallerPattern(pub String);

impl CallerPattern {
    /// Reads the form that stands in the configuration.
    pub fn parse(text: &str) -> Result<Self, InvalidCallerPattern> {
        let invalid = || InvalidCallerPattern(text.chars().take(80).flat_map(char::escape_debug).collect());
        if let Some(listener) = text.strip_prefix("anonymous@") {
            return Ok(Self::Anonymous(listener.to_owned()));
        }
        let (kind, value) = text.split_once(':').ok_or_else(invalid)?;
        match kind {
            "unix" => value.parse().map(Self::UnixUser).map_err(|_| invalid()),
            "unix-group" => value.parse().map(Self::UnixGroup).map_err(|_| invalid()),
            "dns" => Pattern::new(value).map(Self::Dns).ok_or_else(invalid),
            "uri" => Pattern::new(value).map(Self::Uri).ok_or_else(invalid),
            "oidc" => {
                let (provider, identity) = value.split_once('/').ok_or_else(invalid)?;
                let plain = |text: &str| text.parse::<PersonName>().map(|name| name.to_string()).map_err(|_| invalid());
                Ok(Self::Token { provider: plain(provider)?, identity: plain(identity)? })
            }
            "person" => value.parse().map(Self::Person).map_err(|_| invalid()),
            _ => Err(invalid()),
        }
    }

    /// Whether the caller is meant by itself. A person is meant through [`super::person::Persons::means`] alone.
    pub fn matches(&self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::UnixUser(wanted), Caller::Unix { uid, .. }) => wanted == uid,
            (Self::UnixGroup(wanted), Caller::Unix { gids, .. }) => gids.contains(wanted),
            (Self::Dns(pattern), Caller::Certificate { dns, .. }) => dns.iter().any(|name| pattern.matches(name)),
            (Self::Uri(pattern), Caller::Certificate { uris, .. }) => uris.iter().any(|uri| pattern.matches(uri)),
            (Self::Token { provider, identity }, Caller::Token { provider: of, identities, .. }) => {
                provider == of && identities.contains(identity)
            }
            (Self::Anonymous(wanted), Caller::Anonymous { listener }) => wanted == listener,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_one_kind_never_matches_a_caller_of_another() {
        let unix = Caller::Unix { uid: 7, gids: vec![7, 8] };
        let cert = Caller::Certificate { dns: vec!["ci.example".into()], uris: vec![] };
        assert!(CallerPattern::parse("unix:7").unwrap().matches(&unix));
        assert!(CallerPattern::parse("unix-group:8").unwrap().matches(&unix));
        assert!(!CallerPattern::parse("unix-group:9").unwrap().matches(&unix));
        assert!(CallerPattern::parse("dns:*.example").unwrap().matches(&cert));
        assert!(!CallerPattern::parse("uri:**").unwrap().matches(&cert));
        for text in ["unix:7", "unix-group:8", "dns:*.x", "uri:a://b", "oidc:ci/app", "anonymous@door", "person:al"] {
            assert_eq!(CallerPattern::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "root", "unix:-1", "unix:", "cn:x", "dns:", "dns:a b"] {
            assert!(CallerPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
