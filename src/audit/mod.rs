//! **What happened.** Leaves, the Merkle tree over them, checkpoints, proofs, export and offline verification.
//!
//! The formats are public ones, so that nobody needs sealward to check sealward: RFC 6962 hashing, C2SP [signed notes],
//! [checkpoints] and [tlog-tiles]. This room holds no key and no store. The ledger implements [`merkle::NodeStore`], and
//! whoever owns the log key hands in a [`note::NoteSigner`]. Only [`export`] and [`verify`] touch files.
//!
//! [signed notes]: https://c2sp.org/signed-note
//! [checkpoints]: https://c2sp.org/tlog-checkpoint
//! [tlog-tiles]: https://c2sp.org/tlog-tiles

pub mod checkpoint;
pub mod export;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod tile;
pub mod verify;
