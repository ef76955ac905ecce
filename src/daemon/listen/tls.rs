//! TLS 1.3 of our own: what a listener shows of itself and what it takes as proof, exchangeable while it serves.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, ServerConnection};
use secrecy::ExposeSecret as _;

use super::callers::{Callers, certificates};
use super::provider;
use super::standing::OfCertificate;
use crate::config::settings::{ServerIdentity, TcpCallers, TcpSettings};
use crate::daemon::open;
use crate::door::identity::{NoIdentity, of_certificate};
use crate::door::peer::{Bearers, Proof};

/// The TLS of one listener.
pub(in crate::daemon) struct Tls {
    terms: RwLock<Arc<Terms>>,
    bearers: Arc<dyn Bearers>,
}

/// What is in force.
pub(in crate::daemon) struct Terms {
    server: Arc<ServerConfig>,
    /// Whose certificates count; `None` where each request brings a token.
    pub(super) callers: Option<Callers>,
}

impl Tls {
    /// Of a TCP listener.
    pub(super) fn new(terms: Terms, bearers: &Arc<dyn Bearers>) -> Self {
        Self { terms: RwLock::new(Arc::new(terms)), bearers: Arc::clone(bearers) }
    }

    /// For the next handshake.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.terms().server)
    }

    /// What a peer has proved by its handshake.
    pub(super) fn proof(self: &Arc<Self>, connection: &ServerConnection) -> Result<Proof, NoIdentity> {
        if self.terms().callers.is_none() {
            return Ok(Proof::Bearer(Arc::clone(&self.bearers)));
        }
        let chain = connection.peer_certificates().ok_or(NoIdentity::NoCertificate)?;
        let standing = OfCertificate::new(Arc::clone(self), chain)?;
        // Those who are not welcome are turned away before they can ask for anything.
        crate::door::peer::Standing::check(&standing)?;
        let holder = of_certificate(chain.first().ok_or(NoIdentity::NoCertificate)?);
        Ok(Proof::Certificate { holder, standing: Arc::new(standing) })
    }

    /// Puts others in force, for the next handshake and for every later request of connections that are open.
    pub(in crate::daemon) fn replace(&self, terms: Terms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }

    /// What is in force now.
    pub(super) fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Terms {
    /// Reads every file that the settings name. The error names the one that is wrong.
    pub(in crate::daemon) fn of(tcp: &TcpSettings) -> Result<Self, String> {
        let callers = match &tcp.callers {
            TcpCallers::Certificates(mtls) => Some(Callers::of(mtls)?),
            TcpCallers::Tokens => None,
        };
        let verifier = callers.as_ref().map(|callers| Arc::clone(&callers.verifier));
        Ok(Self { server: Arc::new(server(&tcp.server, verifier)?), callers })
    }
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
