//! One issuer: its keys, and how they are kept fresh.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::json::Json;
use super::keys::{Found, KeySet};
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::settings::{KeySource, ProviderSettings, SignatureAlgorithm};
use super::token::Unverified;
use crate::fetch::{Fetcher, Url};

/// How often keys are fetched without a cause: so long a key that its issuer withdrew still counts.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// How long keys count that cannot be fetched anew. Whoever stands between us and the issuer decides whether we hear that
/// it withdrew one.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// After a failure.
const RETRY: Duration = Duration::from_secs(30);
/// How often a key id that nobody knows makes us ask again. Anybody can invent one.
const UNKNOWN_KEY: Duration = Duration::from_secs(30);
/// How long one request waits for a fetch, its own or another's.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) struct Provider {
    pub(super) settings: ProviderSettings,
    /// Where keys come from over the network; `None` when a file has them.
    origin: Option<(Fetcher, KeySource)>,
    state: RwLock<State>,
    /// Held while keys are fetched. When a key that nobody knew made us ask last.
    asked: Arc<Mutex<Option<Instant>>>,
    metrics: Arc<Metrics>,
}

/// What is known of the keys.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) keys: Arc<KeySet>,
    /// When these keys were fetched.
    pub(super) fetched: Option<Instant>,
    /// Why the newest fetch failed. The keys of an earlier one stay.
    pub(super) failure: Option<String>,
}

impl Provider {
    /// With keys that do not change.
    pub(super) fn with_file(settings: ProviderSettings, keys: KeySet, metrics: Arc<Metrics>) -> Self {
        let state = State { keys: Arc::new(keys), ..State::default() };
        Self { settings, origin: None, state: RwLock::new(state), asked: Arc::default(), metrics }
    }

    /// With keys that are fetched from `settings.keys`, and those that were fetched before.
    pub(super) fn with_origin(
        settings: ProviderSettings,
        fetcher: Fetcher,
        before: Option<State>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let origin = Some((fetcher, settings.keys.clone()));
        Self { settings, origin, state: RwLock::new(before.unwrap_or_default()), asked: Arc::default(), metrics }
    }

    /// Without keys that are too old.
    pub(super) fn state(&self) -> State {
        let mut state = self.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        if state.fetched.is_some_and(|at| at.elapsed() >= FORGOTTEN) {
            state.keys = Arc::default();
        }
        state
    }

    /// Whether the other's keys would come from the same place: the settings, and the authorities that were read.
    pub(super) fn same_origin(&self, settings: &ProviderSettings, fetcher: &Fetcher) -> bool {
        let Some((own, source)) = &self.origin else { return false };
        self.settings.issuer == settings.issuer
            && *source == settings.keys
            && own.authorities() == fetcher.authorities()
    }

    /// Fetches now and then for as long as somebody holds the provider.
    pub(super) fn keep_fresh(self: &Arc<Self>) {
        if self.origin.is_some() {
            tokio::spawn(keep_fresh(Arc::downgrade(self)));
        }
    }

    /// Whether the token's signature is one of this issuer's.
    pub(super) async fn verify(self: &Arc<Self>, token: &Unverified<'_>) -> Result<(), Refusal> {
        let pinned = self.settings.algorithms.iter().find(|algorithm| algorithm.name() == token.algorithm);
        let algorithm = *pinned.ok_or(Refusal::Algorithm)?;
        if self.origin.is_some() && !self.knows(&token.key_id, algorithm) {
            // Whoever waits too long is told what is known then.
            let _ = timeout(PATIENCE, self.ask_for(&token.key_id, algorithm)).await;
        }
        self.find(token, algorithm)
    }

    fn knows(&self, key_id: &str, algorithm: SignatureAlgorithm) -> bool {
        self.state().keys.find(key_id, algorithm) != Found::Nothing
    }

    fn find(&self, token: &Unverified<'_>, algorithm: SignatureAlgorithm) -> Result<(), Refusal> {
        let state = self.state();
        match state.keys.find(&token.key_id, algorithm) {
            Found::Key(key) => key.verify(algorithm, token.signed, &token.signature),
            Found::OtherAlgorithm => Err(Refusal::Algorithm),
            Found::Nothing if state.failure.is_some() || state.keys.len() == 0 => Err(Refusal::KeysUnavailable),
            Found::Nothing => Err(Refusal::UnknownKey),
        }
    }

    /// Fetches the keys because of one that nobody knows, unless that was done a moment ago.
    async fn ask_for(self: &Arc<Self>, key_id: &str, algorithm: SignatureAlgorithm) {
        let mut asked = Arc::clone(&self.asked).lock_owned().await;
        if self.knows(key_id, algorithm) || asked.is_some_and(|last| last.elapsed() < UNKNOWN_KEY) {
            return;
        }
        *asked = Some(Instant::now());
        let provider = Arc::clone(self);
        // A task of its own: a bearer who hangs up must not end what others wait for.
        let fetched = tokio::spawn(async move {
            provider.fetch().await;
            drop(asked);
        });
        if let Err(error) = fetched.await {
            tracing::error!(provider = %self.settings.name, %error, "the fetch of keys panicked");
        }
    }

