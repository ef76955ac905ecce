//! The desk in front of a keystore: a bounded queue, threads, challenges, verification, counters.
//!
//! Every request is answered exactly once, whatever happens: also when the queue is full, when the deadline passes
//! while it waits, when the keystore panics and when the desk is dropped.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::domain::algorithm::Algorithm;
use crate::domain::permit::{Permit, Purpose};
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;

use super::{Description, Keystore, KeystoreError};
use prover::Prover;
use queue::{Entry, NotTaken, Queue};

mod lane;
mod metrics;
mod prover;
mod queue;
#[cfg(test)]
mod tests;

pub use lane::Asker;
pub use metrics::DeskMetrics;
pub use queue::{Place, Priority};

/// A keystore with its queue and threads.
///
/// Dropping it answers what waits with [`KeystoreError::ShuttingDown`], waits for the work in hand, and joins.
pub struct Desk {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    worker_count: usize,
}

struct Shared {
    keystore: Arc<dyn Keystore>,
    queue: Queue<Job>,
    prover: Prover,
    metrics: Arc<DeskMetrics>,
    description: Description,
    /// Keys that sign on the caller's thread.
    inline_keys: RwLock<HashSet<KeyId>>,
}

type Job = Box<dyn FnOnce(Turn<'_>) + Send>;

/// What becomes of a job.
enum Turn<'a> {
    Work(&'a Shared),
    Refuse(KeystoreError),
}

impl Desk {
    /// Opens a desk. At most `queue_limit` requests wait, `threads` work; each is at least one.
    pub fn start(keystore: Arc<dyn Keystore>, queue_limit: usize, threads: usize) -> Self {
        let description = keystore.describe();
        let metrics: Arc<DeskMetrics> = Arc::default();
        let shared = Arc::new(Shared {
            queue: Queue::new(queue_limit, Arc::clone(&metrics)),
            prover: Prover::new(description.verify_always),
            metrics,
            inline_keys: RwLock::new(inline_keys(&*keystore, &description)),
            description,
            keystore,
        });
        let worker_count = threads.max(1);
        let name = |role: &str| format!("{}-{role}", shared.description.name.as_str());
        let mut handles: Vec<_> =
            (0..worker_count).filter_map(|_| spawn(name("desk"), Arc::clone(&shared), work)).collect();
        if handles.is_empty() {
            // Nobody would ever answer: refuse everything that needs a thread, at once.
            tracing::error!(keystore = shared.description.name.as_str(), "no thread could be started");
            shared.queue.close();
        }
        handles.extend(spawn(name("clock"), Arc::clone(&shared), watch_deadlines));
        Self { shared, threads: handles, worker_count }
    }

    /// The keystore behind it.
    pub fn keystore(&self) -> &Arc<dyn Keystore> {
        &self.shared.keystore
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<DeskMetrics> {
        &self.shared.metrics
    }

    /// Signs what the permit allows. The signature is verified where [`Description::verify_always`] says so or a sample
    /// is due; a bad one is [`KeystoreError::BadSignature`]. A message that is not the permit's is
    /// [`KeystoreError::Internal`].
    ///
    /// `on_done` is called exactly once: before this returns for keys that sign inline and for refusals, otherwise on a
    /// thread of the desk, which it must not block.
    pub fn sign<P: Purpose + Send + 'static>(
        &self,
        permit: Permit<P>,
        message: Arc<[u8]>,
        place: impl Into<Place>,
        deadline: Instant,
        on_done: impl FnOnce(Result<Signature, KeystoreError>) + Send + 'static,
    ) {
        if self.shared.signs_inline(&permit.key()) {
            return on_done(if Instant::now() >= deadline {
                self.shared.metrics.count_rejected();
                Err(KeystoreError::Deadline)
            } else {
                self.shared.guarded(|shared| shared.sign(permit, &message))
            });
        }
        self.submit(place.into(), deadline, move |shared| shared.sign(permit, &message), on_done);
    }

    /// Makes a key, behind everything that signs. `on_done` as for [`Desk::sign`].
    pub fn generate(
        &self,
        algorithm: Algorithm,
        deadline: Instant,
        on_done: impl FnOnce(Result<PublicKey, KeystoreError>) + Send + 'static,
    ) {
        self.submit(Priority::Rest.into(), deadline, move |shared| shared.generate(algorithm), on_done);
    }

    /// Removes a private key for ever, behind everything that signs. `on_done` as for [`Desk::sign`].
    pub fn destroy(
        &self,
        key: KeyId,
        deadline: Instant,
        on_done: impl FnOnce(Result<(), KeystoreError>) + Send + 'static,
    ) {
        self.submit(Priority::Rest.into(), deadline, move |shared| shared.destroy(&key), on_done);
    }

    fn submit<T: 'static>(
        &self,
        place: Place,
        deadline: Instant,
        work: impl FnOnce(&Shared) -> Result<T, KeystoreError> + Send + 'static,
        on_done: impl FnOnce(Result<T, KeystoreError>) + Send + 'static,
    ) {
        let metrics = Arc::clone(&self.shared.metrics);
        let job: Job = Box::new(move |turn| {
            on_done(match turn {
                Turn::Work(shared) => shared.guarded(work),
                Turn::Refuse(error) => {
                    metrics.count_rejected();
                    Err(error)
                }
            });
        });
        match self.shared.queue.push(place, Entry { deadline, job }) {
            Ok(()) => {}
            Err((job, NotTaken::Closed)) => job(Turn::Refuse(KeystoreError::ShuttingDown)),
            Err((job, NotTaken::Full { waiting })) => {
                let retry_after = self.retry_after(waiting);
                job(Turn::Refuse(KeystoreError::QueueFull { waiting, retry_after }));
            }
        }
    }

    /// When half of what waits is likely to be done.
    fn retry_after(&self, waiting: usize) -> Duration {
        let rounds = u32::try_from(waiting / 2 / self.worker_count).unwrap_or(u32::MAX);
        let estimate = self.shared.metrics.typical().saturating_mul(rounds);
        estimate.clamp(Duration::from_millis(20), Duration::from_secs(5))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for job in self.shared.queue.close() {
            answer(job, Turn::Refuse(KeystoreError::ShuttingDown));
        }
        let own = std::thread::current().id();
        for handle in self.threads.drain(..) {
            // The last owner may be a callback on one of the desk's own threads, which cannot wait for itself.
            if handle.thread().id() != own && handle.join().is_err() {
                tracing::error!("a desk thread panicked");
            }
        }
    }
}

