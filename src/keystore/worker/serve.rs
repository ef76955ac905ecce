//! The worker's loop: attach, log in, then hand requests to sessions.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use cryptoki::session::Session;
use secrecy::SecretString;

use super::token::Token;
use super::{WorkerError, generate, mechanism};
use crate::keystore::lock;
use crate::keystore::protocol::{self, Answer, Answered, Asked, Body, Failure, LARGEST_BODY, Request, VERSION};

/// How many requests may wait inside the worker. The daemon's own queue is the one with a policy.
const BACKLOG: usize = 64;

type Job = (u64, Request, Body);
type Shared = (Arc<Token>, Arc<Mutex<Receiver<Job>>>, Arc<Mutex<UnixStream>>);

/// Serves one daemon until it goes away.
pub(super) fn serve(socket: UnixStream) -> Result<(), WorkerError> {
    let mut from = BufReader::new(socket.try_clone().map_err(protocol::FrameError::from)?);
    let to = Arc::new(Mutex::new(socket));
    let Some((token, sessions)) = attach(&mut from, &to)? else {
        return Ok(());
    };
    // Lives as long as this function: with the last session the login would end.
    let Some(_keeper) = log_in(&mut from, &to, &token)? else {
        return Ok(());
    };
    let (queue, jobs) = sync_channel(BACKLOG);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..token.session_count(sessions) {
        let shared = (Arc::clone(&token), Arc::clone(&jobs), Arc::clone(&to));
        std::thread::Builder::new()
            .name(format!("session-{number}"))
            .spawn(move || work(&shared))
            .map_err(protocol::FrameError::from)?;
    }
    dispatch(&mut from, &queue)?;
    // The daemon is gone. A session may hang inside the module for ever, and ending by `exit` runs the module's own
    // code while other threads are in it: leave by the one way that cannot fail.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    Ok(())
}

/// `None`: the daemon went away, or was told that there is no token.
fn attach(
    from: &mut BufReader<UnixStream>,
    to: &Mutex<UnixStream>,
) -> Result<Option<(Arc<Token>, usize)>, WorkerError> {
    let Some((Asked { id, request }, _)) = protocol::read(from)? else {
        return Ok(None);
    };
    let Request::Attach { protocol, module, label, serial, sessions } = request else {
        return Err(WorkerError::Order("attach comes first"));
    };
    let attached = if protocol == VERSION {
        Token::attach(&module, &label, serial.as_deref())
    } else {
        Err(Failure::Version { worker: VERSION })
    };
    let (answer, token) = match attached {
        Ok((token, description)) => (Answer::Attached(description), Some((Arc::new(token), sessions))),
        Err(failure) => (Answer::Failed(failure), None),
    };
    protocol::write(&mut *lock(to), &Answered { id, answer }, b"")?;
    Ok(token)
}

fn log_in(
    from: &mut BufReader<UnixStream>,
    to: &Mutex<UnixStream>,
    token: &Token,
) -> Result<Option<Session>, WorkerError> {
    let Some((Asked { id, request }, pin)) = protocol::read(from)? else {
        return Ok(None);
    };
    if request != Request::Login {
        return Err(WorkerError::Order("login comes after attach"));
    }
    let keeper = match std::str::from_utf8(&pin) {
        Ok(text) => token.log_in(&SecretString::from(text)),
        Err(_) => Err(Failure::Pin { cause: "the PIN is not UTF-8 text".to_owned() }),
    };
    drop(pin);
    let (answer, keeper) = match keeper {
        Ok(keeper) => (Answer::Done, Some(keeper)),
        Err(failure) => (Answer::Failed(failure), None),
    };
    protocol::write(&mut *lock(to), &Answered { id, answer }, b"")?;
    Ok(keeper)
}

fn dispatch(from: &mut BufReader<UnixStream>, queue: &SyncSender<Job>) -> Result<(), WorkerError> {
    while let Some((Asked { id, request }, body)) = protocol::read(from)? {
        if matches!(request, Request::Attach { .. } | Request::Login) {
            return Err(WorkerError::Order("attach and login come once"));
        }
        if queue.send((id, request, body)).is_err() {
            return Ok(()); // no session is left: the module took their threads down
        }
    }
    Ok(())
}

/// The life of a session's thread.
fn work((token, jobs, to): &Shared) {
    let mut session = None;
    loop {
        let job = lock(jobs).recv();
        let Ok((id, request, body)) = job else {
            return;
        };
        let (answer, bytes) = match perform(token, &mut session, &request, &body) {
            Ok((answer, bytes)) => (answer, bytes),
            Err(failure) => {
                // An operation that failed may still be open on the session, which then refuses everything else.
                session = None;
                (Answer::Failed(failure), Vec::new())
            }
        };
        drop(body);
        if protocol::write(&mut *lock(to), &Answered { id, answer }, &bytes).is_err() {
            return;
        }
    }
}

fn perform(
    token: &Token,
    session: &mut Option<Session>,
    request: &Request,
    body: &[u8],
) -> Result<(Answer, Vec<u8>), Failure> {
    let done = |bytes| Ok((Answer::Done, bytes));
    match request {
        Request::List => {
            let (keys, skipped) = token.list()?;
            let bytes = serde_json::to_vec(&keys).map_err(|error| Failure::Refused { cause: error.to_string() })?;
            if bytes.len() > LARGEST_BODY {
                return Err(Failure::Refused { cause: format!("{} keys are more than fit an answer", keys.len()) });
            }
            Ok((Answer::Keys { skipped }, bytes))
        }
        Request::Generate { algorithm } => done(generate::generate(token, *algorithm)?.spki_der().to_vec()),
        Request::Sign { key } => done(mechanism::sign(token, session, key, body)?),
        Request::Destroy { key } => {
            token.destroy(key)?;
            done(Vec::new())
        }
        Request::Probe => {
            token.probe()?;
            done(Vec::new())
        }
        Request::Attach { .. } | Request::Login => {
            Err(Failure::Refused { cause: "attach and login come once".to_owned() })
        }
    }
}
