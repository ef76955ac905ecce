//! Somebody who asks, as a grant sees them.

use std::fmt;

use crate::config::Configuration;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::settings::{ListenerKind, ListenerSettings, TcpCallers};
use crate::domain::caller::CallerPattern;
use crate::domain::name::Pattern;
use crate::domain::person::{PersonName, Persons};

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
    /// Reads identities, separated by commas, in the form of grants and leaves.
    pub fn parse(text: &str, persons: &Persons) -> Result<Self, UnknownCaller> {
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
            identities.push(identity);
        }
        Ok(Self { name: text.split(',').map(str::trim).collect::<Vec<_>>().join(","), identities }.with_person(persons))
    }

    /// Whom a grant's pattern names.
    pub fn named(pattern: &CallerPattern, persons: &Persons) -> Self {
        let one = Self::only(pattern, persons);
        match one.identities.iter().find(|identity| matches!(identity, CallerPattern::Person(_))) {
            Some(person) if person != pattern => Self::named(person, persons),
            _ => one,
        }
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

    /// What only the caller's machine knows.
    pub(super) fn notes(&self, configuration: &Configuration) -> Vec<String> {
        let is_user = self.identities.iter().any(|identity| matches!(identity, CallerPattern::UnixUser(_)));
        let groups = configuration.grants.iter().flat_map(|grant| &grant.callers).filter(|caller| {
            is_user && matches!(caller, CallerPattern::UnixGroup(_)) && !self.identities.contains(caller)
        });
        let mut notes: Vec<String> = groups
            .map(|group| format!("in {group} this caller has more: ask with --as {},{group}", self.name))
            .collect();
        notes.sort();
        notes.dedup();
        notes
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
