//! When may the private half of a key go? (`law.md` sections 1 and 4)
//!
//! A destruction is asked for, waits until it is due, and is carried out by the daemon: an intent is durable before a token
//! is touched, so that after a crash in between it goes on and its end is known.

use super::retire::{Around, check_unlisted, retire};
use crate::domain::key::{KeyRecord, KeyState};
use crate::domain::key_history::{Destruction, KeyHistory};
use crate::domain::name::Sha256Digest;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;

/// The record with a destruction that waits for its time; `None` when it has one, or is destroyed. A pending key is
/// retired with it, so that no root makes it sign while it waits.
pub fn schedule(record: &KeyRecord, delay_seconds: i64, around: Around<'_>) -> Result<Option<KeyRecord>, Denial> {
    let id = record.id();
    let retired = match record.state {
        KeyState::Destroyed => return Ok(None),
        KeyState::Retired => record.clone(),
        KeyState::Pending => retire(record, around)?.unwrap_or_else(|| record.clone()),
        KeyState::Active | KeyState::Retiring => {
            return Err(Denial::new(Reason::NotRetired, format!("key {id} is {}", record.state.name())));
        }
    };
    if record.history.destruction.is_some() {
        return Ok(None);
    }
    check_unlisted(record, around)?;
    let since = retired.history.retired.unwrap_or(around.now);
    let due = since.plus_seconds(delay_seconds).max(around.now);
    let destruction = Some(Destruction { due, begun: None, place: None, failed: None });
    let history = KeyHistory { destruction, ..retired.history.clone() };
    Ok(Some(KeyRecord { history, revision: record.revision.saturating_add(1), ..retired }))
}

/// The record without its destruction. Refused once the keystore was asked.
pub fn cancel(record: &KeyRecord) -> Result<KeyRecord, Denial> {
    match record.history.destruction {
        Some(Destruction { begun: None, .. }) => {
            Ok(record.with_history(KeyHistory { destruction: None, ..record.history.clone() }))
        }
        Some(Destruction { begun: Some(begun), .. }) => {
            let detail = format!("the destruction of key {} began at {begun}", record.id());
            Err(Denial::new(Reason::NotScheduled, detail))
        }
        None => Err(Denial::new(Reason::NotScheduled, format!("key {} is {}", record.id(), record.state.name()))),
    }
}

/// What is to be done now about a key's destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    No,
    /// [`begin`], make that record durable, then ask the keystore.
    Begin,
    /// The keystore was asked before, and nobody knows what it did: ask again.
    Resume,
}

/// Whether a destruction is due.
pub fn due(record: &KeyRecord, now: Instant) -> Due {
    let Some(destruction) = record.history.destruction else { return Due::No };
    if record.state != KeyState::Retired || now < destruction.due {
        return Due::No;
    }
    if destruction.begun.is_some() { Due::Resume } else { Due::Begin }
}

/// The record from which on nobody knows whether the key is still there: the keystore at this place is being asked.
pub fn begin(record: &KeyRecord, place: Sha256Digest, now: Instant) -> KeyRecord {
    let begun = |due: Destruction| Destruction { begun: Some(now), place: Some(place), ..due };
    let destruction = record.history.destruction.map(begun);
    record.with_history(KeyHistory { destruction, ..record.history.clone() })
}

/// How a keystore answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The private half is gone.
    Done,
    /// It does not hold the key, and this is where it is.
    NotThere {
        /// Digest of the place.
        place: Sha256Digest,
    },
    /// It did nothing, and said so.
    Refused,
    /// It may have done it: contact was lost, or it does not know itself.
    Unknown,
}

/// The record after the keystore's answer. A key that is not there counts as destroyed only where an earlier attempt may
/// have done it, at the same place; else it is another token, or a thief. Once an attempt may have done it, no later "no" undoes that.
pub fn answered(record: &KeyRecord, answer: Answer, resumed: bool, now: Instant) -> KeyRecord {
    let asked_at = record.history.destruction.and_then(|asked| asked.place);
    let untouched = match answer {
        Answer::Done => return record.with_state(KeyState::Destroyed, now),
        Answer::NotThere { place } if resumed && asked_at == Some(place) => {
            return record.with_state(KeyState::Destroyed, now);
        }
        Answer::NotThere { .. } | Answer::Refused => !resumed,
        Answer::Unknown => false,
    };
    let after = |asked: Destruction| match untouched {
        true => Destruction { begun: None, place: None, failed: Some(now), ..asked },
        false => Destruction { failed: Some(now), ..asked },
    };
    let destruction = record.history.destruction.map(after);
    record.with_history(KeyHistory { destruction, ..record.history.clone() })
}
