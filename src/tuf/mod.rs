//! **TUF bytes.** What a payload says, read from exactly the bytes that will be signed.
//!
//! Everything signed goes through our own strict reader ([`canonical`]); nothing here reads a clock, a file or a socket.
//!
//! - [`canonical`]: OLPC canonical JSON, read strictly (payloads) or leniently (published files), and written.
//! - [`metadata`]: a payload of kind `tuf` becomes a [`Statement`](crate::domain::statement::Statement).
//! - [`envelope`]: the published file, `{"signatures", "signed"}`.
//! - [`key_id`]: key objects and every key id that TUF clients compute for them.
//! - [`root`]: reading and verifying roots, and counting signatures.
//! - [`verify`]: published metadata under a trusted root, to seed a guard.
//! - [`attached`]: the signed snapshot that comes along with a timestamp.
//! - [`change`]: what the next root must change, for a rotation.
//! - [`difference`]: the differences of two versions of other metadata, for people who approve one.
//! - [`summary`]: the differences of two roots, for people.

pub mod attached;
pub mod canonical;
pub mod change;
mod delegations;
pub mod difference;
pub mod envelope;
mod fields;
pub mod key_id;
pub mod metadata;
pub mod root;
pub mod summary;
#[cfg(test)]
mod testing;
pub mod verify;
