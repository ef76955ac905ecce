//! One run: a daemon, its clients, crashes, and the verdict.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clients::{self, Phase, Shared};
use crate::journal;
use crate::oracle::{self, Evidence, Invariant, Violation};
use crate::random::{Random, SEED};
use crate::setup;
use crate::tally::Tally;
use crate::watcher::Watcher;
use crate::world::{PATIENCE, World};

/// What is run.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) binary: PathBuf,
    /// The defect to switch on.
    pub(crate) mutation: Option<&'static str>,
    pub(crate) kills: usize,
    /// Whether a kill takes the unsynced page cache with it.
    pub(crate) power_cuts: bool,
    /// How long the daemon is left alone between its first answer and its end, in milliseconds.
    pub(crate) traffic: (u64, u64),
}

/// What came of it.
pub(crate) struct Outcome {
    /// What was run, so that it can be run again.
    name: String,
    pub(crate) violations: Vec<Violation>,
    pub(crate) tally: Tally,
    /// `serving`, or what the daemon says instead; none when it does not answer.
    pub(crate) state: Option<String>,
    /// What the daemon logged over all its lives.
    pub(crate) log: String,
}

impl Outcome {
    /// The first violations of an invariant.
    pub(crate) fn of(&self, invariant: Invariant) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(move |violation| violation.invariant == invariant)
    }
}

/// Numbers first; then of each invariant how often it was violated, and the first three cases.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.name, self.tally)?;
        for invariant in Invariant::ALL {
            let count = self.of(invariant).count();
            if count > 0 {
                write!(f, "\n  violations   {count} of {invariant:?}")?;
            }
            for violation in self.of(invariant).take(3) {
                write!(f, "\n    {violation}")?;
            }
        }
        Ok(())
    }
}

impl Plan {
    /// The real daemon under SIGKILL.
    pub(crate) fn kills(seed: u64, kills: usize) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_sealwardd")).to_owned();
        Self { seed, binary, mutation: None, kills, power_cuts: false, traffic: (20, 400) }
    }

    /// The same with a defect.
    pub(crate) fn with_defect(self, mutation: &'static str) -> Self {
        Self { binary: crate::defective::daemon().to_owned(), mutation: Some(mutation), ..self }
    }

    /// Each kill cuts the power.
    pub(crate) fn with_power_cuts(self, traffic: (u64, u64)) -> Self {
        Self { power_cuts: true, traffic, ..self }
    }

    pub(crate) fn run(&self) -> Outcome {
        println!("{}", self.name());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(self.play())
    }

    async fn play(&self) -> Outcome {
        let mut random = Random::seeded(self.seed);
        let mut world = World::new(&self.binary, self.power_cuts);
        let (phase, seen) = watch::channel(Phase::default());
        let shared = Shared::new(world.server(), seen);
        assert!(world.start().await, "the daemon did not start:\n{}", world.log());
        phase.send_modify(|phase| (phase.up, phase.generation) = (true, 1));
        let setup = setup::prepare(&world, &shared, &mut random).await;
        if let Some(mutation) = self.mutation {
            // What a defect loses are releases, not the keys that make them.
            phase.send_modify(|phase| phase.up = false);
            world.stop_and_mutate(mutation);
            assert!(world.start().await, "the daemon did not start:\n{}", world.log());
            phase.send_modify(|phase| (phase.up, phase.generation) = (true, 2));
        }
        let mut tasks = JoinSet::new();
        clients::spawn(&shared, &setup.by_role(), |name| world.journal(name), &mut random, &mut tasks);
        let watcher = Watcher::new(shared, world.journal("watcher"), setup.verifier_key.clone());
        let watching = tokio::spawn(watcher.run());
        let alive = self.crash(&mut world, &phase, &mut random).await;
        phase.send_modify(|phase| (phase.stopping, phase.over) = (true, !alive));
        let ended =
            timeout(PATIENCE * 2, async { while tasks.join_next().await.is_some_and(|end| end.is_ok()) {} }).await;
        assert!(ended.is_ok() && tasks.is_empty(), "a client hangs or panicked");
        let mut watcher = watching.await.unwrap();
        let state = watcher.look().await.map(|status| status.state);
        let log = watcher.export(&world.beside("export")).await;
        let entries = journal::read(&world.journals());
        let evidence = Evidence { entries, keys: setup.keys, verifier_key: setup.verifier_key, log };
        let violations = oracle::judge(&evidence);
        if self.mutation.is_none() && !violations.is_empty() {
            println!("the journals and the daemon's log are kept in {}", world.keep().display());
        }
        Outcome { name: self.name(), tally: Tally::of(&evidence), violations, state, log: world.log() }
    }

    fn name(&self) -> String {
        let kills = if self.power_cuts { "power cuts" } else { "kills" };
        format!("crash: {SEED}={}, {} {kills}, defect {}", self.seed, self.kills, self.mutation.unwrap_or("none"))
    }

    /// Kills and starts until the plan is done. False when the daemon does not come back.
    async fn crash(&self, world: &mut World, phase: &watch::Sender<Phase>, random: &mut Random) -> bool {
        let mut kills = 0;
        while kills < self.kills {
            sleep(random.milliseconds(self.traffic.0, self.traffic.1)).await;
            // Known to clients only afterwards: nobody is told that the power will go.
            world.crash();
            kills += 1;
            phase.send_modify(|phase| phase.up = false);
            // Sometimes it does not even get up.
            if !self.power_cuts && kills < self.kills && random.percent(12) {
                world.spawn();
                sleep(random.milliseconds(0, 150)).await;
                world.crash();
                kills += 1;
            }
            if !world.start().await {
                return false;
            }
            phase.send_modify(|phase| (phase.up, phase.generation) = (true, phase.generation + 1));
        }
        // Time for what was asked after the last crash.
        sleep(Duration::from_millis(self.traffic.1)).await;
        true
    }
}
