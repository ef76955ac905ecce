//! Who can make which key sign what: the rights that one file gives, as a table.
//!
//! The same patterns that the daemon matches, and nothing that it would not: `tests/configuration/rights.rs` holds the
//! table against [`Grants`](crate::domain::grant::Grants), question by question.

mod reach;
mod who;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::grant::{Grant, Verb};
use crate::domain::name::{Pattern, RepositoryName};
use crate::domain::policy::{Custody, RepositoryPolicy, RolePolicy};

pub(super) use self::reach::{Reached, reached, reaches_root, repositories_of};
pub use self::who::{UnknownCaller, Who};
pub(super) use self::who::{caller_covers, caller_meets, comes};

use super::overlap::{Budget, Exhausted};
use super::schema::did_you_mean;
use super::{Configuration, Position};

const INCOMPLETE: &str = "the file has so many patterns that this table is not complete";

/// What one caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRights {
    /// The caller, as it was named.
    pub caller: String,
    /// Every name by which a grant could mean it.
    pub identities: Vec<String>,
    /// What it may do: by repository in the order of the file, then role, then verb.
    pub rights: Vec<Right>,
    /// What the table cannot say, a sentence each.
    pub notes: Vec<String>,
    /// Whether the table has every row. A file with so many patterns that comparing them would take too long has more.
    pub complete: bool,
}

/// One verb, for one role of one repository or pattern of repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What may be done.
    pub verb: Verb,
    /// In which repositories: a name, a pattern, or two patterns joined by ` and `, of which a name must match both. `**`
    /// for what concerns the whole daemon.
    pub repository: String,
    /// For which role; `None` where the role does not count, and for `freeze` of the repository as a whole (in `**`: of
    /// everything).
    pub role: Option<String>,
    /// Which `[[grant]]`s give it.
    pub places: Vec<Position>,
    /// The limits of the role, where a `[repository.role.NAME]` has some.
    pub limits: Option<RolePolicy>,
    /// Why it comes to nothing all the same.
    pub blocked: Option<String>,
}

impl Configuration {
    /// What a caller may do; in one repository, or in all of them and with the daemon as a whole.
    pub fn rights(&self, who: &Who, repository: Option<&RepositoryName>) -> CallerRights {
        let mut budget = Budget::new();
        let mut notes = Vec::new();
        let mut table = Table::default();
        let complete = match self.fill(&mut table, who, repository, &mut budget, &mut notes) {
            Ok(()) => true,
            Err(Exhausted) => {
                notes.push(format!("{INCOMPLETE}: this caller may do more than is shown here"));
                false
            }
        };
        let rights = table.into_rights();
        notes.extend(who.notes(self));
        notes.extend(rights.iter().filter_map(threshold_note));
        notes.extend(rights.iter().filter_map(unguarded_note));
        notes.extend(self.freeze_note(&rights));
        CallerRights { caller: who.to_string(), identities: who.identity_names(), rights, notes, complete }
    }

    /// Refuses a repository that no `[[repository]]` declares, with the nearest name that one has.
    pub fn check_declared(&self, repository: &RepositoryName) -> Result<(), String> {
        if self.policies.find(repository).is_some() {
            return Ok(());
        }
        let known = self.policies.iter().map(|policy| policy.repositories.as_str());
        Err(format!("no [[repository]] declares `{repository}`{}", did_you_mean(repository.as_str(), known)))
    }

    /// Everybody whom the grants name, in the order of the file; a person's identities are that person.
    pub fn callers(&self) -> Vec<Who> {
        let mut callers: Vec<Who> = Vec::new();
        for pattern in self.grants.iter().flat_map(|grant| &grant.callers) {
            let who = Who::named(pattern, self);
            if !callers.contains(&who) {
                callers.push(who);
            }
        }
        callers
    }

    /// Where a threshold of a role's keys adds nothing, a sentence per role. (`law.md` section 6)
    pub fn threshold_notes(&self) -> Vec<String> {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for who in self.callers() {
            let rights = self.rights(&who, None);
            let missed = (!rights.complete).then(|| format!("{INCOMPLETE}: not every threshold was looked at"));
            for note in rights.rights.iter().filter_map(threshold_note).chain(missed) {
                told.entry(note).or_default().push(who.to_string());
            }
        }
        told.into_iter().map(|(note, callers)| format!("{note}: {}", callers.join(" "))).collect()
    }

