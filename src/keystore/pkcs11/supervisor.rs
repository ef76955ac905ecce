//! Keeps one worker alive: starts it, logs in, notices its end, starts the next one, latches after a refused PIN.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::link::{Link, LinkFault};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::KeystoreName;
use crate::domain::time::Instant as WallTime;
use crate::keystore::protocol::{self, Answer, Failure, Request, Token};
use crate::keystore::{Condition, KeystoreError, lock, wall_clock};

/// How long a request waits for a worker that is being started.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long loading a module and finding a token may take.
const ATTACH_PATIENCE: Duration = Duration::from_secs(30);
/// How long a login may take.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);
/// How often an idle token is asked whether it is there. Some devices close sessions that idle for longer than 15 s.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long the answer may take. Generous: many modules serialise all calls behind one lock.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);
/// A worker that ran for so long was a good one: its end begins a new count of failures.
const GOOD_RUN: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a worker is started with.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) worker: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    pub(super) module: String,
    pub(super) label: String,
    pub(super) serial: Option<String>,
    pub(super) sessions: usize,
}

/// What the supervisor's thread and those who ask share.
pub(super) struct Supervisor {
    name: KeystoreName,
    launch: Launch,
    /// Forgotten once the token refused it.
    pin: Mutex<Option<SecretString>>,
    state: Mutex<State>,
    changed: Condvar,
    algorithms: Mutex<Vec<Algorithm>>,
    /// Of the token that was attached last.
    serial: Mutex<String>,
}

struct State {
    phase: Phase,
    since: WallTime,
    /// Workers that ended or never got ready, since the last good run.
    failures: u32,
    /// The newest worker, whatever became of it.
    newest: Option<Arc<Link>>,
    /// How the first start ended; the error is what somebody must change.
    first: Option<Result<(), String>>,
    stopping: bool,
}

enum Phase {
    Starting,
    Up {
        link: Arc<Link>,
        at: Instant,
    },
    Down {
        cause: String,
        until: Instant,
    },
    /// The PIN was refused. Nothing but a restart with another PIN leads out of this.
    Latched {
        cause: String,
    },
}

/// Why a worker did not get ready.
enum Setback {
    /// It may get better by itself.
    Passing(String),
    /// Somebody must change the configuration or the devices.
    Misconfigured(String),
    /// No login is tried again.
    Pin(String),
}

impl Supervisor {
    pub(super) fn new(name: KeystoreName, launch: Launch, pin: SecretString) -> Arc<Self> {
        let since = wall_clock();
        let state = State { phase: Phase::Starting, since, failures: 0, newest: None, first: None, stopping: false };
        Arc::new(Self {
            name,
            launch,
            pin: Mutex::new(Some(pin)),
            state: Mutex::new(state),
            changed: Condvar::new(),
            algorithms: Mutex::default(),
            serial: Mutex::default(),
        })
    }

    /// The life of the supervisor's thread. Every worker is started here, because the kernel ties it to this thread.
    pub(super) fn run(self: &Arc<Self>) {
        let mut unanswered_logins = 0;
        let mut state = lock(&self.state);
        while !state.stopping {
            let now = Instant::now();
            match &state.phase {
                Phase::Starting => {
                    drop(state);
                    let started = self.start_worker(&mut unanswered_logins);
                    state = lock(&self.state);
                    self.settle(&mut state, started);
                }
                Phase::Down { until, .. } if *until <= now => {
                    state.phase = Phase::Starting;
                    self.changed.notify_all();
                }
                Phase::Down { until, .. } => {
                    let pause = *until - now;
                    state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
                }
                Phase::Latched { .. } => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Phase::Up { link, .. } => {
                    let link = Arc::clone(link);
                    let (next, waited) =
                        self.changed.wait_timeout(state, PROBE_EVERY).unwrap_or_else(PoisonError::into_inner);
                    state = next;
                    // A busy worker proves itself by its answers.
                    if waited.timed_out() && !state.stopping && link.is_idle() {
                        drop(state);
                        probe(&link);
                        state = lock(&self.state);
                    }
                }
            }
        }
        let newest = state.newest.take();
        drop(state);
        if let Some(link) = newest {
            link.close();
        }
    }

