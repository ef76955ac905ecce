//! gRPC without our client: bare frames, health and reflection.

use std::path::PathBuf;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

pub(super) async fn call(socket: PathBuf, path: &str, body: Vec<u8>) -> Option<i32> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(hyper::body::Bytes::from(body)))
        .unwrap();
    let response = sender.send_request(request).await.ok()?;
    let number = |headers: &hyper::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    let in_headers = number(response.headers());
    let trailers = response.into_body().collect().await.ok()?.trailers().cloned();
    connection.abort();
    in_headers.or_else(|| trailers.as_ref().and_then(number))
}

pub(super) async fn health(socket: PathBuf, service: &str) -> Option<i32> {
    let mut client = HealthClient::new(channel(socket).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.ok().map(|answer| answer.into_inner().status)
}

pub(super) async fn reflected(socket: PathBuf) -> Vec<String> {
    let mut client = ServerReflectionClient::new(channel(socket).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    match answers.message().await.unwrap().unwrap().message_response.unwrap() {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|service| service.name).collect(),
        other => panic!("{other:?}"),
    }
}

/// A channel that takes no more of any answer than the least that HTTP/2 allows to begin with.
pub(super) async fn narrow_channel(socket: PathBuf) -> Channel {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535).connect().await.unwrap()
}

async fn channel(socket: PathBuf) -> Channel {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect().await.unwrap()
}
