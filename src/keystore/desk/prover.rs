//! Trust in keys: challenged before their first signature, verified afterwards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::metrics::DeskMetrics;
use crate::domain::law::challenge::challenge;
use crate::domain::permit::Order;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::signature::Signature;
use crate::keystore::{Keystore, KeystoreError, lock};

/// Of a software key, one signature in so many is verified after the first.
const SAMPLE: u64 = 64;

pub(super) struct Prover {
    keys: RwLock<HashMap<KeyId, Arc<Use>>>,
    verify_always: bool,
}

/// What this process knows of a key.
#[derive(Default)]
struct Use {
    /// Held by the thread that challenges, so that the others wait for its result.
    challenge: Mutex<()>,
    proven: AtomicBool,
    signatures: AtomicU64,
    /// It returned a bad signature once: every later one is verified.
    suspect: AtomicBool,
}

impl Prover {
    pub(super) fn new(verify_always: bool) -> Self {
        Self { keys: RwLock::default(), verify_always }
    }

    /// Signs, after the key has proven itself, and verifies where that is due.
    pub(super) fn sign(
        &self,
        keystore: &dyn Keystore,
        order: &Order<'_>,
        metrics: &DeskMetrics,
    ) -> Result<Signature, KeystoreError> {
        let key = order.public_key();
        let usage = self.usage(&key.id());
        if !usage.proven.load(Ordering::Acquire) {
            let _one_at_a_time = lock(&usage.challenge);
            if !usage.proven.load(Ordering::Acquire) {
                prove(keystore, key, metrics)?;
                usage.proven.store(true, Ordering::Release);
            }
        }
        let signature = keystore.sign(order)?;
        let count = usage.signatures.fetch_add(1, Ordering::Relaxed);
        let is_due = self.verify_always || count.is_multiple_of(SAMPLE) || usage.suspect.load(Ordering::Relaxed);
        if is_due && key.verify(order.message(), &signature).is_err() {
            usage.suspect.store(true, Ordering::Relaxed);
            return Err(KeystoreError::BadSignature { key: key.id() });
        }
        Ok(signature)
    }

    /// The key is gone.
    pub(super) fn forget(&self, key: &KeyId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn usage(&self, key: &KeyId) -> Arc<Use> {
        if let Some(usage) = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Arc::clone(usage);
        }
        Arc::clone(self.keys.write().unwrap_or_else(PoisonError::into_inner).entry(*key).or_default())
    }
}

/// Binds the private half behind the keystore's handles, slots and labels to the public key on record.
fn prove(keystore: &dyn Keystore, key: &PublicKey, metrics: &DeskMetrics) -> Result<(), KeystoreError> {
    metrics.count_challenge();
    let internal = |cause: &str| KeystoreError::Internal { cause: cause.to_owned() };
    let mut nonce = [0; 32];
    SystemRandom::new().fill(&mut nonce).map_err(|_| internal("no randomness"))?;
    let (permit, message) = challenge(key, nonce);
    let order = permit.redeem(&message).map_err(|_| internal("the challenge does not fit its permit"))?;
    let signature = keystore.sign(&order)?;
    key.verify(&message, &signature).map_err(|_| KeystoreError::BadSignature { key: key.id() })
}
