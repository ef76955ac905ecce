//! The metrics page: what each room counted, in the OpenMetrics text format that Prometheus reads.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::daemon::tokens::Tokens;
use crate::domain::freeze::FreezeScope;
use crate::door::limits::LimitsInForce;
use crate::engine::{BUCKETS, Engine, KeyUse};
use crate::keystore::Condition;

/// The page at this moment.
pub(super) fn render(engine: Arc<Engine>, tokens: Arc<Tokens>, door: Arc<LimitsInForce>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sealward");
    registry.register_collector(Box::new(Page(engine, tokens, door)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Page(Arc<Engine>, Arc<Tokens>, Arc<LimitsInForce>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.requests(&mut encoder)?;
        self.supersedes(&mut encoder)?;
        self.over_quota(&mut encoder)?;
        self.stages(&mut encoder)?;
        self.guards(&mut encoder)?;
        self.keys(&mut encoder)?;
        self.keystores(&mut encoder)?;
        self.tokens(&mut encoder)?;
        self.pending(&mut encoder)?;
        self.door(&mut encoder)?;
        self.ledger(&mut encoder)
    }
}

impl Page {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by verb, role, outcome and reason";
        let mut metric = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for ((verb, role, outcome, reason), count) in self.0.metrics().requests() {
            let labels = [("verb", verb), ("role", role), ("outcome", outcome), ("reason", reason)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn door(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections and requests that a limit of the door turned away, by listener and reason";
        let mut metric = encoder.encode_descriptor("door_refusals", help, None, MetricType::Counter)?;
        for ((listener, reason), count) in self.2.refusals() {
            let labels = [("listener", listener.as_str()), ("reason", reason)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let mut metric = encoder.encode_descriptor("connections", "Open connections", None, MetricType::Gauge)?;
        for (listener, count) in self.2.connections() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(metric.encode_family(&[("listener", listener.as_str())])?)?;
        }
        let metric =
            encoder.encode_descriptor("bytes_in_flight", "Bytes of messages in flight", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.2.bytes()).unwrap_or(i64::MAX)).encode(metric)
    }

    fn supersedes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Payloads that took the place of a released one of the same version, by role";
        let mut metric = encoder.encode_descriptor("supersedes", help, None, MetricType::Counter)?;
        for (role, count) in self.0.metrics().supersedes() {
            ConstCounter::new(count).encode(metric.encode_family(&[("role", role)])?)?;
        }
        Ok(())
    }

    fn over_quota(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests, signatures and leaves of denials beyond a quota";
        let mut metric = encoder.encode_descriptor("over_quota", help, None, MetricType::Counter)?;
        for (quota, count) in self.0.metrics().over_quota() {
            ConstCounter::new(count).encode(metric.encode_family(&[("quota", quota.name())])?)?;
        }
        Ok(())
    }

    fn stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time that requests spent in a stage, in seconds";
        let mut metric = encoder.encode_descriptor("stage_seconds", help, None, MetricType::Histogram)?;
        for (stage, histogram) in self.0.metrics().stages() {
            let (counts, sum) = histogram.read();
            let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let total = counts.iter().sum();
            metric
                .encode_family(&[("stage", stage.name())])?
                .encode_histogram::<NoLabelSet>(sum, total, &buckets, None)?;
        }
        Ok(())
    }

    fn guards(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A ledger that does not read shows in the latch below.
        let guards = self.0.guards().unwrap_or_default();
        let now = self.0.time();
        let help = "Seconds until the newest released metadata of a role expires, negative when past";
        let mut metric = encoder.encode_descriptor("expiry_seconds", help, None, MetricType::Gauge)?;
        for guard in &guards {
            if let Some((_, expires)) = guard.head {
                let labels = [("repository", guard.repository.as_str()), ("role", guard.role.as_str())];
                ConstGauge::new(expires.seconds_since(now)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Newest released version of a role, 0 for none";
        let mut metric = encoder.encode_descriptor("released_version", help, None, MetricType::Gauge)?;
        for guard in &guards {
            let version = guard.head.map_or(0, |(version, _)| i64::try_from(version).unwrap_or(i64::MAX));
            let labels = [("repository", guard.repository.as_str()), ("role", guard.role.as_str())];
            ConstGauge::new(version).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn keys(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let uses = self.0.key_uses().unwrap_or_default();
        let number = |number: u64| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
        let help = "Seconds since a key that signs became active";
        let mut metric = encoder.encode_descriptor("key_age_seconds", help, None, MetricType::Gauge)?;
        for key in &uses {
            number(key.age).encode(metric.encode_family(&key_labels(key, &key.key.to_string()))?)?;
        }
        let help = "Signatures that a key that signs made, over all its roles";
        let mut metric = encoder.encode_descriptor("key_signatures", help, None, MetricType::Gauge)?;
        for key in &uses {
            number(key.signatures).encode(metric.encode_family(&key_labels(key, &key.key.to_string()))?)?;
        }
        let help = "Bounds of a role's keys: of their age in seconds, or of their signatures";
        let mut metric = encoder.encode_descriptor("key_limit", help, None, MetricType::Gauge)?;
        let mut seen = BTreeSet::new();
        for key in &uses {
            if !seen.insert((&key.repository, &key.role)) {
                continue;
            }
            for (of, bounds) in [("age", key.cryptoperiod), ("signatures", key.max_signatures)] {
                for (bound, value) in [("warn", bounds.warn), ("stage", bounds.stage), ("refuse", bounds.refuse)] {
                    let Some(value) = value else { continue };
                    let labels = [
                        ("repository", key.repository.as_str()),
                        ("role", key.role.as_str()),
                        ("of", of),
                        ("bound", bound),
                    ];
                    number(value).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn keystores(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor("keystore_ready", "Whether a keystore signs", None, MetricType::Gauge)?;
        for (name, desk) in &*self.0.desks() {
            let ready = i64::from(desk.keystore().probe() == Condition::Ready);
            ConstGauge::new(ready).encode(metric.encode_family(&[("keystore", name.as_str())])?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "keystore_queue",
            "Requests that wait for a keystore",
            None,
            MetricType::Gauge,
        )?;
        for (name, desk) in &*self.0.desks() {
            let depth = i64::try_from(desk.metrics().queue_depth()).unwrap_or(i64::MAX);
            ConstGauge::new(depth).encode(metric.encode_family(&[("keystore", name.as_str())])?)?;
        }
        let help = "Operations of a keystore by result";
        let mut metric = encoder.encode_descriptor("keystore_operations", help, None, MetricType::Counter)?;
        for (name, desk) in &*self.0.desks() {
            let metrics = desk.metrics();
            let results = [
                ("signed", metrics.signed()),
                ("failed", metrics.failed()),
                ("rejected", metrics.rejected()),
                ("challenged", metrics.challenges()),
            ];
            for (result, count) in results {
                let labels = [("keystore", name.as_str()), ("result", result)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.1.0.metrics();
        let counters = [
            ("tokens", "Bearer tokens by provider and result", metrics.tokens()),
            ("token_key_fetches", "Fetches of token issuers' keys by result", metrics.fetches()),
        ];
        for (name, help, counts) in counters {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((provider, result), count) in counts {
                let labels = [("provider", provider.as_str()), ("result", result)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let issuers = self.1.0.issuers();
        let help = "Keys that verify a provider's tokens";
        let mut metric = encoder.encode_descriptor("token_keys", help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            let keys = i64::try_from(issuer.keys).unwrap_or(i64::MAX);
            ConstGauge::new(keys).encode(metric.encode_family(&[("provider", issuer.name.as_str())])?)?;
        }
        let help = "Seconds since a provider's keys were fetched";
        let mut metric = encoder.encode_descriptor("token_keys_age_seconds", help, None, MetricType::Gauge)?;
        for issuer in &issuers {
            if let Some(age) = issuer.age {
                let age = i64::try_from(age).unwrap_or(i64::MAX);
                ConstGauge::new(age).encode(metric.encode_family(&[("provider", issuer.name.as_str())])?)?;
            }
        }
        Ok(())
    }

    fn pending(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A ledger that does not read shows in the latch below.
        let pending = self.0.ledger().pending().unwrap_or_default();
        let pieces = i64::try_from(pending.len()).unwrap_or(i64::MAX);
        let bytes = pending.iter().fold(0_u64, |bytes, one| bytes.saturating_add(one.length));
        let metric = encoder.encode_descriptor("pending", "What waits for people", None, MetricType::Gauge)?;
        ConstGauge::new(pieces).encode(metric)?;
        let help = "Bytes of what waits for people";
        let metric = encoder.encode_descriptor("pending_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)
    }

    fn ledger(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.0.ledger().metrics();
        let counters = [
            ("ledger_commits", "Durable transactions, one fsync each", &metrics.commits),
            ("ledger_units", "Units of change in them", &metrics.units),
            ("ledger_conflicts", "Units refused because something changed meanwhile", &metrics.conflicts),
        ];
        for (name, help, value) in counters {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value.load(Ordering::Relaxed)).encode(metric)?;
        }
        let size = self.0.ledger().tree_size().unwrap_or(0);
        let metric =
            encoder.encode_descriptor("audit_tree_size", "Leaves of the audit log", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(size).unwrap_or(i64::MAX)).encode(metric)?;
        let mut metric = encoder.encode_descriptor("freezes", "Freezes in force", None, MetricType::Gauge)?;
        let freezes = self.0.freezes();
        for kind in FreezeScope::KINDS {
            let count = freezes.iter().filter(|freeze| freeze.scope.kind() == kind).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(metric.encode_family(&[("scope", kind)])?)?;
        }
        let mut metric = encoder.encode_descriptor("latch", "Latches in force", None, MetricType::Gauge)?;
        for latch in self.0.latches().unwrap_or_default() {
            let labels = [("name", latch.name), ("scope", latch.scope.as_str())];
            ConstGauge::new(1_i64).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn key_labels<'a>(key: &'a KeyUse, name: &'a str) -> [(&'static str, &'a str); 3] {
    [("repository", key.repository.as_str()), ("role", key.role.as_str()), ("key", name)]
}
