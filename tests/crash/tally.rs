//! What happened in a run, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::journal::What;
use crate::oracle::Evidence;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) kills: usize,
    /// Released signatures that arrived, by step.
    pub(crate) releases: BTreeMap<String, usize>,
    /// Different signatures among them.
    pub(crate) signatures: usize,
    /// By reason.
    pub(crate) refusals: BTreeMap<String, usize>,
    /// Calls without an answer, asked again.
    pub(crate) unanswered: usize,
    /// Looks at all guards after a start or in between.
    pub(crate) looks: usize,
    pub(crate) checkpoints: usize,
    pub(crate) proofs: usize,
    pub(crate) leaves: usize,
    pub(crate) seconds: u64,
}

impl Tally {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let mut tally = Self { leaves: evidence.log.as_ref().map_or(0, Vec::len), ..Self::default() };
        let mut signatures = BTreeSet::new();
        for entry in &evidence.entries {
            match &entry.what {
                What::Released(release) => {
                    *tally.releases.entry(release.step.clone()).or_default() += 1;
                    signatures.insert((&release.key, &release.digest));
                }
                What::Refused { reason, .. } => *tally.refusals.entry(reason.clone()).or_default() += 1,
                What::Unanswered { .. } => tally.unanswered += 1,
                What::Guards { .. } => tally.looks += 1,
                What::Checkpoint { .. } => tally.checkpoints += 1,
                What::Consistency { .. } => tally.proofs += 1,
                What::Killed { .. } => tally.kills += 1,
                _ => {}
            }
        }
        tally.signatures = signatures.len();
        tally.seconds = evidence.entries.last().map_or(0, |entry| entry.ended) / 1_000_000_000;
        tally
    }

    /// Releases that moved a guard.
    pub(crate) fn count(&self, step: &str) -> usize {
        self.releases.get(step).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_name = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "  kills        {}", self.kills)?;
        writeln!(f, "  releases     {} signatures ({})", self.signatures, by_name(&self.releases))?;
        writeln!(f, "  refusals     {}", by_name(&self.refusals))?;
        writeln!(f, "  conflicts    {}", self.refusals.get("conflict").unwrap_or(&0))?;
        writeln!(f, "  unanswered   {} (each asked again)", self.unanswered)?;
        writeln!(
            f,
            "  looks        {} at all guards, {} checkpoints, {} proofs",
            self.looks, self.checkpoints, self.proofs
        )?;
        writeln!(f, "  leaves       {}", self.leaves)?;
        write!(f, "  seconds      {}", self.seconds)
    }
}
