//! `sealward.v1` over gRPC, a file per service.

mod admin;
mod admit;
mod approvals;
mod audit;
mod body;
mod call;
mod freezes;
mod keys;
mod present;
mod root;
mod sign_stream;
mod signing;
mod undecoded;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use tonic::service::Routes;

use crate::door::limits::LimitsInForce;
use crate::engine::Engine;
use crate::wire::{MESSAGE_LIMIT_BYTES, v1};

/// The door: each service holds one.
#[derive(Clone)]
pub(crate) struct Door {
    engine: Arc<Engine>,
    limits: Arc<LimitsInForce>,
    in_flight: InFlight,
    streams: Places,
}

/// Requests that are served at once, over all listeners.
const MOST_IN_FLIGHT: usize = 1024;
/// Streams that are open at once, over all listeners: each may sleep, and holds little until it does something.
const MOST_STREAMS: usize = 256;

/// How many requests are being served. A stop waits for them, and not for clients that merely stay connected.
#[derive(Clone, Debug)]
pub struct InFlight {
    places: Places,
    stop: Arc<watch::Sender<bool>>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { places: Places::new(MOST_IN_FLIGHT), stop: Arc::default() }
    }
}

impl InFlight {
    /// Now.
    pub fn count(&self) -> usize {
        self.places.taken.load(Ordering::Acquire)
    }

    /// Ends what would go on for as long as its client likes.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Until [`Self::stop`].
    async fn stopping(&self) {
        // The sender lives as long as we do.
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    /// `None` when too many are being served. A client that hangs up frees its connection at once, and its work not.
    fn enter(&self) -> Option<Entered> {
        self.places.enter()
    }
}

/// As many at once as there are places.
#[derive(Clone, Debug)]
struct Places {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Places {
    fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    fn enter(&self) -> Option<Entered> {
        let entered = (self.taken.fetch_add(1, Ordering::AcqRel) < self.most).then(|| Entered(self.clone()));
        if entered.is_none() {
            self.taken.fetch_sub(1, Ordering::AcqRel);
        }
        entered
    }
}

/// Counts down when it is dropped, also in a panic.
struct Entered(Places);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All services of version 1.
pub fn routes(engine: Arc<Engine>, limits: Arc<LimitsInForce>, in_flight: InFlight) -> Routes {
    // Every body was held against the limits before tonic sees it, under those of the moment (body.rs).
    let bytes = usize::MAX;
    let streams = Places::new(MOST_STREAMS);
    let door = Door { engine: Arc::clone(&engine), limits, in_flight, streams };
    let routes = Routes::new(
        v1::signing_service_server::SigningServiceServer::new(door.clone()).max_decoding_message_size(bytes),
    )
    .add_service(v1::key_service_server::KeyServiceServer::new(door.clone()).max_decoding_message_size(bytes))
    .add_service(
        v1::root_service_server::RootServiceServer::new(door.clone())
            .max_decoding_message_size(bytes)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES),
    )
    .add_service(
        v1::audit_service_server::AuditServiceServer::new(door.clone()).max_encoding_message_size(MESSAGE_LIMIT_BYTES),
    )
    .add_service(
        v1::approval_service_server::ApprovalServiceServer::new(door.clone())
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES),
    )
    .add_service(v1::admin_service_server::AdminServiceServer::new(door));
    let admit = axum::middleware::from_fn_with_state(engine, admit::admit);
    Routes::from(routes.into_axum_router().layer(admit))
}
