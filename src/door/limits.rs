//! What the doors limit by themselves, before any verb, and how often each limit was met.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::asker::{Asker, OF_EVERYBODY};
use super::refusal::Refusal;

/// What one listener, one caller, one message and one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of one listener.
    pub connections: usize,
    /// Of these, by one caller; by one address while nobody is known.
    pub connections_per_caller: usize,
    /// Requests in flight on one connection, those that their client gave up on included.
    pub requests_per_connection: usize,
    /// Requests in flight for one caller.
    pub requests_per_caller: usize,
    /// Bytes of all messages in flight, at least two of the largest message; one caller has at most half of them.
    pub bytes_in_flight: usize,
    /// The largest message in bytes.
    pub message_bytes: usize,
    /// The deadline of a call that brings none, and the latest that one may bring.
    pub deadline: Duration,
    /// How long an answer may wait for its reader.
    pub answer_patience: Duration,
    /// How long a stream may be without an item.
    pub stream_idle: Duration,
    /// Items of one batch.
    pub batch_items: usize,
}

/// The limits that each new connection and request is held against, what they count, and whom they turned away.
#[derive(Debug)]
pub struct LimitsInForce {
    limits: RwLock<Limits>,
    /// By listener and reason.
    refusals: Mutex<BTreeMap<(String, &'static str), u64>>,
    load: Mutex<Load>,
    reloads: AtomicU64,
}

/// What is in flight.
#[derive(Debug, Default)]
struct Load {
    /// By listener.
    connections: BTreeMap<String, usize>,
    /// By listener and caller.
    connections_by: BTreeMap<(String, String), usize>,
    /// By caller: requests and bytes.
    requests: BTreeMap<String, (usize, usize)>,
    /// By listener: requests for health and reflection.
    of_everybody: BTreeMap<String, usize>,
    bytes: usize,
}

impl LimitsInForce {
    /// Begins with these.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: RwLock::new(limits),
            refusals: Mutex::default(),
            load: Mutex::default(),
            reloads: AtomicU64::new(0),
        }
    }

    /// Now.
    pub fn now(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others, for every later connection and request. The last step of a reload.
    pub fn replace(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        self.reloads.fetch_add(1, Ordering::AcqRel);
    }

    /// How often others were put in force: whoever was known before then is asked again.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Acquire)
    }

    /// Counts somebody who was turned away.
    pub fn count(&self, listener: &str, refusal: Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry((listener.to_owned(), refusal.name())).or_default() += 1;
    }

    /// Who was turned away, by listener and reason.
    pub fn refusals(&self) -> BTreeMap<(String, &'static str), u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Open connections by listener.
    pub fn connections(&self) -> BTreeMap<String, usize> {
        self.load().connections.clone()
    }

    /// Bytes of messages in flight.
    pub fn bytes(&self) -> usize {
        self.load().bytes
    }

    /// A place for a connection; whoever is there already is known by an address or a caller's name.
    pub fn connect(self: &Arc<Self>, listener: &str, who: &str) -> Result<Place, Refusal> {
        let limits = self.now();
        let mut load = self.load();
        if load.connections.get(listener).copied().unwrap_or_default() >= limits.connections {
            return Err(Refusal::Connections);
        }
        load.join(listener, who, limits.connections_per_caller)?;
        *load.connections.entry(listener.to_owned()).or_default() += 1;
        Ok(Place { limits: Arc::clone(self), listener: listener.to_owned(), who: who.to_owned() })
    }

    /// A share for a request.
    pub fn begin(self: &Arc<Self>, asker: Asker, on_connection: &Arc<AtomicUsize>) -> Result<Share, Refusal> {
        let (limits, caller) = (self.now(), asker.name());
        let mut load = self.load();
        if on_connection.load(Ordering::Acquire) >= limits.requests_per_connection {
            return Err(Refusal::RequestsPerConnection);
        }
        let own = load.requests.get(&caller).map_or(0, |(requests, _)| *requests);
        if let Asker::Anybody { listener, .. } = &asker {
            let all = load.of_everybody.entry(listener.clone()).or_default();
            if *all >= OF_EVERYBODY || own >= asker.most_requests(&limits) {
                return Err(Refusal::HealthAndReflection);
            }
            *all += 1;
        } else if own >= asker.most_requests(&limits) {
            return Err(Refusal::RequestsPerCaller);
        }
        load.requests.entry(caller.clone()).or_default().0 += 1;
        on_connection.fetch_add(1, Ordering::AcqRel);
        let on_connection = Arc::clone(on_connection);
        Ok(Share { limits: Arc::clone(self), asker, caller, on_connection, bytes: AtomicUsize::new(0) })
    }

    fn load(&self) -> std::sync::MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    fn join(&mut self, listener: &str, who: &str, most: usize) -> Result<(), Refusal> {
        let count = self.connections_by.entry((listener.to_owned(), who.to_owned())).or_default();
        if *count >= most {
            return Err(Refusal::ConnectionsPerCaller);
        }
        *count += 1;
        Ok(())
    }

    fn leave(&mut self, listener: &str, who: &str) {
        let key = (listener.to_owned(), who.to_owned());
        if let Some(count) = self.connections_by.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.connections_by.remove(&key);
            }
        }
    }
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    limits: Arc<LimitsInForce>,
    listener: String,
    who: String,
}

