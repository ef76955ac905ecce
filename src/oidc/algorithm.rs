//! Verifying: a public key, and the algorithms that fit it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use super::refusal::Refusal;
use super::settings::SignatureAlgorithm;

/// A public key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Big-endian, without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point: 4, x, y.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// How an algorithm verifies with a key of its own type.
enum Verifier {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

impl PublicKey {
    /// Whether the algorithm is one for this type of key. A name in a token never makes one key type be read as another.
    pub(super) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    fn verifier(&self, algorithm: SignatureAlgorithm) -> Option<Verifier> {
        use SignatureAlgorithm as A;
        Some(match (self, algorithm) {
            (Self::Rsa { .. }, A::Rs256) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Self::Rsa { .. }, A::Rs384) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Self::Rsa { .. }, A::Rs512) => Verifier::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            (Self::Rsa { .. }, A::Ps256) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA256),
            (Self::Rsa { .. }, A::Ps384) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA384),
            (Self::Rsa { .. }, A::Ps512) => Verifier::Rsa(&RSA_PSS_2048_8192_SHA512),
            (Self::P256(_), A::Es256) => Verifier::Point(&ECDSA_P256_SHA256_FIXED),
            (Self::P384(_), A::Es384) => Verifier::Point(&ECDSA_P384_SHA384_FIXED),
            (Self::Ed25519(_), A::EdDsa) => Verifier::Point(&ED25519),
            _ => return None,
        })
    }

    /// Whether the signature is this key's over these bytes.
    pub(super) fn verify(&self, algorithm: SignatureAlgorithm, signed: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verified = match (self, self.verifier(algorithm).ok_or(Refusal::Algorithm)?) {
            (Self::Rsa { modulus, exponent }, Verifier::Rsa(parameters)) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, signed, signature)
            }
            (Self::P256(point) | Self::P384(point) | Self::Ed25519(point), Verifier::Point(algorithm)) => {
                UnparsedPublicKey::new(algorithm, point).verify(signed, signature)
            }
            _ => return Err(Refusal::Algorithm),
        };
        verified.map_err(|_| Refusal::Signature)
    }
}
