//! When a key became what it is, and when its private half is to go.

use serde::{Deserialize, Serialize};

use super::key::KeyState;
use super::name::Sha256Digest;
use super::time::Instant;

/// The times of a key's life. What has not happened is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHistory {
    /// When it first became active. A root that is withdrawn does not undo that: what the key signed meanwhile is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated: Option<Instant>,
    /// When it was retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Instant>,
    /// That its private half is to be destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destruction: Option<Destruction>,
    /// When its private half was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed: Option<Instant>,
}

/// A destruction that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destruction {
    /// Not before this.
    pub due: Instant,
    /// Since when the keystore is being asked. From then on nobody knows that the key is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Instant>,
    /// Digest of where that keystore was: one of the same name elsewhere cannot say that the key is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Sha256Digest>,
    /// When the keystore last said that it did not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Instant>,
}

impl KeyHistory {
    /// The history after a change of state.
    #[must_use]
    pub(super) fn after(&self, to: KeyState, now: Instant) -> Self {
        let mut history = self.clone();
        match to {
            // Else whoever stages and withdraws a root in turns would keep a key young for ever.
            KeyState::Active => history.activated = history.activated.or(Some(now)),
            KeyState::Pending | KeyState::Retiring => {}
            KeyState::Retired => history.retired = Some(now),
            KeyState::Destroyed => {
                history.destruction = None;
                history.destroyed = Some(now);
            }
        }
        history
    }
}
