//! `sealward.v1` over gRPC, a file per service.

mod admin;
mod audit;
mod call;
mod freezes;
mod keys;
mod present;
mod root;
mod signing;
mod undecoded;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::service::Routes;

use crate::engine::Engine;
use crate::wire::v1;

/// What the door limits by itself, before any verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message in bytes.
    pub message_bytes: usize,
    /// The deadline of a call that brings none, and the latest that one may bring.
    pub deadline: Duration,
    /// Items of one batch.
    pub batch_items: usize,
}

/// The door: each service holds one.
#[derive(Clone)]
pub(crate) struct Door {
    engine: Arc<Engine>,
    limits: Limits,
    in_flight: InFlight,
}

/// Requests that are served at once, over all listeners.
const MOST_IN_FLIGHT: usize = 1024;

/// How many requests are being served. A stop waits for them, and not for clients that merely stay connected.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// Now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// `None` when too many are being served. A client that hangs up frees its connection at once, and its work not.
    fn enter(&self) -> Option<Entered> {
        let entered = (self.0.fetch_add(1, Ordering::AcqRel) < MOST_IN_FLIGHT).then(|| Entered(self.clone()));
        if entered.is_none() {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
        entered
    }
}

/// Counts down when it is dropped, also in a panic.
struct Entered(InFlight);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All services of version 1.
pub fn routes(engine: Arc<Engine>, limits: Limits, in_flight: InFlight) -> Routes {
    let door = Door { engine: Arc::clone(&engine), limits, in_flight };
    let bytes = limits.message_bytes;
    let routes = Routes::new(
        v1::signing_service_server::SigningServiceServer::new(door.clone()).max_decoding_message_size(bytes),
    )
    .add_service(v1::key_service_server::KeyServiceServer::new(door.clone()).max_decoding_message_size(bytes))
    .add_service(
        v1::root_service_server::RootServiceServer::new(door.clone())
            .max_decoding_message_size(bytes)
            .max_encoding_message_size(bytes),
    )
    .add_service(v1::audit_service_server::AuditServiceServer::new(door.clone()).max_encoding_message_size(bytes))
    .add_service(v1::admin_service_server::AdminServiceServer::new(door));
    let name = axum::middleware::from_fn_with_state(engine, undecoded::name);
    Routes::from(routes.into_axum_router().layer(name))
}
