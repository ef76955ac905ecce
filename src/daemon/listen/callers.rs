//! Whose certificates count: authorities, revocation lists and the deny-list, read together.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::deny::DenyList;
use super::provider;
use crate::config::settings::MtlsSettings;
use crate::daemon::file;

/// What a certificate is held against.
pub(super) struct Callers {
    /// Authorities and revocation lists.
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// Those who are turned away whoever signed them.
    pub(super) denied: DenyList,
}

impl Callers {
    /// Reads the files. The error names the one that is wrong.
    pub(super) fn of(mtls: &MtlsSettings) -> Result<Self, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", mtls.client_ca.display());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&mtls.client_ca)? {
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if !mtls.crls.is_empty() {
            let lists: Result<Vec<_>, _> = mtls.crls.iter().map(|path| revocation_lists(path)).collect();
            // A list that is past its time says nothing about today.
            builder = builder.with_crls(lists?.into_iter().flatten()).enforce_revocation_expiration();
            if mtls.allow_unknown_revocation {
                builder = builder.allow_unknown_revocation_status();
            }
        }
        let verifier = builder.build().map_err(|error| failed(&error))?;
        let denied = mtls.deny_list.as_deref().map(DenyList::read).transpose()?.unwrap_or_default();
        Ok(Self { verifier, denied })
    }
}

/// Every certificate of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = file::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| failed(&error))?;
    if found.is_empty() { Err(failed(&"holds no certificate in PEM")) } else { Ok(found) }
}

/// The revocation lists of a file: several in PEM, or one in DER. One that is out of date is told and taken: it refuses
/// everybody whom it is about, and the other listeners must not fall with it.
fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = file::read(path)?;
    let lists: Vec<CertificateRevocationListDer<'static>> = if bytes.starts_with(&[0x30]) {
        vec![bytes.into()]
    } else {
        let lists: Result<_, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        lists.map_err(|error| failed(&error))?
    };
    if lists.is_empty() {
        return Err(failed(&"holds no revocation list in PEM or DER"));
    }
    for list in &lists {
        let read = CertificateList::<Rfc5280>::from_der(list)
            .map_err(|_| failed(&"holds a revocation list that does not read"))?;
        let next = read.tbs_cert_list.next_update.map(|next| next.to_unix_duration());
        if next.is_some_and(|next| next <= unix_now()) {
            let path = path.display();
            tracing::error!(%path, "the revocation list is out of date: whoever it is about is refused until it is fetched anew");
        }
    }
    Ok(lists)
}

/// Since 1970.
pub(super) fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
