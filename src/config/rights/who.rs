//! Somebody who asks, as a grant sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::Configuration;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::schema::did_you_mean;
use crate::config::settings::{ListenerKind, ListenerSettings, TcpCallers};
use crate::domain::caller::CallerPattern;
use crate::domain::name::Pattern;
use crate::domain::person::{PersonName, Persons};
use crate::oidc::settings::ProviderSettings;

/// A caller with all its identities: `unix:1000,unix-group:4`, the names of one certificate, or `person:alice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    name: String,
    identities: Vec<CallerPattern>,
}

/// The text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownCaller(String);

impl Who {
    /// Reads identities, separated by commas, in the form of grants and leaves. A token has the identities that follow
    /// from those that are named.
    pub fn parse(text: &str, configuration: &Configuration) -> Result<Self, UnknownCaller> {
        let persons = configuration.grants.persons();
        let mut identities = Vec::new();
        for part in text.split(',') {
            let identity = CallerPattern::parse(part.trim()).map_err(|error| UnknownCaller(error.to_string()))?;
            if let CallerPattern::Person(name) = &identity
                && !persons.iter().any(|person| person.name == *name)
            {
                let known: Vec<_> = persons.iter().map(|person| person.name.as_str()).collect();
                let known = if known.is_empty() { "it names nobody".to_owned() } else { known.join(", ") };
                return Err(UnknownCaller(format!("the file has no [[person]] `{name}`; known: {known}")));
            }
            check_token(&identity, &configuration.oidc)?;
            identities.push(identity);
        }
        let name = text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        let who = Self { name, identities }.with_implied(&configuration.oidc).with_person(persons);
        Ok(who.with_implied(&configuration.oidc))
    }

    /// Whom a grant's pattern names, with all that their tokens have.
    pub fn named(pattern: &CallerPattern, configuration: &Configuration) -> Self {
        let persons = configuration.grants.persons();
        let token = Self { name: pattern.to_string(), identities: vec![pattern.clone()] };
        let token = token.with_implied(&configuration.oidc).with_person(persons);
        let person = token.identities.iter().find(|identity| matches!(identity, CallerPattern::Person(_)));
        match person.filter(|person| *person != pattern) {
            Some(person) => Self::named(person, configuration),
            None => token.with_implied(&configuration.oidc),
        }
    }

    /// Adds the identities that every token with one of these has too.
    fn with_implied(mut self, providers: &[ProviderSettings]) -> Self {
        let mut budget = Budget::new();
        let mut implied = Vec::new();
        for identity in &self.identities {
            let CallerPattern::Token { provider, identity: name } = identity else { continue };
            let Some(of) = providers.iter().find(|of| of.name == *provider) else { continue };
            let Some(named) = of.identities.iter().find(|of| of.name == *name) else { continue };
            for other in &of.identities {
                let mut covers = |wide: &Pattern, narrow: &Pattern| budget.covers(wide, narrow);
                let follows = other.follows_from(named, &mut covers).unwrap_or(false);
                let other = CallerPattern::Token { provider: provider.clone(), identity: other.name.clone() };
                if follows && !self.identities.contains(&other) && !implied.contains(&other) {
                    implied.push(other);
                }
            }
        }
        self.identities.extend(implied);
        self
    }

    /// Whoever a pattern means, and the person that this is, if it is one.
    pub(in crate::config) fn only(pattern: &CallerPattern, persons: &Persons) -> Self {
        Self { name: pattern.to_string(), identities: vec![pattern.clone()] }.with_person(persons)
    }

    /// A person has their identities; an identity of one person, and of no other, has that person.
    fn with_person(mut self, persons: &Persons) -> Self {
        let of_a_person = |identity: &CallerPattern| match identity {
            CallerPattern::Person(name) => persons.iter().find(|person| person.name == *name),
            _ => None,
        };
        if let Some(person) = self.identities.iter().find_map(of_a_person) {
            self.identities.extend(person.identities.iter().cloned());
            return self;
        }
        let is = |owned: &CallerPattern| {
            let mut budget = Budget::new();
            self.identities.iter().any(|identity| caller_covers(owned, identity, &mut budget).unwrap_or(false))
        };
        let mut found = persons.iter().filter(|person| person.identities.iter().any(is));
        if let (Some(person), None) = (found.next(), found.next()) {
            self.identities.push(CallerPattern::Person(person.name.clone()));
        }
        self
    }

    /// The person that this is, if it is one.
    pub fn person(&self) -> Option<&PersonName> {
        self.identities.iter().find_map(|identity| match identity {
            CallerPattern::Person(name) => Some(name),
            _ => None,
        })
    }

    /// Whether this is one caller that is nobody's: behind a group or a wildcard there may be a person.
    pub(in crate::config) fn is_no_person(&self) -> bool {
        let one = |identity: &CallerPattern| match identity {
            CallerPattern::UnixGroup(_) | CallerPattern::Person(_) => false,
            CallerPattern::Dns(pattern) | CallerPattern::Uri(pattern) => pattern.is_exact(),
            CallerPattern::UnixUser(_) | CallerPattern::Token { .. } | CallerPattern::Anonymous(_) => true,
        };
        self.person().is_none() && self.identities.iter().any(one)
    }

    /// The identities.
    pub(in crate::config) fn identities(&self) -> &[CallerPattern] {
        &self.identities
    }

    /// Every name by which a grant could mean them.
    pub(super) fn identity_names(&self) -> Vec<String> {
        self.identities.iter().map(CallerPattern::to_string).collect()
    }

