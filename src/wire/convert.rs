//! Between our values and the generated messages.

use super::v1;
use crate::domain::outcome::Denial;
use crate::domain::signature::Encoding;

impl From<Denial> for v1::Refusal {
    fn from(denial: Denial) -> Self {
        let Denial { reason, detail, pending } = denial;
        Self {
            reason: reason.name().to_owned(),
            outcome: reason.outcome().name().to_owned(),
            detail,
            advice: reason.advice().to_owned(),
            approval: pending.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

impl From<v1::SignatureEncoding> for Encoding {
    /// Unset means DER, as TUF wants it.
    fn from(encoding: v1::SignatureEncoding) -> Self {
        match encoding {
            v1::SignatureEncoding::Unspecified | v1::SignatureEncoding::Der => Self::Der,
            v1::SignatureEncoding::Raw => Self::Raw,
        }
    }
}

impl From<Encoding> for v1::SignatureEncoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Der => Self::Der,
            Encoding::Raw => Self::Raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Reason;

    #[test]
    fn a_denial_becomes_a_refusal_with_everything_the_table_says() {
        let refusal = v1::Refusal::from(Denial::new(Reason::QueueFull, "64 waiting"));
        assert_eq!((refusal.reason.as_str(), refusal.outcome.as_str()), ("queue-full", "failed"));
        assert_eq!((refusal.detail.as_str(), refusal.advice.as_str()), ("64 waiting", Reason::QueueFull.advice()));
    }

    #[test]
    fn encodings_read_back_and_an_unset_one_is_der() {
        for encoding in [Encoding::Der, Encoding::Raw] {
            assert_eq!(Encoding::from(v1::SignatureEncoding::from(encoding)), encoding);
        }
        assert_eq!(Encoding::from(v1::SignatureEncoding::default()), Encoding::Der);
    }

    #[test]
    fn the_descriptor_names_every_service() {
        let set = <prost_types::FileDescriptorSet as prost::Message>::decode(crate::wire::DESCRIPTOR_SET).unwrap();
        let services: Vec<_> = set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
        assert_eq!(
            services,
            ["SigningService", "KeyService", "RootService", "ApprovalService", "AuditService", "AdminService"]
        );
    }
}