    /// The caller holds `asked`.
    async fn fetch(&self) -> bool {
        let Some((fetcher, source)) = &self.origin else { return true };
        let fetched = self.fetch_from(fetcher, source).await;
        let name = self.settings.name.as_str();
        self.metrics.count_fetch(name, if fetched.is_ok() { "fetched" } else { "failed" });
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                tracing::debug!(provider = name, keys = keys.len(), "keys were fetched");
                *state = State { keys: Arc::new(keys), fetched: Some(Instant::now()), failure: None };
                true
            }
            Err(cause) => {
                tracing::warn!(provider = name, %cause, keys = state.keys.len(), "keys could not be fetched; those known before stay for 24 hours");
                state.failure = Some(cause);
                false
            }
        }
    }

    async fn fetch_from(&self, fetcher: &Fetcher, source: &KeySource) -> Result<KeySet, String> {
        let url = match source {
            KeySource::Discovery(url) => {
                let document = fetcher.get(url, None).await.map_err(|error| error.to_string())?;
                discovered(&document, &self.settings.issuer)?
            }
            KeySource::Url(url) => url.clone(),
            KeySource::File(_) => return Err("the keys are in a file".to_owned()),
        };
        let body = fetcher.get(&url, None).await.map_err(|error| error.to_string())?;
        KeySet::read(&body).map_err(|what| format!("the key set of {}: {what}", url.authority()))
    }
}

async fn keep_fresh(provider: Weak<Provider>) {
    loop {
        let Some(provider) = provider.upgrade() else { return };
        let asked = provider.asked.lock().await;
        let pause = if provider.fetch().await { REFRESH } else { RETRY };
        drop(asked);
        drop(provider);
        sleep(pause).await;
    }
}

/// The address of the keys. A document of another issuer is not looked at (OpenID Connect Discovery 1.0, section 4.3).
fn discovered(document: &[u8], issuer: &str) -> Result<Url, String> {
    let json = Json::read(document).ok_or("the discovery document is no JSON, or a member stands twice")?;
    if json.text("issuer") != Some(issuer) {
        return Err("the discovery document is of another issuer".to_owned());
    }
    let uri = json.text("jwks_uri").ok_or("the discovery document has no jwks_uri")?;
    Url::parse(uri).map_err(|_| "the jwks_uri of the discovery document is no https address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_were_not_fetched_for_a_day_are_forgotten() {
        let url = Url::parse("https://127.0.0.1:1/keys").unwrap();
        let settings = ProviderSettings {
            name: "ci".into(),
            issuer: "https://issuer.example".into(),
            audiences: vec!["us".into()],
            algorithms: SignatureAlgorithm::DEFAULT.to_vec(),
            keys: KeySource::Url(url),
            ca: None,
            clock_skew: 60,
            max_token_lifetime: 3600,
            identities: vec![],
        };
        let keys =
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = Arc::new(KeySet::read(keys).unwrap());
        assert_eq!(keys.len(), 1);
        let authority = rcgen::generate_simple_self_signed(vec!["issuer.example".into()]).unwrap().cert.pem();
        let fetcher = || Fetcher::new(Some(authority.as_bytes())).unwrap();
        let minute = Duration::from_secs(60);
        for (age, known) in [(FORGOTTEN - minute, 1), (FORGOTTEN + minute, 0)] {
            let fetched = Instant::now().checked_sub(age);
            let before = State { keys: Arc::clone(&keys), fetched, failure: None };
            assert!(before.fetched.is_some());
            let provider = Provider::with_origin(settings.clone(), fetcher(), Some(before), Arc::default());
            let state = provider.state();
            assert_eq!((state.keys.len(), state.fetched), (known, fetched));
            assert_eq!(provider.knows("k", SignatureAlgorithm::EdDsa), known == 1);
        }
        let provider = Provider::with_origin(settings.clone(), fetcher(), None, Arc::default());
        assert!(provider.same_origin(&settings, &fetcher()));
        let other = rcgen::generate_simple_self_signed(vec!["issuer.example".into()]).unwrap().cert.pem();
        let other = Fetcher::new(Some(other.as_bytes())).unwrap();
        assert!(!provider.same_origin(&settings, &other), "the same file with other authorities");
    }

    #[test]
    fn only_the_issuers_own_document_tells_where_its_keys_are() {
        let issuer = "https://issuer.example";
        let of = |document: &str| discovered(document.as_bytes(), issuer).map(|url| url.to_string());
        let good = r#"{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/k"}"#;
        assert_eq!(of(good).as_deref(), Ok("https://keys.example/k"));
        for bad in [
            good.replace("//issuer", "//other"),
            good.replace("https://issuer.example", "https://issuer.example/"),
            good.replace("https://keys", "http://keys"),
            good.replace("https://keys.example/k", "file:///etc/passwd"),
            good.replace("jwks_uri", "jwks"),
            good.replace('}', r#","issuer":"https://issuer.example"}"#),
            String::new(),
        ] {
            assert!(of(&bad).is_err(), "{bad}");
        }
    }
}
