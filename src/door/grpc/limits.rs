//! What the door limits by itself, before any verb.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// What one message, one call and one batch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message in bytes.
    pub message_bytes: usize,
    /// The deadline of a call that brings none, and the latest that one may bring.
    pub deadline: Duration,
    /// Items of one batch.
    pub batch_items: usize,
}

/// The limits that each new request is held against.
#[derive(Debug)]
pub struct LimitsInForce(RwLock<Limits>);

impl LimitsInForce {
    /// Begins with these.
    pub fn new(limits: Limits) -> Self {
        Self(RwLock::new(limits))
    }

    /// Now.
    pub fn now(&self) -> Limits {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others, for every later request.
    pub fn replace(&self, limits: Limits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}
