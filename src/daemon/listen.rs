//! Sockets: bound by us or handed in by systemd, each with its listener's way to tell who is there.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::{DaemonError, observe, open};
use crate::config::Configuration;
use crate::config::settings::{
    ListenerKind, ListenerSettings, SocketGroup, TcpEndpoint, TcpMtlsSettings, UnixEndpoint,
};
use crate::domain::caller::Caller;
use crate::door::grpc::{InFlight, Limits, routes};
use crate::door::identity::{NoIdentity, of_unix_peer};
use crate::door::stream::{Connection, Peer};
use crate::engine::Engine;

/// How long a peer may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request's body may take, before its deadline begins.
const BODY: Duration = Duration::from_secs(10);

/// A socket that is bound, with its listener's settings.
pub(super) struct Socket {
    settings: ListenerSettings,
    kind: Kind,
}

enum Kind {
    Unix(UnixListener),
    Tcp(TcpListener, Box<ServerTlsConfig>),
}

/// Binds or takes over every configured socket, or none.
pub(super) fn bind(configuration: &Configuration) -> Result<Vec<Socket>, DaemonError> {
    let mut handed_in = Activated::take();
    let bound = |settings: &ListenerSettings| {
        let failed = |what: String| DaemonError::Listener { name: settings.name.clone(), what };
        let kind = match &settings.kind {
            ListenerKind::Unix(UnixEndpoint::Bind { path, mode, group }) => {
                Kind::Unix(bind_unix(path, *mode, group.as_ref(), &settings.name)?)
            }
            ListenerKind::Unix(UnixEndpoint::Activation(name)) => Kind::Unix(handed_in.unix(name).map_err(failed)?),
            ListenerKind::TcpMtls(tcp) => {
                let tls = tls(tcp).map_err(failed)?;
                let listener = match &tcp.endpoint {
                    TcpEndpoint::Bind(address) => bind_tcp(*address, &settings.name)?,
                    TcpEndpoint::Activation(name) => handed_in.tcp(name).map_err(failed)?,
                };
                Kind::Tcp(listener, Box::new(tls))
            }
        };
        Ok(Socket { settings: settings.clone(), kind })
    };
    configuration.listeners.iter().map(bound).collect()
}

/// Serves every socket in a task of its own.
pub(super) fn serve(
    sockets: Vec<Socket>,
    engine: &Arc<Engine>,
    configuration: &Configuration,
    health: observe::HealthService,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<InFlight, DaemonError> {
    let in_flight = InFlight::default();
    let limits = configuration.limits;
    let door = Limits {
        message_bytes: limits.max_message_bytes,
        deadline: limits.default_deadline,
        batch_items: limits.batch_items,
    };
    for Socket { settings, kind } in sockets {
        // Each listener has places of its own: strangers on TCP must not shut out the unix socket.
        let places = Arc::new(Semaphore::new(limits.max_connections));
        let name: Arc<str> = settings.name.as_str().into();
        let failed = |what: String| DaemonError::Listener { name: settings.name.clone(), what };
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::wire::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|error| failed(error.to_string()))?;
        let all =
            routes(Arc::clone(engine), door, in_flight.clone()).add_service(health.clone()).add_service(reflection);
        let streams = u32::try_from(limits.requests_per_connection).unwrap_or(u32::MAX);
        let builder = Server::builder()
            .concurrency_limit_per_connection(limits.requests_per_connection)
            .max_concurrent_streams(streams)
            // From the first header on, so that a body that never ends is not waited for.
            .timeout(limits.default_deadline + BODY)
            .http2_max_header_list_size(64 << 10)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)));
        let end = until(stopped.clone());
        match kind {
            Kind::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname()).unwrap_or(Path::new(""));
                tracing::info!(listener = %name, path = %path.display(), "listening");
                let incoming = accept(listener, Arc::clone(&name), Arc::clone(&places), stopped.clone());
                let mut builder = builder;
                let server = builder.add_routes(all).serve_with_incoming_shutdown(incoming, end);
                tasks.spawn(async move { ended(&name, server.await) });
            }
            Kind::Tcp(listener, tls) => {
                let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
                tracing::info!(listener = %name, %address, "listening");
                let mut builder = builder.tls_config(*tls).map_err(|error| failed(error_chain(&error)))?;
                let incoming = accept(listener, Arc::clone(&name), Arc::clone(&places), stopped.clone());
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

type Incoming<S> = ReceiverStream<std::io::Result<Connection<S>>>;

/// A listening socket, and what it knows of a peer before TLS.
trait Accept: Send + Sync + 'static {
    type Stream: Send + 'static;

    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;

    /// The caller where the socket tells; `None` where the certificate will.
    fn identify(stream: &Self::Stream) -> Result<Option<Caller>, NoIdentity>;
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn identify(stream: &UnixStream) -> Result<Option<Caller>, NoIdentity> {
        of_unix_peer(stream).map(Some)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // A small answer must not wait for more.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn identify(_: &TcpStream) -> Result<Option<Caller>, NoIdentity> {
        Ok(None)
    }
}

