//! `sealward.v1` over gRPC, a file per service.

mod admin;
mod admit;
mod anybody;
mod approvals;
mod audit;
mod body;
mod call;
mod freezes;
mod keys;
mod places;
mod present;
mod root;
mod sign_stream;
mod signing;
mod undecoded;

use std::sync::Arc;

use tonic::service::Routes;

pub use self::anybody::Health;
pub use self::places::InFlight;
use crate::door::limits::LimitsInForce;
use crate::engine::Engine;
use crate::wire::{MESSAGE_LIMIT_BYTES, v1};

/// The door: each service holds one.
#[derive(Clone)]
pub(crate) struct Door {
    engine: Arc<Engine>,
    limits: Arc<LimitsInForce>,
    in_flight: InFlight,
}

/// All services of version 1, for callers, and health and reflection, for anybody.
pub fn routes(
    engine: Arc<Engine>,
    limits: Arc<LimitsInForce>,
    in_flight: InFlight,
    health: Health,
) -> Result<Routes, tonic_reflection::server::Error> {
    // Every body was held against the limits before tonic sees it, under those of the moment (body.rs).
    let bytes = usize::MAX;
    let door = Door { engine: Arc::clone(&engine), limits, in_flight };
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
    let callers = routes.into_axum_router().layer(admit);
    // What belongs to neither is the callers': nobody learns without a name what there is not.
    let anybody = anybody::services(health)?.into_axum_router().reset_fallback();
    Ok(Routes::from(callers.merge(anybody.layer(axum::middleware::from_fn(anybody::admit)))))
}
