//! Reading the key objects of a token.

use std::collections::BTreeMap;

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::PublicKey;

/// CKA_EC_PARAMS: DER of the object identifiers, and the name that some modules use for Ed25519.
pub(super) const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(super) const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
pub(super) const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
const ED25519_BY_NAME: &[u8] = b"\x13\x0cedwards25519";

/// The most key objects of each class that are read.
const MOST_OBJECTS: usize = 10_000;

/// A key pair in a token.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) public: PublicKey,
    pub(super) private_handle: ObjectHandle,
    pub(super) public_handle: ObjectHandle,
}

/// What links the two halves of a pair: CKA_ID and the type.
type PairId = (Vec<u8>, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Rsa,
    Ec,
    Edwards,
}

/// Every public key object that has exactly one private key object; and, in words, the others.
///
/// Two private keys under one id are not guessed between: vendors' tools make such tokens.
pub(super) fn list(session: &Session) -> Result<(Vec<Held>, Vec<String>), Error> {
    let mut privates: BTreeMap<PairId, Vec<ObjectHandle>> = BTreeMap::new();
    let mut skipped = Vec::new();
    for handle in find(session, ObjectClass::PRIVATE_KEY, &mut skipped)? {
        if let Some(pair) = read(session, handle)?.pair_id() {
            privates.entry(pair).or_default().push(handle);
        }
    }
    let mut held: Vec<Held> = Vec::new();
    for public_handle in find(session, ObjectClass::PUBLIC_KEY, &mut skipped)? {
        let found = read(session, public_handle)?;
        let name = found.name();
        let Some(pair) = found.pair_id() else {
            skipped.push(format!("{name}: not RSA, EC or Edwards, or without CKA_ID"));
            continue;
        };
        let handles = privates.get(&pair).map(Vec::as_slice).unwrap_or_default();
        match (found.public_key(pair.1), handles) {
            (Ok(public), [private_handle]) => match held.iter().position(|other| other.public == public) {
                None => held.push(Held { public, private_handle: *private_handle, public_handle }),
                // The same public key twice, with one private key each or the same: either signs.
                Some(_) => skipped.push(format!("{name}: a second object of the same public key")),
            },
            (Ok(_), []) => skipped.push(format!("{name}: no private key has its CKA_ID")),
            (Ok(_), several) => skipped.push(format!("{name}: {} private keys have its CKA_ID", several.len())),
            (Err(cause), _) => skipped.push(format!("{name}: {cause}")),
        }
    }
    Ok((held, skipped))
}

/// The public key of one object.
pub(super) fn public_key(session: &Session, handle: ObjectHandle) -> Result<Result<PublicKey, String>, Error> {
    let found = read(session, handle)?;
    Ok(match found.pair_id() {
        Some((_, kind)) => found.public_key(kind),
        None => Err("not RSA, EC or Edwards, or without CKA_ID".to_owned()),
    })
}

fn find(session: &Session, class: ObjectClass, skipped: &mut Vec<String>) -> Result<Vec<ObjectHandle>, Error> {
    let mut handles = session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])?;
    if handles.len() > MOST_OBJECTS {
        skipped.push(format!("{} objects of one class; {MOST_OBJECTS} are read", handles.len()));
        handles.truncate(MOST_OBJECTS);
    }
    Ok(handles)
}

