//! Asking the law about the open items of a batch, in order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Prepared, Results, predecessor_failed, set};
use crate::domain::freeze::Frozen;
use crate::domain::guard::Guard;
use crate::domain::key::KeyRecord;
use crate::domain::law::sign::{self as law, Decision, Keys, Situation};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RepositoryPolicy;
use crate::domain::public_key::KeyId;
use crate::engine::{Call, Engine, Rules};
use crate::ledger::{Expect, View};

/// An item that the law allowed in this attempt.
pub(super) struct Allowed {
    pub(super) index: usize,
    pub(super) decision: Decision,
    pub(super) view: Arc<View>,
    /// The revision of freezes and latches that it saw.
    pub(super) switches: u64,
    /// What the decision read, with the revisions that it saw.
    pub(super) expects: Vec<Expect>,
    /// Earlier items of this attempt that it builds on, by index.
    pub(super) builds_on: BTreeSet<usize>,
}

/// An item that the law denied while earlier items of this attempt counted as released. The denial stands once they are.
pub(super) struct Held {
    pub(super) index: usize,
    pub(super) denial: Denial,
    /// Those items, by index.
    pub(super) rests_on: BTreeSet<usize>,
}

/// What one pass over the open items came to. Denials that rest on nothing tentative are in the results already.
pub(super) struct Decided {
    /// To be signed.
    pub(super) allowed: Vec<Allowed>,
    /// Items that repeat an earlier one of this pass, with it.
    pub(super) repeats: Vec<(usize, usize)>,
    /// Denied, if the items that they rest on are released.
    pub(super) held: Vec<Held>,
}

impl Engine {
    /// Asks the law about each open item, in order; what it allows counts as released for the next.
    pub(super) fn decide(
        &self,
        call: &Call,
        rules: &Rules,
        prepared: &[Option<Prepared>],
        open: &[usize],
        results: &mut Results,
    ) -> Decided {
        let caller = call.caller.to_string();
        let now = self.now();
        // Read once: what an item was built on saw the same freezes.
        let (latched, switches) = (self.check_latches(), self.ledger.switches());
        let frozen = Frozen::for_caller(&switches.freezes, &call.caller, rules.grants.persons());
        let mut tentative: BTreeMap<(RepositoryName, Role), (Guard, usize)> = BTreeMap::new();
        let mut allowed: Vec<Allowed> = Vec::new();
        let mut repeats = Vec::new();
        let mut held = Vec::new();
        for &index in open {
            let Some(Some(item)) = prepared.get(index) else { continue };
            if let Some(original) =
                allowed.iter().map(|other| other.index).find(|other| is_repeated(prepared, *other, item))
            {
                repeats.push((index, original));
                continue;
            }
            let own = tentative.get(&(item.repository.clone(), item.role.clone()));
            let same = |(guard, _): &(Guard, usize)| {
                guard.head.as_ref().is_some_and(|head| head.digest == item.statement.digest())
            };
            if own.is_some_and(same) {
                continue; // another key over a head that has no signatures yet: the next pass cosigns
            }
            let earlier: BTreeSet<usize> = roles_read(item)
                .filter_map(|role| tentative.get(&(item.repository.clone(), role)).map(|(_, index)| *index))
                .collect();
            let outcome = self.ledger.view(&item.repository).map_err(|error| error.denial()).and_then(|view| {
                latched.clone()?;
                let policy = rules.policy(&item.repository)?;
                // A guard may hold thousands of versions: copied only for an item that an earlier one of its batch changed.
                let mut guards = Cow::Borrowed(&view.guards);
                for ((repository, role), (guard, _)) in &tentative {
                    if *repository == item.repository {
                        guards.to_mut().insert(role.clone(), guard.clone());
                    }
                }
                let decision = law::decide(&situation(item, policy, &view, &guards, now, (&caller, frozen))?)?;
                let mut expects = expectations(item, &decision, &view, &guards);
                expects.push(Expect::Switches(switches.revision));
                let (builds_on, switches) = (earlier.clone(), switches.revision);
                Ok(Allowed { index, decision, view, switches, expects, builds_on })
            });
            match outcome {
                Ok(item_allowed) => {
                    if let Some(guard) = item_allowed.decision.released(BTreeMap::new()) {
                        tentative.insert((item.repository.clone(), item.role.clone()), (guard, index));
                    }
                    allowed.push(item_allowed);
                }
                Err(denial) if earlier.is_empty() => set(results, index, Err(denial)),
                Err(denial) => held.push(Held { index, denial, rests_on: earlier }),
            }
        }
        Decided { allowed, repeats, held }
    }
}

