//! A token's bytes, read and not believed.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::json::Json;
use super::refusal::Refusal;

/// Ten times what CI services issue.
const LARGEST: usize = 16 << 10;
const LONGEST_KEY_ID: usize = 256;

/// A token whose signature nobody has looked at.
pub(super) struct Unverified<'t> {
    pub(super) algorithm: String,
    pub(super) key_id: String,
    /// An object.
    pub(super) payload: Json,
    /// What was signed: the first two parts with the dot between them (RFC 7515, section 5.2).
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

/// Whether the bytes read as a token at all: for fuzzing, which must not find a panic behind it.
pub fn read(text: &str) -> Result<(), Refusal> {
    Unverified::read(text).map(drop)
}

impl<'t> Unverified<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, Refusal> {
        if text.len() > LARGEST {
            return Err(Refusal::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        if payload.contains('.') {
            return Err(Refusal::Malformed);
        }
        let header = object(header)?;
        // Such a token has no signature (RFC 7518, section 3.6): told as what it is, whatever else is wrong with it.
        if header.text("alg").is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("none")) {
            return Err(Refusal::Algorithm);
        }
        let signature = decoded(signature)?;
        let payload = object(payload)?;
        // RFC 7515, section 4.1.11: whoever does not understand an extension in `crit` must refuse, and we know none.
        // `b64` changes what is signed (RFC 7797). Keys that a token brings or names (`jwk`, `jku`, `x5c`) are not looked at.
        if header.get("crit").is_some() || header.get("b64").is_some() {
            return Err(Refusal::Kind);
        }
        // An issuer's logout or access tokens are not identity tokens (RFC 8725, section 3.11).
        match header.get("typ") {
            None => {}
            Some(Json::Text(kind)) if kind.eq_ignore_ascii_case("JWT") => {}
            Some(_) => return Err(Refusal::Kind),
        }
        let algorithm = header.text("alg").ok_or(Refusal::Malformed)?.to_owned();
        let key_id = header.text("kid").ok_or(Refusal::Malformed)?.to_owned();
        if key_id.is_empty() || key_id.len() > LONGEST_KEY_ID {
            return Err(Refusal::Malformed);
        }
        Ok(Self { algorithm, key_id, payload, signed: signed.as_bytes(), signature })
    }
}

fn object(part: &str) -> Result<Json, Refusal> {
    let json = Json::read(&decoded(part)?).ok_or(Refusal::Malformed)?;
    if json.as_object().is_some() { Ok(json) } else { Err(Refusal::Malformed) }
}

/// Base64url without padding, in its one spelling (RFC 7515, section 2).
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    if part.is_empty() {
        return Err(Refusal::Malformed);
    }
    Base64UrlUnpadded::decode_vec(part).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
    }

    fn refusal(text: &str) -> Refusal {
        Unverified::read(text).err().unwrap_or_else(|| panic!("{text} was read"))
    }

    #[test]
    fn a_token_that_says_it_is_unsigned_is_refused_for_that() {
        let whole = token(r#"{"alg":"none"}"#, "{}");
        let (unsigned, _) = whole.rsplit_once('.').unwrap();
        for text in [format!("{unsigned}."), whole.clone(), token(r#"{"alg":"NONE","kid":"k"}"#, "{}")] {
            assert_eq!(refusal(&text), Refusal::Algorithm, "{text}");
        }
    }

    const GOOD: &str = r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#;

    #[test]
    fn a_token_is_three_parts_of_one_spelling() {
        let good = token(GOOD, "{}");
        let read = Unverified::read(&good).unwrap();
        assert_eq!((read.algorithm.as_str(), read.key_id.as_str()), ("RS256", "k"));
        assert_eq!(read.signed, good.rsplit_once('.').unwrap().0.as_bytes());
        assert_eq!(read.signature, b"signature");
        for length in 0..good.len() {
            // The last part may lose characters and still be base64; it is then another signature.
            let cut = &good[..length];
            assert!(Unverified::read(cut).map_or(true, |read| read.signature.len() < 9), "{cut}");
        }
        let parts: Vec<&str> = good.split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!() };
        for text in [
            String::new(),
            "..".into(),
            "a.b.c".into(),
            format!("{good}."),
            format!("{good}.x"),
            format!("{header}.{payload}."),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}.{signature}=="),
            format!("{header} .{payload}.{signature}"),
            format!("{header}\n.{payload}.{signature}"),
            format!("{header}.{payload}.+///"),
            format!("{header}.{payload}.Zh"), // leftover bits that are not zero
            token(GOOD, "[]"),
            token(GOOD, "null"),
            token(GOOD, r#"{"sub":"a","sub":"b"}"#),
            token(r#"{"alg":"RS256","alg":"none","kid":"k"}"#, "{}"),
            token(r#"{"alg":"RS256"}"#, "{}"),
            token(r#"{"kid":"k"}"#, "{}"),
            token(r#"{"alg":1,"kid":"k"}"#, "{}"),
            token(r#"{"alg":"RS256","kid":1}"#, "{}"),
            token(r#"{"alg":"RS256","kid":""}"#, "{}"),
            token(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(257)), "{}"),
            token("garbage", "{}"),
        ] {
            assert_eq!(refusal(&text), Refusal::Malformed, "{text}");
        }
    }

    #[test]
    fn extensions_and_other_kinds_of_tokens_are_refused() {
        for header in [
            r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"{"alg":"RS256","kid":"k","crit":[]}"#,
            r#"{"alg":"RS256","kid":"k","b64":false}"#,
            r#"{"alg":"RS256","kid":"k","typ":"at+jwt"}"#,
            r#"{"alg":"RS256","kid":"k","typ":1}"#,
        ] {
            assert_eq!(refusal(&token(header, "{}")), Refusal::Kind, "{header}");
        }
        assert!(Unverified::read(&token(r#"{"alg":"RS256","kid":"k"}"#, "{}")).is_ok(), "Kubernetes sends no typ");
    }

    #[test]
    fn the_size_is_looked_at_before_anything_else() {
        assert_eq!(refusal(&"x".repeat(LARGEST + 1)), Refusal::TooLarge);
        assert_eq!(refusal(&token(GOOD, &format!("{}1", "[".repeat(9000)))), Refusal::Malformed);
    }
}
