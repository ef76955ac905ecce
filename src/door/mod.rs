//! **Doors**: the protocols through which requests come in. A door parses, calls one verb and translates the answer; it
//! never decides.

pub mod asker;
pub mod grpc;
pub mod identity;
pub mod limits;
pub mod peer;
mod peer_groups;
pub mod refusal;
pub mod stream;
pub mod traffic;
