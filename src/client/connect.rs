//! Channels: lazily many, the first one at once, so that an absent daemon is told before anything is asked of it.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::server::{Address, Server};
use super::{ClientError, TlsFiles};

/// One HTTP/2 connection is one task and one lock; a second is worth a quarter of the rate (`reference/performance.md`).
const CHANNELS: usize = 2;
/// A connection that cannot be made in this time will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Windows that hold a large payload's worth of frames, so that 64 MiB do not wait for one acknowledgement per 64 KiB.
const WINDOW_BYTES: u32 = 4 << 20;
/// Finds a dead peer behind a silent network.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

pub(super) async fn connect(server: &Server, tls: &TlsFiles, timeout: Duration) -> Result<Vec<Channel>, ClientError> {
    let endpoint = endpoint(server, tls)?;
    let timeout = timeout.min(CONNECT_TIMEOUT);
    let first = tokio::time::timeout(timeout, endpoint.connect())
        .await
        .map_err(|_| ClientError::connect_timeout(server, timeout))?
        .map_err(|error| ClientError::from_connect(server, &error))?;
    Ok(std::iter::once(first).chain((1..CHANNELS).map(|_| endpoint.connect_lazy())).collect())
}

fn endpoint(server: &Server, tls: &TlsFiles) -> Result<Endpoint, ClientError> {
    let unreadable = |error: tonic::transport::Error| ClientError::from_connect(server, &error);
    let endpoint = match server.address() {
        Address::Unix(path) => Endpoint::from_shared(format!("unix:{path}")).map_err(unreadable)?,
        Address::Https(uri) => Endpoint::from(uri.clone())
            .tls_config(tls.load()?)
            .map_err(|error| ClientError::tls_invalid(&error))?
            .tcp_keepalive(Some(KEEP_ALIVE))
            .http2_keep_alive_interval(KEEP_ALIVE),
    };
    Ok(endpoint
        .user_agent(concat!("sealward/", env!("CARGO_PKG_VERSION")))
        .map_err(unreadable)?
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES))
}

#[cfg(test)]
#[cfg(feature = "daemon")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    async fn refused(address: &str) -> ClientError {
        connect(&address.parse().unwrap(), &TlsFiles::default(), TIMEOUT).await.unwrap_err()
    }

    #[tokio::test]
    async fn each_way_of_not_connecting_has_its_advice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = format!("unix:{}", path.display());

        let absent = refused(&address).await;
        assert!(absent.advice().contains("no such socket"), "{absent}: {}", absent.advice());
        assert!(absent.to_string().contains("No such file"), "{absent}");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let deserted = refused(&address).await;
        assert!(deserted.advice().contains("nobody listens"), "{deserted}: {}", deserted.advice());
        assert_eq!(deserted.exit_code(), 69);

        if !rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
            assert!(refused(&address).await.advice().contains("group"));
        }
    }

    #[tokio::test]
    async fn permission_is_told_apart_from_absence() {
        let server: Server = "unix:/run/x".parse().unwrap();
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(ClientError::from_connect(&server, &denied).advice().contains("group"));
    }

    #[tokio::test]
    async fn https_needs_an_authority_and_a_readable_one() {
        assert_eq!(refused("https://localhost:1").await.exit_code(), 64);
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let tls = TlsFiles { ca: Some(ca), ..TlsFiles::default() };
        let error = connect(&"https://localhost:1".parse().unwrap(), &tls, TIMEOUT).await.unwrap_err();
        assert!(matches!(error.exit_code(), 69 | 78), "{error}");
    }

    /// A certificate authority with a daemon's certificate for `localhost` and a caller's.
    struct Pki {
        directory: tempfile::TempDir,
    }

    impl Pki {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let ca_key = rcgen::KeyPair::generate().unwrap();
            let mut ca = rcgen::CertificateParams::new(vec![]).unwrap();
            ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let issuer = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
            let pki = Self { directory };
            pki.write("ca.pem", &issuer.pem());
            for name in ["localhost", "caller"] {
                let key = rcgen::KeyPair::generate().unwrap();
                let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
                let certificate = certificate.signed_by(&key, &issuer).unwrap();
                pki.write(&format!("{name}.pem"), &certificate.pem());
                pki.write(&format!("{name}.key"), &key.serialize_pem());
            }
            pki
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
            std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join(name)
        }

        fn files(&self) -> TlsFiles {
            TlsFiles {
                ca: Some(self.path("ca.pem")),
                certificate: Some(self.path("caller.pem")),
                key: Some(self.path("caller.key")),
            }
        }

        /// A server that demands the caller's certificate, and its port.
        async fn serve(&self) -> (u16, tokio::task::JoinHandle<()>) {
            use tonic::transport::{Certificate, Identity, ServerTlsConfig};
            let pem = |name| std::fs::read(self.path(name)).unwrap();
            let tls = ServerTlsConfig::new()
                .identity(Identity::from_pem(pem("localhost.pem"), pem("localhost.key")))
                .client_ca_root(Certificate::from_pem(pem("ca.pem")));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            // No service at all: a call that reaches it is answered UNIMPLEMENTED.
            let mut server = tonic::transport::Server::builder().tls_config(tls).unwrap();
            let server = server.add_routes(tonic::service::Routes::default());
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            (port, tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() }))
        }
    }

    #[tokio::test]
    async fn mutual_tls_connects_and_each_missing_part_is_told() {
        use crate::client::{Client, messages::StatusRequest};
        let (pki, stranger) = (Pki::new(), Pki::new());
        let (port, task) = pki.serve().await;
        let call = async |host: &str, files: TlsFiles| {
            let server = format!("https://{host}:{port}").parse().unwrap();
            Client::connect(&server, &files, Duration::from_secs(5)).await?.status(StatusRequest {}).await
        };

        let reached = call("localhost", pki.files()).await.unwrap_err();
        assert!(matches!(reached, ClientError::Transport { code: tonic::Code::Unimplemented, .. }), "{reached}");

        let wrong_authority = TlsFiles { ca: stranger.files().ca, ..pki.files() };
        let error = call("localhost", wrong_authority).await.unwrap_err();
        assert_eq!(error.exit_code(), 69, "{error}");
        assert!(error.advice().contains("--ca must be the authority"), "{error}: {}", error.advice());

        let error = call("127.0.0.1", pki.files()).await.unwrap_err();
        assert!(error.advice().contains("HOST a name in it"), "{error}: {}", error.advice());

        for files in [
            TlsFiles { certificate: None, key: None, ..pki.files() },
            TlsFiles { ca: pki.files().ca, ..stranger.files() },
        ] {
            let error = call("localhost", files).await.unwrap_err();
            assert_eq!(error.exit_code(), 69, "{error}");
            assert!(error.advice().contains("--cert"), "{error}: {}", error.advice());
        }

        let mismatched = TlsFiles { key: stranger.files().key, ..pki.files() };
        let error = call("localhost", mismatched).await.unwrap_err();
        assert_eq!(error.exit_code(), 78, "{error}");
        task.abort();
    }
}
