//! What a verified token says, held against what the configuration wants.

use super::json::Json;
use super::refusal::Refusal;
use super::settings::{BoundClaim, ClaimName, ClaimPattern, IdentitySettings, ProviderSettings, index};
use crate::domain::caller::Caller;
use crate::domain::person::TokenRules;
use crate::domain::time::Instant;

/// OpenID Connect Core 1.0, section 2 allows 255 characters; GitHub's subjects can be longer.
const LONGEST_SUBJECT: usize = 1024;

/// Who the bearer is. The signature was verified before.
pub(super) fn caller(provider: &ProviderSettings, payload: &Json, now: Instant) -> Result<Caller, Refusal> {
    check_issuer(provider, payload)?;
    check_audience(provider, payload)?;
    check_times(payload, now, provider)?;
    let subject = payload.text("sub").filter(|subject| (1..=LONGEST_SUBJECT).contains(&subject.len()));
    let subject = shown(subject.ok_or(Refusal::Incomplete)?);
    let identities: Vec<_> = provider.identities.iter().filter(|identity| is(identity, payload)).collect();
    let rules: Vec<_> = identities.iter().map(|identity| provider.rule(identity)).collect();
    Ok(Caller::Token {
        provider: provider.name.clone(),
        subject,
        identities: identities.into_iter().map(|identity| identity.name.clone()).collect(),
        rules: TokenRules::together(&rules),
    })
}

fn check_issuer(provider: &ProviderSettings, payload: &Json) -> Result<(), Refusal> {
    match payload.text("iss") {
        Some(issuer) if issuer == provider.issuer => Ok(()),
        Some(_) => Err(Refusal::Issuer),
        None => Err(Refusal::Incomplete),
    }
}

/// A text or a list of texts (RFC 7519, section 4.1.3).
fn check_audience(provider: &ProviderSettings, payload: &Json) -> Result<(), Refusal> {
    let ours = |one: &Json| one.as_text().is_some_and(|one| provider.audiences.iter().any(|our| our == one));
    let meant = match payload.get("aud").ok_or(Refusal::Incomplete)? {
        one @ Json::Text(_) => ours(one),
        Json::List(many) => many.iter().any(ours),
        _ => return Err(Refusal::Incomplete),
    };
    if meant { Ok(()) } else { Err(Refusal::Audience) }
}

fn check_times(payload: &Json, now: Instant, provider: &ProviderSettings) -> Result<(), Refusal> {
    let skew = provider.clock_skew;
    let time = |name| match payload.get(name) {
        None => Ok(None),
        Some(Json::Integer(seconds)) => Ok(Some(Instant::from_unix(*seconds))),
        Some(_) => Err(Refusal::Incomplete),
    };
    let expires = time("exp")?.ok_or(Refusal::Incomplete)?;
    if now >= expires.plus_seconds(skew) {
        return Err(Refusal::Expired);
    }
    let issued = time("iat")?;
    for begin in [time("nbf")?, issued].into_iter().flatten() {
        if begin > now.plus_seconds(skew) {
            return Err(Refusal::NotYetValid);
        }
    }
    if expires > issued.unwrap_or(now).plus_seconds(provider.max_token_lifetime) {
        return Err(Refusal::Lifetime);
    }
    Ok(())
}

/// A subject that is safe in logs and leaves, and no two subjects that look alike in them.
fn shown(subject: &str) -> String {
    let mut out = String::new();
    for character in subject.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            _ => out.extend(character.escape_unicode()),
        }
    }
    out
}

fn is(identity: &IdentitySettings, payload: &Json) -> bool {
    // Without claims it would be everybody; the configuration refuses that, and so do we.
    !identity.claims.is_empty() && identity.claims.iter().all(|bound| holds(bound, payload))
}

/// A claim that is missing never holds.
fn holds(bound: &BoundClaim, payload: &Json) -> bool {
    let Some(value) = find(&bound.name, payload) else { return false };
    let any = |value: &Json| bound.values.iter().any(|pattern| matches(pattern, value));
    match value {
        Json::List(values) => values.iter().any(any),
        one => any(one),
    }
}

fn find<'j>(name: &ClaimName, payload: &'j Json) -> Option<&'j Json> {
    name.path().iter().try_fold(payload, |value, part| match value {
        Json::List(items) => items.get(index(part)?),
        other => other.get(part),
    })
}

