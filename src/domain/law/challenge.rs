//! The self-test of a key: the only thing besides metadata that a TUF key of the daemon ever signs.

use crate::domain::name::Sha256Digest;
use crate::domain::permit::{Challenge, Permit};
use crate::domain::public_key::PublicKey;

/// Separates the self-test from everything else that a key signs: no JSON begins like this.
const LABEL: &[u8] = b"sealward-challenge-v1\0";

/// A permit and the message for a self-test with a nonce of our own.
pub fn challenge(key: &PublicKey, nonce: [u8; 32]) -> (Permit<Challenge>, Vec<u8>) {
    let message = [LABEL, &nonce].concat();
    (Permit::issue(key.clone(), Sha256Digest::of(&message), None), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_for_its_own_message_only() {
        let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::from_ed25519(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref()).unwrap();
        let (permit, message) = challenge(&key, [7; 32]);
        assert!(message.starts_with(b"sealward-challenge-v1\0"));
        assert!(permit.redeem(b"{\"_type\":\"timestamp\"}").is_err());
        let (permit, message) = challenge(&key, [7; 32]);
        assert!(permit.redeem(&message).is_ok());
    }
}
