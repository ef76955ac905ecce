//! TLS 1.3 of our own: what a listener shows of itself and what it takes as proof, exchangeable while it serves.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use secrecy::ExposeSecret as _;

use crate::config::settings::{MtlsSettings, ServerIdentity, TcpCallers, TcpSettings};
use crate::daemon::open;
use crate::door::identity::{NoIdentity, of_certificate};
use crate::door::peer::{Bearers, Proof};

/// The TLS of one listener.
pub(super) struct Tls {
    terms: RwLock<Arc<Terms>>,
    bearers: Arc<dyn Bearers>,
}

/// What is in force.
struct Terms {
    server: Arc<ServerConfig>,
    /// Whether peers prove themselves by certificates; else each request brings a token.
    mutual: bool,
}

impl Tls {
    /// Of a TCP listener. The error names the file that is wrong.
    pub(super) fn of(tcp: &TcpSettings, bearers: &Arc<dyn Bearers>) -> Result<Self, String> {
        let terms = RwLock::new(Arc::new(Terms::of(tcp)?));
        Ok(Self { terms, bearers: Arc::clone(bearers) })
    }

    /// For the next handshake.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.terms().server)
    }

    /// What a peer has proved by its handshake.
    pub(super) fn proof(&self, connection: &ServerConnection) -> Proof {
        if !self.terms().mutual {
            return Proof::Bearer(Arc::clone(&self.bearers));
        }
        let leaf = connection.peer_certificates().and_then(|chain| chain.first());
        Proof::Certificate(leaf.map_or(Err(NoIdentity::NoCertificate), |leaf| of_certificate(leaf)))
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Terms {
    fn of(tcp: &TcpSettings) -> Result<Self, String> {
        let verifier = match &tcp.callers {
            TcpCallers::Certificates(mtls) => Some(verifier(mtls)?),
            TcpCallers::Tokens => None,
        };
        Ok(Self { mutual: verifier.is_some(), server: Arc::new(server(&tcp.server, verifier)?) })
    }
}

/// Suites of TLS 1.3 and no others.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

fn server(identity: &ServerIdentity, verifier: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, String> {
    let chain = certificates(&identity.certificate)?;
    let key = open::secrets().read(&identity.key).map_err(|error| format!("private key: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_ref())
        .map_err(|_| "private key: the file holds no private key in PEM".to_owned())?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and its private key: {error}", identity.certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would bring back a certificate that was verified under terms of the past.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn verifier(mtls: &MtlsSettings) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&mtls.client_ca)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", mtls.client_ca.display()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    builder.build().map_err(|error| format!("{}: {error}", mtls.client_ca.display()))
}

/// Every certificate of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| failed(&error))?;
    if found.is_empty() { Err(failed(&"holds no certificate in PEM")) } else { Ok(found) }
}
