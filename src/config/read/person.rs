//! `[[person]]`: who counts as whom.

use std::collections::BTreeMap;

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::table::{Node, Section};
use crate::domain::caller::CallerPattern;
use crate::domain::person::{Person, PersonName};

use super::grant::list;
use super::oidc::TokenNames;

/// Every person of the file with its place. Two who share a name or an identity are refused: an approval must be somebody's.
pub(in crate::config) fn persons(root: &Section<'_>, tokens: &TokenNames, report: &mut Report) -> Vec<(usize, Person)> {
    let nodes = root.find("person").map(|node| node.tables(report)).unwrap_or_default();
    let read: Vec<(usize, Person)> =
        nodes.into_iter().filter_map(|node| Some((node.at, person(&node, tokens, report)?))).collect();
    let mut names = BTreeMap::new();
    let mut identities: Vec<(&CallerPattern, &PersonName)> = Vec::new();
    for (at, person) in &read {
        if names.insert(&person.name, at).is_some() {
            report.error(Code::Duplicate, *at, format!("`{}` has a [[person]] already", person.name));
            continue;
        }
        for identity in &person.identities {
            if let Some((_, other)) = identities.iter().find(|(known, _)| *known == identity) {
                let detail =
                    format!("an identity of `{}` is one of `{other}` already; a person is one person", person.name);
                report.error(Code::Duplicate, *at, detail);
            }
        }
        identities.extend(person.identities.iter().map(|identity| (identity, &person.name)));
    }
    read
}

fn person(node: &Node<'_>, tokens: &TokenNames, report: &mut Report) -> Option<Person> {
    let section = node.section(schema::PERSON, report)?;
    let name = section.need("name", report).and_then(|node| node.parsed(Code::InvalidName, str::parse, report));
    let identities = list(&section, "identities", report, |node, report| {
        let identity = node.parsed(Code::InvalidValue, identity, report)?;
        tokens.check(node, &identity, report);
        Some(identity)
    });
    Some(Person { name: name?, identities: identities? })
}

/// What one person alone has.
fn identity(text: &str) -> Result<CallerPattern, String> {
    match CallerPattern::parse(text).map_err(|error| error.to_string())? {
        CallerPattern::UnixGroup(_) | CallerPattern::Anonymous(_) | CallerPattern::Person(_) => {
            Err("a person comes in as unix:UID, dns:NAME, uri:URI or oidc:PROVIDER/IDENTITY; groups and listeners are shared".to_owned())
        }
        identity => Ok(identity),
    }
}
