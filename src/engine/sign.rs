//! Sign and SignBatch: decide, sign, verify, commit, and only then release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use tokio::sync::oneshot;

use super::audited::Scope;
use super::{Call, Engine, Rules, Stage, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::guard::{Guard, KEPT_PAYLOAD_BYTES, Step};
use crate::domain::key::KeyRecord;
use crate::domain::law::sign::{self as law, AttachedSnapshot, Decision, Keys, Situation};
use crate::domain::name::{RepositoryName, Role, Sha256Digest, Version};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::permit::{Online, Permit};
use crate::domain::policy::RepositoryPolicy;
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::signature::{Encoding, Signature};
use crate::domain::statement::Statement;
use crate::keystore::desk::Priority;
use crate::ledger::{Change, CommitError, Expect, Unit, View};
use crate::tuf;

/// How often a decision is made again when what it rests on changed meanwhile.
const ATTEMPTS: usize = 5;

/// One payload to sign, as it came through a door.
#[derive(Clone, Debug)]
pub struct SignItem {
    /// The repository's name.
    pub repository: String,
    /// The role's name.
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
    /// The version.
    pub version: Version,
    /// The payload's digest.
    pub digest: Sha256Digest,
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

/// A request that was understood and granted.
pub(super) struct Prepared {
    pub(super) repository: RepositoryName,
    pub(super) role: Role,
    key: Option<KeyId>,
    pub(super) statement: Statement,
    payload: Arc<[u8]>,
    encoding: Encoding,
    tuf_key_id: Option<String>,
    attached: Option<AttachedSnapshot>,
}

/// An item that the law allowed in this attempt.
struct Allowed {
    index: usize,
    decision: Decision,
    view: Arc<View>,
    /// Guards that the decision read, with the revisions that it saw.
    expects: Vec<Expect>,
    /// Earlier items of this attempt that it builds on, by index.
    builds_on: BTreeSet<usize>,
}

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
            let outcome = self.check_serving().and_then(|()| prepare(&rules, call, Verb::Sign, item, &mut scope));
            let (ready, result) = match outcome {
                Ok(ready) => (Some(ready), None),
                Err(denial) => (None, Some(Err(denial))),
            };
            prepared.push(ready);
            results.push(result);
            scopes.push(scope);
        }
        self.metrics.observe(Stage::Decide, begun.elapsed());
        let names = prepared.iter().flatten().map(|item| (item.repository.clone(), item.role.clone())).collect();
        match tokio::time::timeout_at(call.deadline.into(), self.locks.guards(names)).await {
            Ok(_held) => self.attempt_all(call, &rules, &prepared, &mut results).await,
            Err(_) => {
                for result in results.iter_mut().filter(|result| result.is_none()) {
                    *result =
                        Some(Err(Denial::new(Reason::Deadline, "an earlier request for the same role is in flight")));
                }
            }
        }
        let mut answers = Vec::with_capacity(results.len());
        for (result, scope) in results.into_iter().zip(&scopes) {
            let result = result.unwrap_or_else(|| Err(Denial::new(Reason::Conflict, "the guard kept changing")));
            let answer = match result {
                Ok(signed) => Ok(signed),
                Err(denial) => Err(self.refuse(call, "sign", scope, denial).await),
            };
            self.metrics.count("sign", scope.role.as_ref(), answer.as_ref().err());
            self.metrics.observe(Stage::Total, begun.elapsed());
            answers.push(answer);
        }
        answers
    }

    async fn attempt_all(&self, call: &Call, rules: &Rules, prepared: &[Option<Prepared>], results: &mut Results) {
        let mut idle = 0;
        let mut before = usize::MAX;
        while idle < ATTEMPTS {
            let open: Vec<usize> =
                results.iter().enumerate().filter(|(_, result)| result.is_none()).map(|(i, _)| i).collect();
            if open.is_empty() {
                return;
            }
            idle = if open.len() < before { 0 } else { idle + 1 };
            before = open.len();
            let duplicates = self.attempt(call, rules, prepared, &open, results).await;
            for (index, original) in duplicates {
                let copied = match results.get(original) {
                    Some(Some(Ok(signed))) => Some(Ok(as_replay(signed))),
                    Some(Some(Err(denial))) => Some(Err(denial.clone())),
                    _ => None,
                };
                if let (Some(copied), Some(slot)) = (copied, results.get_mut(index)) {
                    self.count_replay(call);
                    *slot = Some(copied);
                }
            }
        }
    }

    /// One pass over the open items. What conflicts stays open. Returns items that repeat an earlier one, with it.
    async fn attempt(
        &self,
        call: &Call,
        rules: &Rules,
        prepared: &[Option<Prepared>],
        open: &[usize],
        results: &mut Results,
    ) -> Vec<(usize, usize)> {
        let begun = Monotonic::now();
        let (allowed, duplicates) = self.decide(call, rules, prepared, open, results);
        self.metrics.observe(Stage::Decide, begun.elapsed());
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
        self.commit_and_release(call, made, results).await;
        duplicates
    }

    /// Asks the law about each open item, in order; what it allows counts as released for the next.
    fn decide(
        &self,
        call: &Call,
        rules: &Rules,
        prepared: &[Option<Prepared>],
        open: &[usize],
        results: &mut Results,
    ) -> (Vec<Allowed>, Vec<(usize, usize)>) {
        let caller = call.caller.to_string();
        let now = self.now();
        let mut tentative: BTreeMap<(RepositoryName, Role), (Guard, usize)> = BTreeMap::new();
        let mut allowed: Vec<Allowed> = Vec::new();
        let mut duplicates = Vec::new();
        for &index in open {
            let Some(Some(item)) = prepared.get(index) else { continue };
            if let Some(original) =
                allowed.iter().map(|other| other.index).find(|other| repeats(prepared, *other, item))
            {
                duplicates.push((index, original));
                continue;
            }
            let own = tentative.get(&(item.repository.clone(), item.role.clone()));
            let same = |(guard, _): &(Guard, usize)| {
                guard.head.as_ref().is_some_and(|head| head.digest == item.statement.digest())
            };
            if own.is_some_and(same) {
                continue; // another key over a head that has no signatures yet: the next pass cosigns
            }
            let outcome = self.ledger.view(&item.repository).map_err(|error| error.denial()).and_then(|view| {
                let policy = rules.policy(&item.repository)?;
                let mut guards = view.guards.clone();
                for ((repository, role), (guard, _)) in &tentative {
                    if *repository == item.repository {
                        guards.insert(role.clone(), guard.clone());
                    }
                }
                let decision = law::decide(&situation(item, policy, &view, &guards, now, &caller)?)?;
                let (expects, read) = expectations(item, &decision, &view, &guards);
                let builds_on = read
                    .into_iter()
                    .filter_map(|role| tentative.get(&(item.repository.clone(), role)).map(|(_, index)| *index))
                    .collect();
                Ok(Allowed { index, decision, view, expects, builds_on })
            });
            match outcome {
                Ok(item_allowed) => {
                    if let Some(guard) = item_allowed.decision.released(BTreeMap::new()) {
                        tentative.insert((item.repository.clone(), item.role.clone()), (guard, index));
                    }
                    allowed.push(item_allowed);
                }
                Err(denial) => {
                    if let Some(slot) = results.get_mut(index) {
                        *slot = Some(Err(denial));
                    }
                }
            }
        }
        (allowed, duplicates)
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
        let (done, signed) = oneshot::channel();
        desk.sign(permit, Arc::clone(&item.payload), priority, call.deadline, move |result| {
            // The asker may have given up at its deadline.
            drop(done.send(result.map_err(|error| error.denial())));
        });
        Signing::Pending(signed)
    }

    /// Makes it durable, and only then answers.
    async fn commit_and_release(&self, call: &Call, made: Vec<Made<'_>>, results: &mut Results) {
        let mut units: Vec<Unit> = Vec::new();
        let mut releases = Vec::new();
        // Which unit an item became; replays and failures become none.
        let mut unit_of: BTreeMap<usize, Option<usize>> = BTreeMap::new();
        for (allowed, ready, mut signatures, mut refusals) in made {
            let index = allowed.index;
            refusals.extend(allowed.decision.withhold(&mut signatures));
            if allowed.builds_on.iter().any(|earlier| !matches!(unit_of.get(earlier), Some(Some(_)))) {
                set(results, index, Err(Denial::new(Reason::PredecessorFailed, "an earlier item was not signed")));
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
            let answer = compose(ready, &allowed, &signatures, refusals, &head);
            match changed {
                None => {
                    self.count_replay(call);
                    set(results, index, Ok(answer));
                    unit_of.insert(index, None);
                }
                Some(guard) => {
                    let after = allowed
                        .builds_on
                        .iter()
                        .filter_map(|earlier| unit_of.get(earlier).copied().flatten())
                        .collect();
                    let events = self.events(call, ready, &allowed, &signatures, &guard);
                    let payload = (ready.payload.len() <= KEPT_PAYLOAD_BYTES).then(|| ready.payload.to_vec());
                    unit_of.insert(index, Some(units.len()));
                    units.push(Unit {
                        expects: allowed.expects,
                        changes: vec![Change::Guard { guard, payload }],
                        events,
                        after,
                    });
                    releases.push((index, answer));
                }
            }
        }
        if units.is_empty() {
            return;
        }
        for (result, (index, answer)) in self.commit(units).await.into_iter().zip(releases) {
            match result {
                Ok(_) => set(results, index, Ok(answer)),
                // Left open: decided again.
                Err(CommitError::Conflict) => {}
                Err(error) => set(results, index, Err(error.denial())),
            }
        }
    }

    fn events(
        &self,
        call: &Call,
        item: &Prepared,
        allowed: &Allowed,
        signatures: &BTreeMap<KeyId, Signature>,
        guard: &Guard,
    ) -> Vec<Event> {
        let now = self.now();
        let steps = &allowed.decision.judgement().keys;
        let event = |(key, signature): (&KeyId, &Signature)| {
            let advance = steps.iter().any(|(id, step)| id == key && *step == Ok(Step::Advance));
            let kind = if advance { EventKind::Advance } else { EventKind::Cosign };
            let mut event = Event::new(now, &call.caller, "sign", &call.request, kind);
            event.repository = Some(item.repository.clone());
            event.role = Some(item.role.clone());
            event.epoch = Some(guard.name.epoch);
            event.key = Some(*key);
            event.metadata_type = Some(item.statement.metadata_type());
            event.version = Some(item.statement.version());
            event.expires = Some(item.statement.expires());
            event.digest = Some(item.statement.digest());
            event.signature = Some(Sha256Digest::of(signature.as_fixed()));
            event
        };
        signatures.iter().map(event).collect()
    }
}

