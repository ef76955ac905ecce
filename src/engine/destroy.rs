//! Destroy: asked for, waiting, carried out. An intent is durable before a token is touched, and a leaf stands before and
//! after.

use std::sync::PoisonError;
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::oneshot;

use super::{Call, Engine};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::freeze::Frozen;
use crate::domain::key::KeyRecord;
use crate::domain::law::destroy::{Answer, Due, answered, begin, cancel, due, schedule};
use crate::domain::name::Sha256Digest;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::keystore::desk::Desk;
use crate::keystore::{Condition, KeystoreError};
use crate::ledger::View;

/// A key record after an act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The record.
    pub key: KeyRecord,
    /// False when it stood before.
    pub changed: bool,
}

/// How long a keystore may take to destroy a key.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a failure the keystore is asked again this much later, in seconds.
const PAUSE_SECONDS: i64 = 60 * 60;

impl Engine {
    /// Asks for the destruction of a retired or pending key: it waits for `destroy_delay` after the retirement.
    pub async fn destroy(&self, call: &Call, key: &str) -> Result<KeyChange, Denial> {
        let change = self
            .change_key(call, "destroy", key, |rules, record, around| {
                let delay = rules.policy(&record.repository)?.destroy_delay_seconds;
                schedule(record, delay, around)
            })
            .await?;
        self.remember_destruction(&change.key);
        Ok(change)
    }

    /// Takes a destruction back that has not begun.
    pub async fn cancel_destroy(&self, call: &Call, key: &str) -> Result<KeyChange, Denial> {
        self.change_key(call, "cancel-destroy", key, |_, record, _| cancel(record).map(Some)).await
    }

    /// So that looking for work costs nothing while there is none.
    pub(super) fn remember_destruction(&self, record: &KeyRecord) {
        if let Some(destruction) = record.history.destruction {
            let mut waiting = self.destructions.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.insert(record.id(), destruction.due);
        }
    }

    /// Carries out what is due. The daemon calls it every few seconds.
    pub async fn carry_out_destructions(&self) {
        let now = self.now();
        let waiting = self.destructions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (id, at) in waiting {
            if now < at || self.check_latches().is_err() {
                continue;
            }
            let next = match self.carry_out(&id).await {
                Ok(next) => next,
                Err(denial) => {
                    tracing::error!(key = %id, cause = %denial, "a key was not destroyed; it is tried again");
                    Some(self.now().plus_seconds(PAUSE_SECONDS))
                }
            };
            let mut waiting = self.destructions.lock().unwrap_or_else(PoisonError::into_inner);
            match next {
                Some(next) => waiting.insert(id, next),
                None => waiting.remove(&id),
            };
        }
    }

    /// One destruction: `None` when nothing is left to do, else when to look again.
    async fn carry_out(&self, id: &KeyId) -> Result<Option<Instant>, Denial> {
        let Some(record) = self.ledger.key(id).map_err(|error| error.denial())? else { return Ok(None) };
        let call =
            Call { caller: Caller::Daemon, request: "housekeeping".to_owned(), deadline: Monotonic::now() + PATIENCE };
        let _held = self.hold_repository(&call, &record.repository).await?;
        let view = self.ledger.view(&record.repository).map_err(|error| error.denial())?;
        let Some(record) = view.keys.iter().find(|other| other.id() == *id) else { return Ok(None) };
        self.check_key_not_frozen(record)?;
        let decided = due(record, self.now());
        if decided == Due::No {
            return Ok(record.history.destruction.map(|destruction| destruction.due));
        }
        let _keystores = self.keystores.read().await;
        let desk = self.desk(&record.keystore)?;
        if let Condition::NotReady { cause, since } = desk.keystore().probe() {
            let detail = format!("keystore {}: {cause}, since {since}", record.keystore);
            return Err(Denial::new(Reason::KeystoreUnavailable, detail));
        }
        let (record, resumed, view) = match decided {
            Due::Begin => {
                let begun = begin(record, place_of(&desk), self.now());
                let event = self.destruction_event(&call, "destroy-begin", &begun);
                self.commit_key(&call, &view, &begun, event, Vec::new()).await?;
                let view = self.ledger.view(&begun.repository).map_err(|error| error.denial())?;
                (begun, false, view)
            }
            _ => (record.clone(), true, view),
        };
        let answer = self.ask_keystore(&desk, &record, &call).await;
        // Read after the answer: whoever was exchanged meanwhile is not taken for the one that was asked first.
        let told = classify(&answer, place_of(&desk));
        self.record_answer(&call, &view, &record, (answer, told), resumed).await
    }

    /// A destruction cannot be undone: a freeze over the key, one of its roles, the repository or everything stops it.
    fn check_key_not_frozen(&self, record: &KeyRecord) -> Result<(), Denial> {
        let (switches, rules) = (self.ledger.switches(), self.rules());
        let frozen = Frozen::for_caller(&switches.freezes, &Caller::Daemon, rules.grants.persons());
        frozen.check_key(&record.id())?;
        record.roles.iter().try_for_each(|role| frozen.check_role(&record.repository, role))
    }

    async fn ask_keystore(&self, desk: &Desk, record: &KeyRecord, call: &Call) -> Result<(), KeystoreError> {
        let (done, destroyed) = oneshot::channel();
        desk.destroy(record.id(), call.deadline, move |result| drop(done.send(result)));
        let lost = || KeystoreError::Interrupted { cause: "no answer in time".to_owned() };
        match tokio::time::timeout_at(call.deadline.into(), destroyed).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(lost()),
        }
    }

    async fn record_answer(
        &self,
        call: &Call,
        view: &View,
        record: &KeyRecord,
        (answer, told): (Result<(), KeystoreError>, Answer),
        resumed: bool,
    ) -> Result<Option<Instant>, Denial> {
        let after = answered(record, told, resumed, self.now());
        let is_done = after.history.destruction.is_none();
        let mut event = self.destruction_event(call, "destroy-end", record);
        let failure = answer.err().filter(|_| !is_done).map(|error| error.denial());
        if let Some(denial) = &failure {
            event = event.refused(denial);
        }
        self.commit_key(call, view, &after, event, Vec::new()).await?;
        if is_done {
            tracing::info!(key = %record.id(), keystore = %record.keystore, "the private half of a key was destroyed");
            self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&record.id());
        }
        match failure {
            Some(denial) => Err(denial),
            None => Ok(None),
        }
    }

    fn destruction_event(&self, call: &Call, verb: &str, record: &KeyRecord) -> Event {
        let mut event = Event::new(self.now(), &call.caller, verb, &call.request, EventKind::Administration);
        event.repository = Some(record.repository.clone());
        event.role = record.roles.iter().next().cloned();
        event.key = Some(record.id());
        event
    }
}

/// What tells a keystore from another one that took its name.
fn place_of(desk: &Desk) -> Sha256Digest {
    Sha256Digest::of(desk.keystore().describe().place.as_bytes())
}

/// What an answer says about the key. Only what was refused before the device began is known to have done nothing: a token
/// that removed the private half and failed at the public one says no as well.
fn classify(answer: &Result<(), KeystoreError>, place: Sha256Digest) -> Answer {
    match answer {
        Ok(()) => Answer::Done,
        Err(KeystoreError::KeyMissing { .. }) => Answer::NotThere { place },
        Err(
            KeystoreError::Unavailable { .. }
            | KeystoreError::PinRefused { .. }
            | KeystoreError::QueueFull { .. }
            | KeystoreError::Deadline
            | KeystoreError::ShuttingDown,
        ) => Answer::Refused,
        Err(_) => Answer::Unknown,
    }
}