impl Shared {
    fn signs_inline(&self, key: &KeyId) -> bool {
        self.inline_keys.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn sign<P: Purpose>(&self, permit: Permit<P>, message: &[u8]) -> Result<Signature, KeystoreError> {
        let order = permit.redeem(message).map_err(|error| KeystoreError::Internal { cause: error.to_string() })?;
        let signature = self.prover.sign(&*self.keystore, &order, &self.metrics)?;
        self.metrics.count_signed();
        Ok(signature)
    }

    fn generate(&self, algorithm: Algorithm) -> Result<PublicKey, KeystoreError> {
        let key = self.keystore.generate(algorithm)?;
        if key.algorithm() != algorithm {
            let cause = format!("asked for {algorithm}, it made a key of {}", key.algorithm());
            return Err(KeystoreError::Refused { cause });
        }
        if self.description.signs_inline(algorithm) {
            self.inline_keys.write().unwrap_or_else(PoisonError::into_inner).insert(key.id());
        }
        Ok(key)
    }

    fn destroy(&self, key: &KeyId) -> Result<(), KeystoreError> {
        self.keystore.destroy(key)?;
        self.inline_keys.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.prover.forget(key);
        Ok(())
    }

    /// Runs work, counts it, and turns a panic into an answer.
    fn guarded<T>(&self, work: impl FnOnce(&Self) -> Result<T, KeystoreError>) -> Result<T, KeystoreError> {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| work(self)))
            .unwrap_or_else(|_| Err(KeystoreError::Internal { cause: "the keystore panicked".to_owned() }));
        self.metrics.add_busy(started.elapsed());
        if result.is_err() {
            self.metrics.count_failed();
        }
        result
    }
}

fn inline_keys(keystore: &dyn Keystore, description: &Description) -> HashSet<KeyId> {
    if !description.algorithms.iter().any(|algorithm| description.signs_inline(*algorithm)) {
        return HashSet::new(); // do not make a token list its keys for nothing
    }
    let keys = keystore.public_keys().unwrap_or_default();
    keys.iter().filter(|key| description.signs_inline(key.algorithm())).map(PublicKey::id).collect()
}

fn spawn(name: String, shared: Arc<Shared>, run: fn(&Shared)) -> Option<JoinHandle<()>> {
    let spawned = std::thread::Builder::new().name(name).spawn(move || run(&shared));
    spawned.inspect_err(|error| tracing::error!(%error, "cannot start a desk thread")).ok()
}

fn work(shared: &Shared) {
    while let Some(entry) = shared.queue.pop() {
        let turn =
            if Instant::now() >= entry.deadline { Turn::Refuse(KeystoreError::Deadline) } else { Turn::Work(shared) };
        answer(entry.job, turn);
    }
}

fn watch_deadlines(shared: &Shared) {
    while let Some(jobs) = shared.queue.expired() {
        for job in jobs {
            answer(job, Turn::Refuse(KeystoreError::Deadline));
        }
    }
}

/// A callback that panics must not end the thread that serves everybody else.
fn answer(job: Job, turn: Turn<'_>) {
    if catch_unwind(AssertUnwindSafe(|| job(turn))).is_err() {
        tracing::error!("a callback of a desk panicked");
    }
}
