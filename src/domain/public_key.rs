//! Public keys: a key *is* its public key, as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature as aws;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use serde::{Deserialize, Serialize};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::algorithm::Algorithm;
use super::name::{InvalidName, Sha256Digest};
use super::signature::{Encoding, Signature, hex_bytes};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The handle of a key everywhere in sealward: the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
///
/// TUF key ids are properties of a key *and* its metadata; one key has several. This one it has for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Sha256Digest);

impl KeyId {
    /// The digest of the SubjectPublicKeyInfo.
    pub fn digest(&self) -> &Sha256Digest {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A public key of one of the algorithms that sealward knows, checked when it is made.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "SpkiText", try_from = "SpkiText")]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct SpkiText(#[serde(with = "hex_bytes")] Vec<u8>);

/// The bytes are no public key that sealward can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPublicKey {
    /// Not DER, not SubjectPublicKeyInfo, or not in its only DER form.
    #[error("not a DER SubjectPublicKeyInfo")]
    Malformed,
    /// Well formed, of an algorithm, curve or size that sealward does not know.
    #[error("a key of an algorithm, curve or size that sealward does not know")]
    Unsupported,
    /// The numbers are no point of the curve or no modulus.
    #[error("the key's numbers are not valid for its algorithm")]
    Invalid,
}

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify with this public key")]
pub struct BadSignature;

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo. Re-encodes it, so that one key has one byte form and one [`KeyId`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, InvalidPublicKey> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| InvalidPublicKey::Malformed)?;
        let bits = spki.subject_public_key.as_bytes().ok_or(InvalidPublicKey::Malformed)?;
        let oid = spki.algorithm.oid;
        if oid == ED25519 {
            return Self::from_ed25519(bits);
        }
        if oid == EC_PUBLIC_KEY {
            let curve = spki.algorithm.parameters_oid().map_err(|_| InvalidPublicKey::Unsupported)?;
            let algorithm = match curve {
                P256 => Algorithm::EcdsaP256,
                P384 => Algorithm::EcdsaP384,
                _ => return Err(InvalidPublicKey::Unsupported),
            };
            return Self::from_ec_point(algorithm, bits);
        }
        if oid == RSA {
            let RsaPublicKey { modulus, exponent } =
                RsaPublicKey::from_der(bits).map_err(|_| InvalidPublicKey::Malformed)?;
            return Self::from_rsa(modulus.as_bytes(), exponent.as_bytes());
        }
        Err(InvalidPublicKey::Unsupported)
    }

    /// From the PEM text of a SubjectPublicKeyInfo (`PUBLIC KEY`), with or without a last newline.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidPublicKey> {
        let (label, der) = der::pem::decode_vec(pem.as_bytes()).map_err(|_| InvalidPublicKey::Malformed)?;
        if label != "PUBLIC KEY" {
            return Err(InvalidPublicKey::Malformed);
        }
        Self::from_spki_der(&der)
    }

    /// From the 32 bytes of an Ed25519 public key (RFC 8032).
    pub fn from_ed25519(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        if bytes.len() != 32 {
            return Err(InvalidPublicKey::Invalid);
        }
        aws::UnparsedPublicKey::new(&aws::ED25519, bytes).parse().map_err(|_| InvalidPublicKey::Invalid)?;
        Self::assemble(Algorithm::Ed25519, ED25519, None, bytes)
    }

    /// From an uncompressed point, `04 || x || y` (SEC 1, section 2.3.3), on the curve of the algorithm.
    pub fn from_ec_point(algorithm: Algorithm, point: &[u8]) -> Result<Self, InvalidPublicKey> {
        let (curve, verifier) = match algorithm {
            Algorithm::EcdsaP256 => (P256, &aws::ECDSA_P256_SHA256_FIXED),
            Algorithm::EcdsaP384 => (P384, &aws::ECDSA_P384_SHA384_FIXED),
            _ => return Err(InvalidPublicKey::Unsupported),
        };
        if point.first() != Some(&4) {
            return Err(InvalidPublicKey::Invalid);
        }
        aws::UnparsedPublicKey::new(verifier, point).parse().map_err(|_| InvalidPublicKey::Invalid)?;
        Self::assemble(algorithm, EC_PUBLIC_KEY, Some(curve), point)
    }

    /// From big-endian modulus and exponent.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, InvalidPublicKey> {
        let number = |bytes| UintRef::new(bytes).map_err(|_| InvalidPublicKey::Invalid);
        let key = RsaPublicKey { modulus: number(modulus)?, exponent: number(exponent)? };
        let algorithm = match key.modulus.as_bytes() {
            // The top bit decides: a 2047-bit modulus in 256 bytes is not what it says.
            [top, rest @ ..] if top & 0x80 != 0 => match rest.len() + 1 {
                256 => Algorithm::RsaPss2048,
                384 => Algorithm::RsaPss3072,
                512 => Algorithm::RsaPss4096,
                _ => return Err(InvalidPublicKey::Unsupported),
            },
            _ => return Err(InvalidPublicKey::Unsupported),
        };
        if key.exponent.as_bytes().last().is_none_or(|low| low & 1 == 0) || key.exponent.as_bytes() == [1] {
            return Err(InvalidPublicKey::Invalid);
        }
        let pkcs1 = key.to_der().map_err(|_| InvalidPublicKey::Invalid)?;
        aws::UnparsedPublicKey::new(&aws::RSA_PSS_2048_8192_SHA256, &pkcs1)
            .parse()
            .map_err(|_| InvalidPublicKey::Invalid)?;
        Self::assemble(algorithm, RSA, None, &pkcs1)
    }

    fn assemble(
        algorithm: Algorithm,
        oid: ObjectIdentifier,
        curve: Option<ObjectIdentifier>,
        bits: &[u8],
    ) -> Result<Self, InvalidPublicKey> {
        let parameters = match (&curve, oid) {
            (Some(curve), _) => Some(AnyRef::from(curve)),
            (None, RSA) => Some(AnyRef::NULL),
            (None, _) => None,
        };
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: BitStringRef::from_bytes(bits).map_err(|_| InvalidPublicKey::Invalid)?,
        };
        let spki = spki.to_der().map_err(|_| InvalidPublicKey::Invalid)?;
        Ok(Self { algorithm, spki })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// PEM SubjectPublicKeyInfo with LF line ends and a last newline, the form that securesystemslib writes.
    pub fn to_pem(&self) -> String {
        // Fails only on an invalid label or more than usize::MAX bytes.
        der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &self.spki).unwrap_or_default()
    }

    /// The key's handle.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256Digest::of(&self.spki))
    }

    /// The bits inside the SubjectPublicKeyInfo: 32 bytes of Ed25519, a point, or a PKCS#1 RSAPublicKey.
    pub fn raw(&self) -> &[u8] {
        SubjectPublicKeyInfoRef::from_der(&self.spki)
            .ok()
            .and_then(|spki| spki.subject_public_key.as_bytes())
            // Our own encoding always decodes.
            .unwrap_or_default()
    }

    /// Verifies a signature over a whole message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        if signature.algorithm() != self.algorithm {
            return Err(BadSignature);
        }
        let verifier: &dyn aws::VerificationAlgorithm = match self.algorithm {
            Algorithm::Ed25519 => &aws::ED25519,
            Algorithm::EcdsaP256 => &aws::ECDSA_P256_SHA256_FIXED,
            Algorithm::EcdsaP384 => &aws::ECDSA_P384_SHA384_FIXED,
            Algorithm::RsaPss2048 | Algorithm::RsaPss3072 | Algorithm::RsaPss4096 => &aws::RSA_PSS_2048_8192_SHA256,
        };
        aws::UnparsedPublicKey::new(verifier, self.raw())
            .verify(message, &signature.encode(Encoding::Raw))
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, self.id())
    }
}

