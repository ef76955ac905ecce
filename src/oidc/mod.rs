//! **Who the bearer of a token is.** OpenID Connect identity tokens of CI services and clusters: JWTs (RFC 7519) that a
//! configured issuer signed for this daemon as their audience.
//!
//! A token proves its bearer when a pinned algorithm, a key of the issuer, the audience and the times agree; which of
//! the configured identities it is, the bound claims say. Nothing in a token is believed before its signature.

#[cfg(feature = "daemon")]
mod algorithm;
#[cfg(feature = "daemon")]
mod bearers;
#[cfg(feature = "daemon")]
mod claims;
#[cfg(feature = "daemon")]
mod json;
#[cfg(feature = "daemon")]
mod keys;
#[cfg(feature = "daemon")]
mod metrics;
#[cfg(feature = "daemon")]
mod provider;
#[cfg(feature = "daemon")]
mod refusal;
pub mod settings;
#[cfg(feature = "daemon")]
mod token;

#[cfg(feature = "daemon")]
pub use bearers::{Bearers, Issuer, PrepareError, Prepared, ReadFile};
#[cfg(feature = "daemon")]
pub use metrics::Metrics;
#[cfg(feature = "daemon")]
pub use refusal::Refusal;
#[cfg(feature = "daemon")]
pub use token::read;
