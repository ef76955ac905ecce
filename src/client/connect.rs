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

#[cfg(all(test, feature = "daemon"))]
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
}