    /// Lets the thread end, also in the middle of a start.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        let newest = state.newest.clone();
        let is_starting = matches!(state.phase, Phase::Starting);
        drop(state);
        self.changed.notify_all();
        if is_starting && let Some(link) = newest {
            link.end("the keystore is closing".to_owned());
        }
    }

    /// Waits until the first worker is ready or is known not to be.
    pub(super) fn first_result(&self) -> Result<(), KeystoreError> {
        let until = Instant::now() + ATTACH_PATIENCE;
        let mut state = lock(&self.state);
        loop {
            match &state.first {
                Some(Ok(())) => return Ok(()),
                Some(Err(cause)) => return Err(KeystoreError::Token { cause: cause.clone() }),
                None => {}
            }
            let pause = until.saturating_duration_since(Instant::now());
            if pause.is_zero() {
                return Ok(());
            }
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The worker that is ready. Waits a little for one that is being started.
    pub(super) fn link(&self) -> Result<Arc<Link>, KeystoreError> {
        let until = Instant::now() + START_PATIENCE;
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            match &state.phase {
                Phase::Up { link, .. } if !link.has_ended() => return Ok(Arc::clone(link)),
                Phase::Latched { cause } => return Err(KeystoreError::PinRefused { cause: cause.clone() }),
                Phase::Down { cause, until: next, .. } if *next > now => {
                    return Err(KeystoreError::Unavailable { cause: cause.clone() });
                }
                _ if state.stopping => return Err(KeystoreError::ShuttingDown),
                _ if now >= until => {
                    let cause = "its worker is starting".to_owned();
                    return Err(KeystoreError::Unavailable { cause });
                }
                // Starting, about to, or just ended.
                _ => state = self.changed.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0,
            }
        }
    }

    /// What tells its token from another.
    pub(super) fn place(&self) -> String {
        format!("token `{}` with serial number {}", self.launch.label, lock(&self.serial))
    }

    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        lock(&self.algorithms).clone()
    }

    pub(super) fn worker_pid(&self) -> Option<u32> {
        match &lock(&self.state).phase {
            Phase::Up { link, .. } => Some(link.pid()),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &KeystoreName {
        &self.name
    }

    pub(super) fn condition(&self) -> Condition {
        let state = lock(&self.state);
        let cause = match &state.phase {
            Phase::Up { link, .. } if !link.has_ended() => return Condition::Ready,
            Phase::Up { .. } => "its worker has ended".to_owned(),
            Phase::Starting => "its worker is starting".to_owned(),
            Phase::Down { cause, .. } => cause.clone(),
            Phase::Latched { cause } => format!("the token does not accept the PIN: {cause}"),
        };
        Condition::NotReady { cause, since: state.since }
    }

    fn start_worker(self: &Arc<Self>, unanswered_logins: &mut u32) -> Result<Arc<Link>, Setback> {
        let Launch { worker, environment, module, label, serial, sessions } = &self.launch;
        let own = Arc::downgrade(self);
        let on_end = move |link: &Arc<Link>, cause: String| {
            if let Some(supervisor) = own.upgrade() {
                supervisor.worker_ended(link, cause);
            }
        };
        let link = Link::start(worker, environment, on_end)
            .map_err(|error| Setback::Passing(format!("{} does not start: {error}", worker.display())))?;
        let mut state = lock(&self.state);
        state.newest = Some(Arc::clone(&link));
        let stopping = state.stopping;
        drop(state);
        if stopping {
            return Err(ended(&link, "the keystore is closing"));
        }
        let attach = Request::Attach {
            protocol: protocol::VERSION,
            module: module.clone(),
            label: label.clone(),
            serial: serial.clone(),
            sessions: *sessions,
        };
        let token = match link.call(attach, b"", ATTACH_PATIENCE) {
            Ok((Answer::Attached(token), _)) => token,
            Ok((Answer::Failed(failure), _)) => return Err(self.setback(&link, failure)),
            Ok(_) => return Err(ended(&link, "the worker did not attach and does not say why")),
            Err(LinkFault::NotSent(cause) | LinkFault::Lost(cause)) => return Err(Setback::Passing(cause)),
        };
        lock(&self.algorithms).clone_from(&token.algorithms);
        lock(&self.serial).clone_from(&token.serial);
        self.log_in(&link, &token, unanswered_logins)?;
        Ok(link)
    }

    fn log_in(&self, link: &Link, token: &Token, unanswered: &mut u32) -> Result<(), Setback> {
        if token.login_required {
            check_tries(token, *unanswered).inspect_err(|_| link.end("no login is tried".to_owned()))?;
        }
        let pin = lock(&self.pin).clone();
        let Some(pin) = pin else {
            return Err(Setback::Pin("it refused the PIN before".to_owned()));
        };
        let body = if token.login_required { pin.expose_secret().as_bytes() } else { b"" };
        // Counted before it is sent: a worker that dies with the PIN in hand may have used up a try.
        *unanswered += 1;
        let answer = link.call(Request::Login, body, LOGIN_PATIENCE);
        if answer.is_ok() {
            *unanswered = 0;
        }
        match answer {
            Ok((Answer::Done, _)) => Ok(()),
            Ok((Answer::Failed(failure), _)) => Err(self.setback(link, failure)),
            Ok(_) => Err(ended(link, "the worker did not log in and does not say why")),
            Err(LinkFault::NotSent(cause) | LinkFault::Lost(cause)) => Err(Setback::Passing(cause)),
        }
    }

    fn setback(&self, link: &Link, failure: Failure) -> Setback {
        link.end("it did not get ready".to_owned());
        let Launch { label, serial, module, .. } = &self.launch;
        let wanted = match serial {
            Some(serial) => format!("labelled `{label}` with serial number {serial}"),
            None => format!("labelled `{label}`"),
        };
        match failure {
            Failure::TokenAbsent { seen } if seen.is_empty() => {
                Setback::Passing(format!("no token {wanted}: {module} shows none"))
            }
            Failure::TokenAbsent { seen } => {
                Setback::Passing(format!("no token {wanted}; there are {}", seen.join(", ")))
            }
            Failure::TokenAmbiguous { matching } => Setback::Misconfigured(format!(
                "{} tokens are {wanted}: {}. Set token_serial to the serial number of the one that is meant",
                matching.len(),
                matching.join(", ")
            )),
            Failure::Version { worker } => Setback::Misconfigured(format!(
                "{} speaks protocol {worker}, this daemon {}: install both from one release",
                self.launch.worker.display(),
                protocol::VERSION
            )),
            Failure::Pin { cause } => Setback::Pin(cause),
            Failure::Module { cause } => Setback::Passing(format!("{module} does not load: {cause}")),
            Failure::Device { cause } | Failure::Refused { cause } => Setback::Passing(cause),
            Failure::KeyMissing | Failure::AlgorithmUnsupported => {
                Setback::Passing("the worker answers another question".to_owned())
            }
        }
    }

    fn settle(&self, state: &mut State, started: Result<Arc<Link>, Setback>) {
        let name = self.name.as_str();
        let first = match &started {
            Err(Setback::Misconfigured(cause)) => Err(cause.clone()),
            _ => Ok(()),
        };
        state.first.get_or_insert(first);
        match started {
            Ok(link) if !link.has_ended() => {
                tracing::info!(keystore = name, worker = link.pid(), "the token is ready");
                state.since = wall_clock();
                state.phase = Phase::Up { link, at: Instant::now() };
            }
            Ok(_) => self.start_failed(state, "the worker ended at once".to_owned()),
            Err(Setback::Passing(cause) | Setback::Misconfigured(cause)) => self.start_failed(state, cause),
            Err(Setback::Pin(cause)) => {
                tracing::error!(keystore = name, cause, "the PIN is refused; no login is tried again");
                *lock(&self.pin) = None;
                state.since = wall_clock();
                state.phase = Phase::Latched { cause };
            }
        }
        self.changed.notify_all();
    }

    /// What did not start is not started again without a pause; since when it is not ready stays as it was.
    fn start_failed(&self, state: &mut State, cause: String) {
        state.failures = state.failures.max(1);
        self.go_down(state, cause);
    }

    fn worker_ended(&self, link: &Arc<Link>, cause: String) {
        let mut state = lock(&self.state);
        if let Phase::Up { link: current, at } = &state.phase
            && Arc::ptr_eq(current, link)
        {
            if at.elapsed() >= GOOD_RUN {
                state.failures = 0;
            }
            state.since = wall_clock();
            self.go_down(&mut state, cause);
            self.changed.notify_all();
        }
    }

    /// After a good run the next worker is started at once; after that with growing pauses.
    fn go_down(&self, state: &mut State, cause: String) {
        if state.stopping {
            return;
        }
        tracing::warn!(keystore = self.name.as_str(), cause, "the token is not ready");
        let until = Instant::now() + pause_after(state.failures);
        state.failures = state.failures.saturating_add(1);
        state.phase = Phase::Down { cause, until };
    }
}

fn pause_after(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(10)).min(LONGEST_PAUSE),
    }
}

