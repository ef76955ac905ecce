//! A certificate authority for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, PublicKeyData as _, RevokedCertParams, SanType, SerialNumber,
};
use sealward::domain::name::Sha256Digest;
use time::{Duration, OffsetDateTime};

/// What a deny-list or a revocation list names of a certificate.
pub struct Signed {
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: String,
    /// Its serial number.
    pub serial: Vec<u8>,
}

/// An authority and what it signed, as PEM files in a directory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one and writes `NAME.pem`.
    pub fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key) }
    }

    /// Signs a certificate with these names and writes `NAME.pem` and `NAME.key`.
    pub fn sign(&self, directory: &Path, name: &str, names: Vec<SanType>) -> Signed {
        self.sign_for(directory, name, names, Duration::days(365))
    }

    /// As [`Authority::sign`], valid for so long.
    pub fn sign_for(&self, directory: &Path, name: &str, names: Vec<SanType>, validity: Duration) -> Signed {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
        params.not_after = OffsetDateTime::now_utc() + validity;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let serial = Sha256Digest::of(name.as_bytes()).as_bytes()[1..9].to_vec();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        let path = directory.join(format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Signed {
            fingerprint: Sha256Digest::of(certificate.der()).to_string(),
            key: Sha256Digest::of(&key.subject_public_key_info()).to_string(),
            serial,
        }
    }

    /// Revokes these and no others, and writes the list, which is good for so long, as `NAME.crl`.
    pub fn revoke(&self, directory: &Path, name: &str, revoked: &[&Signed], validity: Duration) {
        let now = OffsetDateTime::now_utc();
        let entry = |signed: &&Signed| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&signed.serial),
            revocation_time: now - Duration::hours(1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::hours(2),
            next_update: now + validity,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        fs::write(directory.join(format!("{name}.crl")), list.pem().unwrap()).unwrap();
    }
}

/// A DNS name.
pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A URI.
pub fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}
