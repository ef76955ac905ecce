//! `[[oidc]]`: whose tokens count, and who their bearers are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::error::{Code, shown};
use crate::config::report::Report;
use crate::config::schema;
use crate::config::table::{Node, Section};
use crate::domain::caller::CallerPattern;
use crate::domain::name::Pattern;
use crate::domain::person::PersonName;
use crate::fetch::Url;
use crate::oidc::settings::{
    BoundClaim, ClaimName, ClaimPattern, IdentitySettings, KeySource, ProviderSettings, SignatureAlgorithm,
};

use super::grant::list;
use super::place;

/// Seconds.
const CLOCK_SKEW: i64 = 60;
/// Seconds: a token counts for so long after its end.
const LARGEST_SKEW: u64 = 5 * 60;
/// Seconds: a day, longer than any job runs.
const TOKEN_LIFETIME: i64 = 24 * 3600;
/// Seconds: a year and a day. Some service accounts have tokens for a year.
const LARGEST_LIFETIME: u64 = 366 * 24 * 3600;
const LONGEST_TEXT: usize = 1024;

/// Claims of which one, exact, says who somebody is for as long as he exists. Names of repositories, groups, branches and
/// files are given away and taken again, and are no such claims; nor is the name of a reusable workflow, which anybody's
/// repository may call.
const STABLE: [&str; 4] = ["sub", "repository_id", "project_id", "/kubernetes.io/serviceaccount/uid"];
/// Claims that do so together.
const STABLE_TOGETHER: [&str; 2] = ["/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"];
/// How a `sub` begins that is made of names: what GitHub, GitLab and Buildkite write unless they are told otherwise.
const NAMING_SUBJECTS: [&str; 3] = ["repo:", "project_path:", "organization:"];

/// Every provider with its place.
pub(in crate::config) fn providers(
    root: &Section<'_>,
    base: &Path,
    report: &mut Report,
) -> Vec<(usize, ProviderSettings)> {
    let nodes = root.find("oidc").map(|node| node.tables(report)).unwrap_or_default();
    let read: Vec<_> = nodes.into_iter().filter_map(|node| Some((node.at, provider(&node, base, report)?))).collect();
    let mut names = BTreeMap::new();
    let mut issuers = BTreeMap::new();
    for (at, provider) in &read {
        if names.insert(&provider.name, at).is_some() {
            report.error(Code::Duplicate, *at, format!("two providers are named `{}`", provider.name));
        }
        if let Some(first) = issuers.insert(&provider.issuer, &provider.name) {
            let detail = format!("provider `{first}` has this issuer already: a token could be either's");
            report.error(Code::Duplicate, *at, detail);
        }
    }
    read
}

/// The names that stand in the file, also of providers with mistakes: a grant that names one of those is not wrong.
pub(in crate::config) fn names(root: &Section<'_>) -> TokenNames {
    let mut unheard = Report::default();
    let nodes = root.find("oidc").map(|node| node.tables(&mut unheard)).unwrap_or_default();
    let mut names = TokenNames::default();
    for node in &nodes {
        let Some(provider) = node.peek("name") else { continue };
        let identities = node.entry("identity").map(|node| node.tables(&mut unheard)).unwrap_or_default();
        let known = names.0.entry(provider.to_owned()).or_default();
        known.extend(identities.iter().filter_map(|identity| identity.peek("name")).map(str::to_owned));
    }
    names
}

/// Providers and their identities, by name.
#[derive(Default)]
pub(in crate::config) struct TokenNames(BTreeMap<String, Vec<String>>);

impl TokenNames {
    /// Refuses a caller whose provider or identity is not configured.
    pub(super) fn check(&self, node: &Node<'_>, caller: &CallerPattern, report: &mut Report) {
        let CallerPattern::Token { provider, identity } = caller else { return };
        let Some(identities) = self.0.get(provider) else {
            let detail = format!(
                "no [[oidc]] is named `{provider}`{}",
                schema::did_you_mean(provider, self.0.keys().map(String::as_str))
            );
            return node.report(Code::UnknownReference, detail, report);
        };
        if !identities.contains(identity) {
            let nearest = schema::did_you_mean(identity, identities.iter().map(String::as_str));
            let detail = format!("provider `{provider}` has no [[oidc.identity]] named `{identity}`{nearest}");
            node.report(Code::UnknownReference, detail, report);
        }
    }
}

