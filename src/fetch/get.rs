//! The GET itself.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Url;

/// The largest answer, in bytes: the keys of the largest public issuers have 30 KiB.
const LARGEST: usize = 512 << 10;
/// From the name's look-up to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
const HEADER_BYTES: usize = 32 << 10;
const HEADERS: usize = 100;

/// Why nothing was fetched. No text of the other side is in it, and no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file of certificate authorities holds none, or one that does not read. Correct it.
    #[error("the authorities are not usable: {0}")]
    Authorities(String),
    /// No connection; the name may be unknown or the host down. Retry later.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why, in words.
        cause: String,
    },
    /// The TLS handshake failed. Retry after the certificate or the authorities changed.
    #[error("TLS with {host}: {cause}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why, in words.
        cause: String,
    },
    /// The other side does not speak HTTP, or stopped in the middle. Retry later.
    #[error("{host} does not answer in HTTP: {cause}")]
    Http {
        /// Host and port.
        host: String,
        /// Why, in words.
        cause: String,
    },
    /// The page moved. Redirects are not followed: name the new address.
    #[error("{host} answered with a redirect ({status}), and redirects are not followed")]
    Redirect {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The other side refused. Retry later when the status is 5xx.
    #[error("{host} answered with status {status}")]
    Status {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than anything honest.
    #[error("{host} answered with more than 512 KiB")]
    TooLarge {
        /// Host and port.
        host: String,
    },
    /// No whole answer in time. Retry later.
    #[error("no whole answer of {host} within 5 s")]
    Late {
        /// Host and port.
        host: String,
    },
}

/// Fetches pages of hosts that some certificate authorities vouch for.
#[derive(Clone, Debug)]
pub struct Fetcher {
    tls: Arc<ClientConfig>,
    authorities: Arc<[TrustAnchor<'static>]>,
}

impl Fetcher {
    /// With the authorities of a PEM text, or with those of the machine.
    pub fn new(authorities: Option<&[u8]>) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| FetchError::Authorities(error.to_string()))?;
                    roots.add(certificate).map_err(|error| FetchError::Authorities(error.to_string()))?;
                }
            }
            None => {
                // Some machines carry certificates that no longer read; the others serve.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(FetchError::Authorities("there is no certificate".to_owned()));
        }
        // Of its own and not the process's: ours as a server speaks TLS 1.3 only, and issuers may not yet.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authorities = roots.roots.as_slice().into();
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| FetchError::Authorities(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), authorities })
    }

    /// Whom it believes, as they were read.
    pub fn authorities(&self) -> &[TrustAnchor<'static>] {
        &self.authorities
    }

    /// The body of a page that answers 200. A bearer is sent to this host and to no other.
    pub async fn get(&self, url: &Url, bearer: Option<&SecretString>) -> Result<Vec<u8>, FetchError> {
        let late = || FetchError::Late { host: url.authority() };
        timeout(PATIENCE, self.get_slowly(url, bearer)).await.map_err(|_| late())?
    }

    async fn get_slowly(&self, url: &Url, bearer: Option<&SecretString>) -> Result<Vec<u8>, FetchError> {
        let host = url.authority();
        let http = |cause: String| FetchError::Http { host: host.clone(), cause };
        let stream = self.connect(url).await?;
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEADER_BYTES).max_headers(HEADERS);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| http(error.to_string()))?;
        let request = request(url, bearer).map_err(http)?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|error| http(error.to_string()))?;
            let status = answer.status();
            if status.is_redirection() {
                return Err(FetchError::Redirect { host: host.clone(), status: status.as_u16() });
            }
            if status != StatusCode::OK {
                return Err(FetchError::Status { host: host.clone(), status: status.as_u16() });
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => FetchError::TooLarge { host: host.clone() },
                None => http(error.to_string()),
            })?;
            Ok(body.to_bytes().to_vec())
        };
        // The connection moves bytes only while it is polled; it ends with the answer.
        let mut connection = std::pin::pin!(connection);
        let mut answered = std::pin::pin!(answered);
        tokio::select! {
            result = &mut answered => result,
            ended = &mut connection => match ended {
                // What had arrived may be whole.
                Ok(()) => answered.await,
                Err(error) => Err(http(error.to_string())),
            },
        }
    }

    async fn connect(&self, url: &Url) -> Result<tokio_rustls::client::TlsStream<TcpStream>, FetchError> {
        let host = url.authority();
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| FetchError::Tls { host: host.clone(), cause: error.to_string() })?;
        let stream = TcpStream::connect((url.host(), url.port()))
            .await
            .map_err(|error| FetchError::Connect { host: host.clone(), cause: error.to_string() })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector.connect(name, stream).await.map_err(|error| FetchError::Tls { host, cause: error.to_string() })
    }
}

fn request(url: &Url, bearer: Option<&SecretString>) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(url.target())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("sealward/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    if let Some(bearer) = bearer {
        let value = HeaderValue::from_str(&zeroize::Zeroizing::new(format!("Bearer {}", bearer.expose_secret())));
        let mut value = value.map_err(|_| "the bearer's token is no text for a header".to_owned())?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}
