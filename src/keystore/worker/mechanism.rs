//! Which mechanisms stand for which algorithm, and signing with them.
//!
//! The digest is always made here: raw CKM_ECDSA and CKM_RSA_PKCS_PSS are what every module has, and no module is
//! trusted to refuse a digest of a wrong length (SoftHSM and YubiKeys sign any).

use aws_lc_rs::digest;
use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismInfo, MechanismType};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::token::{Token, classify, is_stale};
use crate::domain::algorithm::{Algorithm, Prehash};
use crate::domain::public_key::KeyId;
use crate::keystore::protocol::Failure;

/// The mechanism that signs.
fn signing(algorithm: Algorithm) -> MechanismType {
    match algorithm {
        Algorithm::Ed25519 => MechanismType::EDDSA,
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => MechanismType::ECDSA,
        Algorithm::RsaPss2048 | Algorithm::RsaPss3072 | Algorithm::RsaPss4096 => MechanismType::RSA_PKCS_PSS,
    }
}

/// The mechanism that makes a key.
pub(super) fn generating(algorithm: Algorithm) -> MechanismType {
    match algorithm {
        Algorithm::Ed25519 => MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => MechanismType::ECC_KEY_PAIR_GEN,
        Algorithm::RsaPss2048 | Algorithm::RsaPss3072 | Algorithm::RsaPss4096 => MechanismType::RSA_PKCS_KEY_PAIR_GEN,
    }
}

/// What the device describes: both mechanisms, each with this key size. Modules give the size of Ed25519 as 255 or 256.
pub(super) fn offered(context: &Pkcs11, slot: Slot) -> Result<Vec<Algorithm>, Error> {
    let mechanisms = context.get_mechanism_list(slot)?;
    let fits = |mechanism: MechanismType, sizes: &[usize], can: fn(&MechanismInfo) -> bool| {
        mechanisms.contains(&mechanism)
            && context.get_mechanism_info(slot, mechanism).is_ok_and(|info| {
                let is_in_range = |size: &usize| (info.min_key_size()..=info.max_key_size()).contains(size);
                // Nothing said about sizes: the module decides when it is asked.
                can(&info) && (info.max_key_size() == 0 || sizes.iter().any(is_in_range))
            })
    };
    let offers = |algorithm: &Algorithm| {
        let sizes: &[usize] = match algorithm {
            Algorithm::Ed25519 => &[255, 256],
            Algorithm::EcdsaP256 => &[256],
            Algorithm::EcdsaP384 => &[384],
            Algorithm::RsaPss2048 => &[2048],
            Algorithm::RsaPss3072 => &[3072],
            Algorithm::RsaPss4096 => &[4096],
        };
        fits(signing(*algorithm), sizes, MechanismInfo::sign)
            && fits(generating(*algorithm), sizes, MechanismInfo::generate_key_pair)
    };
    Ok(Algorithm::ALL.into_iter().filter(offers).collect())
}

/// Signs a whole message: the fixed-length form of the signature. One stale handle or session is replaced, once.
pub(super) fn sign(
    token: &Token,
    session: &mut Option<Session>,
    key: &KeyId,
    message: &[u8],
) -> Result<Vec<u8>, Failure> {
    for is_last in [false, true] {
        let current = match session.take() {
            Some(current) => current,
            None => token.session()?,
        };
        let held = token.held(&current, key)?;
        match sign_once(&current, &held, message) {
            Ok(signature) => {
                *session = Some(current);
                return Ok(signature);
            }
            Err(error) if is_stale(&error) && !is_last => token.forget_handle(key),
            // Fresh session, fresh handle, and still stale: the module has lost the token.
            Err(error) if is_stale(&error) => return Err(Failure::Device { cause: error.to_string() }),
            Err(error) => return Err(classify(&error)),
        }
    }
    Err(Failure::KeyMissing)
}

fn sign_once(session: &Session, held: &super::objects::Held, message: &[u8]) -> Result<Vec<u8>, Error> {
    let algorithm = held.public.algorithm();
    let mechanism = match signing(algorithm) {
        MechanismType::EDDSA => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        MechanismType::ECDSA => Mechanism::Ecdsa,
        _ => Mechanism::RsaPkcsPss(PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: 32.into(),
        }),
    };
    match algorithm.prehash() {
        Prehash::None => session.sign(&mechanism, held.private_handle, message),
        Prehash::Sha256 => {
            session.sign(&mechanism, held.private_handle, digest::digest(&digest::SHA256, message).as_ref())
        }
        Prehash::Sha384 => {
            session.sign(&mechanism, held.private_handle, digest::digest(&digest::SHA384, message).as_ref())
        }
    }
}
