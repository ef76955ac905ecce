//! SigningService.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::Door;
use super::present;
use super::sign_stream::Answers;
use crate::domain::outcome::{Denial, Reason};
use crate::engine::{ReleasedQuery, SignItem};
use crate::wire::v1::{self, signing_service_server::SigningService};

#[tonic::async_trait]
impl SigningService for Door {
    async fn sign(&self, request: Request<v1::SignRequest>) -> Result<Response<v1::SignResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let signed = door.engine.sign(&call, item(request)).await?;
            Ok(present::signed(signed, &call.request))
        })
        .await
    }

    async fn sign_batch(
        &self,
        request: Request<v1::SignBatchRequest>,
    ) -> Result<Response<v1::SignBatchResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let most = door.limits.now().batch_items;
            if request.items.len() > most {
                let detail = format!("items: {}, at most {most} in one batch", request.items.len());
                return Err(Denial::new(Reason::Malformed, detail));
            }
            let results = door.engine.sign_batch(&call, request.items.into_iter().map(item).collect()).await;
            let result = |result| match result {
                Ok(signed) => v1::sign_batch_result::Result::Response(present::signed(signed, &call.request)),
                Err(denial) => v1::sign_batch_result::Result::Refusal(v1::Refusal::from(denial)),
            };
            let results = results.into_iter().map(|one| v1::SignBatchResult { result: Some(result(one)) }).collect();
            Ok(v1::SignBatchResponse { results })
        })
        .await
    }

    type SignStreamStream = Answers;

    async fn sign_stream(
        &self,
        request: Request<Streaming<v1::SignStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        self.open_stream(request).await
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let request = request.request.ok_or_else(|| Denial::new(Reason::Malformed, "request: is missing"))?;
            Ok(present::explanation(door.engine.explain(&call, item(request)).await?))
        })
        .await
    }

    async fn get_released(
        &self,
        request: Request<v1::GetReleasedRequest>,
    ) -> Result<Response<v1::GetReleasedResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let v1::GetReleasedRequest { repository, role, version, epoch } = request;
            let query = ReleasedQuery { repository, role, version, epoch };
            Ok(present::released(door.engine.get_released(&call, query).await?))
        })
        .await
    }

    async fn get_public_key(
        &self,
        request: Request<v1::GetPublicKeyRequest>,
    ) -> Result<Response<v1::GetPublicKeyResponse>, Status> {
        self.serve(request, |door, call, request| async move {
            let record = door.engine.get_key(&call, &request.key).await?;
            Ok(v1::GetPublicKeyResponse { public_key: Some(present::public_key(&record.public_key)) })
        })
        .await
    }
}

pub(super) fn item(request: v1::SignRequest) -> SignItem {
    let encoding = request.encoding();
    let v1::SignRequest { repository, role, key, payload, encoding: _, tuf_key_id, snapshot_file } = request;
    let given = |text: String| (!text.is_empty()).then_some(text);
    SignItem {
        repository,
        role,
        key: given(key),
        payload: Arc::from(payload.as_ref()),
        encoding: encoding.into(),
        tuf_key_id: given(tuf_key_id),
        snapshot_file: (!snapshot_file.is_empty()).then(|| snapshot_file.to_vec()),
    }
}
