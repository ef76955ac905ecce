//! sealward: a signing daemon that reads what it signs.
//!
//! The rooms, and what each is for. Who may use whom is a table in `tests/architecture.rs`.
//!
//! - [`domain`]: the law. What may be signed, as pure values and decisions.
//! - [`tuf`]: TUF bytes. Canonical JSON, metadata, key ids, root chains.
//! - [`audit`]: what happened. Leaves, the Merkle tree, checkpoints, proofs, offline verification.
//! - [`keystore`]: where private keys live. Age files, and PKCS#11 tokens behind a worker process.
//! - [`ledger`]: what we remember, durably: key records, guards, roots, leaves, in one transaction.
//! - [`engine`]: the verbs. The only room where law, keystores, ledger and audit meet.
//! - [`fetch`]: one bounded GET over TLS.
//! - [`oidc`]: who the bearer of a token is: issuers, their keys, bound claims.
//! - [`wire`]: the generated gRPC types.
//! - [`door`]: the protocols through which requests come in.
//! - [`client`]: the other side of the door.
//! - [`cli`]: operator commands over the client.
//! - [`ceremony`]: the offline root.
//! - [`config`]: the file, turned into each room's own settings.
//! - [`daemon`]: wiring, listeners, shutdown, hardening.

pub mod audit;
#[cfg(feature = "ceremony")]
pub mod ceremony;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod client;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod domain;
#[cfg(feature = "daemon")]
pub mod door;
#[cfg(feature = "daemon")]
pub mod engine;
#[cfg(any(feature = "config", feature = "fetch"))]
pub mod fetch;
#[cfg(feature = "keystore")]
pub mod keystore;
#[cfg(feature = "daemon")]
pub mod ledger;
#[cfg(feature = "config")]
pub mod oidc;
pub mod tuf;
#[cfg(feature = "wire")]
pub mod wire;
