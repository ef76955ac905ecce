//! Who is at the other end: from the kernel for unix sockets, from verified certificates for TLS.

use std::os::fd::AsFd as _;

use der::Decode as _;
use tokio::net::UnixStream;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::peer_groups::peer_groups;
use crate::domain::caller::Caller;
use crate::domain::outcome::Reason;

/// The peer gave no usable identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoIdentity {
    /// The kernel did not tell who is on the unix socket.
    #[error("the kernel does not tell who is at the other end: {0}")]
    Peer(String),
    /// The request brings no token, and its listener takes nothing else. Send `authorization: Bearer TOKEN`.
    #[error(
        "no token; this listener takes an OIDC token with each request, in the metadata `authorization: Bearer TOKEN`"
    )]
    NoToken,
    /// The token proves nothing; why, without showing it.
    #[error("the token is refused: {0}")]
    Token(String),
    /// Whether the token proves something cannot be found out now. Retry later with the same token.
    #[error("the token cannot be verified: {0}")]
    Unknowable(String),
    /// No certificate came.
    #[error("no client certificate")]
    NoCertificate,
    /// The certificate does not read.
    #[error("the client certificate does not read")]
    Malformed,
    /// The certificate has no DNS or URI subject alternative name. A common name is never used.
    #[error("the client certificate has no DNS or URI subject alternative name")]
    NoName,
    /// More names than any honest certificate has; the one that matters may hide behind them.
    #[error("the client certificate has more than {MOST_NAMES} subject alternative names")]
    TooManyNames,
    /// Names that contradict SPIFFE (X.509-SVID, section 2): one URI, and nothing ambiguous in it.
    #[error("the client certificate has a SPIFFE id that is not well-formed, or a second URI beside it")]
    Spiffe,
    /// The key or the certificate stands on the listener's deny-list.
    #[error("the client certificate is on the deny-list")]
    Denied,
    /// It was valid when the connection began.
    #[error("the client certificate has expired; connect again with a new one")]
    Expired,
    /// Today's authorities and revocation lists do not accept it, though those of the handshake did.
    #[error("the client certificate does not verify any more: {0}")]
    NoLongerTrusted(String),
    /// A name holds a character that has no business in one, such as NUL.
    #[error("a subject alternative name of the client certificate holds a forbidden character")]
    HostileName,
}

impl NoIdentity {
    /// What the caller is told.
    pub fn reason(&self) -> Reason {
        match self {
            // Nobody said no: the same token may do later.
            Self::Unknowable(_) => Reason::IssuerUnavailable,
            _ => Reason::Unauthenticated,
        }
    }
}

/// More names than any honest certificate has.
const MOST_NAMES: usize = 64;

/// The process that connected, as of connection time.
pub fn of_unix_peer(stream: &UnixStream) -> Result<Caller, NoIdentity> {
    let failed = |error: std::io::Error| NoIdentity::Peer(error.to_string());
    let credentials = stream.peer_cred().map_err(failed)?;
    let mut gids = vec![credentials.gid()];
    gids.extend(peer_groups(stream.as_fd()).map_err(failed)?);
    gids.sort_unstable();
    gids.dedup();
    Ok(Caller::Unix { uid: credentials.uid(), gids })
}

/// The holder of a certificate that TLS has verified: DNS and URI subject alternative names only.
pub fn of_certificate(der: &[u8]) -> Result<Caller, NoIdentity> {
    let certificate = Certificate::from_der(der).map_err(|_| NoIdentity::Malformed)?;
    let names = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()
        .map_err(|_| NoIdentity::Malformed)?
        .ok_or(NoIdentity::NoName)?
        .1
        .0;
    let (mut dns, mut uris) = (Vec::new(), Vec::new());
    if names.len() > MOST_NAMES {
        return Err(NoIdentity::TooManyNames);
    }
    for name in &names {
        match name {
            GeneralName::DnsName(name) => dns.push(plain(name.as_str())?.to_ascii_lowercase()),
            GeneralName::UniformResourceIdentifier(uri) => uris.push(plain(uri.as_str())?),
            _ => {}
        }
    }
    if dns.is_empty() && uris.is_empty() {
        return Err(NoIdentity::NoName);
    }
    let mut spiffe = uris.iter().filter_map(|uri| spiffe(uri));
    if spiffe.any(|well_formed| !well_formed || uris.len() > 1) {
        return Err(NoIdentity::Spiffe);
    }
    Ok(Caller::Certificate { dns, uris })
}

