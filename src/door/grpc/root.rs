//! RootService.

use tonic::{Request, Response, Status};

use super::Door;
use super::present;
use crate::domain::outcome::{Denial, Reason};
use crate::engine::{NewEpoch, RootUpload};
use crate::wire::v1::{self, root_service_server::RootService};

#[tonic::async_trait]
impl RootService for Door {
    async fn stage_root(
        &self,
        request: Request<v1::StageRootRequest>,
    ) -> Result<Response<v1::StageRootResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::StageRootRequest { repository, file, pin, retire } = request;
            let upload = RootUpload { repository, file: file.to_vec(), pin, retire };
            let change = door.engine.stage_root(&call, upload).await?;
            let state = present::root_state(&change.view.roots, &change.view.keys, door.engine.time());
            Ok(v1::StageRootResponse { state: Some(state), changed: change.changed })
        })
        .await
    }

    async fn publish_root(
        &self,
        request: Request<v1::PublishRootRequest>,
    ) -> Result<Response<v1::PublishRootResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::PublishRootRequest { repository, file, pin, retire } = request;
            let upload = RootUpload { repository, file: file.to_vec(), pin, retire };
            let change = door.engine.publish_root(&call, upload).await?;
            let state = present::root_state(&change.view.roots, &change.view.keys, door.engine.time());
            Ok(v1::PublishRootResponse { state: Some(state), changed: change.changed })
        })
        .await
    }

    async fn withdraw_root(
        &self,
        request: Request<v1::WithdrawRootRequest>,
    ) -> Result<Response<v1::WithdrawRootResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::WithdrawRootRequest { repository, digest } = request;
            let change = door.engine.withdraw_root(&call, &repository, &digest).await?;
            let state = present::root_state(&change.view.roots, &change.view.keys, door.engine.time());
            Ok(v1::WithdrawRootResponse { state: Some(state), changed: change.changed })
        })
        .await
    }

    async fn get_rotation(
        &self,
        request: Request<v1::GetRotationRequest>,
    ) -> Result<Response<v1::GetRotationResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let checklist = door.engine.get_rotation(&call, &request.repository).await?;
            Ok(present::rotation(checklist, request.repository))
        })
        .await
    }

    async fn get_root(&self, request: Request<v1::GetRootRequest>) -> Result<Response<v1::GetRootResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let files = door.engine.get_root(&call, &request.repository).await?;
            Ok(v1::GetRootResponse {
                state: Some(present::root_state(&files.view.roots, &files.view.keys, door.engine.time())),
                trusted_file: files.trusted.unwrap_or_default().into(),
                staged_file: files.staged.unwrap_or_default().into(),
            })
        })
        .await
    }

    async fn seed_guard(
        &self,
        request: Request<v1::SeedGuardRequest>,
    ) -> Result<Response<v1::SeedGuardResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::SeedGuardRequest { repository, role, file, new_repository } = request;
            if new_repository {
                if !role.is_empty() || !file.is_empty() {
                    let detail = "new_repository: all roles begin at 0, so that neither role nor file goes with it";
                    return Err(Denial::new(Reason::Malformed, detail));
                }
                door.engine.begin_repository(&call, &repository).await?;
                return Ok(v1::SeedGuardResponse::default());
            }
            let seeded = door.engine.seed_guard(&call, &repository, &role, file.to_vec()).await?;
            Ok(v1::SeedGuardResponse { version: seeded.version.get(), caution: seeded.caution.to_owned() })
        })
        .await
    }

    async fn recover_guard(
        &self,
        request: Request<v1::RecoverGuardRequest>,
    ) -> Result<Response<v1::RecoverGuardResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::RecoverGuardRequest { repository, role, goes_on_from, by_operators } = request;
            let begun = door.engine.recover_guard(&call, &repository, &role, goes_on_from, by_operators).await?;
            let NewEpoch { epoch, goes_on_from, closed_at, barred } = begun;
            let barred = barred.iter().map(ToString::to_string).collect();
            Ok(v1::RecoverGuardResponse { epoch, goes_on_from, closed_at, barred })
        })
        .await
    }
}