/// What a key object says of itself. The crate leaves out what the module does not have, so each may be missing.
#[derive(Default)]
struct Found {
    id: Vec<u8>,
    label: Vec<u8>,
    kind: Option<Kind>,
    ec_params: Vec<u8>,
    ec_point: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

fn read(session: &Session, handle: ObjectHandle) -> Result<Found, Error> {
    let mut found = Found::default();
    take(
        &mut found,
        session.get_attributes(handle, &[AttributeType::Id, AttributeType::Label, AttributeType::KeyType])?,
    );
    // Asked by type: some modules refuse a whole request for one attribute that the object cannot have.
    let more: &[AttributeType] = match found.kind {
        Some(Kind::Rsa) => &[AttributeType::Modulus, AttributeType::PublicExponent],
        Some(Kind::Ec | Kind::Edwards) => &[AttributeType::EcParams, AttributeType::EcPoint],
        None => return Ok(found),
    };
    take(&mut found, session.get_attributes(handle, more)?);
    Ok(found)
}

fn take(found: &mut Found, attributes: Vec<Attribute>) {
    for attribute in attributes {
        match attribute {
            Attribute::Id(bytes) => found.id = bytes,
            Attribute::Label(bytes) => found.label = bytes,
            Attribute::EcParams(bytes) => found.ec_params = bytes,
            Attribute::EcPoint(bytes) => found.ec_point = bytes,
            Attribute::Modulus(bytes) => found.modulus = bytes,
            Attribute::PublicExponent(bytes) => found.exponent = bytes,
            Attribute::KeyType(KeyType::RSA) => found.kind = Some(Kind::Rsa),
            Attribute::KeyType(KeyType::EC) => found.kind = Some(Kind::Ec),
            Attribute::KeyType(KeyType::EC_EDWARDS) => found.kind = Some(Kind::Edwards),
            _ => {}
        }
    }
}

impl Found {
    fn pair_id(&self) -> Option<PairId> {
        self.kind.filter(|_| !self.id.is_empty()).map(|kind| (self.id.clone(), kind))
    }

    fn name(&self) -> String {
        let label: String = String::from_utf8_lossy(&self.label).chars().take(64).collect();
        let id: String = hex::encode(&self.id).chars().take(64).collect();
        format!("public key `{}` with id {id}", label.escape_debug())
    }

    fn public_key(&self, kind: Kind) -> Result<PublicKey, String> {
        let key = match (kind, self.ec_params.as_slice()) {
            (Kind::Rsa, _) => PublicKey::from_rsa(without_zeros(&self.modulus), without_zeros(&self.exponent)),
            (Kind::Ec, P256) => PublicKey::from_ec_point(Algorithm::EcdsaP256, unwrapped(&self.ec_point, 65)),
            (Kind::Ec, P384) => PublicKey::from_ec_point(Algorithm::EcdsaP384, unwrapped(&self.ec_point, 97)),
            // EC_EDWARDS with this curve; some modules call the type EC.
            (Kind::Ec | Kind::Edwards, ED25519 | ED25519_BY_NAME) => {
                PublicKey::from_ed25519(unwrapped(&self.ec_point, 32))
            }
            _ => return Err("a curve that sealward does not know".to_owned()),
        };
        key.map_err(|error| error.to_string())
    }
}

/// PKCS#11 wraps CKA_EC_POINT in an OCTET STRING; some modules do not. Which it is shows in the length alone.
fn unwrapped(point: &[u8], length: usize) -> &[u8] {
    match point {
        [4, size, rest @ ..] if rest.len() == length && usize::from(*size) == length => rest,
        other => other,
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn points_are_read_wrapped_and_bare_and_nothing_else_is() {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let cases = [
            (Kind::Ec, P256, p256.public_key().as_ref()),
            (Kind::Edwards, ED25519, ed25519.public_key().as_ref()),
            (Kind::Edwards, ED25519_BY_NAME, ed25519.public_key().as_ref()),
        ];
        for (kind, params, bare) in cases {
            let read = |point: Vec<u8>| {
                Found { ec_params: params.into(), ec_point: point, ..Found::default() }.public_key(kind)
            };
            let wrapped = [&[4, u8::try_from(bare.len()).unwrap()], bare].concat();
            assert_eq!(read(bare.to_vec()).unwrap(), read(wrapped.clone()).unwrap());
            // Cut to exactly the bare length it looks bare, and is on the curve or not, as chance has it.
            for length in (0..wrapped.len()).filter(|length| *length != bare.len()) {
                assert!(read(wrapped[..length].to_vec()).is_err(), "cut to {length}");
            }
            assert!(read([&wrapped[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn unknown_curves_and_impossible_numbers_are_refused() {
        let found = Found { ec_params: b"\x06\x05\x2b\x81\x04\x00\x0a".to_vec(), ..Found::default() };
        assert!(found.public_key(Kind::Ec).is_err(), "secp256k1");
        assert!(Found::default().public_key(Kind::Rsa).is_err());
        assert!(Found::default().pair_id().is_none(), "no type, no id");
    }
}