/// A PIN is not tried when that could lock the token.
fn check_tries(token: &Token, unanswered: u32) -> Result<(), Setback> {
    let refuse = |cause: &str| Err(Setback::Pin(cause.to_owned()));
    if token.pin_locked {
        return refuse("it is locked; unlock it with the vendor's tool");
    }
    if token.pin_final_try {
        return refuse("one try is left before it locks, and sealward does not use it; log in once with another tool");
    }
    if unanswered > 0 && token.pin_count_low {
        return refuse("a worker died during the login, and the token counts a wrong PIN since");
    }
    if unanswered > 1 {
        return refuse("two workers in a row died during the login; each may have used up a try");
    }
    Ok(())
}

fn ended(link: &Link, cause: &str) -> Setback {
    link.end(cause.to_owned());
    Setback::Passing(cause.to_owned())
}

/// Asks the token; a bad answer ends the worker, and the next one loads the module afresh.
fn probe(link: &Link) {
    match link.call(Request::Probe, b"", PROBE_PATIENCE) {
        Ok((Answer::Done, _)) | Err(_) => {}
        Ok((Answer::Failed(failure), _)) => link.end(format!("the token does not answer a probe: {failure:?}")),
        Ok(_) => link.end("the worker answers another question".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            serial: "1".into(),
            algorithms: vec![],
            login_required: true,
            pin_count_low: false,
            pin_final_try: false,
            pin_locked: false,
        }
    }

    #[test]
    fn the_last_try_and_a_doubtful_one_are_not_used() {
        assert!(check_tries(&token(), 0).is_ok());
        assert!(check_tries(&Token { pin_count_low: true, ..token() }, 0).is_ok(), "somebody else mistyped");
        assert!(check_tries(&Token { pin_final_try: true, ..token() }, 0).is_err());
        assert!(check_tries(&Token { pin_locked: true, ..token() }, 0).is_err());
        assert!(check_tries(&token(), 1).is_ok(), "the counter was read, and it counts no wrong PIN");
        assert!(check_tries(&Token { pin_count_low: true, ..token() }, 1).is_err());
        assert!(check_tries(&token(), 2).is_err());
    }

    #[test]
    fn the_first_restart_is_at_once_and_pauses_grow_to_a_bound() {
        assert_eq!(pause_after(0), Duration::ZERO);
        assert_eq!(pause_after(1), Duration::from_millis(250));
        assert_eq!(pause_after(2), Duration::from_millis(500));
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }
}
