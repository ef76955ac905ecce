//! A signature, held in one form and written in the one that is asked for.

use std::fmt;

use der::asn1::UintRef;
use der::{Decode, Encode, Sequence};
use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;

/// How an ECDSA signature is written. It makes no difference to other algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// ASN.1 DER `SEQUENCE { r, s }` (RFC 3279, section 2.2.3): what TUF wants.
    #[default]
    Der,
    /// `r || s`, each padded to the length of a coordinate: what Notary and PKCS#11 want.
    Raw,
}

/// A signature with its algorithm. ECDSA is held as `r || s`, so that transcoding never needs the key again.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    algorithm: Algorithm,
    #[serde(with = "hex_bytes")]
    fixed: Vec<u8>,
}

/// The bytes are no signature of the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no {0} signature")]
pub struct InvalidSignature(pub Algorithm);

#[derive(Sequence)]
struct EcdsaDer<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl Signature {
    /// From the fixed-length form: 64 bytes for Ed25519, `r || s` for ECDSA, modulus length for RSA.
    pub fn from_fixed(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, InvalidSignature> {
        let expected = match (algorithm.ecdsa_coordinate_bytes(), algorithm.rsa_modulus_bytes()) {
            (Some(coordinate), _) => coordinate * 2,
            (None, Some(modulus)) => modulus,
            (None, None) => 64,
        };
        if bytes.len() == expected { Ok(Self { algorithm, fixed: bytes }) } else { Err(InvalidSignature(algorithm)) }
    }

    /// From bytes as they stand in TUF metadata: DER for ECDSA, otherwise the fixed-length form.
    pub fn from_der(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, InvalidSignature> {
        let Some(coordinate) = algorithm.ecdsa_coordinate_bytes() else {
            return Self::from_fixed(algorithm, bytes.to_vec());
        };
        let invalid = InvalidSignature(algorithm);
        let EcdsaDer { r, s } = EcdsaDer::from_der(bytes).map_err(|_| invalid)?;
        let mut fixed = Vec::with_capacity(coordinate * 2);
        for number in [r.as_bytes(), s.as_bytes()] {
            let padding = coordinate.checked_sub(number.len()).ok_or(invalid)?;
            fixed.extend(std::iter::repeat_n(0, padding));
            fixed.extend_from_slice(number);
        }
        Self::from_fixed(algorithm, fixed)
    }

    /// The algorithm that made it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The fixed-length form.
    pub fn as_fixed(&self) -> &[u8] {
        &self.fixed
    }

    /// The bytes in the form asked for.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        match (encoding, self.algorithm.ecdsa_coordinate_bytes()) {
            (Encoding::Der, Some(coordinate)) => {
                let (r, s) = self.fixed.split_at(coordinate.min(self.fixed.len()));
                let der =
                    UintRef::new(r).and_then(|r| UintRef::new(s).map(|s| EcdsaDer { r, s })).and_then(|d| d.to_der());
                // Two integers of at most 48 bytes always fit a DER sequence.
                der.unwrap_or_default()
            }
            _ => self.fixed.clone(),
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}, {} bytes)", self.algorithm, self.fixed.len())
    }
}

pub(crate) mod hex_bytes {
    //! Byte strings as hexadecimal text in JSON.
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_and_raw_carry_the_same_numbers() {
        let mut fixed = vec![0; 64];
        fixed[31] = 1;
        fixed[32] = 0x80;
        let signature = Signature::from_fixed(Algorithm::EcdsaP256, fixed.clone()).unwrap();
        let der = signature.encode(Encoding::Der);
        assert_eq!(&der[..5], [0x30, 0x26, 0x02, 0x01, 0x01]);
        assert_eq!(Signature::from_der(Algorithm::EcdsaP256, &der).unwrap(), signature);
        assert_eq!(signature.encode(Encoding::Raw), fixed);
    }

    #[test]
    fn wrong_lengths_and_trailing_bytes_are_no_signatures() {
        assert!(Signature::from_fixed(Algorithm::Ed25519, vec![0; 63]).is_err());
        assert!(Signature::from_fixed(Algorithm::RsaPss2048, vec![0; 384]).is_err());
        for bad in [&[][..], &[0x30], &[0x30, 0x80, 0, 0], &[0x30, 0x06, 2, 1, 1, 2, 1, 1, 0]] {
            assert!(Signature::from_der(Algorithm::EcdsaP256, bad).is_err(), "{bad:?}");
        }
    }
}