fn matches(pattern: &ClaimPattern, value: &Json) -> bool {
    match (pattern, value) {
        (ClaimPattern::Text(wanted), Json::Text(text)) => wanted == text,
        (ClaimPattern::Glob(pattern), Json::Text(text)) => pattern.matches(text),
        (ClaimPattern::Number(wanted), Json::Integer(number)) => wanted == number,
        (ClaimPattern::Flag(wanted), Json::Flag(flag)) => wanted == flag,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::Pattern;
    use crate::fetch::Url;
    use crate::oidc::settings::{KeySource, SignatureAlgorithm};

    const NOW: i64 = 1_800_000_000;

    fn provider(identities: Vec<IdentitySettings>) -> ProviderSettings {
        ProviderSettings {
            name: "ci".into(),
            issuer: "https://issuer.example".into(),
            audiences: vec!["one".into(), "two".into()],
            algorithms: SignatureAlgorithm::DEFAULT.to_vec(),
            keys: KeySource::Url(Url::parse("https://issuer.example/keys").unwrap()),
            ca: None,
            clock_skew: 60,
            max_token_lifetime: 3600,
            identities,
        }
    }

    fn identity(name: &str, claims: &[(&str, &[ClaimPattern])]) -> IdentitySettings {
        let claim = |(name, values): &(&str, &[ClaimPattern])| BoundClaim {
            name: ClaimName::parse(name).unwrap(),
            values: values.to_vec(),
        };
        IdentitySettings { name: name.into(), claims: claims.iter().map(claim).collect() }
    }

    fn text(text: &str) -> ClaimPattern {
        ClaimPattern::Text(text.into())
    }

    fn judged(payload: &str) -> Result<Caller, Refusal> {
        let payload = Json::read(payload.as_bytes()).unwrap();
        caller(&provider(vec![]), &payload, Instant::from_unix(NOW))
    }

    #[test]
    fn issuer_audience_and_times_are_all_needed_and_all_exact() {
        let payload = |iss: &str, aud: &str, times: &str| format!(r#"{{"iss":"{iss}","aud":{aud},"sub":"s"{times}}}"#);
        let ours = "https://issuer.example";
        let exp = |seconds: i64| format!(r#","exp":{}"#, NOW + seconds);
        let ok = |payload: String| judged(&payload).is_ok();
        assert!(ok(payload(ours, r#""one""#, &exp(1))));
        assert!(ok(payload(ours, r#"["x","two"]"#, &exp(1))));
        assert!(ok(payload(ours, r#""one""#, &exp(-59))), "within the skew");
        let nbf = |name: &str, seconds: i64| format!(r#"{},"{name}":{}"#, exp(9), NOW + seconds);
        assert!(ok(payload(ours, r#""one""#, &nbf("nbf", 60))));
        for (refusal, payload) in [
            (Refusal::Issuer, payload("https://issuer.example/", r#""one""#, &exp(1))),
            (Refusal::Audience, payload(ours, r#""three""#, &exp(1))),
            (Refusal::Audience, payload(ours, r#""""#, &exp(1))),
            (Refusal::Audience, payload(ours, "[]", &exp(1))),
            (Refusal::Audience, payload(ours, r#"["on","e",1,null]"#, &exp(1))),
            (Refusal::Incomplete, payload(ours, "1", &exp(1))),
            (Refusal::Expired, payload(ours, r#""one""#, &exp(-60))),
            (Refusal::Expired, payload(ours, r#""one""#, &format!(r#","exp":{}"#, i64::MIN))),
            (Refusal::Lifetime, payload(ours, r#""one""#, &exp(3601))),
            (Refusal::Lifetime, payload(ours, r#""one""#, &format!(r#"{},"iat":{}"#, exp(3000), NOW - 601))),
            (Refusal::Lifetime, payload(ours, r#""one""#, &format!(r#","exp":{}"#, i64::MAX))),
            (Refusal::Lifetime, payload(ours, r#""one""#, &format!(r#"{},"iat":{}"#, exp(1), i64::MIN))),
            (Refusal::NotYetValid, payload(ours, r#""one""#, &nbf("nbf", 61))),
            (Refusal::NotYetValid, payload(ours, r#""one""#, &nbf("iat", 61))),
            (Refusal::Incomplete, payload(ours, r#""one""#, "")),
            (Refusal::Incomplete, payload(ours, r#""one""#, r#","exp":"1900000000""#)),
            (Refusal::Incomplete, payload(ours, r#""one""#, r#","exp":1900000000.5"#)),
            (Refusal::Incomplete, payload(ours, r#""one""#, &format!(r#"{},"iat":null"#, exp(1)))),
            (Refusal::Incomplete, payload(ours, r#""one""#, &exp(1)).replace("sub", "sob")),
            (Refusal::Incomplete, payload(ours, r#""one""#, &exp(1)).replace("\"s\"", "\"\"")),
            (Refusal::Incomplete, payload(ours, r#""one""#, &exp(1)).replace("\"s\"", "7")),
            (Refusal::Incomplete, payload(ours, r#""one""#, &exp(1)).replace("iss", "ISS")),
            (Refusal::Incomplete, payload(ours, r#""one""#, &exp(1)).replace("aud", "audience")),
        ] {
            assert_eq!(judged(&payload).unwrap_err(), refusal, "{payload}");
        }
        assert!(ok(payload(ours, r#""one""#, &exp(3600))), "without iat it is from now");
        assert!(ok(payload(ours, r#""one""#, &format!(r#"{},"iat":{}"#, exp(3000), NOW - 600))));
        let eternal = Json::read(payload(ours, r#""one""#, &format!(r#","exp":{}"#, i64::MAX)).as_bytes()).unwrap();
        let unlimited = ProviderSettings { max_token_lifetime: i64::MAX, ..provider(vec![]) };
        assert!(caller(&unlimited, &eternal, Instant::from_unix(NOW)).is_ok(), "the latest time does not overflow");
    }

    #[test]
    fn an_identity_has_all_of_its_claims_and_any_of_their_values() {
        let payload = Json::read(
            br#"{"repository_id":"1296269","ref":"refs/tags/v1.2/x","n":7,"f":true,"groups":["a","b"],"empty":[],
                 "kubernetes.io":{"namespace":"ci","serviceaccount":{"name":"signer"}}}"#,
        )
        .unwrap();
        let has = |claims: &[(&str, &[ClaimPattern])]| is(&identity("x", claims), &payload);
        let glob = |pattern: &str| ClaimPattern::Glob(Pattern::new(pattern).unwrap());
        assert!(has(&[("repository_id", &[text("1296269")])]));
        assert!(has(&[("repository_id", &[text("1"), text("1296269")]), ("groups", &[text("b")])]));
        assert!(has(&[
            ("/kubernetes.io/namespace", &[text("ci")]),
            ("/kubernetes.io/serviceaccount/name", &[glob("sig*")])
        ]));
        assert!(has(&[("ref", &[glob("refs/tags/v*/x")])]) && has(&[("ref", &[glob("refs/**")])]));
        assert!(has(&[("/groups/1", &[text("b")])]) && has(&[("/groups", &[text("b")])]));
        assert!(has(&[("n", &[ClaimPattern::Number(7)]), ("f", &[ClaimPattern::Flag(true)])]));
        for wrong in [
            &[][..],
            &[("repository_id", &[text("1296269")][..]), ("ref", &[text("refs/heads/main")])],
            &[("repository_id", &[text("129626")])],
            &[("repository_id", &[text("1296269 ")])],
            &[("repository_id", &[ClaimPattern::Number(1_296_269)])],
            &[("n", &[text("7")])],
            &[("f", &[text("true")])],
            &[("ref", &[glob("refs/tags/v*")])],
            &[("ref", &[glob("tags/**")])],
            &[("ref", &[text("refs/**")])],
            &[("missing", &[glob("a**")])],
            &[("empty", &[text("")])],
            &[("groups", &[text("ab")])],
            &[("/groups/0", &[text("b")])],
            &[("/groups/01", &[text("b")])],
            &[("/groups/+1", &[text("b")])],
            &[("/groups/2", &[text("b")])],
            &[("/groups/-", &[text("b")])],
            &[("/groups/", &[text("a")])],
            &[("kubernetes.io/namespace", &[text("ci")])],
            &[("/kubernetes.io/namespace/x", &[text("ci")])],
            &[("/kubernetes.io", &[text("ci")])],
        ] {
            assert!(!has(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_subject_is_shown_so_that_no_two_look_alike() {
        assert_eq!(shown("repo:acme/app:environment:Prod 1"), "repo:acme/app:environment:Prod 1");
        assert_eq!(shown("a\nb\u{202e}\\u{a}"), "a\\u{a}b\\u{202e}\\\\u{a}");
    }

    #[test]
    fn who_matches_nothing_is_a_caller_all_the_same() {
        let payload = format!(r#"{{"iss":"https://issuer.example","aud":"one","sub":"s","exp":{}}}"#, NOW + 1);
        let expected = Caller::Token {
            provider: "ci".into(),
            subject: "s".into(),
            identities: vec![],
            rules: TokenRules::together([]),
        };
        assert_eq!(judged(&payload), Ok(expected));
    }
}
