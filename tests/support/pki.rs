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
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, UintRef};
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{AnyRef, Decode as _, DecodePem as _, Encode as _, EncodePem as _, SliceReader, Tag};

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

    /// Writes `NAME.pem`, the certificate of `of` with the other form of its authority's signature, as anybody can who
    /// holds it, and `NAME.key`.
    pub fn malleate(directory: &Path, of: &str, name: &str) {
        let path = |name: &str, kind: &str| directory.join(format!("{name}.{kind}"));
        let certificate = Certificate::from_pem(fs::read(path(of, "pem")).unwrap()).unwrap();
        let whole = certificate.to_der().unwrap();
        let bits = certificate.signature().to_der().unwrap();
        let signed = AnyRef::from_der(&whole).unwrap().value().strip_suffix(bits.as_slice()).unwrap().to_vec();
        let pair = AnyRef::from_der(certificate.signature().raw_bytes()).unwrap();
        let mut pair = SliceReader::new(pair.value()).unwrap();
        let (r, s) = (UintRef::decode(&mut pair).unwrap(), UintRef::decode(&mut pair).unwrap());
        // The order of P-256, in words of 64 bits, the lowest first.
        let order = [0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84, u64::MAX, 0xffff_ffff_0000_0000];
        let mut words = [0; 32];
        words[32 - s.as_bytes().len()..].copy_from_slice(s.as_bytes());
        let mut borrow = 0;
        for (word, order) in words.rchunks_exact_mut(8).zip(order) {
            let right = u128::from(u64::from_be_bytes((&*word).try_into().unwrap())) + borrow;
            let left = u128::from(order);
            borrow = u128::from(left < right);
            let difference = (left + (borrow << 64) - right) as u64;
            word.copy_from_slice(&difference.to_be_bytes());
        }
        let pair = [r.to_der().unwrap(), UintRef::new(&words).unwrap().to_der().unwrap()].concat();
        let pair = AnyRef::new(Tag::Sequence, &pair).unwrap().to_der().unwrap();
        let bits = BitString::from_bytes(&pair).unwrap().to_der().unwrap();
        let other = AnyRef::new(Tag::Sequence, &[signed.as_slice(), &bits].concat()).unwrap().to_der().unwrap();
        assert_ne!(other, whole);
        let other = Certificate::from_der(&other).unwrap().to_pem(LineEnding::LF).unwrap();
        fs::write(path(name, "pem"), other).unwrap();
        fs::copy(path(of, "key"), path(name, "key")).unwrap();
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
