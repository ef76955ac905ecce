//! Making keys that never leave the device.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;

use super::mechanism::generating;
use super::objects::{self, Held};
use super::token::{Token, classify};
use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::PublicKey;
use crate::keystore::protocol::Failure;

/// Makes a key pair in the token: sensitive and never extractable, or it is removed again and refused.
pub(super) fn generate(token: &Token, algorithm: Algorithm) -> Result<PublicKey, Failure> {
    if !token.offers(algorithm) {
        return Err(Failure::AlgorithmUnsupported);
    }
    let session = token.writing_session()?;
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| Failure::Refused { cause: "no randomness".to_owned() })?;
    let (public_handle, private_handle) = make(&session, algorithm, &id).map_err(|error| classify(&error))?;
    match examine(&session, algorithm, public_handle, private_handle) {
        Ok(public) => {
            token.note(Held { public: public.clone(), private_handle, public_handle });
            Ok(public)
        }
        Err(failure) => {
            let removed = [private_handle, public_handle].map(|handle| session.destroy_object(handle).is_ok());
            match failure {
                Failure::Refused { cause } if removed.contains(&false) => {
                    let label = label(&id);
                    Err(Failure::Refused { cause: format!("{cause}; remove `{label}` by hand, that failed here") })
                }
                failure => Err(failure),
            }
        }
    }
}

fn make(session: &Session, algorithm: Algorithm, id: &[u8]) -> Result<(ObjectHandle, ObjectHandle), Error> {
    let mechanism = match generating(algorithm) {
        MechanismType::ECC_EDWARDS_KEY_PAIR_GEN => Mechanism::EccEdwardsKeyPairGen,
        MechanismType::ECC_KEY_PAIR_GEN => Mechanism::EccKeyPairGen,
        _ => Mechanism::RsaPkcsKeyPairGen,
    };
    let mut last = Error::NotSupported;
    // From the strictest template to the barest: not every module knows every attribute. What protects the private key
    // is in each of them, and is read back afterwards.
    for strictness in [Strictness::Full, Strictness::WithoutFixed, Strictness::Bare] {
        let (public, private) = templates(algorithm, id, strictness);
        match session.generate_key_pair(&mechanism, &public, &private) {
            Err(error) if is_about_template(&error) => last = error,
            made => return made,
        }
    }
    Err(last)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    Bare,
    /// Without CKA_MODIFIABLE and CKA_COPYABLE.
    WithoutFixed,
    Full,
}

fn templates(algorithm: Algorithm, id: &[u8], strictness: Strictness) -> (Vec<Attribute>, Vec<Attribute>) {
    let named = [Attribute::Token(true), Attribute::Id(id.to_vec()), Attribute::Label(label(id).into_bytes())];
    let mut public = named.to_vec();
    let mut private = named.to_vec();
    public.push(Attribute::Verify(true));
    match algorithm {
        Algorithm::Ed25519 => public.push(Attribute::EcParams(objects::ED25519.to_vec())),
        Algorithm::EcdsaP256 => public.push(Attribute::EcParams(objects::P256.to_vec())),
        Algorithm::EcdsaP384 => public.push(Attribute::EcParams(objects::P384.to_vec())),
        Algorithm::RsaPss2048 => public.extend(rsa(2048)),
        Algorithm::RsaPss3072 => public.extend(rsa(3072)),
        Algorithm::RsaPss4096 => public.extend(rsa(4096)),
    }
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    if strictness >= Strictness::WithoutFixed {
        // Public keys are listed without a login; the private half does nothing but sign.
        public.push(Attribute::Private(false));
        private.extend([Attribute::Decrypt(false), Attribute::Unwrap(false), Attribute::Derive(false)]);
    }
    if strictness == Strictness::Full {
        for template in [&mut public, &mut private] {
            template.extend([Attribute::Modifiable(false), Attribute::Copyable(false)]);
        }
    }
    (public, private)
}

fn rsa(bits: u64) -> [Attribute; 2] {
    [Attribute::ModulusBits(bits.into()), Attribute::PublicExponent(vec![1, 0, 1])]
}

fn label(id: &[u8]) -> String {
    format!("sealward-{}", hex::encode(id))
}

fn is_about_template(error: &Error) -> bool {
    use RvError as Rv;
    let Error::Pkcs11(value, _) = error else {
        return false;
    };
    matches!(
        value,
        Rv::AttributeTypeInvalid
            | Rv::AttributeValueInvalid
            | Rv::AttributeReadOnly
            | Rv::TemplateInconsistent
            | Rv::ActionProhibited
    )
}

/// Reads back what the device made. It must say itself that the private half is sensitive and never was extractable.
fn examine(
    session: &Session,
    algorithm: Algorithm,
    public_handle: ObjectHandle,
    private_handle: ObjectHandle,
) -> Result<PublicKey, Failure> {
    let refuse = |cause: String| Err(Failure::Refused { cause });
    let wanted = [AttributeType::Sensitive, AttributeType::NeverExtractable];
    let attributes = session.get_attributes(private_handle, &wanted).map_err(|error| classify(&error))?;
    for (name, is_so) in [
        ("CKA_SENSITIVE", attributes.contains(&Attribute::Sensitive(true))),
        ("CKA_NEVER_EXTRACTABLE", attributes.contains(&Attribute::NeverExtractable(true))),
    ] {
        if !is_so {
            return refuse(format!("the token made a key without {name}, so it could leave the token"));
        }
    }
    let public = match objects::public_key(session, public_handle).map_err(|error| classify(&error))? {
        Ok(public) => public,
        Err(cause) => return refuse(format!("the token made a key that sealward cannot read: {cause}")),
    };
    if public.algorithm() != algorithm {
        return refuse(format!("asked for {algorithm}, the token made a key of {}", public.algorithm()));
    }
    Ok(public)
}
