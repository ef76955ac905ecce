//! A server for the client's tests: the transport is real, the answers are canned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::{Client, Server, TlsFiles};
use crate::wire::v1::admin_service_server::{AdminService, AdminServiceServer};
use crate::wire::v1::key_service_server::{KeyService, KeyServiceServer};
use crate::wire::v1::*;

/// The warnings of a status answer for the n-th call, or a refusal.
type Answer = dyn Fn(usize) -> Result<Vec<String>, Status> + Send + Sync;

pub(super) struct Fake {
    directory: TempDir,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    connections: AtomicUsize,
    deadline: AtomicBool,
}

#[derive(Clone)]
struct Service {
    answer: Option<Arc<Answer>>,
    seen: Arc<Seen>,
}

impl Fake {
    pub(super) async fn answering(
        answer: impl Fn(usize) -> Result<Vec<String>, Status> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(answer))).await
    }

    pub(super) async fn hanging() -> Self {
        Self::start(None).await
    }

    async fn start(answer: Option<Arc<Answer>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let seen = Arc::new(Seen::default());
        let service = Service { answer, seen: Arc::clone(&seen) };
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let counter = Arc::clone(&seen);
        let incoming = UnixListenerStream::new(listener).map(move |connection| {
            counter.connections.fetch_add(1, Ordering::Relaxed);
            connection
        });
        let server = tonic::transport::Server::builder()
            .add_service(AdminServiceServer::new(service.clone()).max_encoding_message_size(usize::MAX))
            .add_service(KeyServiceServer::new(service));
        let task = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { directory, seen, task }
    }

    pub(super) async fn client(&self, timeout: Duration) -> Client {
        let server: Server = format!("unix:{}", self.directory.path().join("s").display()).parse().unwrap();
        Client::connect(&server, &TlsFiles::default(), timeout).await.unwrap()
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::Relaxed)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(super) fn saw_deadline(&self) -> bool {
        self.seen.deadline.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn next<Q>(&self, request: &Request<Q>) -> Result<Vec<String>, Status> {
        if request.metadata().contains_key("grpc-timeout") {
            self.seen.deadline.store(true, Ordering::Relaxed);
        }
        let call = self.seen.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.answer {
            Some(answer) => answer(call),
            None => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        self.next(&request).await.map(|identities| WhoAmIResponse { identities, ..Default::default() }.into())
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.next(&request).await.map(|warnings| StatusResponse { warnings, ..Default::default() }.into())
    }

    async fn freeze(&self, request: Request<FreezeRequest>) -> Result<Response<FreezeResponse>, Status> {
        self.next(&request).await.map(|_| FreezeResponse::default().into())
    }

    async fn reload(&self, request: Request<ReloadRequest>) -> Result<Response<ReloadResponse>, Status> {
        self.next(&request).await.map(|warnings| ReloadResponse { warnings, ..Default::default() }.into())
    }

    async fn thaw(&self, request: Request<ThawRequest>) -> Result<Response<ThawResponse>, Status> {
        self.next(&request).await.map(|_| ThawResponse::default().into())
    }

    async fn resolve_latch(
        &self,
        request: Request<ResolveLatchRequest>,
    ) -> Result<Response<ResolveLatchResponse>, Status> {
        self.next(&request).await.map(|_| ResolveLatchResponse::default().into())
    }
}

#[tonic::async_trait]
impl KeyService for Service {
    async fn generate_key(
        &self,
        request: Request<GenerateKeyRequest>,
    ) -> Result<Response<GenerateKeyResponse>, Status> {
        self.next(&request).await.map(|_| GenerateKeyResponse::default().into())
    }

    async fn rotate(&self, request: Request<RotateRequest>) -> Result<Response<RotateResponse>, Status> {
        self.next(&request).await.map(|_| RotateResponse::default().into())
    }

    async fn list_keys(&self, request: Request<ListKeysRequest>) -> Result<Response<ListKeysResponse>, Status> {
        self.next(&request).await.map(|_| ListKeysResponse::default().into())
    }

    async fn get_key(&self, request: Request<GetKeyRequest>) -> Result<Response<GetKeyResponse>, Status> {
        self.next(&request).await.map(|_| GetKeyResponse::default().into())
    }

    async fn retire(&self, request: Request<RetireRequest>) -> Result<Response<RetireResponse>, Status> {
        self.next(&request).await.map(|_| RetireResponse::default().into())
    }

    async fn destroy(&self, request: Request<DestroyRequest>) -> Result<Response<DestroyResponse>, Status> {
        self.next(&request).await.map(|_| DestroyResponse::default().into())
    }

    async fn cancel_destroy(
        &self,
        request: Request<CancelDestroyRequest>,
    ) -> Result<Response<CancelDestroyResponse>, Status> {
        self.next(&request).await.map(|_| CancelDestroyResponse::default().into())
    }
}