    /// Adds every row, or those for which the budget suffices.
    fn fill(
        &self,
        table: &mut Table,
        who: &Who,
        repository: Option<&RepositoryName>,
        budget: &mut Budget,
        notes: &mut Vec<String>,
    ) -> Result<(), Exhausted> {
        let policies: Vec<&RepositoryPolicy> = self.policies.iter().collect();
        let absent = (!who.comes(&self.listeners)).then_some("no listener lets this caller in");
        for (grant, place) in self.grants.iter().zip(&self.places.grants) {
            let Some(grant) = within(grant, repository) else { continue };
            if !self.means(&grant, *place, who, budget, notes)? {
                continue;
            }
            let mut found = Vec::new();
            let all = reached(&grant, &policies, budget, &mut found);
            for found in found {
                let order = found.order;
                let mut right = right(found, *place);
                let nobody = right.verb == Verb::Approve && who.is_no_person();
                let nobody = nobody.then_some("approvals count persons, and this caller is no [[person]]");
                right.blocked = absent.or(nobody).map(str::to_owned).or(right.blocked);
                table.add(order, right);
            }
            all?;
        }
        Ok(())
    }

    /// Where a caller freezes roles, and not their repository as a whole.
    fn freeze_note(&self, rights: &[Right]) -> Option<String> {
        let grants = self.grants.iter().zip(&self.places.grants);
        let whole = grants.filter(|(grant, _)| grant.roles.iter().any(|roles| roles.as_str() == "**"));
        let whole: Vec<Position> = whole.map(|(_, place)| *place).collect();
        let freezes = |right: &&Right| right.verb == Verb::Freeze && right.blocked.is_none();
        let roles_only = |right: &Right| !right.places.iter().any(|place| whole.contains(place));
        let right = rights.iter().filter(freezes).find(|right| roles_only(right))?;
        Some(format!(
            "freezes the roles that are shown of {}, not the repository as a whole: that takes a grant with roles = [\"**\"]",
            right.repository
        ))
    }

    /// Whether a grant means the caller. One that means only some of the callers behind a wildcard is noted.
    fn means(
        &self,
        grant: &Grant,
        place: Position,
        who: &Who,
        budget: &mut Budget,
        notes: &mut Vec<String>,
    ) -> Result<bool, Exhausted> {
        let mut partly = None;
        for pattern in &grant.callers {
            for identity in who.identities() {
                if caller_covers(pattern, identity, budget)? {
                    return Ok(true);
                }
                if partly.is_none() && caller_meets(pattern, identity, budget)? {
                    partly = Some(pattern);
                }
            }
        }
        if let Some(pattern) = partly {
            notes.push(format!("line {} gives more to those of these callers that are {pattern}", place.line));
        }
        Ok(false)
    }
}

/// Rows by the order of the repository's policy, repository, role and verb.
#[derive(Default)]
struct Table(BTreeMap<(usize, String, Option<String>, Verb), Right>);

impl Table {
    fn add(&mut self, order: usize, right: Right) {
        match self.0.entry((order, right.repository.clone(), right.role.clone(), right.verb)) {
            Entry::Vacant(vacant) => drop(vacant.insert(right)),
            Entry::Occupied(mut known) => {
                let places = &mut known.get_mut().places;
                // Grants come one after the other.
                let last = places.last().copied();
                places.extend(right.places.into_iter().filter(|place| Some(*place) != last));
            }
        }
    }

    fn into_rights(self) -> Vec<Right> {
        self.0.into_values().collect()
    }
}

/// What a grant gives in one repository.
fn within<'g>(grant: &'g Grant, repository: Option<&RepositoryName>) -> Option<Cow<'g, Grant>> {
    let Some(repository) = repository else { return Some(Cow::Borrowed(grant)) };
    if !grant.repositories.iter().any(|pattern| pattern.matches(repository.as_str())) {
        return None;
    }
    let verbs: Vec<Verb> = grant.verbs.iter().copied().filter(|verb| verb.is_per_repository()).collect();
    let repositories = vec![Pattern::new(repository.as_str())?];
    (!verbs.is_empty()).then(|| Cow::Owned(Grant { verbs, repositories, ..grant.clone() }))
}

fn right(found: Reached<'_>, place: Position) -> Right {
    let Reached { verb, repository, role, limits, blocked, order: _ } = found;
    Right { verb, repository, role, places: vec![place], limits: limits.cloned(), blocked }
}

/// `law.md` section 3: hash bins that share a key.
fn unguarded_note(right: &Right) -> Option<String> {
    let unguarded = right.limits.as_ref().is_some_and(|limits| limits.unguarded);
    (right.verb == Verb::Sign && unguarded && right.blocked.is_none()).then(|| {
        format!(
            "targets/* of {} is unguarded: whoever signs it may sign any delegated targets there, at any version and as \
             often as they want",
            right.repository
        )
    })
}

/// `law.md` section 6: a threshold protects against the loss of keys, not against a caller whom one daemon obeys.
fn threshold_note(right: &Right) -> Option<String> {
    let role = right.role.as_deref().filter(|role| !["timestamp", "snapshot"].contains(role))?;
    let online = right.limits.as_ref().is_some_and(|limits| limits.custody == Custody::Online);
    (right.verb == Verb::Sign && online && right.blocked.is_none()).then(|| {
        format!(
            "{role} of {} is online: one request gets a signature of every key of it here, so a threshold of such keys \
             adds nothing against one who may sign it",
            right.repository
        )
    })
}