fn provider(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<ProviderSettings> {
    let section = node.section(schema::OIDC, report)?;
    let name = section.need("name", report).and_then(|node| word(&node, report));
    let issuer = section.need("issuer", report);
    let issuer = issuer.and_then(|node| Some((node.parsed(Code::InvalidValue, plain, report)?, node)));
    let audiences = list(&section, "audiences", report, |node, report| node.parsed(Code::InvalidValue, plain, report));
    let algorithms = match section.find("algorithms") {
        Some(_) => list(&section, "algorithms", report, algorithm),
        None => Some(SignatureAlgorithm::DEFAULT.to_vec()),
    };
    let keys = key_source(&section, issuer.as_ref().map(|(issuer, node)| (issuer.as_str(), node)), base, report);
    let ca = section.find("ca").map(|node| (place::path(&node, base, report), node));
    if let (Some((_, node)), Some(KeySource::File(_))) = (&ca, &keys) {
        node.report(Code::Conflict, "nothing is fetched when keys are in a `jwks_file`", report);
    }
    let clock_skew = section.find("clock_skew").and_then(|node| skew(&node, report)).unwrap_or(CLOCK_SKEW);
    let lifetime = section.find("max_token_lifetime").and_then(|node| lifetime(&node, report));
    let identities = section.find("identity").map(|node| identities(&node, report)).unwrap_or_default();
    Some(ProviderSettings {
        name: name?,
        issuer: issuer?.0,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        ca: ca.map_or(Some(None), |(path, _)| path.map(Some))?,
        clock_skew,
        max_token_lifetime: lifetime.unwrap_or(TOKEN_LIFETIME),
        identities,
    })
}

/// A name that a grant can hold between `oidc:` and `/`.
fn word(node: &Node<'_>, report: &mut Report) -> Option<String> {
    node.parsed(Code::InvalidName, str::parse::<PersonName>, report).map(String::from)
}

/// Text that tokens are compared with, character by character.
fn plain(text: &str) -> Result<String, &'static str> {
    let good = (1..=LONGEST_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("takes 1 to 1024 bytes without control characters") }
}

fn algorithm(node: &Node<'_>, report: &mut Report) -> Option<SignatureAlgorithm> {
    let text = node.text(report)?;
    if text.eq_ignore_ascii_case("none") || text.to_ascii_uppercase().starts_with("HS") {
        let why = "a token without a signature, or with one that whoever knows the public key can make, proves nothing";
        node.report(Code::InvalidValue, why, report);
        return None;
    }
    node.choice(SignatureAlgorithm::ALL.iter().map(|algorithm| (algorithm.name(), *algorithm)), report)
}