type Made<'a> = (Allowed, &'a Prepared, BTreeMap<KeyId, Signature>, Vec<(KeyId, Denial)>);

enum Signing {
    Pending(oneshot::Receiver<Result<Signature, Denial>>),
    Refused(Denial),
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

/// Names, grant, policy, custody, payload: what is known without the ledger.
pub(super) fn prepare(
    rules: &Rules,
    call: &Call,
    verb: Verb,
    item: SignItem,
    scope: &mut Scope,
) -> Result<Prepared, Denial> {
    let repository: RepositoryName = parse("repository", &item.repository)?;
    let role: Role = parse("role", &item.role)?;
    *scope = Scope::of(&repository, Some(&role));
    let policy = rules.admit_role(call, verb, &repository, &role)?;
    let limits = law::role_limits(policy, &repository, &role)?;
    let key = item.key.as_deref().map(|key| parse("key", key)).transpose()?;
    if item.tuf_key_id.is_some() && key.is_none() {
        return Err(Denial::new(Reason::Malformed, "tuf_key_id: only together with key"));
    }
    if item
        .tuf_key_id
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > 256 || !id.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Denial::new(Reason::Malformed, "tuf_key_id: 1 to 256 printable ASCII characters"));
    }
    let statement = tuf::metadata::read_signed(&item.payload, limits.max_payload_bytes)?;
    *scope = std::mem::take(scope).with(&statement);
    let attached = match item.snapshot_file {
        Some(file) => Some(tuf::attached::attached_snapshot(&file)?),
        None => None,
    };
    Ok(Prepared {
        repository,
        role,
        key,
        statement,
        payload: item.payload,
        encoding: item.encoding,
        tuf_key_id: item.tuf_key_id,
        attached,
    })
}

