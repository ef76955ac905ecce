//! Whether a certificate that proved somebody at a handshake still does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use super::callers::unix_now;
use super::deny::fingerprints;
use super::tls::{Terms, Tls};
use crate::domain::name::Sha256Digest;
use crate::door::identity::NoIdentity;
use crate::door::peer::Standing;

/// How long the verification of a chain is believed while nothing is reloaded: certificates above the leaf and
/// revocation lists run out too.
const BELIEVED: Duration = Duration::from_secs(60);

/// The standing of one connection's certificate.
pub(super) struct OfCertificate {
    tls: Arc<Tls>,
    leaf: CertificateDer<'static>,
    above: Vec<CertificateDer<'static>>,
    key: Sha256Digest,
    /// In every form that would verify.
    certificate: Vec<Sha256Digest>,
    /// Since 1970.
    not_after: Duration,
    /// Under which terms, and when, the chain was last verified.
    verified: Mutex<Option<(Arc<Terms>, Instant)>>,
}

impl OfCertificate {
    /// Of the chain that a peer showed.
    pub(super) fn new(tls: Arc<Tls>, chain: &[CertificateDer<'static>]) -> Result<Self, NoIdentity> {
        let (leaf, above) = chain.split_first().ok_or(NoIdentity::NoCertificate)?;
        let read = Certificate::from_der(leaf).map_err(|_| NoIdentity::Malformed)?;
        let signed = read.tbs_certificate();
        let key = signed.subject_public_key_info().to_der().map_err(|_| NoIdentity::Malformed)?;
        Ok(Self {
            tls,
            key: Sha256Digest::of(&key),
            certificate: fingerprints(leaf, &read).map_err(|_| NoIdentity::Malformed)?,
            not_after: signed.validity().not_after.to_unix_duration(),
            leaf: leaf.clone(),
            above: above.to_vec(),
            verified: Mutex::new(None),
        })
    }
}

impl Standing for OfCertificate {
    fn check(&self) -> Result<(), NoIdentity> {
        // The last second is still the certificate's (RFC 5280, section 4.1.2.5).
        if unix_now() > self.not_after + Duration::from_secs(1) {
            return Err(NoIdentity::Expired);
        }
        let terms = self.tls.terms();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.as_ref().is_some_and(|(under, at)| Arc::ptr_eq(under, &terms) && at.elapsed() < BELIEVED) {
            return Ok(());
        }
        *verified = None;
        // A reload never makes a listener for certificates one for tokens.
        let callers = terms.callers.as_ref().ok_or(NoIdentity::NoCertificate)?;
        if callers.denied.holds(self.key, &self.certificate) {
            return Err(NoIdentity::Denied);
        }
        callers
            .verifier
            .verify_client_cert(&self.leaf, &self.above, UnixTime::since_unix_epoch(unix_now()))
            .map_err(|error| NoIdentity::NoLongerTrusted(error.to_string()))?;
        *verified = Some((Arc::clone(&terms), Instant::now()));
        Ok(())
    }
}