fn key_source(
    section: &Section<'_>,
    issuer: Option<(&str, &Node<'_>)>,
    base: &Path,
    report: &mut Report,
) -> Option<KeySource> {
    let discovery = section.find("discovery").filter(|node| node.flag(report) == Some(true));
    let url = section.find("jwks_url");
    let file = section.find("jwks_file");
    match (discovery, url, file) {
        (Some(_), None, None) => {
            let (issuer, node) = issuer?;
            let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            let url = Url::parse(&document).ok().filter(|_| !issuer.contains('?'));
            if url.is_none() {
                let detail = "discovery needs an issuer that is https://HOST[:PORT][/PATH]; otherwise give `jwks_url` or `jwks_file`";
                node.report(Code::InvalidValue, detail, report);
            }
            url.map(KeySource::Discovery)
        }
        (None, Some(node), None) => node.parsed(Code::InvalidValue, Url::parse, report).map(KeySource::Url),
        (None, None, Some(node)) => place::path(&node, base, report).map(KeySource::File),
        (None, None, None) => {
            let detail = "[[oidc]] needs one of `discovery = true`, `jwks_url` and `jwks_file`: where its keys are";
            report.error(Code::MissingKey, section.at, detail);
            None
        }
        (discovery, url, file) => {
            if let Some(node) = [discovery, url, file].into_iter().flatten().last() {
                let detail = "keys have one source: `discovery = true`, `jwks_url` or `jwks_file`";
                node.report(Code::Conflict, detail, report);
            }
            None
        }
    }
}

fn skew(node: &Node<'_>, report: &mut Report) -> Option<i64> {
    let seconds = node.seconds(report)?;
    if seconds > LARGEST_SKEW {
        node.report(Code::OutOfRange, "clocks differ by at most 5m: a token counts for so long after its end", report);
        return None;
    }
    i64::try_from(seconds).ok()
}

fn lifetime(node: &Node<'_>, report: &mut Report) -> Option<i64> {
    let seconds = node.seconds(report)?;
    if !(1..=LARGEST_LIFETIME).contains(&seconds) {
        node.report(Code::OutOfRange, "a token is good for 1s to 366d", report);
        return None;
    }
    i64::try_from(seconds).ok()
}

fn identities(node: &Node<'_>, report: &mut Report) -> Vec<IdentitySettings> {
    let nodes = node.tables(report);
    let read: Vec<_> = nodes.iter().filter_map(|node| Some((node.at, identity(node, report)?))).collect();
    let mut names = BTreeMap::new();
    for (at, identity) in &read {
        if names.insert(&identity.name, at).is_some() {
            report.error(Code::Duplicate, *at, format!("two identities of the provider are named `{}`", identity.name));
        }
    }
    read.into_iter().map(|(_, identity)| identity).collect()
}

fn identity(node: &Node<'_>, report: &mut Report) -> Option<IdentitySettings> {
    let section = node.section(schema::OIDC_IDENTITY, report)?;
    let name = section.need("name", report).and_then(|node| word(&node, report));
    let claims = section.need("claims", report)?;
    let entries = claims.named_entries(report);
    let count = entries.len();
    let read: Vec<BoundClaim> =
        entries.into_iter().filter_map(|(name, at, value)| claim(name, at, &value, report)).collect();
    // What did not read was reported; whether the rest says who somebody is cannot be known then.
    if read.len() != count || !claims.is_table() {
        return None;
    }
    if !is_stable(&read) {
        let detail = format!(
            "it needs one claim that says who this is for good, exact: one of {}, or {} together; a `sub` that begins \
             with {} is made of names",
            STABLE.map(|name| format!("`{name}`")).join(", "),
            STABLE_TOGETHER.map(|name| format!("`{name}`")).join(" and "),
            NAMING_SUBJECTS.join(" or "),
        );
        claims.report(Code::InvalidValue, detail, report);
        return None;
    }
    Some(IdentitySettings { name: name?, claims: read })
}

fn claim(name: &str, at: usize, node: &Node<'_>, report: &mut Report) -> Option<BoundClaim> {
    let parsed = ClaimName::parse(name);
    if parsed.is_none() {
        let detail =
            format!("`{}` is no claim: a name, or a JSON pointer such as /kubernetes.io/namespace", shown(name));
        report.error(Code::InvalidName, at, detail);
    }
    let values = if node.is_array() { node.items(report) } else { vec![node.same()] };
    if values.is_empty() {
        node.report(Code::InvalidValue, "an empty list is matched by nobody; name at least one value", report);
    }
    let read: Vec<_> = values.iter().filter_map(|value| pattern(value, report)).collect();
    let whole = read.len() == values.len() && !read.is_empty();
    whole.then_some(BoundClaim { name: parsed?, values: read })
}

fn pattern(node: &Node<'_>, report: &mut Report) -> Option<ClaimPattern> {
    if node.is_number() {
        return node.integer(report).map(ClaimPattern::Number);
    }
    if node.is_flag() {
        return node.flag(report).map(ClaimPattern::Flag);
    }
    if node.is_table() {
        let section = node.section(schema::CLAIM_PATTERN, report)?;
        return section.need("glob", report)?.parsed(Code::InvalidValue, glob, report).map(ClaimPattern::Glob);
    }
    let text = node.parsed(Code::InvalidValue, plain, report)?;
    if text.contains('*') {
        let detail = "a text is compared as it stands, star and all; a pattern is { glob = \"...\" }";
        node.report(Code::InvalidValue, detail, report);
        return None;
    }
    Some(ClaimPattern::Text(text))
}

fn glob(text: &str) -> Result<Pattern, &'static str> {
    let pattern = Pattern::new(text)
        .ok_or("a glob has 1 to 255 characters out of a-z A-Z 0-9 . _ : / - @ = * (* stops at a slash, ** does not)")?;
    if text.bytes().all(|byte| b"*/".contains(&byte)) {
        return Err("this matches everything; leave the claim away, or say what it begins with");
    }
    Ok(pattern)
}

fn is_stable(claims: &[BoundClaim]) -> bool {
    let exact = |name: &str| {
        let name = ClaimName::parse(name);
        claims.iter().any(|claim| Some(&claim.name) == name.as_ref() && claim.values.iter().all(is_lasting))
    };
    STABLE.iter().any(|name| exact(name)) || STABLE_TOGETHER.iter().all(|name| exact(name))
}

/// One value that is nobody else's later.
fn is_lasting(value: &ClaimPattern) -> bool {
    let is_name = |text: &str| NAMING_SUBJECTS.iter().any(|begin| text.starts_with(begin));
    match value {
        ClaimPattern::Text(text) => !is_name(text),
        ClaimPattern::Glob(pattern) => pattern.is_exact() && !is_name(pattern.as_str()),
        ClaimPattern::Number(_) | ClaimPattern::Flag(_) => true,
    }
}
