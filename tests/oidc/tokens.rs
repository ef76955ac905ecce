//! What a token must be.

use aws_lc_rs::hmac;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use sealward::domain::approval::{Act, Given, Pending, Subject};
use sealward::domain::caller::Caller;
use sealward::domain::time::Instant;
use sealward::oidc::Refusal;
use serde_json::{Value, json};

use super::issuer::{Signer, github, gitlab, kubernetes, now, unsigned};
use super::{CLUSTER, PROVIDERS, Scene, US};

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

#[tokio::test]
async fn tokens_of_github_gitlab_and_kubernetes_name_their_bearers() {
    let scene = Scene::new();
    let caller = scene.of(&scene.rsa.token(&github(US))).await.unwrap();
    let Caller::Token { provider, subject, identities, rules: _ } = &caller else { panic!("{caller:?}") };
    assert_eq!((provider.as_str(), subject.as_str()), ("github", "repo:acme/app:environment:release"));
    assert_eq!(identities, &["release", "shared-workflow"]);
    assert_eq!(caller.to_string(), "oidc:github:repo:acme/app:environment:release");
    let gitlab = gitlab(&scene.pages.address(), US);
    assert_eq!(scene.identities(&gitlab).await, ["release"]);
    assert_eq!(scene.identities(&kubernetes(CLUSTER, US)).await, ["signer", "by-uid"]);
    let elliptic = scene.of(&scene.ec.token(&github(US))).await.unwrap();
    assert_eq!(elliptic, caller, "whatever the key's type");
    let plain = scene.rsa.token_with(&json!({ "alg": "RS256", "kid": "rsa-1" }), &kubernetes(CLUSTER, US));
    assert!(scene.of(&plain).await.is_ok(), "the API server writes no typ");
    let more = json!({ "alg": "RS256", "kid": "rsa-1", "typ": "JWT", "x5t": "x", "jku": "https://evil.example/keys" });
    assert_eq!(
        scene.of(&scene.rsa.token_with(&more, &github(US))).await,
        Ok(caller),
        "what a token brings is not used"
    );
}

#[tokio::test]
async fn an_approval_by_a_token_counts_only_while_its_identity_means_what_it_meant() {
    let scene = Scene::new();
    let people = r#"
[[person]]
name = "alice"
identities = ["oidc:github/release"]

[[grant]]
callers = ["person:alice"]
verbs = ["approve"]
repositories = ["**"]
roles = ["root"]
"#;
    let configured = |providers: &str| scene.configuration(&format!("{providers}{people}")).unwrap();
    let caller = scene.of(&scene.rsa.token(&github(US))).await.unwrap();
    let at = Instant::from_unix(0);
    let pending = |requesters: Vec<Caller>, given: Vec<Given>| Pending {
        subject: Subject::Act(Act::in_daemon("destroy-key")),
        requesters,
        given,
        rejection: None,
        asked: at,
        expires: Instant::from_unix(1),
        length: 0,
        revision: 1,
    };
    let approved = Given { person: "alice".parse().unwrap(), caller: caller.clone(), at };
    let (approved, asked) = (pending(vec![], vec![approved]), pending(vec![caller], vec![]));
    // Names of the persons who count, as whoever approved and as whoever asked.
    let counting = |providers: &str| {
        let grants = configured(providers).grants;
        [approved.approvers(&grants, &[]).len(), asked.operators(&grants, &[]).len()]
    };
    assert_eq!(counting(PROVIDERS), [1, 1]);
    for (old, new) in [
        ("repository_id = \"1296269\", environment", "repository_id = \"7\", environment"),
        ("ref = { glob = \"refs/tags/v*\" }", "ref = \"refs/heads/main\""),
        ("repository_id = [\"1296269\", \"1296270\"]", "repository_id = \"1296270\""),
        ("jwks_url = \"{url}/keys\"", "jwks_url = \"{url}/others\""),
        ("https://token.actions.githubusercontent.com", "https://other.example"),
    ] {
        let changed = PROVIDERS.replacen(old, new, 1);
        assert_ne!(changed, PROVIDERS, "{old}");
        assert_eq!(counting(&changed), [0, 0], "{new}");
    }
    // Another provider's rules are none of this token's.
    assert_eq!(counting(&PROVIDERS.replace("project_id = \"20\"", "project_id = \"21\"")), [1, 1]);
}

