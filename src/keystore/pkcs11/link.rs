//! One worker process and the socket to it.

use std::collections::HashMap;
use std::io::BufReader;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::keystore::lock;
use crate::keystore::protocol::{self, Answer, Answered, Asked, Body, FrameError, Request};

/// How long a write may stall before the worker counts as hung.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a worker may take to end by itself once its socket is closed.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// A worker that runs.
pub(super) struct Link {
    writer: Mutex<UnixStream>,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
    pid: u32,
    reader: Mutex<Option<JoinHandle<()>>>,
}

struct Waiting {
    /// Those who wait for an answer; `None` once the link has ended.
    answers: Option<HashMap<u64, SyncSender<(Answer, Body)>>>,
    /// Why we ended it, or why it ended.
    cause: Option<String>,
}

/// A question without an answer.
#[derive(Debug)]
pub(super) enum LinkFault {
    /// The worker never got it whole: asking another worker is safe.
    NotSent(String),
    /// The worker may have worked on it.
    Lost(String),
}

impl Link {
    /// Starts a worker. It inherits one socket, standard error, and the environment given here, nothing else.
    /// `on_end` is called once, after the process is gone.
    ///
    /// The calling thread must live as long as the worker: the kernel kills the worker when this thread ends.
    pub(super) fn start(
        program: &Path,
        environment: &[(String, String)],
        on_end: impl FnOnce(&Arc<Self>, String) + Send + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(WRITE_PATIENCE))?;
        let reading = ours.try_clone()?;
        let child = Command::new(program)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let link = Arc::new(Self {
            writer: Mutex::new(ours),
            waiting: Mutex::new(Waiting { answers: Some(HashMap::new()), cause: None }),
            next: AtomicU64::new(1),
            pid: child.id(),
            reader: Mutex::default(),
        });
        let for_reader = Arc::clone(&link);
        let reader = std::thread::Builder::new().name("token-reader".into()).spawn(move || {
            let cause = for_reader.follow(reading, child);
            on_end(&for_reader, cause);
        })?;
        *lock(&link.reader) = Some(reader);
        Ok(link)
    }

    /// Asks and waits for the answer. A worker that stays silent for longer than `patience` is ended.
    pub(super) fn call(&self, request: Request, body: &[u8], patience: Duration) -> Result<(Answer, Body), LinkFault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = sync_channel(1);
        {
            let mut waiting = lock(&self.waiting);
            let Waiting { answers, cause } = &mut *waiting;
            match answers {
                Some(answers) => answers.insert(id, sender),
                None => return Err(LinkFault::NotSent(cause.clone().unwrap_or_default())),
            };
        }
        let written = protocol::write(&mut *lock(&self.writer), &Asked { id, request }, body);
        if let Err(error) = written {
            // Nobody can send a whole frame after half of one. A closed socket means that the worker has ended, and the
            // reader is about to learn how, which says more than "broken pipe".
            if !is_closed(&error) {
                self.end(format!("the worker takes no requests: {error}"));
            }
            let _ = answer.recv_timeout(2 * END_PATIENCE);
            return Err(LinkFault::NotSent(self.cause()));
        }
        match answer.recv_timeout(patience) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Disconnected) => Err(LinkFault::Lost(self.cause())),
            Err(RecvTimeoutError::Timeout) => {
                self.end(format!("the worker was silent for {} s", patience.as_secs()));
                Err(LinkFault::Lost(self.cause()))
            }
        }
    }

    /// Ends the worker: it exits when its socket closes, or is killed.
    pub(super) fn end(&self, cause: String) {
        let mut waiting = lock(&self.waiting);
        waiting.cause.get_or_insert(cause);
        // Not through the writer's lock, which a stalled write may hold: the process is what has to go. While there are
        // answers to hand out the reader has not reaped it, so the pid is still its own.
        if waiting.answers.is_some()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        drop(waiting);
    }

    /// Ends the worker in an orderly way and waits until it is gone. Not from the reader's own thread.
    pub(super) fn close(&self) {
        lock(&self.waiting).cause.get_or_insert_with(|| "the keystore is closing".to_owned());
        let _ = lock(&self.writer).shutdown(Shutdown::Both);
        let reader = lock(&self.reader).take();
        if reader.is_some_and(|reader| reader.join().is_err()) {
            tracing::error!("the reader of a token worker panicked");
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.waiting).answers.is_none()
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.waiting).answers.as_ref().is_some_and(HashMap::is_empty)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn cause(&self) -> String {
        lock(&self.waiting).cause.clone().unwrap_or_else(|| "the worker ended".to_owned())
    }

    /// Hands out answers until the worker is gone; returns why.
    fn follow(&self, stream: UnixStream, mut child: Child) -> String {
        let mut stream = BufReader::new(stream);
        let fault = loop {
            match protocol::read::<Answered>(&mut stream) {
                Ok(Some((Answered { id, answer }, body))) => {
                    let asker = lock(&self.waiting).answers.as_mut().and_then(|answers| answers.remove(&id));
                    match asker {
                        Some(asker) => drop(asker.send((answer, body))), // an asker who gave up does not matter
                        None => break Some(format!("the worker answered request {id}, which nobody made")),
                    }
                }
                Ok(None) => break None,
                Err(FrameError::Truncated | FrameError::Socket(_)) => break None,
                Err(error) => break Some(format!("the worker does not keep to the protocol: {error}")),
            }
        };
        if let Some(fault) = fault {
            lock(&self.waiting).cause.get_or_insert(fault);
        }
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        // Taken while the process still exists, so that `end` never kills a stranger with a reused pid.
        let unanswered = lock(&self.waiting).answers.take();
        let status = reap(&mut child);
        let ended = || format!("the worker ended: {status}");
        let cause = lock(&self.waiting).cause.get_or_insert_with(ended).clone();
        drop(unanswered); // wakes those who wait, now that the cause is known
        cause
    }
}

fn is_closed(error: &FrameError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error, FrameError::Socket(error) if matches!(error.kind(), BrokenPipe | ConnectionReset))
}

fn reap(child: &mut Child) -> String {
    let until = Instant::now() + END_PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.to_string(),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill(); // fails only when it is gone already
                return child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            }
            Err(error) => return error.to_string(),
        }
    }
}
