//! The fingerprints that one certificate can have.
//!
//! Where (r, s) is an ECDSA signature, (r, n - s) is one as well, and whoever holds a certificate makes the second from
//! the first without the authority's key. Nothing else can be changed: of lengths, bit strings and the two numbers the
//! verifier takes the one DER form only, the outer algorithm must be the signed one, and RSA and Ed25519 have one form.

use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, UintRef};
use x509_cert::der::{AnyRef, Decode as _, Encode as _, Error, Reader as _, SliceReader, Tag, Tagged as _};

use crate::domain::name::Sha256Digest;

/// The orders of the groups P-256, P-384 and P-521 (FIPS 186-5, NIST SP 800-186 section 3.2.1). Which of them the
/// authority's key is in does not matter: a form by a wrong one is no certificate and has nobody's fingerprint.
const ORDERS: [&str; 3] = [
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
];

/// SHA-256 of a verified certificate, and of every other form in which it would verify.
pub(in crate::daemon::listen) fn fingerprints(leaf: &[u8], read: &Certificate) -> Result<Vec<Sha256Digest>, Error> {
    let mut found = vec![Sha256Digest::of(leaf)];
    let whole = AnyRef::from_der(leaf)?;
    let signature = read.signature();
    let signed = whole.value().strip_suffix(signature.to_der()?.as_slice());
    let signed = signed.ok_or_else(|| Tag::BitString.value_error())?;
    // A signature that is no pair of numbers is no ECDSA signature.
    let Ok((r, s)) = pair(signature.raw_bytes()) else { return Ok(found) };
    for order in ORDERS {
        let Some(negated) = hex::decode(order).ok().and_then(|order| difference(&order, &s)) else { continue };
        let numbers = [UintRef::new(&r)?.to_der()?, UintRef::new(&negated)?.to_der()?].concat();
        let other = BitString::from_bytes(&AnyRef::new(Tag::Sequence, &numbers)?.to_der()?)?;
        let other = [signed, &other.to_der()?].concat();
        found.push(Sha256Digest::of(&AnyRef::new(Tag::Sequence, &other)?.to_der()?));
    }
    Ok(found)
}

/// The two numbers of an `Ecdsa-Sig-Value` (RFC 5480, appendix A).
fn pair(signature: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let sequence = AnyRef::from_der(signature)?;
    sequence.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(sequence.value())?;
    let (r, s) = (UintRef::decode(&mut reader)?, UintRef::decode(&mut reader)?);
    reader.finish()?;
    Ok((r.as_bytes().to_vec(), s.as_bytes().to_vec()))
}

/// `left - right`, big-endian, as long as `left`; `None` where that is not positive. Signatures are public: nothing here
/// needs to take the same time for all.
fn difference(left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
    let padding = left.len().checked_sub(right.len())?;
    let right = std::iter::repeat_n(0, padding).chain(right.iter().copied());
    let mut borrow = false;
    let mut out: Vec<u8> = left
        .iter()
        .zip(right.collect::<Vec<u8>>())
        .rev()
        .map(|(left, right)| {
            let (once, first) = left.overflowing_sub(right);
            let (twice, second) = once.overflowing_sub(u8::from(borrow));
            borrow = first || second;
            twice
        })
        .collect();
    out.reverse();
    (!borrow && out.iter().any(|byte| *byte != 0)).then_some(out)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer, KeyPair, SignatureAlgorithm};
    use rustls::pki_types::CertificateDer;

    use super::*;

    fn signed_with(algorithm: &'static SignatureAlgorithm) -> CertificateDer<'static> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = Issuer::new(CertificateParams::default(), key);
        let subject = KeyPair::generate().unwrap();
        CertificateParams::default().signed_by(&subject, &issuer).unwrap().der().clone()
    }

    #[test]
    fn both_forms_of_a_signature_have_the_same_fingerprints() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512]
        {
            // Often enough for every length that the numbers have.
            for _ in 0..20 {
                let leaf = signed_with(algorithm);
                let read = Certificate::from_der(&leaf).unwrap();
                let forms = fingerprints(&leaf, &read).unwrap();
                assert_eq!(forms.first(), Some(&Sha256Digest::of(&leaf)));
                assert!((2..=4).contains(&forms.len()), "{}", forms.len());
            }
        }
        let leaf = signed_with(&rcgen::PKCS_ED25519);
        let read = Certificate::from_der(&leaf).unwrap();
        assert_eq!(fingerprints(&leaf, &read).unwrap(), [Sha256Digest::of(&leaf)], "these have one form");
    }

    #[test]
    fn a_difference_borrows_and_is_positive() {
        assert_eq!(difference(&[1, 0, 0], &[1]), Some(vec![0, 255, 255]));
        assert_eq!(difference(&[1, 0], &[1, 0]), None);
        assert_eq!(difference(&[1, 0], &[1, 1]), None);
        assert_eq!(difference(&[1], &[1, 0]), None);
    }
}