/// Everything that the law weighs.
pub(super) fn situation<'a>(
    item: &'a Prepared,
    policy: &'a RepositoryPolicy,
    view: &'a View,
    guards: &'a BTreeMap<Role, Guard>,
    now: crate::domain::time::Instant,
    caller: &'a str,
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
    })
}

fn find_key<'a>(keys: &'a [KeyRecord], repository: &RepositoryName, id: KeyId) -> Result<&'a KeyRecord, Denial> {
    // A key of another repository is unknown here: the caller may have no grant to learn of it.
    keys.iter()
        .find(|record| record.id() == id)
        .ok_or_else(|| Denial::new(Reason::UnknownKey, format!("{repository} has no key {id}")))
}

/// What must still be so at the commit, and the roles whose guards were read.
fn expectations(
    item: &Prepared,
    decision: &Decision,
    view: &View,
    guards: &BTreeMap<Role, Guard>,
) -> (Vec<Expect>, Vec<Role>) {
    let mut read = vec![item.role.clone()];
    read.extend(item.statement.listing().keys().filter_map(|file| Role::from_listed_file(file)));
    let mut expects = vec![Expect::Roots(item.repository.clone(), view.roots.revision)];
    for guard in read.iter().filter_map(|role| guards.get(role)) {
        expects.push(Expect::Guard(guard.name.clone(), guard.revision));
    }
    for (id, _) in &decision.judgement().keys {
        if let Some(record) = view.keys.iter().find(|record| record.id() == *id) {
            expects.push(Expect::Key(*id, record.revision));
        }
    }
    (expects, read)
}

