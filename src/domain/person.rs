//! Persons: configured names with the identities by which each of them comes in. Approvals count persons, not identities.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caller::{Caller, CallerPattern};
use super::name::Sha256Digest;

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

/// What the identities of tokens mean today: of each provider and identity a digest over everything that decides whose
/// token has it. Names stay when an operator binds them to other claims; what somebody did under the old ones must not
/// count for whoever has the name now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules(BTreeMap<(String, String), Sha256Digest>);

impl TokenRules {
    /// Each provider's name, identity's name, and digest.
    pub fn new(rules: impl IntoIterator<Item = ((String, String), Sha256Digest)>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// What several identities mean together.
    pub fn together<'d>(rules: impl IntoIterator<Item = &'d Sha256Digest>) -> Sha256Digest {
        let all: Vec<u8> = rules.into_iter().flat_map(|digest| digest.as_bytes().iter().copied()).collect();
        Sha256Digest::of(&all)
    }

    /// What a provider's identities mean together; `None` when one of them is not there any more.
    fn of(&self, provider: &str, identities: &[String]) -> Option<Sha256Digest> {
        let rule = |identity: &String| self.0.get(&(provider.to_owned(), identity.clone()));
        let rules: Option<Vec<_>> = identities.iter().map(rule).collect();
        rules.map(Self::together)
    }
}

/// All persons of the daemon. The configuration refuses two persons who share an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persons {
    persons: Vec<Person>,
    tokens: TokenRules,
}

impl Persons {
    /// From the configuration.
    pub fn new(persons: Vec<Person>) -> Self {
        Self { persons, tokens: TokenRules::default() }
    }

    /// With what the identities of tokens mean.
    #[must_use]
    pub fn with_tokens(self, tokens: TokenRules) -> Self {
        Self { tokens, ..self }
    }

    /// Whether a caller of some time ago is named by what names them today. Only the names of tokens can be bound anew.
    pub fn still_named(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Token { provider, identities, rules, .. } => self.tokens.of(provider, identities) == Some(*rules),
            _ => true,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Person> {
        self.persons.iter()
    }

    /// Who a caller is. Nobody, when the identities of two persons match: two wildcards may overlap, and then an
    /// approval must not count for either.
    pub fn of(&self, caller: &Caller) -> Option<&PersonName> {
        let is = |person: &&Person| person.identities.iter().any(|pattern| pattern.matches(caller));
        let mut found = self.persons.iter().filter(is);
        let first = found.next()?;
        if found.next().is_none() { Some(&first.name) } else { None }
    }

    /// Everybody whom the caller may be: those of whom an identity matches.
    pub fn possible<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a PersonName> {
        let is = |person: &&Person| person.identities.iter().any(|pattern| pattern.matches(caller));
        self.persons.iter().filter(is).map(|person| &person.name)
    }

    /// Whether a grant's pattern means a caller. A person is meant by whoever is that person and nobody else.
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

    #[test]
    fn a_token_of_some_time_ago_is_still_named_while_none_of_its_identities_changed() {
        let rule = |text: &str| Sha256Digest::of(text.as_bytes());
        let entry = |name: &str, digest| (("corp".to_owned(), name.to_owned()), digest);
        let persons = |alice: &str| {
            let rules = TokenRules::new([entry("alice", rule(alice)), entry("staff", rule("staff"))]);
            Persons::new(vec![]).with_tokens(rules)
        };
        let token = |provider: &str, names: &[&str], rules: &[&str]| Caller::Token {
            provider: provider.into(),
            subject: "7".into(),
            identities: names.iter().map(|name| (*name).to_owned()).collect(),
            rules: TokenRules::together(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>()),
        };
        let both = token("corp", &["alice", "staff"], &["sub 7", "staff"]);
        assert!(persons("sub 7").still_named(&both) && !persons("sub 8").still_named(&both));
        let staff = token("corp", &["staff"], &["staff"]);
        assert!(persons("sub 8").still_named(&staff), "nothing of it changed");
        assert!(!persons("sub 7").still_named(&token("corp", &["bob"], &["staff"])), "removed");
        assert!(!persons("sub 7").still_named(&token("other", &["staff"], &["staff"])), "another provider's");
        assert!(persons("").still_named(&Caller::Unix { uid: 7, gids: vec![] }));
    }

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