#[tokio::test]
async fn a_token_that_is_anothers_is_nobody_here() {
    let scene = Scene::new();
    for (claims, left) in [
        (with(github(US), "repository_id", json!("1296270")), &["shared-workflow"][..]),
        (with(github(US), "repository_id", json!("666")), &[]),
        (with(github(US), "ref", json!("refs/heads/v1")), &["shared-workflow"]),
        (with(github(US), "ref", json!("refs/tags/v1/2")), &["shared-workflow"]),
        (without(github(US), "environment"), &["shared-workflow"]),
        (
            with(github(US), "job_workflow_ref", json!("acme/shared/.github/workflows/sign.yml@refs/heads/mine")),
            &["release"],
        ),
        (with(with(github(US), "repository_id", json!("2")), "ref", json!("refs/heads/main")), &["other"]),
        (with(kubernetes(CLUSTER, US), "kubernetes.io", json!({ "namespace": "release" })), &[]),
        (with(kubernetes(CLUSTER, US), "sub", json!("someone")), &["signer", "by-uid"]),
        (with(gitlab(&scene.pages.address(), US), "groups_direct", json!(["acme"])), &[]),
        (with(gitlab(&scene.pages.address(), US), "ref_protected", json!(true)), &[]),
        (without(gitlab(&scene.pages.address(), US), "project_id"), &[]),
    ] {
        assert_eq!(scene.identities(&claims).await, left, "{claims}");
    }
    // A claim of one issuer is no claim of another's.
    let crossed = with(gitlab(&scene.pages.address(), US), "repository_id", json!("1296269"));
    let crossed = with(with(crossed, "environment", json!("release")), "ref", json!("refs/tags/v1"));
    assert_eq!(scene.identities(&crossed).await, ["release"], "gitlab's own");
}

#[tokio::test]
async fn forged_expired_and_misdirected_tokens_prove_nothing() {
    let scene = Scene::new();
    let thief = Signer::rsa("rsa-1");
    let good = github(US);
    let signed = |claims: &Value| scene.rsa.token(claims);
    for (expected, token) in [
        (Refusal::Signature, thief.token(&good)),
        (Refusal::Signature, Signer::p256("ec-1").token(&good)),
        (Refusal::Expired, signed(&with(good.clone(), "exp", json!(now() - 61)))),
        (Refusal::Lifetime, signed(&with(good.clone(), "exp", json!(now() + 86_400 + 120)))),
        (Refusal::NotYetValid, signed(&with(good.clone(), "nbf", json!(now() + 120)))),
        (Refusal::NotYetValid, signed(&with(good.clone(), "iat", json!(now() + 120)))),
        (Refusal::Audience, signed(&github("https://other.example"))),
        (Refusal::Audience, signed(&github("https://github.com/acme"))),
        (Refusal::Audience, signed(&with(good.clone(), "aud", json!([])))),
        (Refusal::Incomplete, signed(&without(good.clone(), "aud"))),
        (Refusal::Incomplete, signed(&without(good.clone(), "exp"))),
        (Refusal::Incomplete, signed(&without(good.clone(), "sub"))),
        (Refusal::Incomplete, signed(&without(good.clone(), "iss"))),
        (Refusal::Issuer, signed(&with(good.clone(), "iss", json!("https://evil.example")))),
        (Refusal::Issuer, signed(&with(good.clone(), "iss", json!("https://token.actions.githubusercontent.com/")))),
        (Refusal::Issuer, signed(&with(good.clone(), "iss", json!("HTTPS://token.actions.githubusercontent.com")))),
    ] {
        assert_eq!(scene.refusal(&token).await, expected);
    }
    // Every byte of a good token counts.
    let token = signed(&good);
    for at in (0..token.len()).step_by(29) {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(scene.of(&String::from_utf8(changed).unwrap()).await.is_err(), "byte {at}");
    }
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let other = unsigned(&json!({}), &with(good, "environment", json!("production")));
    let grafted = format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap());
    assert_eq!(scene.refusal(&grafted).await, Refusal::Signature, "another's payload");
}

