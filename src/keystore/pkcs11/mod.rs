//! stub
use crate::keystore::*;
pub struct Pkcs11;
impl Pkcs11 {
    pub fn open(
        _: KeystoreName,
        _: &settings::Pkcs11Settings,
        _: &secret::Secrets,
        _: bool,
    ) -> Result<Self, KeystoreError> {
        loop {}
    }
}
impl Keystore for Pkcs11 {
    fn describe(&self) -> Description {
        loop {}
    }
    fn probe(&self) -> Condition {
        loop {}
    }
    fn public_keys(&self) -> Result<Vec<PublicKey>, KeystoreError> {
        loop {}
    }
    fn generate(&self, _: Algorithm) -> Result<PublicKey, KeystoreError> {
        loop {}
    }
    fn sign(&self, _: &Order<'_>) -> Result<Signature, KeystoreError> {
        loop {}
    }
    fn destroy(&self, _: &KeyId) -> Result<(), KeystoreError> {
        loop {}
    }
}