fn repeats(prepared: &[Option<Prepared>], other: usize, item: &Prepared) -> bool {
    matches!(prepared.get(other), Some(Some(other))
        if other.repository == item.repository
            && other.role == item.role
            && other.key == item.key
            && other.encoding == item.encoding
            && other.tuf_key_id == item.tuf_key_id
            && other.statement.digest() == item.statement.digest())
}

fn as_replay(signed: &Signed) -> Signed {
    let mut copy = signed.clone();
    for signature in &mut copy.signatures {
        signature.step = Step::Replay;
    }
    copy
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
                        tuf_key_id: tuf_key_id(item, roots, record),
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
    let met = |root: &Option<_>| root.as_ref().map(|root| law::meets_threshold(root, &item.role, &on_head));
    Signed {
        signatures: released,
        refusals,
        trusted_threshold_met: met(&roots.trusted),
        staged_threshold_met: met(&roots.staged),
        version: item.statement.version(),
        digest: item.statement.digest(),
    }
}

/// The caller's own name for the key, else the root's, else the one that securesystemslib computes.
fn tuf_key_id(item: &Prepared, roots: &Roots, record: &KeyRecord) -> String {
    if let Some(id) = &item.tuf_key_id {
        return id.clone();
    }
    match roots.key_id_for(&item.role, &record.id()) {
        Some(id) => id.to_owned(),
        None => tuf::key_id::default_form(&record.public_key).key_id,
    }
}

fn set(results: &mut Results, index: usize, result: Result<Signed, Denial>) {
    if let Some(slot) = results.get_mut(index) {
        *slot = Some(result);
    }
}
