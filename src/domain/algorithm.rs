//! Signature algorithms, by the names that the configuration, the API and TUF use for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An algorithm with its key size: everything that a keystore must know to make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Algorithm {
    /// Pure Ed25519 (RFC 8032) over the whole message.
    Ed25519,
    /// ECDSA on NIST P-256 over SHA-256.
    EcdsaP256,
    /// ECDSA on NIST P-384 over SHA-384.
    EcdsaP384,
    /// RSASSA-PSS, modulus 2048 bit, SHA-256, MGF1-SHA-256, salt of 32 bytes.
    RsaPss2048,
    /// RSASSA-PSS, modulus 3072 bit, otherwise as 2048.
    RsaPss3072,
    /// RSASSA-PSS, modulus 4096 bit, otherwise as 2048.
    RsaPss4096,
}

/// The hash that runs over a message before the private-key operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prehash {
    /// None: the algorithm takes the whole message.
    None,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
}

impl Algorithm {
    /// Every algorithm, in the order in which documents list them.
    pub const ALL: [Self; 6] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::RsaPss2048, Self::RsaPss3072, Self::RsaPss4096];

    /// The name in configuration, API and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::RsaPss2048 => "rsa-pss-2048",
            Self::RsaPss3072 => "rsa-pss-3072",
            Self::RsaPss4096 => "rsa-pss-4096",
        }
    }

    /// TUF's `keytype` (TUF specification 1.0.34, section 4.2).
    pub fn tuf_keytype(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 | Self::EcdsaP384 => "ecdsa",
            Self::RsaPss2048 | Self::RsaPss3072 | Self::RsaPss4096 => "rsa",
        }
    }

    /// TUF's `scheme` (TUF specification 1.0.34, section 4.2, and securesystemslib for P-384).
    pub fn tuf_scheme(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::RsaPss2048 | Self::RsaPss3072 | Self::RsaPss4096 => "rsassa-pss-sha256",
        }
    }

    /// What is hashed before the private-key operation.
    pub fn prehash(self) -> Prehash {
        match self {
            Self::Ed25519 => Prehash::None,
            Self::EcdsaP384 => Prehash::Sha384,
            Self::EcdsaP256 | Self::RsaPss2048 | Self::RsaPss3072 | Self::RsaPss4096 => Prehash::Sha256,
        }
    }

    /// Modulus length in bytes, for RSA.
    pub fn rsa_modulus_bytes(self) -> Option<usize> {
        match self {
            Self::RsaPss2048 => Some(256),
            Self::RsaPss3072 => Some(384),
            Self::RsaPss4096 => Some(512),
            _ => None,
        }
    }

    /// Length in bytes of one coordinate, for ECDSA.
    pub fn ecdsa_coordinate_bytes(self) -> Option<usize> {
        match self {
            Self::EcdsaP256 => Some(32),
            Self::EcdsaP384 => Some(48),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no algorithm's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown algorithm `{0}`; known are ed25519, ecdsa-p256, ecdsa-p384, rsa-pss-2048, rsa-pss-3072, rsa-pss-4096")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

impl TryFrom<String> for Algorithm {
    type Error = UnknownAlgorithm;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Algorithm> for String {
    fn from(algorithm: Algorithm) -> Self {
        algorithm.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_no_other_does() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert!("ED25519".parse::<Algorithm>().is_err());
        assert!("rsa-pss-1024".parse::<Algorithm>().is_err());
    }
}
