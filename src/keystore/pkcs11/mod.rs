//! A PKCS#11 token behind a worker process.
//!
//! The daemon never loads a vendor's library. It starts `sealward-token` with one end of a socket pair, sends it the PIN
//! over that socket, and asks it to list, make, use and remove keys. A worker that crashes, hangs or loses its token is
//! replaced: at once the first time, then with growing pauses. A refused PIN is never tried again.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::protocol::{Answer, Body, Failure, LARGEST_BODY, Request};
use super::secret::Secrets;
use super::settings::Pkcs11Settings;
use super::{Condition, Description, Keystore, KeystoreError, Kind};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::KeystoreName;
use crate::domain::permit::Order;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;
use link::LinkFault;
use supervisor::{Launch, Supervisor};

mod link;
mod paths;
mod supervisor;

/// How long a signature may take before the worker counts as hung.
const SIGN_PATIENCE: Duration = Duration::from_secs(60);
/// The same for a new key: RSA of 4096 bit takes minutes on small devices.
const GENERATE_PATIENCE: Duration = Duration::from_secs(300);
/// The same for listing and removing.
const LIST_PATIENCE: Duration = Duration::from_secs(120);
/// The most sessions that a worker is asked for.
const MOST_SESSIONS: usize = 64;

/// A token and the worker that owns it.
pub struct Pkcs11 {
    supervisor: Arc<Supervisor>,
    thread: Option<JoinHandle<()>>,
}

impl Pkcs11 {
    /// Checks the paths, reads the PIN, starts the worker and waits for its first word.
    ///
    /// A token that is absent or refuses the PIN is no error: see [`super::open`]. One that cannot be told from another
    /// is [`KeystoreError::Token`].
    pub fn open(
        name: KeystoreName,
        settings: &Pkcs11Settings,
        secrets: &Secrets,
        dev: bool,
    ) -> Result<Self, KeystoreError> {
        let Pkcs11Settings { module, token_label, token_serial, pin, environment, worker, sessions } = settings;
        let launch = Launch {
            worker: paths::worker(worker.as_deref(), dev)?,
            environment: environment.clone(),
            module: text(&paths::module(module, dev)?)?,
            label: token_label.clone(),
            serial: token_serial.clone(),
            sessions: (*sessions).clamp(1, MOST_SESSIONS),
        };
        let supervisor = Supervisor::new(name, launch, secrets.read(pin)?);
        let for_thread = Arc::clone(&supervisor);
        let thread = std::thread::Builder::new()
            .name(format!("{}-supervisor", supervisor.name().as_str()))
            .spawn(move || for_thread.run())
            .map_err(|error| KeystoreError::Internal { cause: format!("no thread for a token: {error}") })?;
        let token = Self { supervisor, thread: Some(thread) };
        token.supervisor.first_result()?;
        Ok(token)
    }

    /// The process id of the worker that is ready.
    pub fn worker_pid(&self) -> Option<u32> {
        self.supervisor.worker_pid()
    }

    /// Asks the worker. What never reached one worker is asked of the next one, once.
    fn call(&self, request: &Request, body: &[u8], patience: Duration) -> Result<(Answer, Body), KeystoreError> {
        let mut not_sent = String::new();
        for _ in 0..2 {
            let link = self.supervisor.link()?;
            match link.call(request.clone(), body, patience) {
                Ok((Answer::Failed(Failure::Device { cause }), _)) => {
                    link.end(format!("the token is gone or broken: {cause}"));
                    return Err(KeystoreError::Interrupted { cause });
                }
                Ok(answer) => return Ok(answer),
                Err(LinkFault::NotSent(cause)) => not_sent = cause,
                Err(LinkFault::Lost(cause)) => return Err(KeystoreError::Interrupted { cause }),
            }
        }
        Err(KeystoreError::Unavailable { cause: not_sent })
    }

    fn done(&self, request: &Request, body: &[u8], patience: Duration) -> Result<Body, KeystoreError> {
        match self.call(request, body, patience)? {
            (Answer::Done, body) => Ok(body),
            (Answer::Failed(failure), _) => Err(refused(request, failure)),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

impl Drop for Pkcs11 {
    fn drop(&mut self) {
        self.supervisor.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the supervisor of a token panicked");
        }
    }
}

impl Keystore for Pkcs11 {
    fn describe(&self) -> Description {
        Description {
            name: self.supervisor.name().clone(),
            kind: Kind::Pkcs11,
            place: self.supervisor.place(),
            algorithms: self.supervisor.algorithms(),
            verify_always: true,
        }
    }

    fn probe(&self) -> Condition {
        self.supervisor.condition()
    }

    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError> {
        match self.call(&Request::List, b"", LIST_PATIENCE)? {
            (Answer::Keys { skipped }, body) => {
                for object in skipped {
                    tracing::warn!(keystore = self.supervisor.name().as_str(), object, "not usable as a key");
                }
                serde_json::from_slice(&body).map_err(|error| KeystoreError::Refused {
                    cause: format!("the worker lists something else than keys: {error}"),
                })
            }
            (Answer::Failed(failure), _) => Err(refused(&Request::List, failure)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn generate(&self, algorithm: Algorithm) -> Result<PublicKey, KeystoreError> {
        let spki = self.done(&Request::Generate { algorithm }, b"", GENERATE_PATIENCE)?;
        PublicKey::from_spki_der(&spki)
            .map_err(|error| KeystoreError::Refused { cause: format!("the token made a key that is none: {error}") })
    }

    fn sign(&self, order: &Order<'_>) -> Result<Signature, KeystoreError> {
        let (key, message) = (order.public_key(), order.message());
        if message.len() > LARGEST_BODY {
            return Err(KeystoreError::MessageTooLarge { length: message.len(), limit: LARGEST_BODY });
        }
        let bytes = self.done(&Request::Sign { key: key.id() }, message, SIGN_PATIENCE)?;
        Signature::from_fixed(key.algorithm(), bytes.to_vec())
            .map_err(|_| KeystoreError::BadSignature { key: key.id() })
    }

    fn destroy(&self, key: &KeyId) -> Result<(), KeystoreError> {
        self.done(&Request::Destroy { key: *key }, b"", LIST_PATIENCE).map(drop)
    }
}

fn text(path: &Path) -> Result<String, KeystoreError> {
    let cause = || KeystoreError::Internal { cause: "a module's path that is not UTF-8 passed its check".to_owned() };
    path.to_str().map(str::to_owned).ok_or_else(cause)
}

fn refused(request: &Request, failure: Failure) -> KeystoreError {
    match (failure, request) {
        (Failure::KeyMissing, Request::Sign { key } | Request::Destroy { key }) => {
            KeystoreError::KeyMissing { key: *key, detail: String::new() }
        }
        (Failure::AlgorithmUnsupported, Request::Generate { algorithm }) => {
            KeystoreError::AlgorithmUnsupported { algorithm: *algorithm }
        }
        (Failure::Refused { cause } | Failure::Device { cause } | Failure::Module { cause }, _) => {
            KeystoreError::Refused { cause }
        }
        (Failure::Pin { cause }, _) => KeystoreError::PinRefused { cause },
        (other, _) => KeystoreError::Refused { cause: format!("the worker answers {other:?}") },
    }
}

fn unexpected(answer: &Answer) -> KeystoreError {
    KeystoreError::Refused { cause: format!("the worker answers another question: {answer:?}") }
}