impl TryFrom<SpkiText> for PublicKey {
    type Error = InvalidPublicKey;

    fn try_from(text: SpkiText) -> Result<Self, Self::Error> {
        Self::from_spki_der(&text.0)
    }
}

impl From<PublicKey> for SpkiText {
    fn from(key: PublicKey) -> Self {
        Self(key.spki)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::KeyPair as _;

    #[test]
    fn an_ed25519_key_reads_back_and_verifies() {
        let pair = aws::Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
        assert_eq!(PublicKey::from_spki_der(key.spki_der()).unwrap(), key);
        assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap().id(), key.id());
        let signature = Signature::from_fixed(Algorithm::Ed25519, pair.sign(b"m").as_ref().to_vec()).unwrap();
        assert_eq!(key.verify(b"m", &signature), Ok(()));
        assert_eq!(key.verify(b"n", &signature), Err(BadSignature));
    }

    #[test]
    fn hostile_keys_are_refused() {
        let cases: [&[u8]; 4] = [b"", b"\x30", &[0x30; 4096], &[0xff; 100]];
        for bad in cases {
            assert_eq!(PublicKey::from_spki_der(bad), Err(InvalidPublicKey::Malformed));
        }
        assert!(PublicKey::from_ec_point(Algorithm::EcdsaP256, &[4; 65]).is_err(), "not on the curve");
        assert!(PublicKey::from_ec_point(Algorithm::EcdsaP256, &[2; 33]).is_err(), "compressed");
        assert!(PublicKey::from_rsa(&[0x80; 256], &[2]).is_err(), "even exponent");
        assert!(PublicKey::from_rsa(&[0x7f; 256], &[1, 0, 1]).is_err(), "2047 bits");
        assert!(PublicKey::from_rsa(&[0x80; 128], &[1, 0, 1]).is_err(), "1024 bits");
    }
}
