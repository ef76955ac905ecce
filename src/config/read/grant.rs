//! `[[grant]]`: who may do what.

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::table::{Node, Section};
use crate::domain::caller::CallerPattern;
use crate::domain::grant::{Grant, Verb};
use crate::domain::name::Pattern;
use crate::domain::person::Persons;

use super::oidc::TokenNames;
use super::place;

/// Every grant with its place.
pub(in crate::config) fn grants(
    root: &Section<'_>,
    persons: &Persons,
    tokens: &TokenNames,
    report: &mut Report,
) -> Vec<(usize, Grant)> {
    let nodes = root.find("grant").map(|node| node.tables(report)).unwrap_or_default();
    nodes.into_iter().filter_map(|node| Some((node.at, grant(&node, persons, tokens, report)?))).collect()
}

fn grant(node: &Node<'_>, persons: &Persons, tokens: &TokenNames, report: &mut Report) -> Option<Grant> {
    let section = node.section(schema::GRANT, report)?;
    let callers = list(&section, "callers", report, |node, report| {
        let caller = node.parsed(Code::InvalidValue, CallerPattern::parse, report)?;
        if let CallerPattern::Person(name) = &caller
            && !persons.iter().any(|person| person.name == *name)
        {
            let near = schema::did_you_mean(name.as_str(), persons.iter().map(|person| person.name.as_str()));
            node.report(Code::UnknownReference, format!("no [[person]] is named `{name}`{near}"), report);
        }
        tokens.check(node, &caller, report);
        Some(caller)
    });
    let verbs = list(&section, "verbs", report, verb);
    // What concerns the whole daemon is given over all repositories or not at all, so it need not be said.
    let whole_daemon = verbs.as_ref().is_some_and(|verbs| verbs.iter().all(|verb| !verb.is_per_repository()));
    let everything = || if whole_daemon { Pattern::new("**").map(|all| vec![all]) } else { None };
    let mut patterns = |key| match (section.find(key), everything()) {
        (None, Some(all)) => Some(all),
        _ => list(&section, key, report, |node, report| node.parsed(Code::InvalidName, place::name_pattern, report)),
    };
    let repositories = patterns("repositories");
    let roles = patterns("roles");
    Some(Grant { callers: callers?, verbs: verbs?, repositories: repositories?, roles: roles? })
}

/// An array with at least one item. Every item is read, so that each mistake is told.
pub(super) fn list<T>(
    section: &Section<'_>,
    key: &str,
    report: &mut Report,
    mut read: impl FnMut(&Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let node = section.need(key, report)?;
    let items = node.items(report);
    if items.is_empty() && node.is_array() {
        node.report(Code::InvalidValue, "an empty list grants nothing; name at least one", report);
    }
    let read: Vec<T> = items.iter().filter_map(|item| read(item, report)).collect();
    (!read.is_empty()).then_some(read)
}

fn verb(node: &Node<'_>, report: &mut Report) -> Option<Verb> {
    node.choice(Verb::ALL.map(|verb| (verb.name(), verb)), report)
}
