//! All configured issuers together: from a token to a caller.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::claims;
use super::keys::KeySet;
use super::metrics::Metrics;
use super::provider::Provider;
use super::refusal::Refusal;
use super::settings::{KeySource, ProviderSettings};
use super::token::Unverified;
use crate::domain::caller::Caller;
use crate::domain::time::Instant;
use crate::fetch::Fetcher;

/// Who bearers of tokens are. Providers may be replaced while it serves.
#[derive(Default)]
pub struct Bearers {
    providers: RwLock<Arc<Vec<Arc<Provider>>>>,
    metrics: Arc<Metrics>,
}

/// Providers whose files were read and are good.
pub struct Prepared(Vec<Ready>);

struct Ready {
    settings: ProviderSettings,
    keys: Keys,
}

enum Keys {
    Fetched(Fetcher),
    Read(KeySet),
}

/// A provider's file is not fit for use. Nothing changed; correct the file.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider}: {}: {what}", path.display())]
pub struct PrepareError {
    provider: String,
    path: PathBuf,
    what: String,
}

/// A provider as status and metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The configured name.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// `discovery`, `jwks-url` or `jwks-file`.
    pub source: &'static str,
    /// How many keys verify its tokens now.
    pub keys: usize,
    /// How long ago they were fetched, in seconds; `None` for a file, and before the first fetch.
    pub age: Option<u64>,
    /// Why the newest fetch failed.
    pub failure: Option<String>,
}

/// The largest file of keys or authorities.
const LARGEST_FILE: usize = 1 << 20;

/// Gives the bytes of a file, of some bounded number, or says what is wrong with it.
pub type ReadFile<'r> = &'r dyn Fn(&Path) -> Result<Vec<u8>, String>;

impl Bearers {
    /// Reads what the providers' settings name: authorities and static keys. How a file is read that decides who is who,
    /// the daemon says.
    pub fn prepare(settings: &[ProviderSettings], read: ReadFile<'_>) -> Result<Prepared, PrepareError> {
        settings.iter().map(|settings| ready(settings, read)).collect::<Result<_, _>>().map(Prepared)
    }

    /// Puts providers in the place of those before. Keys that were fetched from the same place stay known until the
    /// first fetch. Must be called inside a tokio runtime.
    pub fn install(&self, prepared: Prepared) {
        let before = self.providers();
        let provider = |Ready { settings, keys }: Ready| {
            let metrics = Arc::clone(&self.metrics);
            match keys {
                Keys::Read(keys) => Provider::with_file(settings, keys, metrics),
                Keys::Fetched(fetcher) => {
                    let known = before.iter().find(|old| old.same_origin(&settings, &fetcher)).map(|old| old.state());
                    Provider::with_origin(settings, fetcher, known, metrics)
                }
            }
        };
        let providers: Vec<_> = prepared.0.into_iter().map(|ready| Arc::new(provider(ready))).collect();
        providers.iter().for_each(Provider::keep_fresh);
        *self.providers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(providers);
    }

    /// Whom a token names, now.
    pub async fn identify(&self, token: &str, now: Instant) -> Result<Caller, Refusal> {
        let mut provider = None;
        let identified = self.verify(token, now, &mut provider).await;
        let name = provider.as_ref().map_or("", |provider| provider.settings.name.as_str());
        self.metrics.count_token(name, identified.as_ref().map_or_else(|refusal| refusal.name(), |_| "accepted"));
        identified
    }

    /// The providers, in the order of the configuration.
    pub fn issuers(&self) -> Vec<Issuer> {
        self.providers().iter().map(|provider| issuer(provider)).collect()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn verify(&self, token: &str, now: Instant, of: &mut Option<Arc<Provider>>) -> Result<Caller, Refusal> {
        let token = Unverified::read(token)?;
        let issuer = token.payload.text("iss").ok_or(Refusal::Incomplete)?;
        let providers = self.providers();
        // Not believed yet: it only says whose keys to try.
        let provider = providers.iter().find(|provider| provider.settings.issuer == issuer).ok_or(Refusal::Issuer)?;
        *of = Some(Arc::clone(provider));
        provider.verify(&token).await?;
        claims::caller(&provider.settings, &token.payload, now)
    }

    fn providers(&self) -> Arc<Vec<Arc<Provider>>> {
        Arc::clone(&self.providers.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn ready(settings: &ProviderSettings, read: ReadFile<'_>) -> Result<Ready, PrepareError> {
    let failed =
        |path: &Path, what: String| PrepareError { provider: settings.name.clone(), path: path.to_owned(), what };
    let read = |path: &Path| {
        let bytes = read(path).map_err(|what| failed(path, what))?;
        if bytes.len() > LARGEST_FILE { Err(failed(path, "larger than 1 MiB".to_owned())) } else { Ok(bytes) }
    };
    let keys = match &settings.keys {
        KeySource::File(path) => Keys::Read(KeySet::read(&read(path)?).map_err(|what| failed(path, what.to_owned()))?),
        KeySource::Discovery(_) | KeySource::Url(_) => {
            let authorities = settings.ca.as_deref().map(read).transpose()?;
            let machine = || PathBuf::from("the certificate authorities of this machine");
            let fetcher = Fetcher::new(authorities.as_deref());
            Keys::Fetched(
                fetcher.map_err(|error| failed(&settings.ca.clone().unwrap_or_else(machine), error.to_string()))?,
            )
        }
    };
    Ok(Ready { settings: settings.clone(), keys })
}

fn issuer(provider: &Provider) -> Issuer {
    let state = provider.state();
    Issuer {
        name: provider.settings.name.clone(),
        issuer: provider.settings.issuer.clone(),
        source: match provider.settings.keys {
            KeySource::Discovery(_) => "discovery",
            KeySource::Url(_) => "jwks-url",
            KeySource::File(_) => "jwks-file",
        },
        keys: state.keys.len(),
        age: state.fetched.map(|at| at.elapsed().as_secs()),
        failure: state.failure,
    }
}
