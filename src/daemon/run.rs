//! Serving, from the first socket to the last answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{DaemonError, listen, observe, open, telemetry};
use crate::config::Configuration;
use crate::door::grpc::InFlight;
use crate::engine::Engine;
use crate::ledger::{Condition, LedgerError};

/// How often what has no leaf of its own is written down together.
const AGGREGATE_EVERY: Duration = Duration::from_secs(60);
/// How often health is looked at.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// How long requests in flight may take after the stop was asked for.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(configuration: Configuration, dev: bool) -> Result<(), DaemonError> {
    telemetry::begin(configuration.log);
    refuse_mutations(dev)?;
    tls_1_3_only();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(DaemonError::Runtime)?;
    let served = runtime.block_on(serve(configuration, dev));
    // Threads that wait for a device are not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(configuration: Configuration, dev: bool) -> Result<(), DaemonError> {
    // Sockets first: a second daemon stops before it touches a token.
    let sockets = listen::bind(&configuration)?;
    let metrics_socket = configuration.observe.as_ref().map(observe::bind).transpose()?;
    let engine = open::engine(&configuration, dev)?;
    let (stop, stopped) = watch::channel(false);
    let (health, health_service) = observe::health();
    let mut tasks = JoinSet::new();
    let in_flight = listen::serve(sockets, &engine, &configuration, health_service, &stopped, &mut tasks)?;
    if let Some(socket) = metrics_socket {
        tasks.spawn(observe::serve(socket, Arc::clone(&engine), stopped.clone()));
    }
    let minutes = tokio::spawn(housekeeping(Arc::clone(&engine), health.clone(), stopped.clone()));
    observe::update_health(&engine, &health).await;
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), dev, "serving");
    wait_for_stop().await;
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    // Nobody listens any more when this fails.
    let _ = stop.send(true);
    let all_closed = async { while tasks.join_next().await.is_some() {} };
    let answered = tokio::select! {
        () = all_closed => true,
        idle = idle(&in_flight) => idle,
    };
    if !answered {
        tracing::warn!(requests = in_flight.count(), "requests were still in flight at the end");
    }
    drop(minutes.await);
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
async fn housekeeping(engine: Arc<Engine>, health: observe::Health, mut stopped: watch::Receiver<bool>) {
    let mut minute = tokio::time::interval(AGGREGATE_EVERY);
    let mut look = tokio::time::interval(HEALTH_EVERY);
    loop {
        tokio::select! {
            _ = minute.tick() => engine.write_aggregates().await,
            _ = look.tick() => {
                tokio::select! {
                    () = engine.list_late_keystores() => {}
                    _ = stopped.changed() => return,
                }
                engine.watch_latches().await;
                observe::update_health(&engine, &health).await;
                notify(&[sd_notify::NotifyState::Watchdog]);
            }
            _ = stopped.changed() => return,
        }
    }
}

async fn wait_for_stop() {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::error!("signals cannot be waited for");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => tracing::warn!("SIGHUP: this version does not reload; restart to change the configuration"),
        }
    }
}

/// Tells systemd, where there is one.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// tonic's TLS would speak 1.2 as well. It takes this process's provider, and ours has suites of 1.3 only.
fn tls_1_3_only() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    if provider.install_default().is_err() {
        tracing::error!("a TLS provider was installed before ours");
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
