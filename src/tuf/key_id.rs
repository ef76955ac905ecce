//! Key objects of TUF metadata, and key ids.
//!
//! A key id is a property of a key *and* of the way that it is written: the SHA-256 of the canonical key object. TAP 12
//! allows any other unique text besides, so key ids are never compared with these forms to decide anything.

use base64ct::{Base64, Encoding as _};

use crate::domain::algorithm::Algorithm;
use crate::domain::name::Sha256Digest;
use crate::domain::public_key::PublicKey;

use super::canonical::{Object, Value, encode, encode_json};

/// One way to write a key, and the key id that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyForm {
    /// `securesystemslib`, `pem-without-newline`, `legacy-ecdsa-keytype`, `keyid-hash-algorithms` or `notary`.
    pub form: &'static str,
    /// Hexadecimal SHA-256 of the canonical key object.
    pub key_id: String,
    /// The key object, as JSON.
    pub json: String,
}

/// Every form that TUF clients compute for such a key; the first is [`default_form`].
pub fn forms(key: &PublicKey) -> Vec<KeyForm> {
    let algorithm = key.algorithm();
    let pem = key.to_pem();
    let (keytype, scheme) = (algorithm.tuf_keytype(), algorithm.tuf_scheme());
    let is_ed25519 = algorithm == Algorithm::Ed25519;
    let is_ecdsa = algorithm.ecdsa_coordinate_bytes().is_some();
    let mut all = vec![default_form(key)];
    if !is_ed25519 {
        // What tough writes: the `spki` encoder there trims the text.
        all.push(form("pem-without-newline", key_object(keytype, scheme, pem.trim_end(), [])));
    }
    if is_ecdsa {
        // Earlier roots, such as sigstore's up to version 9, say the scheme's name for the key type.
        all.push(form("legacy-ecdsa-keytype", key_object(scheme, scheme, &pem, [])));
    }
    let hash_algorithms = Value::Array(vec![Value::from("sha256"), Value::from("sha512")]);
    let extra = [("keyid_hash_algorithms", hash_algorithms)];
    all.push(form("keyid-hash-algorithms", key_object(keytype, scheme, &public_text(key), extra)));
    if is_ed25519 || is_ecdsa {
        let public = if is_ed25519 { key.raw() } else { key.spki_der() };
        let keyval = Value::from([("private", Value::Null), ("public", Value::from(Base64::encode_string(public)))]);
        all.push(form("notary", Value::from([("keytype", Value::from(keytype)), ("keyval", keyval)])));
    }
    all
}

/// The form of securesystemslib and go-tuf: Ed25519 as hexadecimal text, others as PEM with its last line feed.
pub fn default_form(key: &PublicKey) -> KeyForm {
    form("securesystemslib", default_object(key))
}

/// The key object of [`default_form`].
pub fn default_object(key: &PublicKey) -> Value {
    key_object(key.algorithm().tuf_keytype(), key.algorithm().tuf_scheme(), &public_text(key), [])
}

/// Reads a key object of a root. `None` for a key type, scheme, curve or size that sealward does not know, and for one
/// whose parts do not fit each other.
///
/// ECDSA is read from PEM or from the hexadecimal point of the oldest roots, under the key type `ecdsa` or the scheme's
/// name.
pub fn read_key(object: &Value) -> Option<PublicKey> {
    let text = |member: &str| object.get(member).and_then(Value::as_str);
    let (keytype, scheme) = (text("keytype")?, text("scheme")?);
    let public = object.get("keyval")?.get("public")?.as_str()?;
    let key = match keytype {
        "ed25519" => PublicKey::from_ed25519(&hex::decode(public).ok()?),
        "ecdsa" => read_ecdsa(scheme, public),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" if keytype == scheme => read_ecdsa(scheme, public),
        "rsa" => PublicKey::from_pem(public),
        _ => return None,
    };
    key.ok().filter(|key| key.algorithm().tuf_scheme() == scheme && fits(keytype, key.algorithm()))
}

/// The key id that follows from a key object with all its members, as tough and tuf-on-ci compute it.
pub fn key_id_of(object: &Value) -> String {
    Sha256Digest::of(&encode(object)).to_string()
}

fn read_ecdsa(scheme: &str, public: &str) -> Result<PublicKey, crate::domain::public_key::InvalidPublicKey> {
    let algorithm = if scheme == "ecdsa-sha2-nistp384" { Algorithm::EcdsaP384 } else { Algorithm::EcdsaP256 };
    match hex::decode(public) {
        Ok(point) => PublicKey::from_ec_point(algorithm, &point),
        Err(_) => PublicKey::from_pem(public),
    }
}

/// Whether a PEM text held the kind of key that the key type announces.
fn fits(keytype: &str, algorithm: Algorithm) -> bool {
    keytype == algorithm.tuf_keytype() || keytype == algorithm.tuf_scheme()
}

fn public_text(key: &PublicKey) -> String {
    if key.algorithm() == Algorithm::Ed25519 { hex::encode(key.raw()) } else { key.to_pem() }
}