/// Everything that the law weighs.
pub(in crate::engine) fn situation<'a>(
    item: &'a Prepared,
    policy: &'a RepositoryPolicy,
    view: &'a View,
    guards: &'a BTreeMap<Role, Guard>,
    now: crate::domain::time::Instant,
    (caller, frozen): (&'a str, Frozen<'a>),
) -> Result<Situation<'a>, Denial> {
    let keys = match item.key {
        None => Keys::OfRole(&view.keys),
        Some(id) => Keys::One(find_key(&view.keys, &item.repository, id)?),
    };
    Ok(Situation {
        repository: &item.repository,
        role: &item.role,
        policy,
        statement: &item.statement,
        keys,
        guards,
        roots: &view.roots,
        attached_snapshot: item.attached.as_ref(),
        now,
        caller,
        frozen,
    })
}

fn find_key<'a>(keys: &'a [KeyRecord], repository: &RepositoryName, id: KeyId) -> Result<&'a KeyRecord, Denial> {
    // A key of another repository is unknown here: the caller may have no grant to learn of it.
    keys.iter()
        .find(|record| record.id() == id)
        .ok_or_else(|| Denial::new(Reason::UnknownKey, format!("{repository} has no key {id}")))
}

/// The roles whose guards a decision reads.
fn roles_read(item: &Prepared) -> impl Iterator<Item = Role> {
    let listed = item.statement.listing().keys().filter_map(|file| Role::from_listed_file(file));
    std::iter::once(item.role.clone()).chain(listed)
}

/// Denials that rest on earlier items: those were released, are decided again, or failed.
pub(super) fn settle(held: Vec<Held>, results: &mut Results) {
    for Held { index, denial, rests_on } in held {
        let mut earlier = rests_on.iter().map(|earlier| results.get(*earlier).and_then(Option::as_ref));
        let verdict = match earlier.find(|result| !matches!(result, Some(Ok(_)))) {
            None => denial,
            Some(None) => continue,
            Some(Some(_)) => predecessor_failed(),
        };
        set(results, index, Err(verdict));
    }
}

/// What must still be so at the commit.
fn expectations(item: &Prepared, decision: &Decision, view: &View, guards: &BTreeMap<Role, Guard>) -> Vec<Expect> {
    let mut expects = vec![Expect::Roots(item.repository.clone(), view.roots.revision)];
    for role in roles_read(item) {
        // That there was no guard was read as well.
        expects.push(match guards.get(&role) {
            Some(guard) => Expect::Guard(guard.name.clone(), guard.revision),
            None => Expect::Guard(law::first_epoch(&item.repository, &role), 0),
        });
    }
    for (id, _) in &decision.judgement().keys {
        if let Some(record) = view.keys.iter().find(|record| record.id() == *id) {
            expects.push(Expect::Key(*id, record.revision));
        }
    }
    expects
}

fn is_repeated(prepared: &[Option<Prepared>], other: usize, item: &Prepared) -> bool {
    matches!(prepared.get(other), Some(Some(other))
        if other.repository == item.repository
            && other.role == item.role
            && other.key == item.key
            && other.encoding == item.encoding
            && other.tuf_key_id == item.tuf_key_id
            && other.statement.digest() == item.statement.digest())
}
