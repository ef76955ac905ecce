//! Why a token proves nothing.

/// Why a token proves nothing. No text of the token is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More than 16 KiB.
    #[error("the token is longer than 16 KiB")]
    TooLarge,
    /// Not three parts of base64url over JSON of the right types, or a member stands twice.
    #[error("the token is no JWT of three parts, or a part of it does not read")]
    Malformed,
    /// An extension that must be understood (`crit`, RFC 7515 section 4.1.11), or a `typ` of another kind of token.
    #[error("the token is of a kind, or has an extension, that is not accepted")]
    Kind,
    /// No provider is configured for its `iss`.
    #[error("no configured provider has this token's issuer: compare its `iss` with `issuer`, to the last slash")]
    Issuer,
    /// Its `alg` is not pinned for the provider, or does not fit the type of its key.
    #[error("the token's algorithm is not one that its provider may use")]
    Algorithm,
    /// The provider publishes no key of its `kid`, also when asked again, or was asked a moment ago.
    #[error(
        "the token's key is not among those that its issuer publishes: another issuer of the same name, or a jwks_file that is out of date"
    )]
    UnknownKey,
    /// The provider's keys could not be fetched. Retry later.
    #[error("the keys of the token's issuer could not be fetched")]
    KeysUnavailable,
    /// The signature does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// Its `aud` holds none of ours.
    #[error(
        "the token is for another audience: what the job asks for and `audiences` must be the same, to the last slash"
    )]
    Audience,
    /// Its `exp` is past.
    #[error("the token is expired: get a new one for each job, and look at both clocks")]
    Expired,
    /// From its `iat`, or now, to its `exp` is longer than the provider's `max_token_lifetime`.
    #[error(
        "the token is made for longer than its provider's max_token_lifetime: shorten the issuer's tokens, or raise it"
    )]
    Lifetime,
    /// Its `nbf` or `iat` is in the future.
    #[error("the token is not valid yet: look at both clocks")]
    NotYetValid,
    /// A claim that every token must have (`iss`, `sub`, `aud`, `exp`) is missing or of another type.
    #[error("the token lacks iss, sub, aud or exp, or one of its times is no whole number")]
    Incomplete,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 13] = [
        Self::TooLarge,
        Self::Malformed,
        Self::Kind,
        Self::Issuer,
        Self::Algorithm,
        Self::UnknownKey,
        Self::KeysUnavailable,
        Self::Signature,
        Self::Audience,
        Self::Expired,
        Self::Lifetime,
        Self::NotYetValid,
        Self::Incomplete,
    ];

    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Kind => "kind",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::KeysUnavailable => "keys-unavailable",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Lifetime => "lifetime",
            Self::NotYetValid => "not-yet-valid",
            Self::Incomplete => "incomplete",
        }
    }
}
