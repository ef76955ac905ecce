//! Whose tokens count, for the doors that take them, and what an operator should know of their issuers.

use std::sync::Arc;

use super::DaemonError;
use super::clock::SystemClock;
use super::file;
use crate::config::Configuration;
use crate::domain::caller::Caller;
use crate::door::identity::NoIdentity;
use crate::door::peer;
use crate::engine::Clock as _;
use crate::oidc::{Bearers, Refusal};

/// The configured issuers, under this machine's clock.
pub(super) struct Tokens(pub(super) Bearers);

/// Reads what the configuration names, and begins to fetch keys. Must be called inside the runtime.
pub(super) fn open(configuration: &Configuration) -> Result<Arc<Tokens>, DaemonError> {
    let bearers = Bearers::default();
    bearers.install(Bearers::prepare(&configuration.oidc, &file::bytes)?);
    Ok(Arc::new(Tokens(bearers)))
}

impl Tokens {
    /// What an operator should know: keys that could not be fetched.
    pub(super) fn warnings(&self) -> Vec<String> {
        let failed = self.0.issuers().into_iter().filter_map(|issuer| Some((issuer.failure.clone()?, issuer)));
        let told = failed.map(|(failure, issuer)| {
            let known = match (issuer.keys, issuer.age) {
                (0, _) => "no token of it counts".to_owned(),
                (keys, age) => format!("{keys} of {} seconds ago still count", age.unwrap_or_default()),
            };
            format!("the keys of token provider {} could not be fetched ({failure}); {known}", issuer.name)
        });
        told.collect()
    }
}

#[tonic::async_trait]
impl peer::Bearers for Tokens {
    async fn caller(&self, token: &str, _listener: &str) -> Result<Caller, NoIdentity> {
        self.0.identify(token, SystemClock.now()).await.map_err(|refusal| match refusal {
            Refusal::KeysUnavailable => NoIdentity::Unknowable(refusal.to_string()),
            other => NoIdentity::Token(other.to_string()),
        })
    }
}
