//! The other end of a connection: the listener that it came through, and what it proved. Who asks is found per request.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::identity::NoIdentity;
use super::limits::LimitsInForce;
use super::traffic::Traffic;
use crate::domain::caller::Caller;

/// Verifies the tokens that requests bring.
#[tonic::async_trait]
pub trait Bearers: Send + Sync {
    /// Whom a token names, now. The token is the text after `Bearer`; it may be hostile, and it is a secret: no error
    /// shows it. The listener is the one by whose configured name the request came in.
    async fn caller(&self, token: &str, listener: &str) -> Result<Caller, NoIdentity>;
}

/// Whether what a peer proved when it connected still counts.
pub trait Standing: Send + Sync {
    /// Asked for each request: authorities, revocation and deny-lists change while a connection is open, and time passes.
    fn check(&self) -> Result<(), NoIdentity>;
}

/// What a peer proved when it connected.
#[derive(Clone)]
pub enum Proof {
    /// The kernel's word.
    Unix(Caller),
    /// A certificate that TLS verified.
    Certificate {
        /// Whom it names, or why it names nobody.
        holder: Result<Caller, NoIdentity>,
        /// Whether it still counts.
        standing: Arc<dyn Standing>,
    },
    /// Nothing: each request brings a token.
    Bearer(Arc<dyn Bearers>),
}

impl Proof {
    /// The caller, where the connection tells.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Unix(caller) | Self::Certificate { holder: Ok(caller), .. } => Some(caller),
            Self::Certificate { .. } | Self::Bearer(_) => None,
        }
    }
}

/// What a connection knows of its peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The listener's configured name.
    pub listener: Arc<str>,
    /// What its connection is counted as: an address, or a caller's name.
    pub who: Arc<str>,
    /// What the peer proved.
    pub proof: Proof,
    /// What it is held against.
    pub limits: Arc<LimitsInForce>,
    /// What it has in flight.
    pub traffic: Arc<Traffic>,
}

impl Peer {
    /// Who asks, by the connection and, where that proves nothing, by the request's headers. One kind of proof per
    /// listener: a token that comes over another kind of connection is not looked at.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, NoIdentity> {
        match &self.proof {
            Proof::Unix(caller) => Ok(caller.clone()),
            Proof::Certificate { holder, standing } => {
                standing.check()?;
                holder.clone()
            }
            Proof::Bearer(bearers) => bearers.caller(token(headers)?, &self.listener).await,
        }
    }
}

/// The one token of a request (RFC 6750, section 2.1).
fn token(headers: &HeaderMap) -> Result<&str, NoIdentity> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(NoIdentity::NoToken)?;
    if values.next().is_some() {
        return Err(NoIdentity::Token("the request brings more than one".to_owned()));
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(NoIdentity::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(NoIdentity::NoToken);
    }
    Ok(token)
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(caller) => f.debug_tuple("Unix").field(caller).finish(),
            Self::Certificate { holder, .. } => f.debug_tuple("Certificate").field(holder).finish(),
            Self::Bearer(_) => f.write_str("Bearer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn one_bearer_token_is_taken_and_nothing_else() {
        assert_eq!(token(&headers(&["Bearer abc"])), Ok("abc"));
        assert_eq!(token(&headers(&["bearer abc"])), Ok("abc"));
        for none in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer "]] {
            assert_eq!(token(&headers(none)), Err(NoIdentity::NoToken), "{none:?}");
        }
        assert!(matches!(token(&headers(&["Bearer a", "Bearer b"])), Err(NoIdentity::Token(_))));
    }
}
