//! Signing what the law allowed, making it durable, and only then answering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use tokio::sync::oneshot;

use super::decide::Allowed;
use super::{DelegationMet, KeySigned, Prepared, Results, Signed, predecessor_failed, set};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::guard::{Guard, KEPT_PAYLOAD_BYTES, Step};
use crate::domain::key::KeyRecord;
use crate::domain::law::sign as law;
use crate::domain::name::{Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Online, Permit};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::root::VerifiedRoot;
use crate::domain::signature::Signature;
use crate::engine::{Call, Engine, Stage};
use crate::keystore::desk::{Asker, Place, Priority};
use crate::ledger::{Change, CommitError, Unit, View};
use crate::tuf;

impl Engine {
    /// Has every allowed item signed by all its keys at once.
    pub(super) async fn make<'a>(
        &self,
        call: &Call,
        prepared: &'a [Option<Prepared>],
        allowed: Vec<Allowed>,
    ) -> Vec<Made<'a>> {
        let mut work = Vec::with_capacity(allowed.len());
        for mut item in allowed {
            let Some(Some(ready)) = prepared.get(item.index) else { continue };
            let signing = self.start_signing(call, ready, &mut item);
            work.push((item, ready, signing));
        }
        let begun = Monotonic::now();
        let mut made = Vec::with_capacity(work.len());
        for (item, ready, signing) in work {
            let (signatures, refusals) = collect(call, signing).await;
            made.push((item, ready, signatures, refusals));
        }
        self.metrics.observe(Stage::Sign, begun.elapsed());
        made
    }

    /// Hands every permit of an item to its keystore.
    fn start_signing(&self, call: &Call, item: &Prepared, allowed: &mut Allowed) -> Vec<(KeyId, Signing)> {
        let priority = match item.role {
            Role::Timestamp => Priority::Timestamp,
            Role::Snapshot => Priority::Snapshot,
            _ => Priority::Rest,
        };
        let mut signing = Vec::new();
        for permit in allowed.decision.take_permits() {
            let key = permit.key();
            signing.push((key, self.start_one(call, item, &allowed.view, permit, priority)));
        }
        signing
    }

    fn start_one(
        &self,
        call: &Call,
        item: &Prepared,
        view: &View,
        permit: Permit<Online>,
        priority: Priority,
    ) -> Signing {
        let record = view.keys.iter().find(|record| record.id() == permit.key());
        let desk = match record.map(|record| self.desk(&record.keystore)) {
            Some(Ok(desk)) => desk,
            Some(Err(denial)) => return Signing::Refused(denial),
            None => return Signing::Refused(Denial::new(Reason::Internal, "a permit without a record")),
        };
        if let Err(denial) = self.admit_key(permit.key()) {
            return Signing::Refused(denial);
        }
        let (done, signed) = oneshot::channel();
        let place = Place { priority, asker: Asker::named(&call.caller.to_string()) };
        desk.sign(permit, Arc::clone(&item.payload), place, call.deadline, move |result| {
            // The asker may have given up at its deadline.
            drop(done.send(result.map_err(|error| error.denial())));
        });
        Signing::Pending(signed)
    }

    /// Makes it durable, and only then answers.
    pub(super) async fn commit_and_release(
        &self,
        call: &Call,
        prepared: &[Option<Prepared>],
        made: Vec<Made<'_>>,
        results: &mut Results,
    ) {
        let mut units: Vec<Unit> = Vec::new();
        let mut releases = Vec::new();
        // Which unit an item became; replays and failures become none.
        let mut unit_of: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        for (allowed, ready, mut signatures, mut refusals) in made {
            let index = allowed.index;
            refusals.extend(allowed.decision.withhold(&mut signatures));
            if allowed.builds_on.iter().any(|earlier| !matches!(unit_of.get(earlier), Some(Some(_)))) {
                set(results, index, Err(predecessor_failed()));
                unit_of.insert(index, None);
                continue;
            }
            if signatures.is_empty() && allowed.decision.replays().is_empty() {
                let first = refusals.into_iter().next().map(|(_, denial)| denial);
                let denial = first.unwrap_or_else(|| Denial::new(Reason::Internal, "no signature and no refusal"));
                set(results, index, Err(denial));
                unit_of.insert(index, None);
                continue;
            }
            let changed = if signatures.is_empty() { None } else { allowed.decision.released(signatures.clone()) };
            let head = changed.clone().unwrap_or_else(|| allowed.decision.guard().clone());
            let failures: Vec<_> = refusals.iter().filter(|(_, denial)| may_exist_outside(denial)).cloned().collect();
            let answer = compose(ready, &allowed, &signatures, refusals, &head);
            match changed {
                None => {
                    self.count_replay(call);
                    unit_of.insert(index, None);
                    if failures.is_empty() {
                        if self.still_stands(allowed.switches) {
                            set(results, index, Ok(answer));
                        }
                        continue;
                    }
                    // Another key's device may have signed: that is told before the replay leaves.
                    let events = self.events(call, ready, &allowed, &signatures, &failures, &head);
                    units.push(Unit { events, ..Unit::default() });
                    releases.push((index, answer, Some(allowed.switches)));
                }
                Some(guard) => {
                    let after = allowed
                        .builds_on
                        .iter()
                        .filter_map(|earlier| unit_of.get(earlier).copied().flatten())
                        .collect();
                    let events = self.events(call, ready, &allowed, &signatures, &failures, &guard);
                    let kept = guard.head.is_some() && ready.payload.len() <= KEPT_PAYLOAD_BYTES;
                    let payload = kept.then(|| ready.payload.to_vec());
                    unit_of.insert(index, Some(units.len()));
                    let approved = allowed.decision.approved();
                    let mut unit = Unit {
                        expects: allowed.expects,
                        changes: vec![Change::Guard { guard, payload }],
                        events,
                        after,
                    };
                    if let Some(approved) = approved {
                        unit.uses(approved);
                    }
                    units.push(unit);
                    releases.push((index, answer, None));
                }
            }
        }
        if units.is_empty() {
            return;
        }
        for (result, (index, answer, replayed_under)) in self.commit(units).await.into_iter().zip(releases) {
            match result {
                Ok(_) if replayed_under.is_some_and(|revision| !self.still_stands(revision)) => {}
                Ok(_) => {
                    if let Some(Some(item)) = prepared.get(index)
                        && answer.signatures.iter().any(|one| one.step == Step::Supersede)
                    {
                        self.metrics.count_supersede(&item.role);
                    }
                    set(results, index, Ok(answer));
                }
                // Left open: decided again. What was built on it follows what becomes of it.
                Err(CommitError::Conflict | CommitError::PredecessorFailed) => {}
                Err(error) => set(results, index, Err(error.denial())),
            }
        }
    }

    /// Whether no freeze and no latch came since the decision. A replay has no commit that would tell.
    fn still_stands(&self, revision: u64) -> bool {
        self.ledger.switches().revision == revision
    }

    fn events(
        &self,
        call: &Call,
        item: &Prepared,
        allowed: &Allowed,
        signatures: &BTreeMap<KeyId, Signature>,
        failures: &[(KeyId, Denial)],
        guard: &Guard,
    ) -> Vec<Event> {
        let now = self.now();
        let steps = &allowed.decision.judgement().keys;
        let event = |key: &KeyId, kind| {
            let mut event = Event::new(now, &call.caller, "sign", &call.request, kind);
            event.repository = Some(item.repository.clone());
            event.role = Some(item.role.clone());
            // Without an epoch nobody takes the leaf for a guard's head.
            event.epoch = (!item.role.is_unguarded()).then_some(guard.name.epoch);
            event.key = Some(*key);
            event.metadata_type = Some(item.statement.metadata_type());
            event.version = Some(item.statement.version());
            event.expires = Some(item.statement.expires());
            event.digest = Some(item.statement.digest());
            event
        };
        let released = signatures.iter().map(|(key, signature)| {
            let step = steps.iter().find(|(id, _)| id == key).and_then(|(_, step)| step.as_ref().ok());
            let mut event = event(
                key,
                match step {
                    Some(Step::Advance) => EventKind::Advance,
                    Some(Step::Supersede) => EventKind::Supersede,
                    Some(Step::Unguarded) => EventKind::Unguarded,
                    _ => EventKind::Cosign,
                },
            );
            event.signature = Some(Sha256Digest::of(signature.as_fixed()));
            event.approval = allowed.decision.approved().map(|used| used.id);
            event
        });
        let failed = failures.iter().map(|(key, denial)| event(key, EventKind::Failure).refused(denial));
        released.chain(failed).collect()
    }
}

