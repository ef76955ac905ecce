//! What happened to tokens and to their issuers' keys.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counters; no label comes from a token.
#[derive(Debug, Default)]
pub struct Metrics {
    tokens: Mutex<BTreeMap<(String, &'static str), u64>>,
    fetches: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Metrics {
    /// Tokens by provider (empty where none is known) and result: `accepted`, or the refusal's name.
    pub fn tokens(&self) -> BTreeMap<(String, &'static str), u64> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches of keys by provider and result, `fetched` or `failed`.
    pub fn fetches(&self) -> BTreeMap<(String, &'static str), u64> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_token(&self, provider: &str, result: &'static str) {
        count(&self.tokens, provider, result);
    }

    pub(super) fn count_fetch(&self, provider: &str, result: &'static str) {
        count(&self.fetches, provider, result);
    }
}

fn count(counts: &Mutex<BTreeMap<(String, &'static str), u64>>, provider: &str, result: &'static str) {
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry((provider.to_owned(), result)).or_default() += 1;
}
