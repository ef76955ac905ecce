//! An issuer's keys: a JWK set (RFC 7517).

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::algorithm::PublicKey;
use super::json::Json;
use super::settings::SignatureAlgorithm;

/// More keys than any issuer publishes.
const MOST_KEYS: usize = 256;
/// 2048 bits, in bytes.
const SMALLEST_MODULUS: usize = 256;

/// The keys that may sign an issuer's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: String,
    public: PublicKey,
    /// The one algorithm that the issuer uses it with, where it says so.
    algorithm: Option<String>,
}

/// What a search for a key found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'k> {
    Key(&'k PublicKey),
    /// There are keys of this id, and none is for this algorithm.
    OtherAlgorithm,
    /// No key has this id.
    Nothing,
}

impl KeySet {
    /// Reads a set. Keys that are for something else, of a type that we do not verify with, too short or without an id
    /// are left out; a set without any other is refused, and so is one in which an id means two keys of a type.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let json = Json::read(bytes).ok_or("it is no JSON, or a member stands twice")?;
        let listed = json.get("keys").and_then(Json::as_list).ok_or("it has no list `keys`: it is no JWK set")?;
        if listed.len() > MOST_KEYS {
            return Err("it has more than 256 keys");
        }
        let keys: Vec<Key> = listed.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(
                "it has no key that verifies signatures (RSA from 2048 bits, P-256, P-384 or Ed25519, with a kid)",
            );
        }
        let same = |one: &Key, other: &Key| {
            one.id == other.id && std::mem::discriminant(&one.public) == std::mem::discriminant(&other.public)
        };
        let twice = keys.iter().enumerate().any(|(at, one)| keys.iter().skip(at + 1).any(|other| same(one, other)));
        if twice { Err("two keys of one type have the same kid") } else { Ok(Self(keys)) }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key of an id for an algorithm.
    pub(super) fn find(&self, id: &str, algorithm: SignatureAlgorithm) -> Found<'_> {
        let mut of_id = self.0.iter().filter(|key| key.id == id).peekable();
        if of_id.peek().is_none() {
            return Found::Nothing;
        }
        let fits = |key: &&Key| {
            key.public.fits(algorithm) && key.algorithm.as_deref().is_none_or(|only| only == algorithm.name())
        };
        of_id.find(fits).map_or(Found::OtherAlgorithm, |key| Found::Key(&key.public))
    }
}

fn key(json: &Json) -> Option<Key> {
    let id = json.text("kid").filter(|id| !id.is_empty())?;
    if json.get("use").is_some_and(|purpose| purpose.as_text() != Some("sig")) {
        return None;
    }
    if let Some(operations) = json.get("key_ops") {
        operations.as_list()?.iter().find(|operation| operation.as_text() == Some("verify"))?;
    }
    let algorithm = match json.get("alg") {
        Some(name) => Some(name.as_text()?.to_owned()),
        None => None,
    };
    let bytes = |name| Base64UrlUnpadded::decode_vec(json.text(name)?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        let whole = x.len() == length && y.len() == length;
        whole.then(|| [&[4][..], &x, &y].concat())
    };
    // RFC 7518, section 6.3.1.1 wants no leading zero octets; some issuers write them.
    let number = |name| Some(bytes(name)?.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
    let public = match (json.text("kty")?, json.text("crv")) {
        ("RSA", None) => {
            let (modulus, exponent) = (number("n")?, number("e")?);
            (modulus.len() >= SMALLEST_MODULUS).then_some(PublicKey::Rsa { modulus, exponent })?
        }
        ("EC", Some("P-256")) => PublicKey::P256(point(32)?),
        ("EC", Some("P-384")) => PublicKey::P384(point(48)?),
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
        _ => return None,
    };
    Some(Key { id: id.to_owned(), public, algorithm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use SignatureAlgorithm as A;

    fn rsa(id: &str, bytes: usize, more: &str) -> String {
        let modulus = Base64UrlUnpadded::encode_string(&vec![0xc5; bytes]);
        format!(r#"{{"kty":"RSA","kid":"{id}","n":"{modulus}","e":"AQAB"{more}}}"#)
    }

    fn ec(id: &str) -> String {
        let half = Base64UrlUnpadded::encode_string(&[7; 32]);
        format!(r#"{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{half}","y":"{half}"}}"#)
    }

    fn set(keys: &[String]) -> Result<KeySet, &'static str> {
        KeySet::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn a_key_is_found_by_id_and_by_what_it_can_do() {
        let keys = set(&[rsa("a", 256, ""), ec("b"), ec("a"), rsa("c", 256, r#","alg":"RS512""#)]).unwrap();
        assert_eq!(keys.len(), 4);
        assert!(matches!(keys.find("a", A::Rs256), Found::Key(PublicKey::Rsa { .. })));
        assert!(matches!(keys.find("a", A::Es256), Found::Key(PublicKey::P256(_))), "an id of two types");
        assert_eq!(keys.find("b", A::Rs256), Found::OtherAlgorithm);
        assert_eq!(keys.find("c", A::Rs256), Found::OtherAlgorithm, "the issuer says what the key is for");
        assert!(matches!(keys.find("c", A::Rs512), Found::Key(_)));
        assert_eq!(keys.find("A", A::Rs256), Found::Nothing, "ids are exact");
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        for other in [
            rsa("x", 128, ""),
            rsa("x", 256, r#","use":"enc""#),
            rsa("x", 256, r#","key_ops":["sign"]"#),
            rsa("x", 256, r#","alg":5"#),
            rsa("x", 256, r#","crv":"P-256""#),
            rsa("", 256, ""),
            rsa("x", 256, "").replace("\"kid\":\"x\",", ""),
            ec("x").replace("P-256", "P-384"),
            ec("x").replace("P-256", "secp256k1"),
            r#"{"kty":"oct","kid":"x","k":"c2VjcmV0"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","kid":"x","x":"AAAA"}"#.to_owned(),
            "17".to_owned(),
        ] {
            assert_eq!(set(&[other.clone(), ec("good")]).unwrap().len(), 1, "{other}");
            assert!(set(&[other]).is_err());
        }
        assert_eq!(set(&[rsa("x", 256, r#","use":"sig","key_ops":["verify"],"x5c":["MII"]"#)]).unwrap().len(), 1);
    }

    #[test]
    fn a_set_with_two_readings_is_refused() {
        assert!(set(&[ec("a"), ec("a")]).is_err());
        assert!(set(&vec![ec("a"); 300]).is_err());
        for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert!(KeySet::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
