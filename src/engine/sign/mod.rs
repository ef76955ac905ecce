//! Sign and SignBatch: decide, sign, verify, commit, and only then release.

mod decide;
mod prepare;
mod release;
mod stream;
mod unnamed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use super::audited::Scope;
use super::locks::{Held, Name};
use super::{Call, Engine, Rules, Stage};
use crate::domain::delegation::Delegations;
use crate::domain::grant::Verb;
use crate::domain::guard::{Guard, Step};
use crate::domain::name::{MetadataType, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::signature::Encoding;

pub(super) use decide::situation;
pub(super) use prepare::Prepared;
pub(super) use release::listed_key_id;

/// How often a decision is made again when what it rests on changed meanwhile.
const ATTEMPTS: usize = 5;

/// One payload to sign, as it came through a door.
#[derive(Clone, Debug)]
pub struct SignItem {
    /// The repository's name.
    pub repository: String,
    /// The role's name; empty with a key whose roles and the payload's type say it.
    pub role: String,
    /// One key by its id, or all eligible keys of the role.
    pub key: Option<String>,
    /// The canonical bytes of `signed`.
    pub payload: Arc<[u8]>,
    /// How ECDSA signatures are to be written.
    pub encoding: Encoding,
    /// A TUF key id to return instead of the one that the root lists.
    pub tuf_key_id: Option<String>,
    /// For a timestamp: the file of the signed snapshot.
    pub snapshot_file: Option<Vec<u8>>,
}

/// What was released for one payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Per key.
    pub signatures: Vec<KeySigned>,
    /// Keys that were asked and did not sign.
    pub refusals: Vec<(KeyId, Denial)>,
    /// Whether the head's signatures meet the role's threshold in the trusted root.
    pub trusted_threshold_met: Option<bool>,
    /// The same for the staged root.
    pub staged_threshold_met: Option<bool>,
    /// For a delegated role: per delegator whose head is held here, whether its threshold is met.
    pub delegations: Vec<DelegationMet>,
    /// The version.
    pub version: Version,
    /// The payload's digest.
    pub digest: Sha256Digest,
}

/// What one delegator demands of a delegated role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationMet {
    /// Top-level targets, or another delegated role.
    pub delegator: Role,
    /// How many distinct keys must sign.
    pub threshold: u64,
    /// Whether the head's signatures meet it.
    pub met: bool,
}

/// One released signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySigned {
    /// The key.
    pub key: KeyId,
    /// Under which TUF key id it stands in metadata.
    pub tuf_key_id: String,
    /// The bytes, in the encoding asked for.
    pub signature: Vec<u8>,
    /// How the payload related to the head.
    pub step: Step,
    /// TUF scheme.
    pub scheme: &'static str,
}

/// Per item; `None` while it is open.
type Results = Vec<Option<Result<Signed, Denial>>>;

impl Engine {
    /// Signs one payload.
    pub async fn sign(&self, call: &Call, item: SignItem) -> Result<Signed, Denial> {
        let mut results = self.sign_batch(call, vec![item]).await;
        results.pop().unwrap_or_else(|| Err(Denial::new(Reason::Internal, "no result")))
    }

