//! KeyService.

use tonic::{Request, Response, Status};

use super::Door;
use super::present;
use crate::engine::{KeyChange, KeyOrder};
use crate::wire::v1::{self, key_service_server::KeyService};

#[tonic::async_trait]
impl KeyService for Door {
    async fn generate_key(
        &self,
        request: Request<v1::GenerateKeyRequest>,
    ) -> Result<Response<v1::GenerateKeyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::GenerateKeyRequest { repository, roles, keystore, algorithm, new_repository } = request;
            let order = KeyOrder { repository, roles, keystore, algorithm, new_repository };
            let record = door.engine.generate_key(&call, order).await?;
            let unseeded = door.engine.roles_without_guard(&record)?;
            let unseeded = unseeded.into_iter().map(String::from).collect();
            Ok(v1::GenerateKeyResponse { key: Some(present::key(&record)), unseeded })
        })
        .await
    }

    async fn rotate(&self, request: Request<v1::RotateRequest>) -> Result<Response<v1::RotateResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::RotateRequest { repository, role, keystore, algorithm } = request;
            let rotated = door.engine.rotate(&call, &repository, &role, &keystore, &algorithm).await?;
            let key = Some(present::key(&rotated.key));
            Ok(v1::RotateResponse { key, root_change_json: rotated.root_change_json })
        })
        .await
    }

    async fn list_keys(&self, request: Request<v1::ListKeysRequest>) -> Result<Response<v1::ListKeysResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let keys = door.engine.list_keys(&call, &request.repository).await?;
            Ok(v1::ListKeysResponse { keys: keys.iter().map(present::key).collect() })
        })
        .await
    }

    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Result<Response<v1::GetKeyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let record = door.engine.get_key(&call, &request.key).await?;
            Ok(v1::GetKeyResponse { key: Some(present::key(&record)) })
        })
        .await
    }

    async fn retire(&self, request: Request<v1::RetireRequest>) -> Result<Response<v1::RetireResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let KeyChange { key, changed } = door.engine.retire(&call, &request.key).await?;
            Ok(v1::RetireResponse { key: Some(present::key(&key)), changed })
        })
        .await
    }

    async fn destroy(&self, request: Request<v1::DestroyRequest>) -> Result<Response<v1::DestroyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let KeyChange { key, changed } = door.engine.destroy(&call, &request.key).await?;
            Ok(v1::DestroyResponse { key: Some(present::key(&key)), changed })
        })
        .await
    }

    async fn cancel_destroy(
        &self,
        request: Request<v1::CancelDestroyRequest>,
    ) -> Result<Response<v1::CancelDestroyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let change = door.engine.cancel_destroy(&call, &request.key).await?;
            Ok(v1::CancelDestroyResponse { key: Some(present::key(&change.key)) })
        })
        .await
    }
}
