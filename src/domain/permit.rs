//! Proof that the law allowed exactly one signature.
//!
//! A [`Permit`] has private fields and private constructors: only [`super::law`] makes one. It is used up by
//! [`Permit::redeem`], cannot be cloned and is never serialised. A keystore signs an [`Order`], and an order exists only
//! through a redeemed permit, so the compiler keeps the promise that nothing is signed that the law did not see.
//!
//! This compiles, because it only *uses* a permit:
//! ```
//! use sealward::domain::permit::{Online, Permit, PermitMismatch};
//! fn take(permit: Permit<Online>) -> Result<(), PermitMismatch> { permit.redeem(b"payload").map(drop) }
//! ```
//! The same with a second use does not:
//! ```compile_fail,E0382
//! use sealward::domain::permit::{Online, Permit, PermitMismatch};
//! fn take(permit: Permit<Online>) -> Result<(), PermitMismatch> { permit.redeem(b"payload").map(drop)?; permit.redeem(b"payload").map(drop) }
//! ```
//! nor with a copy:
//! ```compile_fail,E0308
//! use sealward::domain::permit::{Online, Permit};
//! fn copy(permit: &Permit<Online>) -> Permit<Online> { permit.clone() }
//! ```
//! and nobody outside makes one:
//! ```compile_fail,E0624
//! use sealward::domain::{name::Sha256Digest, permit::{Online, Permit}, public_key::PublicKey};
//! fn forge(key: PublicKey, digest: Sha256Digest) -> Permit<Online> { Permit::<Online>::issue(key, digest, None) }
//! ```
//! nor an order without one:
//! ```compile_fail,E0451
//! use sealward::domain::{permit::Order, public_key::PublicKey};
//! fn forge(public_key: PublicKey) -> Order<'static> { Order { public_key, message: b"anything" } }
//! ```

use std::marker::PhantomData;

use super::guard::GuardName;
use super::name::Sha256Digest;
use super::public_key::{KeyId, PublicKey};

mod sealed {
    pub trait Sealed {}
}

/// What a permit is for. The engine's types cannot hold a ceremony permit.
pub trait Purpose: sealed::Sealed {}

/// A signature of an online role through the daemon.
#[derive(Debug)]
pub struct Online(());
/// A signature in an offline ceremony.
#[derive(Debug)]
pub struct Ceremony(());
/// A domain-separated self-test of a key.
#[derive(Debug)]
pub struct Challenge(());

impl sealed::Sealed for Online {}
impl sealed::Sealed for Ceremony {}
impl sealed::Sealed for Challenge {}
impl Purpose for Online {}
impl Purpose for Ceremony {}
impl Purpose for Challenge {}

/// Permission for one signature by one key over one digest.
#[derive(Debug)]
#[must_use = "a permit that is dropped signs nothing"]
pub struct Permit<P: Purpose> {
    key: PublicKey,
    digest: Sha256Digest,
    guard: Option<(GuardName, u64)>,
    purpose: PhantomData<P>,
}

/// The message is not the one that the law allowed. A defect in the engine, never a caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not the one that the permit is for")]
pub struct PermitMismatch;

impl<P: Purpose> Permit<P> {
    /// Made by the law alone.
    pub(super) fn issue(key: PublicKey, digest: Sha256Digest, guard: Option<(GuardName, u64)>) -> Self {
        Self { key, digest, guard, purpose: PhantomData }
    }

    /// The key that may sign.
    pub fn key(&self) -> KeyId {
        self.key.id()
    }

    /// The guard that the decision rests on, with its revision.
    pub fn guard(&self) -> Option<&(GuardName, u64)> {
        self.guard.as_ref()
    }

    /// Uses the permit up. The message must have the permitted digest.
    pub fn redeem(self, message: &[u8]) -> Result<Order<'_>, PermitMismatch> {
        if Sha256Digest::of(message) == self.digest {
            Ok(Order { public_key: self.key, message })
        } else {
            Err(PermitMismatch)
        }
    }
}

/// What a keystore signs: a message that the law permitted, and the key that it permitted it to.
#[derive(Debug)]
pub struct Order<'a> {
    public_key: PublicKey,
    message: &'a [u8],
}

impl Order<'_> {
    /// The key that signs.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The whole message.
    pub fn message(&self) -> &[u8] {
        self.message
    }
}
