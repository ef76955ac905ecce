//! Public keys as they come to a ceremony: from a holder, from a daemon's operator, or as PEM.

use std::path::Path;

use crate::domain::public_key::{KeyId, PublicKey};
use crate::tuf::canonical::Value;
use crate::tuf::key_id::{default_object, forms, key_id_of, read_key};

use super::error::CeremonyError;
use super::file;
use super::holder::HolderName;
use super::members::{self, Members};

const TYPE: &str = "sealward-ceremony-public-key";

/// A public key with the way that a root is to write it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ListedKey {
    /// Who holds it, where the file says so.
    pub(super) name: Option<HolderName>,
    /// The key.
    pub(super) key: PublicKey,
    /// The key object of TUF metadata.
    pub(super) object: Value,
    /// The key id that follows from the object.
    pub(super) key_id: String,
}

impl ListedKey {
    /// A key in the form of securesystemslib.
    pub(super) fn of(key: PublicKey, name: Option<HolderName>) -> Self {
        let object = default_object(&key);
        Self { name, key, key_id: key_id_of(&object), object }
    }

    /// What `keygen` writes for the coordinator.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let form = |form: crate::tuf::key_id::KeyForm| {
            Value::from([("form", Value::from(form.form)), ("key_id", Value::from(form.key_id))])
        };
        members::write(
            TYPE,
            [
                ("name", self.name.as_ref().map_or(Value::Null, |name| Value::from(name.as_str()))),
                ("algorithm", Value::from(self.key.algorithm().name())),
                ("key", Value::from(self.key.id().to_string())),
                ("key_id", Value::from(self.key_id.as_str())),
                ("tuf_key", self.object.clone()),
                ("key_ids", Value::Array(forms(&self.key).into_iter().map(form).collect())),
            ],
        )
    }

    /// Reads a file of [`parse`].
    pub(super) fn read(path: &Path) -> Result<Self, CeremonyError> {
        parse(&file::read(path)?).map_err(|cause| CeremonyError::input(path, cause))
    }
}

/// Reads what `keygen` writes; what `sealward key export` writes as `pem` or `tuf`; what `sealward --json key show`,
/// `generate`, `rotate` and `export` print.
fn parse(bytes: &[u8]) -> Result<ListedKey, String> {
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        let text = std::str::from_utf8(bytes).map_err(|_| "a PEM text that is not UTF-8".to_owned())?;
        let key = PublicKey::from_pem(text.trim()).map_err(|error| format!("a PEM text: {error}"))?;
        return Ok(ListedKey::of(key, None));
    }
    let value = members::parse(bytes)?;
    if value.get("type").is_some() {
        return of_holder(bytes);
    }
    if value.get("keytype").is_some() {
        return of_object(value);
    }
    let shown = value.get("key").and_then(|key| key.get("public_key")).unwrap_or(&value);
    match (shown.get("key"), shown.get("tuf_json")) {
        (Some(Value::String(key)), Some(Value::String(json))) => {
            let listed = of_object(members::parse(json.as_bytes())?)?;
            let named = key.parse::<KeyId>().map_err(|error| error.to_string())?;
            if listed.key.id() == named { Ok(listed) } else { Err("its tuf_json is not of its key".to_owned()) }
        }
        _ => Err("neither a key of a ceremony, nor PEM, nor what `sealward key show` or `export` prints".to_owned()),
    }
}

/// Everything in the file follows from its key object, and is held against it: people compare the other members.
fn of_holder(bytes: &[u8]) -> Result<ListedKey, String> {
    let mut members = Members::of_file(bytes, TYPE)?;
    let name = members.optional_text("name")?;
    let name = name.map(|name| name.parse::<HolderName>().map_err(|error| error.to_string())).transpose()?;
    let listed = ListedKey { name, ..of_object(members.take("tuf_key")?)? };
    for member in ["algorithm", "key", "key_id", "key_ids"] {
        members.take(member)?;
    }
    members.end()?;
    // Compared as values: an editor may have changed the white space.
    if members::parse(&listed.to_file()) == members::parse(bytes) {
        Ok(listed)
    } else {
        Err("its parts are not those of one key".to_owned())
    }
}

fn of_object(object: Value) -> Result<ListedKey, String> {
    let key = read_key(&object).ok_or("a key object of a type, scheme, curve or size that sealward does not know")?;
    Ok(ListedKey { name: None, key, key_id: key_id_of(&object), object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, mutations};

    fn listed() -> ListedKey {
        ListedKey::of(TestKey::new(1).public().clone(), Some("alice".parse().unwrap()))
    }

    fn text(value: &serde_json::Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn a_key_is_read_from_each_form_that_it_comes_in() {
        let listed = listed();
        assert_eq!(parse(&listed.to_file()).unwrap(), listed);
        let nameless = ListedKey { name: None, ..listed.clone() };
        assert_eq!(parse(listed.key.to_pem().as_bytes()).unwrap(), nameless);
        assert_eq!(parse(format!("\n{}\n", listed.key.to_pem()).as_bytes()).unwrap(), nameless);
        let json = &forms(&listed.key)[0].json;
        assert_eq!(parse(json.as_bytes()).unwrap(), nameless);
        let public =
            serde_json::json!({ "key": listed.key.id().to_string(), "tuf_json": json, "pem": "", "more": [1] });
        let mut export = public.clone();
        export["v"] = 1.into();
        assert_eq!(parse(&text(&export)).unwrap(), nameless);
        let show = serde_json::json!({ "v": 1, "key": { "public_key": public, "state": "active" } });
        assert_eq!(parse(&text(&show)).unwrap(), nameless);
    }

    #[test]
    fn a_key_object_keeps_its_own_form() {
        let other = &forms(&listed().key)[1];
        let read = parse(other.json.as_bytes()).unwrap();
        assert_eq!(read.key, listed().key);
        assert_eq!(read.key_id, other.key_id);
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (listed, stranger) = (listed(), TestKey::new(2).public().clone());
        let file: serde_json::Value = serde_json::from_slice(&listed.to_file()).unwrap();
        let other: serde_json::Value = serde_json::from_slice(&ListedKey::of(stranger, None).to_file()).unwrap();
        for member in ["algorithm", "key", "key_id", "key_ids", "tuf_key"] {
            let mut mixed = file.clone();
            mixed[member] = if member == "algorithm" { "rsa-pss-2048".into() } else { other[member].clone() };
            assert_eq!(parse(&text(&mixed)).unwrap_err(), "its parts are not those of one key", "{member}");
        }
        let json = &forms(&listed.key)[0].json;
        let export = serde_json::json!({ "v": 1, "key": other["key"], "tuf_json": json });
        assert_eq!(parse(&text(&export)).unwrap_err(), "its tuf_json is not of its key");
        let mut more = file.clone();
        more["more"] = 1.into();
        assert!(parse(&text(&more)).unwrap_err().contains("`more`"));
    }

    #[test]
    fn malformed_files_are_refused() {
        for bad in ["", "{}", "[]", "null", "{\"v\":1}", "-----BEGIN", "{\"keytype\":\"ed25519\"}", "{\"type\":\"x\"}"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
        assert!(parse(b"-----BEGIN \xff").is_err());
        mutations(&listed().to_file(), |bytes| match parse(bytes) {
            // A changed byte may stand in the holder's name, which is a claim.
            Ok(read) => assert_eq!(read.key, listed().key),
            Err(cause) => assert!(!cause.is_empty()),
        });
    }
}
