//! **One bounded GET over TLS.** For what others publish: the keys of an issuer of tokens, and the token that a CI service
//! hands to its job.
//!
//! HTTPS alone, no redirects, no cookies, no proxies, a bound on time and bytes. What an answer means is its reader's
//! business.

#[cfg(feature = "fetch")]
mod get;
mod url;

#[cfg(feature = "fetch")]
pub use get::{FetchError, Fetcher};
pub use url::{InvalidUrl, Url};