impl Place {
    /// The handshake told who it is.
    pub fn rename(&mut self, who: String) -> Result<(), Refusal> {
        if who != self.who {
            let most = self.limits.now().connections_per_caller;
            let mut load = self.limits.load();
            load.join(&self.listener, &who, most)?;
            load.leave(&self.listener, &self.who);
            drop(load);
            self.who = who;
        }
        Ok(())
    }

    /// An address, or a caller's name.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// What it is held against.
    pub fn limits(&self) -> &Arc<LimitsInForce> {
        &self.limits
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut load = self.limits.load();
        load.leave(&self.listener, &self.who);
        if let Some(count) = load.connections.get_mut(&self.listener) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A request's share of what is in flight. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    limits: Arc<LimitsInForce>,
    asker: Asker,
    caller: String,
    on_connection: Arc<AtomicUsize>,
    bytes: AtomicUsize,
}

impl Share {
    /// Takes what a message needs, before it is read. A stream holds as much as its largest message.
    pub fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let limits = self.limits.now();
        if bytes > self.asker.most_bytes(&limits) {
            return Err(Refusal::MessageBytes);
        }
        let mut load = self.limits.load();
        let more = bytes.saturating_sub(self.bytes.load(Ordering::Acquire));
        let own = load.requests.get(&self.caller).map_or(0, |(_, bytes)| *bytes);
        // The configuration sees to it that half is enough for any message.
        if own + more > limits.bytes_in_flight / 2 || load.bytes + more > limits.bytes_in_flight {
            return Err(Refusal::BytesInFlight);
        }
        load.bytes += more;
        if let Some((_, bytes)) = load.requests.get_mut(&self.caller) {
            *bytes += more;
        }
        self.bytes.fetch_add(more, Ordering::AcqRel);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.on_connection.fetch_sub(1, Ordering::AcqRel);
        let taken = *self.bytes.get_mut();
        let mut load = self.limits.load();
        load.bytes = load.bytes.saturating_sub(taken);
        if let Some((requests, bytes)) = load.requests.get_mut(&self.caller) {
            *requests = requests.saturating_sub(1);
            *bytes = bytes.saturating_sub(taken);
            if *requests == 0 {
                load.requests.remove(&self.caller);
            }
        }
        if let Asker::Anybody { listener, .. } = &self.asker
            && let Some(all) = load.of_everybody.get_mut(listener)
        {
            *all = all.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Arc<LimitsInForce> {
        Arc::new(LimitsInForce::new(Limits {
            connections: 3,
            connections_per_caller: 2,
            requests_per_connection: 2,
            requests_per_caller: 3,
            bytes_in_flight: 100,
            message_bytes: 40,
            deadline: Duration::from_secs(1),
            answer_patience: Duration::from_secs(1),
            stream_idle: Duration::from_secs(1),
            batch_items: 1,
        }))
    }

    #[test]
    fn places_are_per_listener_and_per_caller_and_come_back() {
        let limits = limits();
        let first = limits.connect("a", "x").unwrap();
        let mut second = limits.connect("a", "x").unwrap();
        assert_eq!(limits.connect("a", "x").unwrap_err(), Refusal::ConnectionsPerCaller);
        second.rename("y".to_owned()).unwrap();
        let third = limits.connect("a", "x").unwrap();
        assert_eq!(limits.connect("a", "z").unwrap_err(), Refusal::Connections);
        assert!(limits.connect("b", "x").is_ok(), "another listener");
        drop((first, second, third));
        assert!(limits.load().connections_by.is_empty());
        assert_eq!(limits.connections().values().sum::<usize>(), 0);
    }

    #[test]
    fn requests_and_bytes_are_shared_and_one_caller_leaves_room_for_others() {
        let limits = limits();
        let (one, other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let begin =
            |caller: &str, connection: &Arc<AtomicUsize>| limits.begin(Asker::Caller(caller.to_owned()), connection);
        let shares = [begin("x", &one).unwrap(), begin("x", &one).unwrap(), begin("x", &other).unwrap()];
        assert_eq!(begin("x", &one).unwrap_err(), Refusal::RequestsPerConnection);
        assert_eq!(begin("x", &other).unwrap_err(), Refusal::RequestsPerCaller);
        assert_eq!(shares[0].take(41), Err(Refusal::MessageBytes));
        assert_eq!((shares[0].take(30), shares[0].take(40), shares[0].take(10)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(limits.bytes(), 40, "the largest message of a stream");
        assert_eq!(shares[1].take(11), Err(Refusal::BytesInFlight), "half is for others");
        let (stranger, third) = (begin("y", &other).unwrap(), begin("z", &Arc::default()).unwrap());
        stranger.take(40).unwrap();
        assert_eq!(third.take(21), Err(Refusal::BytesInFlight));
        drop((shares, stranger, third));
        assert_eq!((limits.bytes(), limits.load().requests.len()), (0, 0));
        assert_eq!(one.load(Ordering::Acquire) + other.load(Ordering::Acquire), 0);
    }
    #[test]
    fn strangers_share_one_share_and_small_messages() {
        let limits = Arc::new(LimitsInForce::new(Limits {
            requests_per_connection: 100,
            bytes_in_flight: 1 << 30,
            message_bytes: 1 << 20,
            ..limits().now()
        }));
        let begin = |asker: Asker| limits.begin(asker, &Arc::default());
        let strangers = || begin(Asker::Strangers("oidc:ci".to_owned()));
        let held = [strangers().unwrap(), strangers().unwrap(), strangers().unwrap()];
        assert_eq!(strangers().unwrap_err(), Refusal::RequestsPerCaller);
        assert!(begin(Asker::Strangers("oidc:other".to_owned())).is_ok());
        assert_eq!((held[0].take(64 << 10), held[1].take((64 << 10) + 1)), (Ok(()), Err(Refusal::MessageBytes)));
        assert_eq!(begin(Asker::Caller("strangers".to_owned())).unwrap().take(1 << 20), Ok(()));
    }

    #[test]
    fn health_and_reflection_have_places_of_their_own_per_peer_and_per_listener() {
        let limits = Arc::new(LimitsInForce::new(Limits { requests_per_connection: 1000, ..limits().now() }));
        let connection = Arc::default();
        let begin = |listener: &str, who: String| {
            limits.begin(Asker::Anybody { listener: listener.to_owned(), who }, &connection)
        };
        let mut held = Vec::new();
        for peer in 0..OF_EVERYBODY / 16 {
            held.extend((0..16).map(|_| begin("a", peer.to_string()).unwrap()));
            assert_eq!(begin("a", peer.to_string()).unwrap_err(), Refusal::HealthAndReflection);
        }
        assert_eq!(begin("a", "new".to_owned()).unwrap_err(), Refusal::HealthAndReflection, "all places are taken");
        assert!(begin("b", "new".to_owned()).is_ok(), "another listener");
        assert!(limits.begin(Asker::Caller("0".to_owned()), &connection).is_ok(), "callers are not concerned");
        drop(held);
        assert!(begin("a", "new".to_owned()).is_ok());
        assert!(limits.load().requests.is_empty());
    }
}
