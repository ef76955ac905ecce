//! A private key in memory. The crypto provider wipes it when it is freed.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as aws, KeyPair as _};
use der::Decode;
use zeroize::Zeroizing;

use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::PublicKey;
use crate::domain::signature::Signature;
use crate::keystore::KeystoreError;

/// A key pair of one of the algorithms that sealward knows.
pub(super) struct Pair {
    private: Private,
    public: PublicKey,
}

enum Private {
    Ed25519(aws::Ed25519KeyPair),
    Ecdsa(aws::EcdsaKeyPair),
    Rsa(aws::RsaKeyPair),
}

impl Pair {
    /// Makes a key.
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, KeystoreError> {
        let rsa = |size| aws::RsaKeyPair::generate(size).map(Private::Rsa);
        let private = match algorithm {
            Algorithm::Ed25519 => aws::Ed25519KeyPair::generate().map(Private::Ed25519),
            Algorithm::EcdsaP256 => {
                aws::EcdsaKeyPair::generate(&aws::ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::Ecdsa)
            }
            Algorithm::EcdsaP384 => {
                aws::EcdsaKeyPair::generate(&aws::ECDSA_P384_SHA384_FIXED_SIGNING).map(Private::Ecdsa)
            }
            Algorithm::RsaPss2048 => rsa(KeySize::Rsa2048),
            Algorithm::RsaPss3072 => rsa(KeySize::Rsa3072),
            Algorithm::RsaPss4096 => rsa(KeySize::Rsa4096),
        };
        let internal = |cause: &str| KeystoreError::Internal { cause: cause.to_owned() };
        let private = private.map_err(|_| internal("the crypto provider makes no key"))?;
        Self::assemble(private).ok_or_else(|| internal("a new key has no public key that sealward knows"))
    }

    /// Reads PKCS#8 (RFC 5208, and RFC 5958 for Ed25519). The provider checks that both halves belong together.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // The provider would overlook bytes behind the key.
        der::asn1::AnyRef::from_der(der).ok()?;
        let ecdsa = |algorithm| aws::EcdsaKeyPair::from_pkcs8(algorithm, der).map(Private::Ecdsa);
        let private = aws::Ed25519KeyPair::from_pkcs8(der)
            .map(Private::Ed25519)
            .or_else(|_| ecdsa(&aws::ECDSA_P256_SHA256_FIXED_SIGNING))
            .or_else(|_| ecdsa(&aws::ECDSA_P384_SHA384_FIXED_SIGNING))
            .or_else(|_| aws::RsaKeyPair::from_pkcs8(der).map(Private::Rsa));
        Self::assemble(private.ok()?)
    }

    /// PKCS#8 version 1.
    pub(super) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let copied = |der: &[u8]| Zeroizing::new(der.to_vec());
        let der = match &self.private {
            Private::Ed25519(pair) => pair.to_pkcs8v1().map(|der| copied(der.as_ref())),
            Private::Ecdsa(pair) => pair.to_pkcs8v1().map(|der| copied(der.as_ref())),
            Private::Rsa(pair) => pair.as_der().map(|der| copied(der.as_ref())),
        };
        der.map_err(|_| KeystoreError::Internal { cause: "the crypto provider writes no PKCS#8".to_owned() })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a whole message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, KeystoreError> {
        let internal = || KeystoreError::Internal { cause: "the crypto provider makes no signature".to_owned() };
        let random = SystemRandom::new();
        let bytes = match &self.private {
            Private::Ed25519(pair) => pair.try_sign(message).map_err(|_| internal())?.as_ref().to_vec(),
            Private::Ecdsa(pair) => pair.sign(&random, message).map_err(|_| internal())?.as_ref().to_vec(),
            Private::Rsa(pair) => {
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(&aws::RSA_PSS_SHA256, &random, message, &mut bytes).map_err(|_| internal())?;
                bytes
            }
        };
        Signature::from_fixed(self.public.algorithm(), bytes).map_err(|_| internal())
    }

    fn assemble(private: Private) -> Option<Self> {
        let spki = match &private {
            Private::Ed25519(pair) => pair.public_key().as_der(),
            Private::Ecdsa(pair) => pair.public_key().as_der(),
            Private::Rsa(pair) => pair.public_key().as_der(),
        };
        let public = PublicKey::from_spki_der(spki.ok()?.as_ref()).ok()?;
        Some(Self { private, public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_survives_pkcs8_and_no_other_bytes_are_a_key() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::RsaPss2048] {
            let pair = Pair::generate(algorithm).unwrap();
            let der = pair.to_pkcs8().unwrap();
            let again = Pair::from_pkcs8(&der).unwrap();
            assert_eq!(again.public(), pair.public());
            assert_eq!(again.public().algorithm(), algorithm);
            let signature = again.sign(b"message").unwrap();
            assert_eq!(pair.public().verify(b"message", &signature), Ok(()));
            for length in [0, 1, der.len() / 2, der.len() - 1] {
                assert!(Pair::from_pkcs8(&der[..length]).is_none(), "{algorithm} cut to {length}");
            }
            let mut longer = der.to_vec();
            longer.push(0);
            assert!(Pair::from_pkcs8(&longer).is_none(), "{algorithm} with a byte more");
        }
    }
}
