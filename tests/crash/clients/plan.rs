//! What a client does next: mostly what a TUF server would do, and all that a stolen one would try.

use sealward::domain::name::Sha256Digest;
use sealward::domain::signature::Encoding;

use super::{Head, Heads, Keys};
use crate::journal::Ask;
use crate::random::Random;
use crate::support::{in_seconds, snapshot, targets, timestamp};

/// The default of `law.md` 3.3.
const MAX_VERSION_STEP: u64 = 10;

/// One thing to do.
pub(super) enum Plan {
    /// One payload, or several in a batch.
    Sign(Vec<Ask>),
    /// Two requests on two connections at once.
    SignTwice(Vec<Ask>, Vec<Ask>),
    Checkpoint,
    Tree,
    Explain(Ask),
}

/// Makes plans, and numbers requests.
pub(super) struct Planner {
    name: String,
    keys: Keys,
    random: Random,
    asked: u64,
}

/// A request for these bytes.
pub(crate) fn ask(id: &str, repository: &str, role: &str, version: u64, payload: String) -> Ask {
    let digest = Sha256Digest::of(payload.as_bytes()).to_string();
    let (id, repository, role) = (id.to_owned(), repository.to_owned(), role.to_owned());
    Ask { id, item: 0, repository, role, version, digest, payload, encoding: Encoding::Der, key: None }
}

impl Planner {
    pub(super) fn new(name: &str, keys: Keys, random: Random) -> Self {
        Self { name: name.to_owned(), keys, random, asked: 0 }
    }

    pub(super) fn next(&mut self, heads: &Heads) -> Plan {
        let guards: Vec<_> = heads.values().collect();
        let head = self.random.pick(&guards).newest.clone();
        let next = head.version + 1;
        if head.key.is_some() && self.random.percent(30) {
            // What one key released, every key: the others cosign.
            return Plan::Sign(self.again(&[Ask { key: None, ..head }]));
        }
        match self.random.below(100) {
            0..30 => {
                let version = if self.random.percent(80) { next } else { next + self.random.below(3) };
                Plan::Sign(vec![self.payload(heads, &head, version)])
            }
            30..50 => {
                let version = if self.random.percent(70) { next } else { head.version };
                Plan::SignTwice(vec![self.payload(heads, &head, version)], vec![self.payload(heads, &head, version)])
            }
            50..60 => {
                let [one, two] = [(); 2].map(|()| Ask { key: self.key(&head), ..head.clone() });
                Plan::SignTwice(self.again(&[one]), self.again(&[two]))
            }
            60..68 => {
                let version = 1 + self.random.below(head.version);
                Plan::Sign(vec![self.payload(heads, &head, version)])
            }
            68..80 => Plan::Sign(self.publication(heads, &head.repository)),
            80..88 => Plan::Sign(self.contradicting_batch(heads, &head)),
            88..92 => {
                let version = next + MAX_VERSION_STEP + self.random.below(1000);
                Plan::Sign(vec![self.payload(heads, &head, version)])
            }
            92..96 => Plan::Checkpoint,
            96..98 => Plan::Tree,
            _ => Plan::Explain(self.payload(heads, &head, next)),
        }
    }

    /// The same bytes as a request of its own, perhaps in the other encoding.
    pub(super) fn again(&mut self, asks: &[Ask]) -> Vec<Ask> {
        let mut asks = asks.to_vec();
        let encoding = if self.random.percent(50) { Encoding::Der } else { Encoding::Raw };
        let id = self.id();
        for ask in &mut asks {
            ask.id.clone_from(&id);
            ask.encoding = encoding;
        }
        asks
    }

    /// Targets, a snapshot of them, a timestamp of that.
    fn publication(&mut self, heads: &Heads, repository: &str) -> Vec<Ask> {
        let newest = |role: &str| heads.get(&name(repository, role)).map_or(0, |head| head.newest.version);
        let [timestamp_version, snapshot_version, targets_version] =
            ["timestamp", "snapshot", "targets"].map(|role| newest(role) + 1);
        let payloads = [
            ("targets", targets_version, targets(targets_version, &self.expires())),
            ("snapshot", snapshot_version, snapshot(snapshot_version, targets_version, &[], &self.expires())),
            ("timestamp", timestamp_version, timestamp(timestamp_version, snapshot_version, &self.expires())),
        ];
        let id = self.id();
        numbered(payloads.map(|(role, version, payload)| ask(&id, repository, role, version, payload)).to_vec())
    }

    /// A version, its contradiction, itself again, its successor, and back.
    fn contradicting_batch(&mut self, heads: &Heads, head: &Ask) -> Vec<Ask> {
        let next = head.version + 1;
        let [first, contradiction, successor, back] =
            [next, next, next + 1, next].map(|version| self.payload(heads, head, version));
        let again = Ask { key: self.key(head), ..first.clone() };
        numbered(vec![first, contradiction, again, successor, back])
    }

    /// Bytes that nobody asked for before, of some version.
    fn payload(&mut self, heads: &Heads, head: &Ask, version: u64) -> Ask {
        let Ask { repository, role, .. } = head;
        let expires = self.expires();
        let payload = match role.as_str() {
            "timestamp" => timestamp(version, listable(heads, head, "snapshot"), &expires),
            "snapshot" => snapshot(version, listable(heads, head, "targets"), &[], &expires),
            _ => targets(version, &expires),
        };
        let id = self.id();
        Ask { key: self.key(head), ..ask(&id, repository, role, version, payload) }
    }

    /// Mostly all of the role's keys; sometimes one, so that the others cosign later.
    fn key(&mut self, ask: &Ask) -> Option<String> {
        let keys = self.keys.get(&name(&ask.repository, &ask.role)).filter(|keys| keys.len() > 1)?;
        let one = self.random.percent(40);
        one.then(|| self.random.pick(keys).clone())
    }

    /// Within the limit of every role; a difference of one second is another payload.
    fn expires(&mut self) -> String {
        in_seconds(3600 + i64::try_from(self.random.below(500_000)).unwrap())
    }

    fn id(&mut self) -> String {
        self.asked += 1;
        format!("{}/{}", self.name, self.asked)
    }
}

/// One batch: one request, items in order.
fn numbered(mut asks: Vec<Ask>) -> Vec<Ask> {
    let id = asks[0].id.clone();
    for (item, ask) in asks.iter_mut().enumerate() {
        ask.id.clone_from(&id);
        ask.item = item;
    }
    asks
}

/// The newest version of the listed role that is within the bound of what the head lists.
fn listable(heads: &Heads, head: &Ask, role: &str) -> u64 {
    let payload: serde_json::Value = serde_json::from_str(&head.payload).unwrap();
    let before = payload["meta"][format!("{role}.json")]["version"].as_u64().unwrap();
    let within = |listed: &Head| listed.versions.range(..=before + MAX_VERSION_STEP).next_back().copied();
    heads.get(&name(&head.repository, role)).and_then(within).unwrap_or(before)
}

fn name(repository: &str, role: &str) -> (String, String) {
    (repository.to_owned(), role.to_owned())
}