    /// Signs payloads in order, each with an outcome of its own. An earlier one counts as released for later ones.
    pub async fn sign_batch(&self, call: &Call, items: Vec<SignItem>) -> Vec<Result<Signed, Denial>> {
        let begun = Monotonic::now();
        let rules = self.rules();
        let mut results: Results = Vec::with_capacity(items.len());
        let mut scopes: Vec<Scope> = Vec::with_capacity(items.len());
        let mut prepared: Vec<Option<Prepared>> = Vec::with_capacity(items.len());
        for item in items {
            let mut scope = Scope::default();
            let outcome = match self.check_serving(call).and_then(|()| self.admit_caller(call)) {
                Ok(()) => self.understand(&rules, call, Verb::Sign, item, &mut scope).await,
                Err(denial) => Err(denial),
            };
            let (ready, result) = match outcome {
                Ok(ready) => (Some(ready), None),
                Err(denial) => (None, Some(Err(denial))),
            };
            prepared.push(ready);
            results.push(result);
            scopes.push(scope);
        }
        self.metrics.observe(Stage::Decide, begun.elapsed());
        match self.hold_guards_of(call, &prepared).await {
            Ok(_held) => self.attempt_all(call, &rules, &prepared, &mut results).await,
            Err(late) => {
                for result in results.iter_mut().filter(|result| result.is_none()) {
                    *result = Some(Err(late.clone()));
                }
            }
        }
        let open = || Err(Denial::new(Reason::Conflict, "the guard kept changing"));
        let mut answers: Vec<_> = results.into_iter().map(|result| result.unwrap_or_else(open)).collect();
        let denied = |(answer, scope): (&Result<Signed, Denial>, _)| Some((scope, answer.as_ref().err()?.clone()));
        let refusals = answers.iter().zip(&scopes).filter_map(denied).collect();
        let recorded = self.refuse_all(call, "sign", refusals).await;
        let refused = answers.iter_mut().filter_map(|answer| answer.as_mut().err());
        refused.zip(recorded).for_each(|(denial, recorded)| *denial = recorded);
        for (answer, scope) in answers.iter().zip(&scopes) {
            self.metrics.count("sign", scope.role.as_ref(), answer.as_ref().err());
            self.metrics.observe(Stage::Total, begun.elapsed());
        }
        answers
    }

    /// Waits for the guards of every item.
    ///
    /// Who may sign for a delegated role follows from what every other one delegates. A decision about it expects those
    /// that delegate to stand as they were, and not the thousands that do not: so whoever begins to waits for what is in
    /// flight in any of them.
    async fn hold_guards_of(&self, call: &Call, prepared: &[Option<Prepared>]) -> Result<Held, Denial> {
        let mut names = self.guards_concerned(prepared);
        loop {
            let held = self.hold_guards(call, names.clone()).await?;
            let concerned = self.guards_concerned(prepared);
            if concerned.is_subset(&names) {
                return Ok(held);
            }
            names.extend(concerned); // somebody changed what is delegated while we waited
        }
    }

    fn guards_concerned(&self, prepared: &[Option<Prepared>]) -> BTreeSet<Name> {
        let mut names = BTreeSet::new();
        for item in prepared.iter().flatten() {
            names.insert((item.repository.clone(), item.role.clone()));
            if item.statement.metadata_type() != MetadataType::Targets || item.role.is_unguarded() {
                continue;
            }
            let Ok(view) = self.ledger.view(&item.repository) else { continue }; // the decision will say so
            let before = view.guards.get(&item.role).and_then(Guard::delegations).map(Delegations::digest);
            if before != item.statement.delegations().map(Delegations::digest) {
                let delegated = view.guards.keys().filter(|role| matches!(role, Role::Delegated(_)));
                names.extend(delegated.map(|role| (item.repository.clone(), role.clone())));
            }
        }
        names
    }