/// An item with what its keys signed, and why others did not.
pub(super) type Made<'a> = (Allowed, &'a Prepared, BTreeMap<KeyId, Signature>, Vec<(KeyId, Denial)>);

enum Signing {
    Pending(oneshot::Receiver<Result<Signature, Denial>>),
    Refused(Denial),
}

/// Whether a signature may be out there all the same: the device had the request when contact was lost.
fn may_exist_outside(denial: &Denial) -> bool {
    matches!(denial.reason, Reason::KeystoreUnavailable | Reason::Deadline | Reason::BadTokenSignature)
}

async fn collect(call: &Call, signing: Vec<(KeyId, Signing)>) -> (BTreeMap<KeyId, Signature>, Vec<(KeyId, Denial)>) {
    let mut signatures = BTreeMap::new();
    let mut refusals = Vec::new();
    for (key, one) in signing {
        let result = match one {
            Signing::Refused(denial) => Err(denial),
            Signing::Pending(signed) => match tokio::time::timeout_at(call.deadline.into(), signed).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => {
                    Err(Denial::new(Reason::KeystoreUnavailable, "the keystore's thread dropped the request"))
                }
                Err(_) => Err(Denial::new(Reason::Deadline, "the keystore did not sign in time")),
            },
        };
        match result {
            Ok(signature) => {
                signatures.insert(key, signature);
            }
            Err(denial) => refusals.push((key, denial)),
        }
    }
    (signatures, refusals)
}

