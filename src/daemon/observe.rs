//! Metrics and health. Read-only, never off this machine.

mod page;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::DaemonError;
use super::listen::SocketFile;
use super::tokens::Tokens;
use crate::config::settings::ObserveSettings;
use crate::domain::name::KeystoreName;
use crate::door::grpc;
use crate::door::limits::LimitsInForce;
use crate::engine::Engine;
use crate::keystore::Condition;

/// What is told under `grpc.health.v1`.
pub(super) struct Health {
    reporter: HealthReporter,
    /// Keystores of which something is told.
    keystores: BTreeSet<KeystoreName>,
}

/// The reporter and the service of `grpc.health.v1`.
pub(super) fn health() -> (Health, grpc::Health) {
    let reporter = HealthReporter::new();
    let service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let service = tonic_health::pb::health_server::HealthServer::new(service);
    (Health { reporter, keystores: BTreeSet::new() }, service)
}

/// Says what is true now: the daemon as a whole under the empty name and under each service that signs, every keystore
/// under `keystore/NAME`. Of one that a reload took away nothing is told any more.
pub(super) async fn update_health(engine: &Engine, health: &mut Health) {
    let Health { reporter, keystores } = health;
    let latched = engine.latches().map_or(true, |latches| latches.iter().any(|latch| latch.scope == "everything"));
    let overall = if latched { ServingStatus::NotServing } else { ServingStatus::Serving };
    for service in ["", "sealward.v1.SigningService", "sealward.v1.KeyService", "sealward.v1.RootService"] {
        reporter.set_service_status(service, overall).await;
    }
    for reading in ["sealward.v1.AuditService", "sealward.v1.AdminService"] {
        reporter.set_service_status(reading, ServingStatus::Serving).await;
    }
    let desks = engine.desks();
    for gone in keystores.extract_if(.., |name| !desks.contains_key(name)) {
        reporter.clear_service_status(&format!("keystore/{gone}")).await;
    }
    for (name, desk) in &*desks {
        keystores.insert(name.clone());
        let status = match desk.keystore().probe() {
            Condition::Ready if !latched => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        };
        reporter.set_service_status(format!("keystore/{name}"), status).await;
    }
}

pub(super) enum Socket {
    Tcp(TcpListener),
    /// The file first, so that it goes while the socket is open.
    Unix(Option<SocketFile>, UnixListener),
}

pub(super) fn bind(settings: &ObserveSettings) -> Result<Socket, DaemonError> {
    match settings {
        ObserveSettings::Loopback(address) => {
            let failed = |error: std::io::Error| match error.kind() {
                std::io::ErrorKind::AddrInUse => DaemonError::SocketInUse { at: address.to_string() },
                _ => DaemonError::Listener { name: "observe".to_owned(), what: error.to_string() },
            };
            let listener = std::net::TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(Socket::Tcp(TcpListener::from_std(listener).map_err(failed)?))
        }
        ObserveSettings::Unix(path) => {
            let (listener, file) = super::listen::bind_observe(Path::new(path))?;
            Ok(Socket::Unix(Some(file), listener))
        }
    }
}

/// The file of a socket that is about to be served.
pub(super) fn file_of(socket: &mut Socket) -> Option<SocketFile> {
    match socket {
        Socket::Tcp(_) => None,
        Socket::Unix(file, _) => file.take(),
    }
}

pub(super) async fn serve(
    socket: Socket,
    engine: Arc<Engine>,
    tokens: Arc<Tokens>,
    door: Arc<LimitsInForce>,
    stopped: watch::Receiver<bool>,
) {
    let router = Router::new().route("/metrics", get(metrics)).with_state((engine, tokens, door));
    let end = super::listen::until(stopped);
    let served = match socket {
        Socket::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(end).await,
        Socket::Unix(_, listener) => axum::serve(listener, router).with_graceful_shutdown(end).await,
    };
    if let Err(error) = served {
        tracing::error!(%error, "the metrics listener failed");
    }
}

async fn metrics(State((engine, tokens, door)): State<(Arc<Engine>, Arc<Tokens>, Arc<LimitsInForce>)>) -> Response {
    match page::render(engine, tokens, door) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
