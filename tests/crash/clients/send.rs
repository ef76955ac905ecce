//! One call, and what a log says of its answer.

use sealward::client::messages::{
    Refusal, SignBatchRequest, SignBatchResult, SignRequest, SignResponse, SignatureEncoding, sign_batch_result,
};
use sealward::client::{Client, ClientError};
use sealward::domain::signature::Encoding;

use crate::journal::{Ask, Release, What};

/// Sends payloads, one as `Sign`, several as `SignBatch`. The answer is per item what goes into the log; or silence,
/// with its cause.
pub(super) async fn send(client: &Client, asks: &[Ask]) -> Result<Vec<What>, String> {
    let answer = match asks {
        [one] => client.sign(request(one)).await.map(|response| released(one, response)),
        several => {
            let items = several.iter().map(request).collect();
            client.sign_batch(SignBatchRequest { items }).await.map(|response| batch(several, response.results))
        }
    };
    match answer {
        Ok(whats) => Ok(whats),
        Err(ClientError::Refused(refused)) => Ok(asks
            .iter()
            .map(|ask| What::Refused {
                ask: ask.clone(),
                reason: refused.reason.clone(),
                detail: refused.detail.clone(),
            })
            .collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn request(ask: &Ask) -> SignRequest {
    let encoding = match ask.encoding {
        Encoding::Der => SignatureEncoding::Der,
        Encoding::Raw => SignatureEncoding::Raw,
    };
    SignRequest {
        repository: ask.repository.clone(),
        role: ask.role.clone(),
        payload: ask.payload.clone().into(),
        encoding: encoding.into(),
        key: ask.key.clone().unwrap_or_default(),
        ..SignRequest::default()
    }
}

fn batch(asks: &[Ask], results: Vec<SignBatchResult>) -> Vec<What> {
    // An item without a result stays without a last word, which the oracle sees.
    let answered = asks.iter().zip(results);
    answered
        .flat_map(|(ask, result)| match result.result {
            Some(sign_batch_result::Result::Response(response)) => released(ask, response),
            Some(sign_batch_result::Result::Refusal(refusal)) => vec![refused(ask, refusal)],
            None => vec![What::Abandoned { ask: ask.clone() }],
        })
        .collect()
}

fn released(ask: &Ask, response: SignResponse) -> Vec<What> {
    let SignResponse { signatures, refusals, version, digest, .. } = response;
    let signatures = signatures.into_iter().map(|signature| {
        What::Released(Release {
            ask: ask.clone(),
            version,
            digest: digest.clone(),
            key: signature.key,
            signature: hex::encode(signature.signature),
            step: signature.step,
        })
    });
    let refusals = refusals.into_iter().filter_map(|refusal| Some(refused(ask, refusal.refusal?)));
    signatures.chain(refusals).collect()
}

fn refused(ask: &Ask, refusal: Refusal) -> What {
    What::Refused { ask: ask.clone(), reason: refusal.reason, detail: refusal.detail }
}
