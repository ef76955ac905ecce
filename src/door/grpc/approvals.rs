//! ApprovalService.

use tonic::{Request, Response, Status};

use super::Door;
use super::present;
use crate::wire::v1::{self, approval_service_server::ApprovalService};

/// What an answer holds besides two payloads.
const REST_BYTES: usize = 64 << 10;

#[tonic::async_trait]
impl ApprovalService for Door {
    async fn list_pending(
        &self,
        request: Request<v1::ListPendingRequest>,
    ) -> Result<Response<v1::ListPendingResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let pending = door.engine.list_pending(&call, &request.repository).await?;
            Ok(v1::ListPendingResponse { pending: pending.into_iter().map(present::pending).collect() })
        })
        .await
    }

    async fn get_pending(
        &self,
        request: Request<v1::GetPendingRequest>,
    ) -> Result<Response<v1::GetPendingResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let file = door.engine.get_pending(&call, &request.id).await?;
            let room = door.limits.now().message_bytes.saturating_sub(file.payload.len()).saturating_sub(REST_BYTES);
            // The payload itself always arrives; the one before may not find room beside it.
            let last = file.last.filter(|last| last.len() <= room).unwrap_or_default();
            Ok(v1::GetPendingResponse {
                pending: Some(present::pending(file.waiting)),
                payload: file.payload.into(),
                last_payload: last.into(),
                last_version: file.head.map_or(0, |(version, _)| version.get()),
                last_digest: file.head.map(|(_, digest)| digest.to_string()).unwrap_or_default(),
            })
        })
        .await
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let (waiting, changed) = door.engine.approve(&call, &request.id, &request.digest).await?;
            Ok(v1::ApproveResponse { pending: Some(present::pending(waiting)), changed })
        })
        .await
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Result<Response<v1::RejectResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let (waiting, changed) = door.engine.reject(&call, &request.id, &request.code).await?;
            Ok(v1::RejectResponse { pending: Some(present::pending(waiting)), changed })
        })
        .await
    }
}
