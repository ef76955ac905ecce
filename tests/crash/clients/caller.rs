//! One client: two connections, a plan, and the stubbornness to ask for the same bytes until somebody answers.

use std::sync::Arc;
use std::time::Duration;

use sealward::client::messages::{ExplainRequest, GetCheckpointRequest, ListLeavesRequest, SignRequest};
use sealward::client::{Client, ClientError, TlsFiles};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::plan::{Plan, Planner};
use super::send::send;
use super::{Keys, Phase, Shared};
use crate::journal::{Ask, Journal, What};
use crate::random::Random;
use crate::world::PATIENCE;

/// How long one call may take before it counts as silence. Far above what a busy machine needs.
const CALL: Duration = Duration::from_secs(30);

pub(crate) struct Caller {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    journal: Journal,
    random: Random,
    planner: Planner,
    connections: [Option<Connection>; 2],
    impatient: bool,
    /// What was asked last, to be asked again after a crash whatever its answer was.
    last: Vec<Ask>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    since: u64,
    generation: u64,
}

impl Caller {
    pub(crate) fn new(name: &str, shared: Arc<Shared>, keys: Keys, journal: Journal, mut random: Random) -> Self {
        let planner = Planner::new(name, keys, random.split());
        let phase = shared.phase.clone();
        let connections = [None, None];
        Self { shared, phase, journal, random, planner, connections, impatient: false, last: Vec::new() }
    }

    pub(super) fn impatient(mut self) -> Self {
        self.impatient = true;
        self
    }

    /// Until the run is stopping.
    pub(super) async fn run(mut self) {
        let mut generation = self.now().generation;
        while !self.now().stopping && !self.now().over {
            if self.now().generation != generation {
                generation = self.now().generation;
                let again = self.planner.again(&self.last);
                self.settle(again).await;
            }
            match self.planner.next(&self.shared.heads()) {
                Plan::Sign(asks) => self.settle(asks).await,
                Plan::SignTwice(one, two) => self.settle_both(one, two).await,
                Plan::Checkpoint => self.checkpoint().await,
                Plan::Tree => self.tree().await,
                Plan::Explain(ask) => self.explain(ask).await,
            }
            let pause = self.random.milliseconds(0, 6);
            sleep(pause).await;
        }
    }

    /// Asks until there is an answer.
    pub(crate) async fn settle(&mut self, asks: Vec<Ask>) {
        if asks.is_empty() {
            return;
        }
        self.last.clone_from(&asks);
        let patience = Instant::now() + PATIENCE;
        loop {
            let began = self.journal.now();
            let answer = match self.connection(0).await {
                Ok(connection) => send(&connection.client, &asks).await.map_err(|cause| (connection.since, cause)),
                Err(silence) => Err(silence),
            };
            if self.note(began, &asks, answer, patience).await {
                return;
            }
        }
    }

    /// Two requests on two connections at once; then each until there is an answer.
    async fn settle_both(&mut self, one: Vec<Ask>, two: Vec<Ask>) {
        let (Ok(first), Ok(second)) = (self.connection(0).await, self.connection(1).await) else {
            self.settle(one).await;
            return self.settle(two).await;
        };
        let began = self.journal.now();
        let (answer_one, answer_two) = tokio::join!(send(&first.client, &one), send(&second.client, &two));
        for (asks, answer, since) in [(one, answer_one, first.since), (two, answer_two, second.since)] {
            let answer = answer.map_err(|cause| (since, cause));
            if !self.note(began, &asks, answer, Instant::now() + PATIENCE).await {
                self.settle(asks).await;
            }
        }
    }

    /// Writes an answer down. False when there was none and the client may ask again.
    async fn note(
        &mut self,
        began: u64,
        asks: &[Ask],
        answer: Result<Vec<What>, (u64, String)>,
        patience: Instant,
    ) -> bool {
        let ended = self.journal.now();
        match answer {
            Ok(whats) => {
                for what in whats {
                    if let What::Released(release) = &what {
                        self.shared.learn(release);
                    }
                    self.journal.write(began, ended, what);
                }
                true
            }
            Err((since, cause)) => {
                for ask in asks {
                    self.journal.write(
                        began,
                        ended,
                        What::Unanswered { ask: ask.clone(), since, cause: cause.clone() },
                    );
                }
                self.connections = [None, None];
                if self.now().over || Instant::now() > patience {
                    for ask in asks {
                        self.journal.write(began, self.journal.now(), What::Abandoned { ask: ask.clone() });
                    }
                    return true;
                }
                let pause = self.random.milliseconds(5, 40);
                sleep(pause).await;
                false
            }
        }
    }

    async fn checkpoint(&mut self) {
        let call = async |client: &Client| client.get_checkpoint(GetCheckpointRequest {}).await;
        let shared = Arc::clone(&self.shared);
        self.read("checkpoint", call, |answer| {
            shared.show(answer.checkpoint.clone());
            What::Checkpoint { note: answer.checkpoint }
        })
        .await;
    }

    async fn tree(&mut self) {
        let call = async |client: &Client| client.list_leaves(ListLeavesRequest { start: 0, limit: 1 }).await;
        self.read("list leaves", call, |answer| What::TreeSize { size: answer.tree_size }).await;
    }

    async fn explain(&mut self, ask: Ask) {
        let (repository, role) = (ask.repository.clone(), ask.role.clone());
        let request = SignRequest {
            repository: ask.repository,
            role: ask.role,
            payload: ask.payload.into(),
            ..SignRequest::default()
        };
        let request = ExplainRequest { request: Some(request) };
        let call = async |client: &Client| client.explain(request.clone()).await;
        // No version is no guard: the oracle is told 0.
        self.read("explain", call, |answer| What::Explained {
            repository,
            role,
            version: answer.released_version.unwrap_or(0),
        })
        .await;
    }

    /// A reading call is not repeated: the next plan is as good.
    async fn read<T>(
        &mut self,
        name: &str,
        call: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
        seen: impl FnOnce(T) -> What,
    ) {
        let Ok(Connection { client, since, .. }) = self.connection(0).await else { return };
        let began = self.journal.now();
        let answer = call(&client).await;
        let ended = self.journal.now();
        let what = match answer {
            Ok(answer) => seen(answer),
            Err(error) => {
                self.connections = [None, None];
                What::Unread { call: name.to_owned(), since, reason: error.reason().to_owned() }
            }
        };
        self.journal.write(began, ended, what);
    }

    /// A connection that was begun after the last start, or why there is none. The patient wait until the daemon is up.
    async fn connection(&mut self, place: usize) -> Result<Connection, (u64, String)> {
        if !self.impatient {
            // Nobody who could change the phase is the same as nobody who answers.
            drop(timeout(PATIENCE, self.phase.wait_for(|phase| phase.up || phase.over)).await);
        }
        let generation = self.now().generation;
        if let Some(connection) = &self.connections[place]
            && connection.generation == generation
        {
            return Ok(connection.clone());
        }
        let since = self.journal.now();
        match Client::connect(&self.shared.server, &TlsFiles::default(), CALL).await {
            Ok(client) => {
                let connection = Connection { client, since, generation };
                self.connections[place] = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => Err((since, error.to_string())),
        }
    }

    fn now(&self) -> Phase {
        *self.phase.borrow()
    }
}
