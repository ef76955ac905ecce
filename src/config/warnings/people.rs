//! Callers and persons.

use super::File;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::report::Report;
use crate::config::rights::{Who, caller_covers, caller_meets, comes};
use crate::domain::caller::CallerPattern;
use crate::domain::grant::{Grant, Verb};
use crate::domain::person::Person;

pub(super) fn collect(file: &File<'_>, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    for (at, grant) in file.grants {
        callers_that_never_come(*at, "this grant names a caller", &grant.callers, file, report);
        repeated(*at, &grant.callers, report);
        approvers_who_are_nobody(*at, grant, file, report);
    }
    for (index, (at, person)) in file.people.iter().enumerate() {
        let what = format!("`{}` has an identity", person.name);
        callers_that_never_come(*at, &what, &person.identities, file, report);
        repeated(*at, &person.identities, report);
        if !is_named(person, file, budget)? {
            let detail = format!("no grant names `{}`, by name or by an identity: they may do nothing", person.name);
            report.warning("person-without-grant", *at, detail);
        }
        for (other_at, other) in file.people.get(..index).unwrap_or_default() {
            shared_identities(*at, person, (file.line(*other_at), other), budget, report)?;
        }
    }
    Ok(())
}

/// A caller of a kind that no listener lets in.
fn callers_that_never_come(at: usize, what: &str, callers: &[CallerPattern], file: &File<'_>, report: &mut Report) {
    for caller in callers.iter().filter(|caller| comes(caller, file.listeners) == Some(false)) {
        let kind = match caller {
            CallerPattern::UnixUser(_) | CallerPattern::UnixGroup(_) => "a unix socket",
            CallerPattern::Token { .. } => "tokens",
            CallerPattern::Anonymous(_) => "callers without authentication",
            _ => "client certificates",
        };
        let detail = format!("{what} that no listener lets in: none is for {kind}");
        report.warning("caller-never-comes", at, detail);
    }
}

/// Approvals count persons, so that one caller never counts twice.
fn approvers_who_are_nobody(at: usize, grant: &Grant, file: &File<'_>, report: &mut Report) {
    if !grant.verbs.contains(&Verb::Approve) {
        return;
    }
    for caller in grant.callers.iter().filter(|caller| Who::only(caller, file.persons).is_no_person()) {
        let detail = format!("`{caller}` may approve and is no [[person]]: its approvals never count");
        report.warning("approver-no-person", at, detail);
    }
}

fn repeated(at: usize, callers: &[CallerPattern], report: &mut Report) {
    let twice = callers.iter().enumerate().find(|(index, caller)| callers.iter().take(*index).any(|c| c == *caller));
    if let Some((_, caller)) = twice {
        report.warning("named-twice", at, format!("`{caller}` stands twice in one list"));
    }
}

fn is_named(person: &Person, file: &File<'_>, budget: &mut Budget) -> Result<bool, Exhausted> {
    for caller in file.grants.iter().flat_map(|(_, grant)| &grant.callers) {
        budget.spend(1)?;
        match caller {
            CallerPattern::Person(name) if *name == person.name => return Ok(true),
            // Who is in a group, the machine knows.
            CallerPattern::UnixGroup(_) => {
                if person.identities.iter().any(|identity| matches!(identity, CallerPattern::UnixUser(_))) {
                    return Ok(true);
                }
            }
            _ => {
                for identity in &person.identities {
                    if caller_meets(caller, identity, budget)? {
                        return Ok(true);
                    }
                }
            }
        }
    }
    Ok(false)
}

/// Equal identities are refused; wildcards may meet, and whoever matches both is neither.
fn shared_identities(
    at: usize,
    person: &Person,
    (line, other): (usize, &Person),
    budget: &mut Budget,
    report: &mut Report,
) -> Result<(), Exhausted> {
    for one in &person.identities {
        for two in &other.identities {
            if caller_meets(one, two, budget)? {
                let whoever = if caller_covers(one, two, budget)? { two } else { one };
                let detail = format!(
                    "`{one}` of `{}` meets `{two}` of `{}` (line {line}): a caller that is both is neither person; such \
                     as {whoever}",
                    person.name, other.name
                );
                report.warning("persons-overlap", at, detail);
            }
        }
    }
    Ok(())
}
