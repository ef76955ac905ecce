//! GenerateKey: an intent, then the token, then the record.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::audited::Scope;
use super::{Call, Engine, Rules, parse};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::grant::Verb;
use crate::domain::key::{ContentKind, KeyRecord, KeyState, RoleSet};
use crate::domain::key_history::KeyHistory;
use crate::domain::law::keys::{KeyPlan, KeyRequest, Known, check_unique, plan_key};
use crate::domain::name::{RepositoryName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::PublicKey;
use crate::keystore::Condition;
use crate::ledger::{Change, CommitError, Expect, Intent, Unit, View};

/// A key that somebody wants made, as it came through a door. Empty texts mean "as the policy says".
#[derive(Clone, Debug, Default)]
pub struct KeyOrder {
    /// The repository's name.
    pub repository: String,
    /// The roles' names.
    pub roles: Vec<String>,
    /// The keystore's name.
    pub keystore: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// Whether guards are seeded as 0.
    pub new_repository: bool,
}

/// How often a key that is made is recorded again when something changed meanwhile.
const ATTEMPTS: usize = 5;

impl Engine {
    /// Makes a key.
    pub async fn generate_key(&self, call: &Call, order: KeyOrder) -> Result<KeyRecord, Denial> {
        self.audited(call, "generate-key", async |scope| {
            let repository: RepositoryName = parse("repository", &order.repository)?;
            let roles = order.roles.iter().map(|role| parse("roles", role)).collect::<Result<BTreeSet<Role>, _>>()?;
            *scope = Scope::of(&repository, roles.iter().next());
            let rules = self.rules();
            for role in &roles {
                rules.admit_role(call, Verb::ManageKeys, &repository, role)?;
            }
            if roles.is_empty() {
                return Err(Denial::new(Reason::Malformed, "roles: name at least one"));
            }
            scope.admit();
            let roles = RoleSet::new(roles)?;
            self.check_serving(call)?;
            let keystore = optional("keystore", &order.keystore)?;
            let algorithm = optional("algorithm", &order.algorithm)?;
            let _held = self.hold_repository(call, &repository).await?;
            let request = KeyRequest {
                repository: &repository,
                roles: &roles,
                keystore,
                algorithm,
                new_repository: order.new_repository,
            };
            self.make_key(call, &rules, "generate-key", &request).await
        })
        .await
    }

    /// The roles of a key for which nothing can be signed, because their guards are not seeded.
    pub fn roles_without_guard(&self, key: &KeyRecord) -> Result<Vec<Role>, Denial> {
        let view = self.ledger.view(&key.repository).map_err(|error| error.denial())?;
        let is_unseeded = |role: &&Role| !role.is_unguarded() && !view.guards.contains_key(*role);
        Ok(key.roles.iter().filter(is_unseeded).cloned().collect())
    }

    /// The part that `Rotate` shares. The caller holds the repository's lock.
    pub(super) async fn make_key(
        &self,
        call: &Call,
        rules: &Rules,
        verb: &str,
        request: &KeyRequest<'_>,
    ) -> Result<KeyRecord, Denial> {
        self.check_roles_not_frozen(call, rules, request.repository, request.roles.iter())?;
        let (plan, _) = self.plan(rules, request, None)?;
        let _keystores = self.keystores.read().await;
        let desk = self.desk(&plan.keystore)?;
        let description = desk.keystore().describe();
        if let Condition::NotReady { cause, since } = desk.keystore().probe() {
            let detail = format!("keystore {}: {cause}, since {since}", plan.keystore);
            return Err(Denial::new(Reason::KeystoreUnavailable, detail));
        }
        if !description.algorithms.contains(&plan.algorithm) {
            let detail = format!("keystore {} makes no {} keys", plan.keystore, plan.algorithm);
            return Err(Denial::new(Reason::AlgorithmUnsupported, detail));
        }
        if let Some(most) = description.largest_message(plan.algorithm)
            && most < plan.largest_message
        {
            let detail = format!(
                "{} keys of keystore {} sign at most {most} bytes, the role allows {}",
                plan.algorithm, plan.keystore, plan.largest_message
            );
            return Err(Denial::new(Reason::AlgorithmUnsupported, detail));
        }
        let intent = Intent {
            id: random_id()?,
            keystore: plan.keystore.clone(),
            algorithm: plan.algorithm,
            repository: request.repository.clone(),
            roles: request.roles.clone(),
            begun: self.now(),
        };
        let begins = Unit { changes: vec![Change::IntentBegins(intent.clone())], ..Unit::default() };
        self.commit_one(begins).await.map_err(|error| error.denial())?;
        let (done, made) = oneshot::channel();
        desk.generate(plan.algorithm, call.deadline, move |result| {
            // The asker may have given up; the intent tells of the key.
            drop(done.send(result.map_err(|error| error.denial())));
        });
        let public_key = match tokio::time::timeout_at(call.deadline.into(), made).await {
            Ok(Ok(Ok(public_key))) => public_key,
            Ok(Ok(Err(denial))) => return Err(self.abandon(intent, denial).await),
            Ok(Err(_)) => {
                return Err(Denial::new(Reason::KeystoreUnavailable, "the keystore's thread dropped the request"));
            }
            Err(_) => return Err(Denial::new(Reason::Deadline, "the key was not made in time; an orphan may be left")),
        };
        self.record_key(call, rules, verb, request, public_key, &intent).await
    }

    /// The keystore said no: nothing was made. After a loss of contact the intent stays, because a key may exist.
    async fn abandon(&self, intent: Intent, denial: Denial) -> Denial {
        if matches!(denial.reason, Reason::AlgorithmUnsupported | Reason::QueueFull | Reason::PinRefused) {
            let ends = Unit { changes: vec![Change::IntentEnds(intent.id)], ..Unit::default() };
            if let Err(error) = self.commit_one(ends).await {
                tracing::warn!(%error, "an intent was not ended");
            }
        }
        denial
    }

    async fn record_key(
        &self,
        call: &Call,
        rules: &Rules,
        verb: &str,
        request: &KeyRequest<'_>,
        public_key: PublicKey,
        intent: &Intent,
    ) -> Result<KeyRecord, Denial> {
        let id = public_key.id();
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id);
        check_unique(&public_key, self.ledger.key(&id).map_err(|error| error.denial())?.as_ref())?;
        for _ in 0..ATTEMPTS {
            let (record, unit) = self.unit_of_key(call, rules, verb, request, &public_key, intent)?;
            match self.commit_one(unit).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Conflict) => {} // decided again: a snapshot is released every few minutes
                Err(error) => return Err(error.denial()),
            }
        }
        let detail = format!("what {} rests on kept changing; key {id} is an orphan", request.repository);
        Err(Denial::new(Reason::Conflict, detail))
    }

    /// The record of a key that was made, with what must be so for it.
    fn unit_of_key(
        &self,
        call: &Call,
        rules: &Rules,
        verb: &str,
        request: &KeyRequest<'_>,
        public_key: &PublicKey,
        intent: &Intent,
    ) -> Result<(KeyRecord, Unit), Denial> {
        let id = public_key.id();
        // The root may have moved while the token worked, and somebody may have frozen the role.
        let switches = self.check_roles_not_frozen(call, rules, request.repository, request.roles.iter())?;
        let (plan, view) = self.plan(rules, request, Some(intent))?;
        let now = self.now();
        let record = KeyRecord {
            public_key: public_key.clone(),
            repository: request.repository.clone(),
            roles: request.roles.clone(),
            kind: ContentKind::Tuf,
            keystore: plan.keystore,
            state: plan.state,
            created: now,
            history: KeyHistory { activated: (plan.state == KeyState::Active).then_some(now), ..KeyHistory::default() },
            revision: 1,
        };
        let mut expects = vec![Expect::Key(id, 0), Expect::Roots(request.repository.clone(), view.roots.revision)];
        expects.push(Expect::Switches(switches));
        expects.extend(plan.guards.iter().map(|guard| Expect::Guard(guard.name.clone(), 0)));
        expects.extend(plan.never_listed_by.map(|(snapshot, revision)| Expect::Guard(snapshot, revision)));
        let mut changes = vec![Change::Key(record.clone()), Change::IntentEnds(intent.id.clone())];
        changes.extend(plan.guards.into_iter().map(|guard| Change::Guard { guard, payload: None }));
        let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Administration);
        event.repository = Some(request.repository.clone());
        event.role = request.roles.iter().next().cloned();
        event.key = Some(id);
        Ok((record, Unit { expects, changes, events: vec![event], after: Vec::new() }))
    }

    /// `own` is the intent that this request began, which is no other key.
    fn plan(
        &self,
        rules: &Rules,
        request: &KeyRequest<'_>,
        own: Option<&Intent>,
    ) -> Result<(KeyPlan, Arc<View>), Denial> {
        let view = self.ledger.view(request.repository).map_err(|error| error.denial())?;
        let intents = self.ledger.intents().map_err(|error| error.denial())?;
        let other =
            |intent: &&Intent| intent.repository == *request.repository && own.is_none_or(|own| own.id != intent.id);
        let known = Known {
            policy: rules.policy(request.repository)?,
            keys: &view.keys,
            guards: &view.guards,
            unrecorded: intents.iter().filter(other).count(),
            roots: &view.roots,
        };
        Ok((plan_key(request, known)?, view))
    }
}

/// A name that may be left out.
pub(super) fn optional<T>(field: &str, text: &str) -> Result<Option<T>, Denial>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}

fn random_id() -> Result<String, Denial> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Denial::new(Reason::Internal, "no randomness"))?;
    Ok(hex::encode(bytes))
}