/// Accepts until the end, as many at once as there are places.
fn accept<L: Accept>(
    listener: L,
    name: Arc<str>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
) -> Incoming<L::Stream> {
    let (connections, incoming) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut stop = std::pin::pin!(until(stopped));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.next() => accepted,
                () = &mut stop => return,
            };
            match accepted.map(|stream| L::identify(&stream).map(|unix| (stream, unix))) {
                Ok(Ok((stream, unix))) => {
                    let peer = Peer { unix, listener: Arc::clone(&name) };
                    if connections.send(Ok(Connection::new(stream, peer, place))).await.is_err() {
                        return;
                    }
                }
                Ok(Err(error)) => tracing::warn!(listener = %name, %error, "a peer was turned away"),
                Err(error) => pause(&name, &error).await,
            }
        }
    });
    ReceiverStream::new(incoming)
}

/// Out of descriptors, most likely: others will be closed. Without the pause this would be a busy loop.
async fn pause(name: &str, error: &std::io::Error) {
    tracing::warn!(listener = name, %error, "a connection was not accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn bind_unix(path: &Path, mode: u32, group: Option<&SocketGroup>, name: &str) -> Result<UnixListener, DaemonError> {
    let failed = |error: std::io::Error| DaemonError::Listener {
        name: name.to_owned(),
        what: format!("{}: {error}", path.display()),
    };
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let what = format!("{} exists and is no socket; it is left alone", path.display());
            return Err(DaemonError::Listener { name: name.to_owned(), what });
        }
        // A socket that nobody answers on was left by a crash. Any other answer, a refusal of rights say, is somebody's.
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed)?;
            }
            _ => return Err(DaemonError::SocketInUse { at: path.display().to_string() }),
        }
    }
    if let Some(parent) = path.parent()
        && !parent.exists()
    {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    // Nobody may connect before the mode is set.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = StdUnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(failed)?;
    if let Some(group) = group {
        let gid = group_id(group).map_err(|what| DaemonError::Listener { name: name.to_owned(), what })?;
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    UnixListener::from_std(listener).map_err(failed)
}

/// The metrics socket: for us and for root.
pub(super) fn bind_observe(path: &Path) -> Result<UnixListener, DaemonError> {
    bind_unix(path, 0o600, None, "observe")
}

/// A name is looked up in /etc/group: the daemon links no name service, which would load code of others.
fn group_id(group: &SocketGroup) -> Result<u32, String> {
    let name = match group {
        SocketGroup::Id(id) => return Ok(*id),
        SocketGroup::Name(name) => name,
    };
    let groups = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1).and_then(|id| id.parse().ok())).flatten()
    });
    found.ok_or_else(|| format!("there is no group `{name}` in /etc/group; make it, or write its number"))
}

fn bind_tcp(address: std::net::SocketAddr, name: &str) -> Result<TcpListener, DaemonError> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return DaemonError::SocketInUse { at: address.to_string() };
        }
        DaemonError::Listener { name: name.to_owned(), what: format!("{address}: {error}") }
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map_err(failed)
}

/// TLS 1.3 with client certificates, always: the crate is built without older versions.
fn tls(settings: &TcpMtlsSettings) -> Result<ServerTlsConfig, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let key = open::secrets().read(&settings.key).map_err(|error| format!("private key: {error}"))?;
    let identity = Identity::from_pem(read(&settings.certificate)?, key.expose_secret());
    let callers = Certificate::from_pem(read(&settings.client_ca)?);
    Ok(ServerTlsConfig::new().identity(identity).client_ca_root(callers).timeout(HANDSHAKE))
}

/// Sockets that systemd handed in, by name (sd_listen_fds_with_names(3)).
struct Activated {
    fds: listenfd::ListenFd,
    names: Vec<String>,
}

impl Activated {
    fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { fds: listenfd::ListenFd::from_env(), names: names.split(':').map(str::to_owned).collect() }
    }

    fn unix(&mut self, name: &str) -> Result<UnixListener, String> {
        let index = self.index(name)?;
        let listener = self.fds.take_unix_listener(index).map_err(|error| format!("socket `{name}`: {error}"))?;
        let listener = listener.ok_or_else(|| format!("systemd handed in no socket `{name}`, or it is taken twice"))?;
        listener
            .set_nonblocking(true)
            .and_then(|()| UnixListener::from_std(listener))
            .map_err(|error| error.to_string())
    }

    fn tcp(&mut self, name: &str) -> Result<TcpListener, String> {
        let index = self.index(name)?;
        let listener = self.fds.take_tcp_listener(index).map_err(|error| format!("socket `{name}`: {error}"))?;
        let listener = listener.ok_or_else(|| format!("systemd handed in no socket `{name}`, or it is taken twice"))?;
        listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map_err(|error| error.to_string())
    }

    fn index(&self, name: &str) -> Result<usize, String> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            format!("systemd handed in no socket `{name}`; its unit needs FileDescriptorName={name}, and the daemon must be started through it")
        })
    }
}
