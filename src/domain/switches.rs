//! Switches: everything that stands still by somebody's word or for a doubt, and the machine that the memory belongs to.
//! One small record, so that one revision tells a commit whether any of it changed.

use serde::{Deserialize, Serialize};

use super::freeze::{Freeze, FreezeScope};
use super::name::Sha256Digest;
use super::time::Instant;

/// How many freezes there may be at once.
pub const MOST_FREEZES: usize = 1000;

/// Freezes, latches that outlive a restart, and the machine's mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Counts changes, from 1. A commit that decided on an older one is decided again.
    pub revision: u64,
    /// The mark of the machine on which this memory is at home; `None` where that is not looked at.
    pub machine: Option<Sha256Digest>,
    /// Freezes, the oldest first.
    pub freezes: Vec<Freeze>,
    /// Latches that only an operator resolves.
    pub latches: Vec<KeptLatch>,
}

/// A latch over everything that stays through restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLatch {
    /// Which.
    pub name: KeptLatchName,
    /// Why.
    pub cause: String,
    /// Since when, as the clock had it.
    pub since: Instant,
}

/// The latches that stay through restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptLatchName {
    /// The clock cannot be believed.
    Clock,
    /// The memory is on another machine than before.
    Clone,
}

impl KeptLatchName {
    /// The name in status, leaves and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Clone => "clone",
        }
    }
}

impl Switches {
    /// Those of a new ledger: nothing stands still.
    pub fn new(machine: Option<Sha256Digest>) -> Self {
        Self { revision: 1, machine, freezes: Vec::new(), latches: Vec::new() }
    }

    /// The freeze of exactly this scope.
    pub fn freeze_of(&self, scope: &FreezeScope) -> Option<&Freeze> {
        self.freezes.iter().find(|freeze| freeze.scope == *scope)
    }

    /// With one freeze more; `None` when there are too many.
    pub fn frozen(&self, freeze: Freeze) -> Option<Self> {
        if self.freezes.len() >= MOST_FREEZES {
            return None;
        }
        let mut next = self.next();
        next.freezes.push(freeze);
        Some(next)
    }

    /// Without the freeze of exactly this scope.
    #[must_use]
    pub fn thawed(&self, scope: &FreezeScope) -> Self {
        let mut next = self.next();
        next.freezes.retain(|freeze| freeze.scope != *scope);
        next
    }

    /// With these latches.
    #[must_use]
    pub fn latched(&self, latches: &[KeptLatch]) -> Self {
        let mut next = self.next();
        for latch in latches {
            if !next.latches.iter().any(|other| other.name == latch.name) {
                next.latches.push(latch.clone());
            }
        }
        next
    }

    /// Without a latch.
    #[must_use]
    pub fn resolved(&self, name: KeptLatchName) -> Self {
        let mut next = self.next();
        next.latches.retain(|latch| latch.name != name);
        next
    }

    /// At home on this machine.
    #[must_use]
    pub fn at_home(&self, machine: Option<Sha256Digest>) -> Self {
        Self { machine, ..self.next() }
    }

    fn next(&self) -> Self {
        Self { revision: self.revision.saturating_add(1), ..self.clone() }
    }
}