#[tokio::test]
async fn no_algorithm_but_the_pinned_ones_and_none_that_does_not_fit_the_key() {
    let scene = Scene::new();
    let claims = github(US);
    let header = |algorithm: &str, id: &str| json!({ "alg": algorithm, "kid": id, "typ": "JWT" });
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let part = unsigned(&header(none, "rsa-1"), &claims);
        assert_eq!(scene.refusal(&format!("{part}.AA")).await, Refusal::Algorithm, "{none:?}");
        // Without a signature, as the RFC writes it: told for what it says.
        let bare = if none.is_empty() { Refusal::Malformed } else { Refusal::Algorithm };
        assert_eq!(scene.refusal(&format!("{part}.")).await, bare, "{none:?}");
    }
    // Key confusion: the issuer's public key, which everybody has, as the secret of an HMAC.
    let jwk = scene.rsa.jwk();
    let modulus = Base64UrlUnpadded::decode_vec(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [jwk.to_string().into_bytes(), jwk["n"].as_str().unwrap().as_bytes().to_vec(), modulus, Vec::new()] {
        for id in ["rsa-1", "ec-1"] {
            let part = unsigned(&header("HS256", id), &claims);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), part.as_bytes());
            let token = format!("{part}.{}", Base64UrlUnpadded::encode_string(tag.as_ref()));
            assert_eq!(scene.refusal(&token).await, Refusal::Algorithm, "{id}");
        }
    }
    for (algorithm, id) in [
        ("RS256", "ec-1"),
        ("ES256", "rsa-1"),
        ("RS512", "rsa-1"),
        ("PS256", "rsa-1"),
        ("ES384", "ec-1"),
        ("rs256", "rsa-1"),
    ] {
        let token = scene.rsa.token_with(&header(algorithm, id), &claims);
        assert_eq!(scene.refusal(&token).await, Refusal::Algorithm, "{algorithm} with {id}");
    }
    // This provider pins RS256 alone, whatever its keys can do.
    let token = scene.ec.token(&kubernetes(CLUSTER, US));
    assert_eq!(scene.refusal(&token).await, Refusal::Algorithm);
}

#[tokio::test]
async fn huge_truncated_and_garbled_tokens_are_refused_before_anything_is_done_with_them() {
    let scene = Scene::new();
    let good = scene.rsa.token(&github(US));
    let huge = scene.rsa.token(&with(github(US), "padding", json!("x".repeat(20_000))));
    assert_eq!(scene.refusal(&huge).await, Refusal::TooLarge);
    for length in (0..good.len() - 1).step_by(7) {
        let refusal = scene.refusal(&good[..length]).await;
        assert!(matches!(refusal, Refusal::Malformed | Refusal::Signature), "{length}: {refusal:?}");
    }
    for garbage in ["\0", "....", "Bearer x", "\u{202e}", "a.b.c", "e30.e30.", "null", "{}", &".".repeat(9000)] {
        assert_eq!(scene.refusal(garbage).await, Refusal::Malformed, "{garbage:?}");
    }
    let critical = json!({ "alg": "RS256", "kid": "rsa-1", "crit": ["x"], "x": 1 });
    assert_eq!(scene.refusal(&scene.rsa.token_with(&critical, &github(US))).await, Refusal::Kind);
    let logout = json!({ "alg": "RS256", "kid": "rsa-1", "typ": "logout+jwt" });
    assert_eq!(scene.refusal(&scene.rsa.token_with(&logout, &github(US))).await, Refusal::Kind);
    let results: Vec<_> = scene.bearers.metrics().tokens().into_keys().map(|(_, result)| result).collect();
    for counted in ["too-large", "malformed", "kind"] {
        assert!(results.contains(&counted), "{results:?}");
    }
}

#[tokio::test]
async fn no_refusal_shows_any_of_the_token() {
    let scene = Scene::new();
    let marked = with(with(github("for-somebody-else"), "sub", json!("marked-subject")), "iss", json!("marked-issuer"));
    for token in [scene.rsa.token(&marked), Signer::rsa("marked-key").token(&github(US)), "marked".to_owned()] {
        let refusal = scene.refusal(&token).await;
        let shown = format!("{refusal} {refusal:?}");
        assert!(!shown.contains("marked") && !shown.contains("somebody") && !shown.contains("eyJ"), "{shown}");
    }
}
