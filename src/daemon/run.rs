//! Serving, from the first socket to the last answer.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::reload::Reloader;
use super::{DaemonError, listen, observe, open, telemetry, tokens};
use crate::config::Configuration;
use crate::door::grpc::InFlight;
use crate::door::limits::LimitsInForce;
use crate::door::peer::Bearers;
use crate::engine::{Engine, Reloaded};
use crate::ledger::{Condition, LedgerError};

/// How often what has no leaf of its own is written down together.
const AGGREGATE_EVERY: Duration = Duration::from_secs(60);
/// How often health is looked at.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// How long requests in flight may take after the stop was asked for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(configuration: Configuration, file: &Path, dev: bool) -> Result<(), DaemonError> {
    telemetry::begin(configuration.log);
    refuse_mutations(dev)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(DaemonError::Runtime)?;
    let served = runtime.block_on(serve(configuration, file, dev));
    // Threads that wait for a device are not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(configuration: Configuration, file: &Path, dev: bool) -> Result<(), DaemonError> {
    // From here on a SIGHUP that comes too early ends nothing.
    let hangup = signal(SignalKind::hangup()).map_err(DaemonError::Runtime)?;
    // Sockets first: a second daemon stops before it touches a token.
    let tokens = tokens::open(&configuration)?;
    let bearers: Arc<dyn Bearers> = Arc::clone(&tokens) as _;
    let mut sockets = listen::bind(&configuration, &bearers)?;
    let mut metrics_socket = configuration.observe.as_ref().map(observe::bind).transpose()?;
    let engine = open::engine(&configuration, dev)?;
    let issuers = Arc::clone(&tokens);
    engine.warn_besides(Box::new(move || issuers.warnings()));
    let (stop, stopped) = watch::channel(false);
    let (mut health, health_service) = observe::health();
    let mut tasks = JoinSet::new();
    let limits = Arc::new(LimitsInForce::new(listen::door_limits(&configuration.limits)));
    let tls = listen::tls_of(&sockets);
    // Declared after the sockets, and so dropped before them where the start ends here.
    let mut socket_files = listen::files_of(&mut sockets);
    socket_files.extend(metrics_socket.as_mut().and_then(observe::file_of));
    let in_flight = listen::serve(sockets, &engine, &configuration, &limits, &health_service, &stopped, &mut tasks)?;
    let digest = configuration.digest;
    let reloader = Reloader {
        // A later working directory is no other file.
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        dev,
        in_force: Mutex::new(configuration),
        tls,
        tokens: Arc::clone(&tokens),
        limits: Arc::clone(&limits),
        engine: Arc::downgrade(&engine),
    };
    engine.hand_in_reload(digest, Arc::new(reloader).prepare()).await;
    tasks.spawn(reload_on(hangup, Arc::clone(&engine), stopped.clone()));
    if let Some(socket) = metrics_socket {
        tasks.spawn(observe::serve(socket, Arc::clone(&engine), tokens, Arc::clone(&limits), stopped.clone()));
    }
    observe::update_health(&engine, &mut health).await;
    let minutes = tokio::spawn(housekeeping(Arc::clone(&engine), health, stopped.clone()));
    let destroying = tokio::spawn(destructions(Arc::clone(&engine), stopped.clone()));
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), dev, "serving");
    wait_for_stop().await;
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    // While we listen still: a daemon that starts now leaves them alone.
    drop(socket_files);
    // Nobody listens any more when this fails.
    let _ = stop.send(true);
    in_flight.stop();
    let all_closed = async { while tasks.join_next().await.is_some() {} };
    let answered = tokio::select! {
        () = all_closed => true,
        idle = idle(&in_flight) => idle,
    };
    if !answered {
        tracing::warn!(requests = in_flight.count(), "requests were still in flight at the end");
    }
    drop(minutes.await);
    drop(destroying.await);
    engine.write_aggregates().await;
    match engine.ledger().condition() {
        // The exit code tells, too: a service manager must not start this again by itself.
        Condition::Fault(cause) => Err(LedgerError::Faulted(cause).into()),
        Condition::Serving | Condition::DiskFull => match engine.check_latches() {
            Err(denial) => Err(DaemonError::Latched(denial.detail)),
            Ok(()) => Ok(()),
        },
    }
}

/// Waits until nothing was in flight for a moment. False when that took too long. A client that merely stays connected
/// is not waited for.
async fn idle(in_flight: &InFlight) -> bool {
    let begun = tokio::time::Instant::now();
    let mut quiet = 0;
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        quiet = if in_flight.count() == 0 { quiet + 1 } else { 0 };
        if quiet == 4 {
            return true;
        }
    }
    false
}

/// Once a minute and every other second, until the end.
async fn housekeeping(engine: Arc<Engine>, mut health: observe::Health, mut stopped: watch::Receiver<bool>) {
    let mut minute = tokio::time::interval(AGGREGATE_EVERY);
    let mut look = tokio::time::interval(HEALTH_EVERY);
    loop {
        tokio::select! {
            _ = minute.tick() => {
                if let Err(error) = engine.sweep_pending().await {
                    tracing::warn!(%error, "what waited for people too long was not swept; it is tried again");
                }
                engine.write_aggregates().await;
            }
            _ = look.tick() => {
                tokio::select! {
                    () = engine.list_late_keystores() => {}
                    _ = stopped.changed() => return,
                }
                engine.watch_latches().await;
                observe::update_health(&engine, &mut health).await;
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
            _ = stopped.changed() => return,
        }
    }
}

/// Destroys keys whose time has come. Apart from the housekeeping, because a token may be slow; and not cut short: what was
/// begun is recorded before the end.
async fn destructions(engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(HEALTH_EVERY);
    loop {
        tokio::select! {
            _ = look.tick() => engine.carry_out_destructions().await,
            _ = stopped.changed() => return,
        }
    }
}

async fn wait_for_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

/// Reloads at each SIGHUP. Several that come while one is under way are one.
async fn reload_on(mut hangup: Signal, engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            asked = hangup.recv() => if asked.is_none() { return },
            _ = stopped.changed() => return,
        }
        let status = match engine.reload_by_signal("SIGHUP".to_owned()).await {
            Ok(Reloaded { problems, digest, .. }) if problems.is_empty() => format!("configuration {digest}"),
            Ok(Reloaded { problems, .. }) => {
                format!("a new configuration is refused: {}", problems.first().map_or("", |first| first.as_str()))
            }
            Err(denial) => {
                tracing::error!(%denial, "the reload failed");
                format!("a reload failed: {denial}")
            }
        };
        notify(&[sd_notify::NotifyState::Status(&status)]);
    }
}

/// Tells systemd, where there is one.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// A build with deliberate defects serves only a throw-away daemon.
fn refuse_mutations(dev: bool) -> Result<(), DaemonError> {
    match crate::ledger::mutation::active() {
        Some(mutation) if dev => {
            tracing::error!(?mutation, "THIS DAEMON HAS A DELIBERATE DEFECT");
            Ok(())
        }
        Some(_) => Err(DaemonError::DevRefused("a deliberate defect is switched on; such a build serves --dev only")),
        None => Ok(()),
    }
}