    /// Whether some listener lets one of the identities in.
    pub(super) fn comes(&self, listeners: &[ListenerSettings]) -> bool {
        self.identities.iter().any(|identity| comes(identity, listeners) == Some(true))
    }

    /// What only the caller's machine knows, or a token or certificate that is not here.
    pub(super) fn notes(&self, configuration: &Configuration) -> Vec<String> {
        let mut groups = BTreeSet::new();
        let mut others: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for caller in configuration.grants.iter().flat_map(|grant| &grant.callers) {
            if self.identities.contains(caller) {
                continue;
            }
            match caller {
                CallerPattern::UnixGroup(_) if self.has(|own| matches!(own, CallerPattern::UnixUser(_))) => {
                    groups.insert(format!("in {caller} this caller has more: ask with --as {},{caller}", self.name));
                }
                CallerPattern::Token { provider, .. }
                    if self.has(|own| matches!(own, CallerPattern::Token { provider: of, .. } if of == provider)) =>
                {
                    others.entry("token").or_default().insert(caller.to_string());
                }
                CallerPattern::Dns(_) | CallerPattern::Uri(_)
                    if self.has(|own| may_share_a_certificate(own, caller))
                        && !self.has(|own| caller_covers(caller, own, &mut Budget::new()).unwrap_or(false)) =>
                {
                    others.entry("certificate").or_default().insert(caller.to_string());
                }
                _ => {}
            }
        }
        let more = others.into_iter().map(|(what, more)| {
            let (more, name) = (Vec::from_iter(more), &self.name);
            let first = more.first().map(String::as_str).unwrap_or_default();
            format!(
                "a {what} may have these as well, and more rights: {}; ask with --as {name},{first}",
                more.join(" ")
            )
        });
        groups.into_iter().chain(more).collect()
    }

    fn has(&self, is: impl Fn(&CallerPattern) -> bool) -> bool {
        self.identities.iter().any(is)
    }
}

/// Refuses an identity that no token can have here.
fn check_token(caller: &CallerPattern, providers: &[ProviderSettings]) -> Result<(), UnknownCaller> {
    let CallerPattern::Token { provider, identity } = caller else { return Ok(()) };
    let Some(settings) = providers.iter().find(|of| of.name == *provider) else {
        let near = did_you_mean(provider, providers.iter().map(|of| of.name.as_str()));
        return Err(UnknownCaller(format!("no [[oidc]] is named `{provider}`{near}")));
    };
    if settings.identities.iter().any(|of| of.name == *identity) {
        return Ok(());
    }
    let known: Vec<_> = settings.identities.iter().map(|of| of.name.as_str()).collect();
    let known = if known.is_empty() { "it has none".to_owned() } else { format!("known: {}", known.join(", ")) };
    Err(UnknownCaller(format!("provider `{provider}` has no [[oidc.identity]] named `{identity}`; {known}")))
}

/// Whether one certificate can have both names. One with a SPIFFE id has no other URI.
fn may_share_a_certificate(left: &CallerPattern, right: &CallerPattern) -> bool {
    let spiffe = |uri: &Pattern| uri.as_str().starts_with("spiffe://");
    match (left, right) {
        (CallerPattern::Uri(left), CallerPattern::Uri(right)) => !spiffe(left) && !spiffe(right),
        (CallerPattern::Dns(_), CallerPattern::Dns(_) | CallerPattern::Uri(_))
        | (CallerPattern::Uri(_), CallerPattern::Dns(_)) => true,
        _ => false,
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether a listener lets such a caller in; `None` where that is not the listeners' to say.
pub(in crate::config) fn comes(caller: &CallerPattern, listeners: &[ListenerSettings]) -> Option<bool> {
    let unix = || listeners.iter().any(|listener| matches!(listener.kind, ListenerKind::Unix(_)));
    let tls = || {
        listeners.iter().any(|listener| match &listener.kind {
            ListenerKind::Tcp(tcp) => matches!(tcp.callers, TcpCallers::Certificates(_)),
            ListenerKind::Unix(_) => false,
        })
    };
    match caller {
        CallerPattern::UnixUser(_) | CallerPattern::UnixGroup(_) => Some(unix()),
        CallerPattern::Dns(_) | CallerPattern::Uri(_) => Some(tls()),
        CallerPattern::Anonymous(_) => Some(false),
        CallerPattern::Token { .. } => Some(listeners.iter().any(|listener| listener.kind.takes_tokens())),
        CallerPattern::Person(_) => None,
    }
}

/// Whether everybody whom `narrow` means is meant by `wide` too.
pub(in crate::config) fn caller_covers(
    wide: &CallerPattern,
    narrow: &CallerPattern,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    match same_kind(wide, narrow) {
        Some((wide, narrow)) => budget.covers(wide, narrow),
        None => Ok(wide == narrow),
    }
}

/// Whether somebody may be meant by both.
pub(in crate::config) fn caller_meets(
    left: &CallerPattern,
    right: &CallerPattern,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    match same_kind(left, right) {
        Some((left, right)) => budget.meet(left, right),
        None => Ok(left == right),
    }
}

fn same_kind<'p>(left: &'p CallerPattern, right: &'p CallerPattern) -> Option<(&'p Pattern, &'p Pattern)> {
    match (left, right) {
        (CallerPattern::Dns(left), CallerPattern::Dns(right))
        | (CallerPattern::Uri(left), CallerPattern::Uri(right)) => Some((left, right)),
        _ => None,
    }
}
