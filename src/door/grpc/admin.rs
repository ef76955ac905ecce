//! AdminService.

use tonic::{Request, Response, Status};

use super::{Door, freezes, present};
use crate::engine::{LatchOrder, Reloaded, Thawed};
use crate::wire::v1::{self, admin_service_server::AdminService};

#[tonic::async_trait]
impl AdminService for Door {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        self.serve(request, |door, call, _| async move {
            let identity = door.engine.who_am_i(&call).await?;
            Ok(v1::WhoAmIResponse {
                caller: identity.caller,
                identities: identity.identities,
                grants: identity.grants.iter().map(present::grant).collect(),
            })
        })
        .await
    }

    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        self.serve(request, |door, call, _| async move {
            let status = door.engine.status(&call).await?;
            Ok(present::status(status, door.engine.verifier_key(), door.engine.time()))
        })
        .await
    }

    async fn freeze(&self, request: Request<v1::FreezeRequest>) -> Result<Response<v1::FreezeResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::FreezeRequest { scope, reason_code } = request;
            let (freeze, changed) = door.engine.freeze(&call, freezes::order(scope)?, &reason_code).await?;
            Ok(v1::FreezeResponse { freeze: Some(freezes::present(&freeze)), changed })
        })
        .await
    }

    async fn thaw(&self, request: Request<v1::ThawRequest>) -> Result<Response<v1::ThawResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let Thawed { changed, covering, others } = door.engine.thaw(&call, freezes::order(request.scope)?).await?;
            let covering = covering.iter().map(freezes::present).collect();
            Ok(v1::ThawResponse { changed, covering, others: others.try_into().unwrap_or(u32::MAX) })
        })
        .await
    }

    async fn resolve_latch(
        &self,
        request: Request<v1::ResolveLatchRequest>,
    ) -> Result<Response<v1::ResolveLatchResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::ResolveLatchRequest { name, repository, keep, keystore } = request;
            let latches = door.engine.resolve_latch(&call, LatchOrder { name, repository, keep, keystore }).await?;
            Ok(v1::ResolveLatchResponse { latches: latches.into_iter().map(present::latch).collect() })
        })
        .await
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Result<Response<v1::ReloadResponse>, Status> {
        self.serve(request, |door, call, _| async move {
            let Reloaded { digest, problems, warnings } = door.engine.reload(&call).await?;
            let sha256 = digest.to_string();
            Ok(v1::ReloadResponse { in_force: problems.is_empty(), sha256, problems, warnings })
        })
        .await
    }
}
