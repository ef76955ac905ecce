//! Persons: configured names with the identities by which each of them comes in. Approvals count persons, not identities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::{Caller, CallerPattern};

/// The configured name of a person: 1 to 64 characters out of `a-z A-Z 0-9 - _ .`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PersonName(String);

/// The text names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 characters out of a-z A-Z 0-9 - _ .")]
pub struct InvalidPersonName;

impl PersonName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PersonName {
    type Err = InvalidPersonName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidPersonName) }
    }
}

impl TryFrom<String> for PersonName {
    type Error = InvalidPersonName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PersonName> for String {
    fn from(name: PersonName) -> Self {
        name.0
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub name: PersonName,
    /// How they come in: any of these. Never a group, an anonymous listener or another person.
    pub identities: Vec<CallerPattern>,
}

/// All persons of the daemon. The configuration refuses two persons who share an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persons(Vec<Person>);

impl Persons {
    /// From the configuration.
    pub fn new(persons: Vec<Person>) -> Self {
        Self(persons)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.0.iter()
    }

    /// Who a caller is. Nobody, when the identities of two persons match: two wildcards may overlap, and then an
    /// approval must not count for either.
    pub fn of(&self, caller: &Caller) -> Option<&PersonName> {
        let is = |person: &&Person| person.identities.iter().any(|pattern| pattern.matches(caller));
        let mut found = self.0.iter().filter(is);
        let first = found.next()?;
        if found.next().is_none() { Some(&first.name) } else { None }
    }

    /// Everybody whom the caller may be: those of whom an identity matches.
    pub fn possible<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a PersonName> {
        let is = |person: &&Person| person.identities.iter().any(|pattern| pattern.matches(caller));
        self.0.iter().filter(is).map(|person| &person.name)
    }

    /// Whether a grant's pattern means a caller.
    pub fn means(&self, pattern: &CallerPattern, caller: &Caller) -> bool {
        match pattern {
            CallerPattern::Person(name) => self.of(caller) == Some(name),
            other => other.matches(caller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, identities: &[&str]) -> Person {
        let identities = identities.iter().map(|text| CallerPattern::parse(text).unwrap()).collect();
        Person { name: name.parse().unwrap(), identities }
    }

    #[test]
    fn a_person_is_one_of_their_identities_and_nobody_is_two() {
        let persons = Persons::new(vec![
            person("alice", &["unix:7", "uri:spiffe://acme/alice"]),
            person("bob", &["unix:8", "uri:spiffe://acme/*"]),
        ]);
        let unix = |uid| Caller::Unix { uid, gids: vec![] };
        let uri = |uri: &str| Caller::Certificate { dns: vec![], uris: vec![uri.into()] };
        assert_eq!(persons.of(&unix(7)).unwrap().as_str(), "alice");
        assert_eq!(persons.of(&unix(9)), None);
        assert_eq!(persons.of(&uri("spiffe://acme/bob")).unwrap().as_str(), "bob");
        assert_eq!(persons.of(&uri("spiffe://acme/alice")), None, "alice's certificate is bob's too");
        let alice = CallerPattern::parse("person:alice").unwrap();
        assert!(persons.means(&alice, &unix(7)) && !persons.means(&alice, &unix(8)));
        assert!(!alice.matches(&unix(7)), "without the persons nobody is alice");
        for bad in ["person:", "person:a b", "oidc:github", "oidc:/x", "oidc:a/b/c"] {
            assert!(CallerPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
