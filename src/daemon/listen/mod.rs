//! Sockets: bound by us or handed in by systemd, each with its listener's way to tell who is there.

mod accept;
mod activated;
mod bind;
mod callers;
mod deny;
mod standing;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;

use self::accept::{Tcp, accept};
use self::activated::Activated;
pub(super) use self::bind::SocketFile;
pub(super) use self::tls::{Terms, Tls};
use super::DaemonError;
use crate::config::Configuration;
use crate::config::settings::{
    LimitSettings, ListenerKind, ListenerSettings, TcpCallers, TcpEndpoint, TcpSettings, UnixEndpoint,
};
use crate::door::grpc::{Health, InFlight, routes};
use crate::door::limits::{Limits, LimitsInForce};
use crate::door::peer::Bearers;
use crate::engine::Engine;

/// A socket that is bound, with its listener's settings.
pub(super) struct Socket {
    /// First, so that it goes while the socket is open.
    file: Option<SocketFile>,
    settings: ListenerSettings,
    kind: Kind,
}

enum Kind {
    Unix(UnixListener),
    Tcp(Tcp),
}

/// Binds or takes over every configured socket, or none.
pub(super) fn bind(configuration: &Configuration, bearers: &Arc<dyn Bearers>) -> Result<Vec<Socket>, DaemonError> {
    let mut handed_in = Activated::take();
    let bound = |settings: &ListenerSettings| {
        let failed = |what: String| DaemonError::Listener { name: settings.name.clone(), what };
        let mut file = None;
        let kind = match &settings.kind {
            ListenerKind::Unix(UnixEndpoint::Bind { path, mode, group }) => {
                let (listener, made) = bind::unix(path, *mode, group.as_ref(), &settings.name)?;
                file = Some(made);
                Kind::Unix(listener)
            }
            ListenerKind::Unix(UnixEndpoint::Activation(name)) => Kind::Unix(handed_in.unix(name).map_err(failed)?),
            ListenerKind::Tcp(tcp) => {
                let tls = Arc::new(Tls::new(Terms::of(tcp).map_err(failed)?, bearers));
                let listener = match &tcp.endpoint {
                    TcpEndpoint::Bind(address) => bind::tcp(*address, &settings.name)?,
                    TcpEndpoint::Activation(name) => handed_in.tcp(name).map_err(failed)?,
                };
                Kind::Tcp(Tcp { listener, tls })
            }
        };
        Ok(Socket { file, settings: settings.clone(), kind })
    };
    configuration.listeners.iter().map(bound).collect()
}

/// Suites of TLS 1.3 and no others.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

/// What is wrong with the files of a listener that hold no secret.
pub(super) fn unfit_files(tcp: &TcpSettings) -> Vec<String> {
    let certificate = callers::certificates(&tcp.server.certificate).err();
    let callers = match &tcp.callers {
        TcpCallers::Certificates(mtls) => callers::Callers::of(mtls).err(),
        TcpCallers::Tokens => None,
    };
    certificate.into_iter().chain(callers).collect()
}

/// The metrics socket: for us and for root.
pub(super) fn bind_observe(path: &Path) -> Result<(UnixListener, SocketFile), DaemonError> {
    bind::unix(path, 0o600, None, "observe")
}

/// The files of sockets that are about to be served.
pub(super) fn files_of(sockets: &mut [Socket]) -> Vec<SocketFile> {
    sockets.iter_mut().filter_map(|socket| socket.file.take()).collect()
}

/// The TLS of every TCP listener, by its name.
pub(super) fn tls_of(sockets: &[Socket]) -> BTreeMap<String, Arc<Tls>> {
    let tls = |socket: &Socket| match &socket.kind {
        Kind::Tcp(tcp) => Some((socket.settings.name.clone(), Arc::clone(&tcp.tls))),
        Kind::Unix(_) => None,
    };
    sockets.iter().filter_map(tls).collect()
}

/// What the door is told of the settings.
pub(super) fn door_limits(limits: &LimitSettings) -> Limits {
    // Every member by name: a new one does not compile until it is told.
    let LimitSettings {
        max_message_bytes,
        default_deadline,
        max_connections,
        connections_per_caller,
        requests_per_connection,
        requests_per_caller,
        bytes_in_flight,
        answer_patience,
        stream_idle,
        batch_items,
        // The engine's: they are among its rules.
        quotas: _,
    } = *limits;
    Limits {
        connections: max_connections,
        connections_per_caller,
        requests_per_connection,
        requests_per_caller,
        bytes_in_flight,
        message_bytes: max_message_bytes,
        deadline: default_deadline,
        answer_patience,
        stream_idle,
        batch_items,
    }
}

/// Serves every socket in a task of its own.
pub(super) fn serve(
    sockets: Vec<Socket>,
    engine: &Arc<Engine>,
    configuration: &Configuration,
    door: &Arc<LimitsInForce>,
    health: &Health,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<InFlight, DaemonError> {
    let in_flight = InFlight::default();
    let limits = configuration.limits;
    for Socket { file: _, settings, kind } in sockets {
        let name: Arc<str> = settings.name.as_str().into();
        let failed = |what: String| DaemonError::Listener { name: settings.name.clone(), what };
        let all = routes(Arc::clone(engine), Arc::clone(door), in_flight.clone(), health.clone())
            .map_err(|error| failed(error.to_string()))?;
        let streams = u32::try_from(limits.requests_per_connection).unwrap_or(u32::MAX);
        let mut builder = Server::builder()
            .max_concurrent_streams(streams)
            .http2_max_header_list_size(64 << 10)
            // Streams that a client opens and resets at once (rapid reset), and streams that it gets wrong: beyond these
            // the connection ends. Settings, pings and continuations h2 bounds by itself.
            .http2_max_pending_accept_reset_streams(Some(20))
            .http2_max_local_error_reset_streams(Some(100))
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)));
        let end = until(stopped.clone());
        match kind {
            Kind::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname()).unwrap_or(Path::new(""));
                tracing::info!(listener = %name, path = %path.display(), "listening");
                let incoming =
                    accept(listener, Arc::clone(&name), Arc::clone(door), Arc::clone(engine), stopped.clone());
                let server = builder.add_routes(all).serve_with_incoming_shutdown(incoming, end);
                tasks.spawn(async move { ended(&name, server.await) });
            }
            Kind::Tcp(tcp) => {
                let address = tcp.listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
                tracing::info!(listener = %name, %address, "listening");
                let incoming = accept(tcp, Arc::clone(&name), Arc::clone(door), Arc::clone(engine), stopped.clone());
                let server = builder.add_routes(all).serve_with_incoming_shutdown(incoming, end);
                tasks.spawn(async move { ended(&name, server.await) });
            }
        }
    }
    Ok(in_flight)
}

fn ended(name: &str, result: Result<(), tonic::transport::Error>) {
    match result {
        Ok(()) => tracing::debug!(listener = name, "closed"),
        Err(error) => tracing::error!(listener = name, error = %error_chain(&error), "the listener failed"),
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

pub(super) async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender gone is the end as well.
    drop(stopped.wait_for(|stop| *stop).await);
}
