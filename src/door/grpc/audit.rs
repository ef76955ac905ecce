//! AuditService.

use tonic::{Request, Response, Status};

use super::Door;
use crate::wire::v1::{self, audit_service_server::AuditService};

#[tonic::async_trait]
impl AuditService for Door {
    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        self.serve(request, |door, call, _| async move {
            let checkpoint = door.engine.get_checkpoint(&call).await?;
            Ok(v1::GetCheckpointResponse { checkpoint, verifier_key: door.engine.verifier_key().to_owned() })
        })
        .await
    }

    async fn list_leaves(
        &self,
        request: Request<v1::ListLeavesRequest>,
    ) -> Result<Response<v1::ListLeavesResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let leaves = door.engine.list_leaves(&call, request.start, request.limit).await?;
            let bytes = leaves.leaves.into_iter().map(Into::into).collect();
            Ok(v1::ListLeavesResponse { leaves: bytes, tree_size: leaves.tree_size })
        })
        .await
    }

    async fn prove_inclusion(
        &self,
        request: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::ProveInclusionResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let proof = door.engine.prove_inclusion(&call, request.index, request.tree_size).await?;
            Ok(v1::ProveInclusionResponse {
                hashes: hashes(proof.hashes),
                leaf_hash: proof.leaf_hash.to_vec().into(),
                tree_size: proof.tree_size,
                root_hash: proof.root.to_vec().into(),
            })
        })
        .await
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let proof = door.engine.prove_consistency(&call, request.old_size, request.new_size).await?;
            Ok(v1::ProveConsistencyResponse {
                hashes: hashes(proof.hashes),
                old_root: proof.old_root.to_vec().into(),
                new_root: proof.new_root.to_vec().into(),
                new_size: proof.new_size,
            })
        })
        .await
    }
}

fn hashes<B: From<Vec<u8>>>(hashes: Vec<[u8; 32]>) -> Vec<B> {
    hashes.into_iter().map(|hash| B::from(hash.to_vec())).collect()
}
