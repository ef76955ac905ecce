//! Grants that give nothing which another one does not give.

use super::File;
use crate::config::overlap::{Budget, Exhausted};
use crate::config::report::Report;
use crate::config::rights::{Who, caller_covers};
use crate::domain::caller::CallerPattern;
use crate::domain::grant::{Grant, Scope};
use crate::domain::name::Pattern;
use crate::domain::person::Persons;

pub(super) fn collect(file: &File<'_>, budget: &mut Budget, report: &mut Report) -> Result<(), Exhausted> {
    for (index, (at, grant)) in file.grants.iter().enumerate() {
        for (other_index, (other_at, other)) in file.grants.iter().enumerate() {
            if index == other_index || !covers(other, grant, file.persons, budget)? {
                continue;
            }
            if !covers(grant, other, file.persons, budget)? {
                let line = file.line(*other_at);
                report.warning(
                    "shadowed-grant",
                    *at,
                    format!("the grant in line {line} gives all that this one gives"),
                );
                break;
            }
            if other_index < index {
                let line = file.line(*other_at);
                report.warning("duplicate-grant", *at, format!("the grant in line {line} gives exactly the same"));
                break;
            }
        }
    }
    Ok(())
}

/// Whether `wide` gives everything that `narrow` gives.
fn covers(wide: &Grant, narrow: &Grant, persons: &Persons, budget: &mut Budget) -> Result<bool, Exhausted> {
    budget.spend(narrow.verbs.len())?;
    if !narrow.verbs.iter().all(|verb| wide.verbs.contains(verb)) {
        return Ok(false);
    }
    for caller in &narrow.callers {
        if !caller_is_covered(&wide.callers, caller, persons, budget)? {
            return Ok(false);
        }
    }
    let by_role = narrow.verbs.iter().any(|verb| verb.scope() == Scope::Role);
    Ok(all_covered(&wide.repositories, &narrow.repositories, budget)?
        && (!by_role || all_covered(&wide.roles, &narrow.roles, budget)?))
}

fn all_covered(wide: &[Pattern], narrow: &[Pattern], budget: &mut Budget) -> Result<bool, Exhausted> {
    for pattern in narrow {
        let mut covered = false;
        for other in wide {
            covered = covered || budget.covers(other, pattern)?;
        }
        if !covered {
            return Ok(false);
        }
    }
    Ok(true)
}

fn caller_is_covered(
    wide: &[CallerPattern],
    narrow: &CallerPattern,
    persons: &Persons,
    budget: &mut Budget,
) -> Result<bool, Exhausted> {
    let who = Who::only(narrow, persons);
    let is_person = matches!(narrow, CallerPattern::Person(_));
    let mut covered = Vec::new();
    for identity in who.identities() {
        let mut found = false;
        for caller in wide {
            found = found || caller_covers(caller, identity, budget)?;
        }
        // An identity of a person may be granted under either name.
        if found && (!is_person || identity == narrow) {
            return Ok(true);
        }
        covered.push(found);
    }
    // A person is covered, too, when each way in which they come is.
    Ok(is_person && covered.len() > 1 && covered.iter().skip(1).all(|found| *found))
}