/// Whether a SPIFFE id is well-formed (SPIFFE-ID, section 2); `None` for other URIs. A second spelling of one id would be
/// a second caller.
fn spiffe(uri: &str) -> Option<bool> {
    let (scheme, rest) = uri.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("spiffe") {
        return None;
    }
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let of_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(of_path);
    let domain = (1..=255).contains(&domain.len()) && domain.bytes().all(of_domain);
    Some(scheme == "spiffe" && domain && (path.is_empty() || path.split('/').skip(1).all(segment)))
}

/// A NUL or a control character in a name is how one certificate is read as another's.
fn plain(name: &str) -> Result<String, NoIdentity> {
    let good = !name.is_empty() && name.len() <= 512 && name.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(name.to_owned()) } else { Err(NoIdentity::HostileName) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_read_and_addresses_are_not() {
        let der = certificate(vec![
            SanType::DnsName("CI.example".try_into().unwrap()),
            SanType::URI("spiffe://example/ci".try_into().unwrap()),
            SanType::IpAddress("127.0.0.1".parse().unwrap()),
        ]);
        let expected = Caller::Certificate { dns: vec!["ci.example".into()], uris: vec!["spiffe://example/ci".into()] };
        assert_eq!(of_certificate(&der), Ok(expected));
    }

    #[test]
    fn a_certificate_without_names_or_with_hostile_ones_is_nobody() {
        assert_eq!(of_certificate(&certificate(vec![])), Err(NoIdentity::NoName));
        let address_only = certificate(vec![SanType::IpAddress("127.0.0.1".parse().unwrap())]);
        assert_eq!(of_certificate(&address_only), Err(NoIdentity::NoName));
        let nul = certificate(vec![SanType::DnsName("admin\0.evil.example".try_into().unwrap())]);
        assert_eq!(of_certificate(&nul), Err(NoIdentity::HostileName));
        let good = certificate(vec![SanType::DnsName("a".try_into().unwrap())]);
        for length in 0..good.len() {
            assert_eq!(of_certificate(&good[..length]), Err(NoIdentity::Malformed));
        }
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri_and_has_one_spelling() {
        let of = |uris: &[&str]| {
            let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
            of_certificate(&certificate(uris.iter().map(uri).collect()))
        };
        for good in ["spiffe://example.org", "spiffe://example.org/ns/a/sa/b_1"] {
            assert!(of(&[good]).is_ok(), "{good}");
        }
        assert!(of(&["https://a", "https://b"]).is_ok(), "others may be several");
        for bad in [
            "spiffe://",
            "SPIFFE://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org:1/a",
            "spiffe://u@example.org/a",
            "spiffe://example.org/",
            "spiffe://example.org/a/../b",
            "spiffe://example.org//a",
            "spiffe://example.org/a%2fb",
            "spiffe://example.org/a?b",
        ] {
            assert_eq!(of(&[bad]), Err(NoIdentity::Spiffe), "{bad}");
        }
        assert_eq!(of(&["spiffe://example.org/a", "spiffe://example.org/b"]), Err(NoIdentity::Spiffe));
        assert_eq!(of(&["https://a", "spiffe://example.org/b"]), Err(NoIdentity::Spiffe));
    }

    #[test]
    fn a_name_behind_a_crowd_of_names_is_not_overlooked() {
        let names = |count: usize| (0..count).map(|n| SanType::DnsName(format!("n{n}").try_into().unwrap())).collect();
        assert!(of_certificate(&certificate(names(MOST_NAMES))).is_ok());
        assert_eq!(of_certificate(&certificate(names(MOST_NAMES + 1))), Err(NoIdentity::TooManyNames));
    }

    #[tokio::test]
    async fn a_unix_peer_is_named_by_uid_and_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        let Caller::Unix { uid, gids } = of_unix_peer(&one).unwrap() else { panic!("not a unix caller") };
        assert_eq!(uid, rustix::process::geteuid().as_raw());
        assert!(gids.contains(&rustix::process::getegid().as_raw()));
    }
}
