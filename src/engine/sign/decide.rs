//! Asking the law about the open items of a batch, in order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Prepared, Results, predecessor_failed, set};
use crate::domain::freeze::Frozen;
use crate::domain::guard::Guard;
use crate::domain::key::KeyRecord;
use crate::domain::law::attended::{Attendance, Wait};
use crate::domain::law::sign::{self as law, Answer, Decision, Delegators, Keys, Situation};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::RepositoryPolicy;
use crate::domain::public_key::KeyId;
use crate::domain::root::RoleKeys;
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
    /// For a delegated role: who lists its keys, and with which threshold.
    pub(super) delegators: Vec<(Role, RoleKeys)>,
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
    /// Allowed by everything but the people who must approve it.
    pub(super) waiting: Vec<(usize, Wait)>,
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
        let mut waiting = Vec::new();
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
            if let Err(latched) = &latched {
                set(results, index, Err(latched.clone()));
                continue;
            }
            let view = match self.ledger.view(&item.repository) {
                Ok(view) => view,
                Err(error) => {
                    set(results, index, Err(error.denial()));
                    continue;
                }
            };
            // A guard may hold thousands of versions: copied only for an item that an earlier one of its batch changed.
            let mut guards = Cow::Borrowed(&view.guards);
            for ((repository, role), (guard, _)) in &tentative {
                if *repository == item.repository {
                    guards.to_mut().insert(role.clone(), guard.clone());
                }
            }
            let read = roles_read(item, &guards);
            let of_batch = |role: &Role| tentative.get(&(item.repository.clone(), role.clone()));
            let earlier: BTreeSet<usize> = read.iter().filter_map(of_batch).map(|(_, index)| *index).collect();
            let attendance = Attendance {
                pending: &view.pending,
                grants: &rules.grants,
                caller: &call.caller,
                freezes: &switches.freezes,
            };
            let decided = rules
                .policy(&item.repository)
                .and_then(|policy| {
                    Ok((policy, situation(item, policy, &view, &guards, now, (&caller, frozen), attendance)?))
                })
                .and_then(|(policy, situation)| Ok((policy, law::decide(&situation)?)));
            match decided {
                Ok((_, Answer::Pending(wait))) if earlier.is_empty() => waiting.push((index, *wait)),
                Ok((_, Answer::Pending(_))) => {} // what it would be bound to is not released yet: the next pass asks
                Ok((policy, Answer::Permit(decision))) => {
                    let decision = *decision;
                    let mut expects = expectations(item, policy, &decision, &view, &guards, &read);
                    expects.push(Expect::Switches(switches.revision));
                    let delegators = delegators(item, &guards);
                    let view = Arc::clone(&view);
                    let (switches, builds_on) = (switches.revision, earlier);
                    let item_allowed = Allowed { index, decision, view, switches, expects, builds_on, delegators };
                    if let Some(guard) = item_allowed.decision.tentative() {
                        tentative.insert((item.repository.clone(), item.role.clone()), (guard, index));
                    }
                    allowed.push(item_allowed);
                }
                Err(denial) if earlier.is_empty() => set(results, index, Err(denial)),
                Err(denial) => held.push(Held { index, denial, rests_on: earlier }),
            }
        }
        Decided { allowed, repeats, held, waiting }
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
    attendance: Attendance<'a>,
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
        may_delegate: item.may_delegate,
        now,
        caller,
        frozen,
        attendance,
    })
}

fn find_key<'a>(keys: &'a [KeyRecord], repository: &RepositoryName, id: KeyId) -> Result<&'a KeyRecord, Denial> {
    // A key of another repository is unknown here: the caller may have no grant to learn of it.
    keys.iter()
        .find(|record| record.id() == id)
        .ok_or_else(|| Denial::new(Reason::UnknownKey, format!("{repository} has no key {id}")))
}

/// The roles whose guards a decision reads.
fn roles_read(item: &Prepared, guards: &BTreeMap<Role, Guard>) -> BTreeSet<Role> {
    let listed = item.statement.listing().keys().filter_map(|file| Role::from_listed_file(file));
    let mut roles: BTreeSet<Role> = listed.chain([item.role.clone()]).collect();
    let head = guards.get(&item.role).and_then(|guard| guard.head.as_ref());
    // What is to take the head's place is held against what the listing role released of it.
    if head.is_some_and(|head| head.version == item.statement.version() && head.digest != item.statement.digest()) {
        roles.extend(law::lister(&item.role));
    }
    if let Role::Delegated(_) = item.role {
        roles.insert(Role::Targets);
        roles.extend(law::delegators_read(guards).cloned());
    }
    roles
}

/// Who lists the keys of a delegated role, as far as their heads are held here.
fn delegators(item: &Prepared, guards: &BTreeMap<Role, Guard>) -> Vec<(Role, RoleKeys)> {
    if !matches!(item.role, Role::Delegated(_)) {
        return Vec::new();
    }
    let owned = |(role, signers): (&Role, &RoleKeys)| (role.clone(), signers.clone());
    Delegators::of(guards, &item.role).listing.into_iter().map(owned).collect()
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
fn expectations(
    item: &Prepared,
    policy: &RepositoryPolicy,
    decision: &Decision,
    view: &View,
    guards: &BTreeMap<Role, Guard>,
    read: &BTreeSet<Role>,
) -> Vec<Expect> {
    let mut expects = vec![Expect::Roots(item.repository.clone(), view.roots.revision)];
    let mut roles = read.clone();
    let counts = policy.role(&item.role).is_some_and(|limits| limits.max_signatures.refuse.is_some());
    for (id, _) in &decision.judgement().keys {
        if let Some(record) = view.keys.iter().find(|record| record.id() == *id) {
            expects.push(Expect::Key(*id, record.revision));
            // What a key signed for its other role counts, too.
            roles.extend(record.roles.iter().filter(|_| counts).cloned());
        }
    }
    for role in &roles {
        // That there was no guard was read as well.
        expects.push(match guards.get(role) {
            Some(guard) => Expect::Guard(guard.name.clone(), guard.revision),
            None => Expect::Guard(law::first_epoch(&item.repository, role), 0),
        });
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
