//! Health and reflection: what anybody is answered who got through a listener's handshake, without being a caller. So
//! there are few places for it, and messages are small.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::body::{ARRIVAL, Expected, Metered, Watched};
use super::call::request_id;
use crate::domain::outcome::Reason;
use crate::door::asker::{ANYBODYS_MESSAGE, Asker};
use crate::door::peer::Peer;
use crate::wire::status::to_status;

/// The service of `grpc.health.v1`.
pub type Health = HealthServer<HealthService>;

/// Both services.
pub(super) fn services(health: Health) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::wire::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Routes::new(health.max_decoding_message_size(ANYBODYS_MESSAGE))
        .add_service(reflection.max_decoding_message_size(ANYBODYS_MESSAGE)))
}

/// Finds a place, which a watch keeps until its answer ends, or ends the request.
pub(super) async fn admit(request: Request, next: Next) -> Response {
    let refused = |reason: Reason, detail: &str| to_status(reason, detail, &request_id()).into_http();
    let (parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().cloned() else {
        return refused(Reason::Unauthenticated, "the connection carries no identity");
    };
    let asker = Asker::Anybody { listener: peer.listener.to_string(), who: peer.who.to_string() };
    let share = match peer.limits.begin(asker, peer.traffic.requests()) {
        Ok(share) => Arc::new(share),
        Err(refusal) => {
            peer.limits.count(&peer.listener, refusal);
            return refused(Reason::OverQuota, &format!("the limit {} is met", refusal.name()));
        }
    };
    // Of the two services only reflection takes a stream.
    let is_stream = parts.uri.path().starts_with("/grpc.reflection.");
    let expected = if is_stream { Expected::Many(Some(ARRIVAL)) } else { Expected::One };
    let (body, _) = Metered::new(body, Arc::clone(&share), peer.clone(), expected);
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    response.map(|body| Body::new(Watched::new(body, &peer, Some(share))))
}