fn compose(
    item: &Prepared,
    allowed: &Allowed,
    signatures: &BTreeMap<KeyId, Signature>,
    mut refusals: Vec<(KeyId, Denial)>,
    head: &Guard,
) -> Signed {
    let roots = &allowed.view.roots;
    let mut released = Vec::new();
    for (id, step) in &allowed.decision.judgement().keys {
        match step {
            Err(denial) => refusals.push((*id, denial.clone())),
            Ok(step) => {
                let signature = signatures.get(id).or_else(|| allowed.decision.replays().get(id));
                let record = allowed.view.keys.iter().find(|record| record.id() == *id);
                if let (Some(signature), Some(record)) = (signature, record) {
                    released.push(KeySigned {
                        key: *id,
                        tuf_key_id: tuf_key_id(item, allowed, record),
                        signature: signature.encode(item.encoding),
                        step: *step,
                        scheme: record.public_key.algorithm().tuf_scheme(),
                    });
                }
            }
        }
    }
    let on_head: BTreeSet<KeyId> =
        head.head.as_ref().map(|head| head.signatures.keys().copied().collect()).unwrap_or_default();
    let listing = |root: &&VerifiedRoot| root.roles.contains_key(&item.role); // a root says nothing about delegations
    let met = |root: &Option<VerifiedRoot>| {
        root.as_ref().filter(listing).map(|root| law::meets_threshold(root, &item.role, &on_head))
    };
    let delegations = allowed.delegators.iter().map(|(delegator, signers)| DelegationMet {
        delegator: delegator.clone(),
        threshold: signers.threshold,
        met: signers.is_met_by(&on_head),
    });
    Signed {
        signatures: released,
        refusals,
        trusted_threshold_met: met(&roots.trusted),
        staged_threshold_met: met(&roots.staged),
        delegations: delegations.collect(),
        version: item.statement.version(),
        digest: item.statement.digest(),
    }
}

/// The caller's own name for the key, else the root's or the delegator's, else the one that securesystemslib computes.
fn tuf_key_id(item: &Prepared, allowed: &Allowed, record: &KeyRecord) -> String {
    if let Some(id) = &item.tuf_key_id {
        return id.clone();
    }
    let key = record.id();
    let by_delegator = || allowed.delegators.iter().find_map(|(_, signers)| signers.keys.get(&key).map(String::as_str));
    listed_key_id(&allowed.view.roots, by_delegator, &item.role, record)
}

/// The key id under which the trusted root, else the staged one, else a delegator lists the key; else the one that
/// securesystemslib computes.
pub(in crate::engine) fn listed_key_id<'a>(
    roots: &'a Roots,
    by_delegator: impl FnOnce() -> Option<&'a str>,
    role: &Role,
    record: &KeyRecord,
) -> String {
    match roots.key_id_for(role, &record.id()).or_else(by_delegator) {
        Some(id) => id.to_owned(),
        None => tuf::key_id::default_form(&record.public_key).key_id,
    }
}