    /// Decides, signs and commits until every item has its result, or the same items conflict again and again.
    async fn attempt_all(&self, call: &Call, rules: &Rules, prepared: &[Option<Prepared>], results: &mut Results) {
        let mut idle = 0;
        let mut before = usize::MAX;
        // What each item was once built on. If that failed in the end, so does the item; it was not denied.
        let mut built_on: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        while idle < ATTEMPTS {
            fail_successors(&built_on, results);
            let open: Vec<usize> =
                results.iter().enumerate().filter(|(_, result)| result.is_none()).map(|(i, _)| i).collect();
            if open.is_empty() {
                return;
            }
            idle = if open.len() < before { 0 } else { idle + 1 };
            before = open.len();
            let begun = Monotonic::now();
            let decided = self.decide(call, rules, prepared, &open, results);
            self.metrics.observe(Stage::Decide, begun.elapsed());
            for allowed in &decided.allowed {
                built_on.entry(allowed.index).or_default().extend(&allowed.builds_on);
            }
            for held in &decided.held {
                built_on.entry(held.index).or_default().extend(&held.rests_on);
            }
            for (index, wait) in decided.waiting {
                let Some(Some(item)) = prepared.get(index) else { continue };
                let answer = self.await_approval(call, rules, wait, item.payload()).await;
                set(results, index, Err(answer));
            }
            let made = self.make(call, prepared, decided.allowed).await;
            self.commit_and_release(call, prepared, made, results).await;
            decide::settle(decided.held, results);
            for (index, original) in decided.repeats {
                let copied = match results.get(original) {
                    Some(Some(Ok(signed))) => as_replay(signed),
                    Some(Some(Err(denial))) => Err(denial.clone()),
                    _ => continue,
                };
                self.count_replay(call);
                set(results, index, copied);
            }
        }
    }
}

fn fail_successors(built_on: &BTreeMap<usize, BTreeSet<usize>>, results: &mut Results) {
    for (index, earlier) in built_on {
        let failed = earlier.iter().any(|earlier| matches!(results.get(*earlier), Some(Some(Err(_)))));
        if failed && matches!(results.get(*index), Some(None)) {
            set(results, *index, Err(predecessor_failed()));
        }
    }
}

fn predecessor_failed() -> Denial {
    Denial::new(Reason::PredecessorFailed, "an earlier item that this one builds on was not released")
}

fn as_replay(signed: &Signed) -> Result<Signed, Denial> {
    let mut copy = signed.clone();
    for signature in &mut copy.signatures {
        signature.step = Step::Replay;
    }
    Ok(copy)
}

fn set(results: &mut Results, index: usize, result: Result<Signed, Denial>) {
    if let Some(slot) = results.get_mut(index) {
        *slot = Some(result);
    }
}

#[cfg(test)]
mod tests {
    use super::decide::{self, settle};
    use super::*;

    fn signed() -> Option<Result<Signed, Denial>> {
        Some(Ok(Signed {
            signatures: Vec::new(),
            refusals: Vec::new(),
            trusted_threshold_met: None,
            staged_threshold_met: None,
            delegations: Vec::new(),
            version: Version::new(1).unwrap(),
            digest: Sha256Digest::of(b""),
        }))
    }

    fn failed() -> Option<Result<Signed, Denial>> {
        Some(Err(Denial::new(Reason::KeystoreUnavailable, "")))
    }

    fn settled(first: Option<Result<Signed, Denial>>) -> Option<Reason> {
        let mut results = vec![first, None];
        let denial = Denial::new(Reason::Rollback, "");
        settle(vec![decide::Held { index: 1, denial, rests_on: BTreeSet::from([0]) }], &mut results);
        results[1].as_ref().map(|result| result.as_ref().unwrap_err().reason)
    }

    #[test]
    fn a_denial_stands_once_what_it_rests_on_is_released() {
        assert_eq!(settled(signed()), Some(Reason::Rollback));
        assert_eq!(settled(failed()), Some(Reason::PredecessorFailed));
        assert_eq!(settled(None), None, "a lost race is decided again");
    }

    #[test]
    fn what_was_built_on_a_failure_fails_and_the_rest_stays_open() {
        let mut results = vec![failed(), None, None, signed()];
        let built_on = BTreeMap::from([(1, BTreeSet::from([0])), (2, BTreeSet::from([3])), (3, BTreeSet::from([0]))]);
        fail_successors(&built_on, &mut results);
        let reason =
            |index: usize| results[index].as_ref().map(|result| result.as_ref().map_err(|denial| denial.reason));
        assert_eq!(reason(1).unwrap().unwrap_err(), Reason::PredecessorFailed);
        assert!(reason(2).is_none());
        assert!(reason(3).unwrap().is_ok());
    }
}
