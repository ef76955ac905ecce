//! What the configuration says of issuers of tokens.

use std::fmt;
use std::path::PathBuf;

use crate::domain::name::{Pattern, Sha256Digest};
use crate::fetch::Url;

/// One issuer whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The name in grants, leaves and metrics.
    pub name: String,
    /// Exactly the `iss` of its tokens.
    pub issuer: String,
    /// A token is for this daemon when its `aud` is, or holds, one of these. At least one.
    pub audiences: Vec<String>,
    /// The algorithms that its tokens may have. At least one.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The authorities of the hosts that its keys are fetched from, PEM; the machine's own when absent.
    pub ca: Option<PathBuf>,
    /// How far its clock and ours may differ, in seconds.
    pub clock_skew: i64,
    /// From a token's `iat`, or now where it has none, to its `exp`: at most so many seconds.
    pub max_token_lifetime: i64,
    /// Whom grants may name.
    pub identities: Vec<IdentitySettings>,
}

impl ProviderSettings {
    /// A digest over everything that decides whose token has the identity. The text is for nobody to read; should
    /// another version of this program write it otherwise, approvals by tokens are given once more.
    pub fn rule(&self, identity: &IdentitySettings) -> Sha256Digest {
        let Self { name, issuer, audiences, algorithms, keys, ca, clock_skew: _, max_token_lifetime: _, identities: _ } =
            self;
        let provider = (name, issuer, audiences, algorithms, keys, ca);
        Sha256Digest::of(format!("{provider:?} {identity:?}").as_bytes())
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `ISSUER/.well-known/openid-configuration` tells (OpenID Connect Discovery 1.0, section 4).
    Discovery(Url),
    /// A JWK set (RFC 7517, section 5).
    Url(Url),
    /// A JWK set in a file, for networks without a way to the issuer. Read at start and reload.
    File(PathBuf),
}

/// Those whose tokens have these claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The name in grants.
    pub name: String,
    /// All of these must hold.
    pub claims: Vec<BoundClaim>,
}

impl IdentitySettings {
    /// Whether every token that has the other identity of the same provider has this one too. `covers` says whether one
    /// pattern means all that another does.
    pub fn follows_from<E>(
        &self,
        other: &Self,
        covers: &mut impl FnMut(&Pattern, &Pattern) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for claim in &self.claims {
            let mut implied = false;
            for bound in other.claims.iter().filter(|bound| bound.name == claim.name) {
                implied = implied || claim.follows_from(bound, covers)?;
            }
            if !implied {
                return Ok(false);
            }
        }
        Ok(!self.claims.is_empty())
    }
}

/// What one claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundClaim {
    /// Which claim.
    pub name: ClaimName,
    /// Any of these.
    pub values: Vec<ClaimPattern>,
}

impl BoundClaim {
    /// Whether each of the other's values is one of these, or meant by one of these.
    fn follows_from<E>(
        &self,
        other: &Self,
        covers: &mut impl FnMut(&Pattern, &Pattern) -> Result<bool, E>,
    ) -> Result<bool, E> {
        for narrow in &other.values {
            let mut meant = false;
            for wide in &self.values {
                meant = meant
                    || match (wide, narrow) {
                        (ClaimPattern::Glob(wide), ClaimPattern::Glob(narrow)) => covers(wide, narrow)?,
                        (ClaimPattern::Glob(wide), ClaimPattern::Text(text)) => wide.matches(text),
                        (ClaimPattern::Text(text), ClaimPattern::Glob(narrow)) => {
                            narrow.is_exact() && narrow.as_str() == text
                        }
                        (wide, narrow) => wide == narrow,
                    };
            }
            if !meant {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A claim: a member of the token's payload, or with a slash at its beginning a JSON pointer (RFC 6901) into it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimName(Vec<String>);

impl ClaimName {
    /// Reads a name; `None` for an empty one and for a pointer with a wrong escape.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(pointer) = text.strip_prefix('/') else {
            return (!text.is_empty()).then(|| Self(vec![text.to_owned()]));
        };
        pointer.split('/').map(unescaped).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The members on the way, from the payload down, and the places in lists; at least one.
    pub fn path(&self) -> &[String] {
        &self.0
    }
}

/// A place in a list: digits without a zero before them (RFC 6901, section 4).
pub(super) fn index(part: &str) -> Option<usize> {
    let canonical = part == "0" || !part.starts_with('0');
    (canonical && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
}

/// `~1` is a slash and `~0` a tilde (RFC 6901, section 4).
fn unescaped(part: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

/// What a claim's value may be. Types are told apart: `"1"` is no 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPattern {
    /// Exactly this text.
    Text(String),
    /// Exactly this whole number.
    Number(i64),
    /// Exactly this.
    Flag(bool),
    /// A text that the pattern matches as a whole; `*` stops at a slash, `**` does not.
    Glob(Pattern),
}

impl ClaimPattern {
    /// Whether one value alone matches.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Glob(pattern) => pattern.is_exact(),
            Self::Text(_) | Self::Number(_) | Self::Flag(_) => true,
        }
    }
}

macro_rules! algorithms {
    ($( $variant:ident $name:literal; )*) => {
        /// How a token may be signed (RFC 7518, section 3.1; RFC 8037, section 3.1). Never `none`, and never HMAC, whose
        /// key would be the issuer's public key in an attacker's hands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // the names are the RFC's own
        pub enum SignatureAlgorithm { $( $variant, )* }

        impl SignatureAlgorithm {
            /// Every algorithm.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The name, as `alg` writes it.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

algorithms! {
    Rs256 "RS256";
    Rs384 "RS384";
    Rs512 "RS512";
    Ps256 "PS256";
    Ps384 "PS384";
    Ps512 "PS512";
    Es256 "ES256";
    Es384 "ES384";
    EdDsa "EdDSA";
}

impl SignatureAlgorithm {
    /// What GitHub, GitLab and Kubernetes use.
    pub const DEFAULT: [Self; 2] = [Self::Rs256, Self::Es256];
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_member_or_a_pointer() {
        let path = |text| ClaimName::parse(text).map(|name| name.path().join(" > "));
        assert_eq!(path("repository_id").as_deref(), Some("repository_id"));
        assert_eq!(path("https://acme.example/team").as_deref(), Some("https://acme.example/team"));
        assert_eq!(path("/kubernetes.io/namespace").as_deref(), Some("kubernetes.io > namespace"));
        assert_eq!(path("/a~1b/c~0d").as_deref(), Some("a/b > c~d"));
        assert_eq!(path("/~01").as_deref(), Some("~1"), "one escape is not read twice");
        for wrong in ["", "/a~", "/a~2"] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