fn key_object<const N: usize>(keytype: &str, scheme: &str, public: &str, extra: [(&str, Value); N]) -> Value {
    let members = [
        ("keytype", Value::from(keytype)),
        ("keyval", Value::from([("public", Value::from(public))])),
        ("scheme", Value::from(scheme)),
    ];
    let members = members.into_iter().chain(extra);
    Value::Object(Object::of(members.map(|(name, value)| (name.to_owned(), value))))
}

fn form(form: &'static str, object: Value) -> KeyForm {
    let json = String::from_utf8_lossy(&encode_json(&object)).into_owned();
    KeyForm { form, key_id: key_id_of(&object), json }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::canonical::{Limits, parse_lenient};

    // Sigstore's key of 2021 (10.root.json of sigstore/root-signing), whose five ids `reference/tuf.md` a4 lists.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzBzVOmHCPojMVLSI364WiiV8NPrD\n\
                       6IgRxVliskz/v+y3JER5mcVGcONliDcWMC5J2lfHmjPNPhb4H7xm8LzfSA==\n-----END PUBLIC KEY-----\n";

    fn object(json: &str) -> Value {
        parse_lenient(json.as_bytes(), Limits::of_bytes(1 << 16)).unwrap()
    }

    #[test]
    fn one_ecdsa_key_has_the_ids_that_clients_compute() {
        let key = PublicKey::from_pem(PEM).unwrap();
        let all = forms(&key);
        let starts: Vec<_> = all.iter().map(|form| (form.form, &form.key_id[..6])).collect();
        let expected = [
            ("securesystemslib", "ea1f8b"),
            ("pem-without-newline", "e5e237"),
            ("legacy-ecdsa-keytype", "c047b0"),
            ("keyid-hash-algorithms", starts[3].1),
            ("notary", "062a0a"),
        ];
        assert_eq!(starts, expected);
        let Value::Object(mut with_owner) = object(&all[3].json) else { panic!("no object") };
        with_owner.remove("x");
        let members = with_owner.iter().map(|(name, value)| (name.to_owned(), value.clone()));
        let owner = ("x-tuf-on-ci-keyowner".to_owned(), Value::from("@santiagotorres"));
        let with_owner = Value::Object(Object::of(members.chain([owner])));
        assert_eq!(key_id_of(&with_owner), "22f4caec6d8e6f9555af66b3d4c3cb06a3bb23fdc7e39c916c61f462e6f52b06");
        for form in &all[..4] {
            assert_eq!(read_key(&object(&form.json)).as_ref(), Some(&key), "{}", form.form);
            assert_eq!(key_id_of(&object(&form.json)), form.key_id);
        }
    }

    #[test]
    fn an_ed25519_key_has_the_ids_of_the_worked_example() {
        let public = "4f66dabebcf30628963786001984c0b75c175cdcf3bc4855933a2628f0cd0a0f";
        let key = PublicKey::from_ed25519(&hex::decode(public).unwrap()).unwrap();
        let all = forms(&key);
        assert_eq!(all[0].key_id, "c6d8bf2e4f48b41ac2ce8eca21415ca8ef68c133b47fc33df03d4070a7e1e9cc");
        assert_eq!(all[1].key_id, "80003b25971d561f04d375f0b91cefd58956937f8951d9e604301af34539ae2f");
        assert_eq!(
            all.iter().map(|form| form.form).collect::<Vec<_>>(),
            ["securesystemslib", "keyid-hash-algorithms", "notary"]
        );
        assert_eq!(read_key(&object(&all[0].json)), Some(key));
    }

    #[test]
    fn hexadecimal_points_of_old_roots_are_read() {
        let key = PublicKey::from_pem(PEM).unwrap();
        let point = hex::encode(key.raw());
        for keytype in ["ecdsa", "ecdsa-sha2-nistp256"] {
            let old = key_object(keytype, "ecdsa-sha2-nistp256", &point, []);
            assert_eq!(read_key(&old).as_ref(), Some(&key));
        }
    }

    #[test]
    fn keys_whose_parts_do_not_fit_are_not_read() {
        let good = default_object(&PublicKey::from_pem(PEM).unwrap());
        assert!(read_key(&good).is_some());
        let hex = "4f66dabebcf30628963786001984c0b75c175cdcf3bc4855933a2628f0cd0a0f";
        for (keytype, scheme, public) in [
            ("ecdsa", "ecdsa-sha2-nistp384", PEM),
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256", PEM),
            ("rsa", "ecdsa-sha2-nistp256", PEM),
            ("rsa", "rsassa-pss-sha256", PEM),
            ("ed25519", "ecdsa-sha2-nistp256", hex),
            ("ed25519", "ed25519", PEM),
            ("ed25519", "ed25519", ""),
            ("ed25519", "ed25519ph", hex),
            ("ecdsa", "ed25519", hex),
            ("sigstore-oidc", "Fulcio", "x"),
            ("ecdsa", "ecdsa-sha2-nistp256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
            ("ecdsa", "ecdsa-sha2-nistp256", "04"),
        ] {
            assert_eq!(read_key(&key_object(keytype, scheme, public, [])), None, "{keytype} {scheme}");
        }
        for broken in
            [Value::Null, Value::from([("keytype", Value::Null)]), Value::from([("keytype", Value::from("rsa"))])]
        {
            assert_eq!(read_key(&broken), None);
        }
    }
}
