//! Where keys come from, and how often they are asked for.

use std::time::{Duration, Instant};

use sealward::oidc::Refusal;
use serde_json::json;

use super::issuer::{Signer, github, gitlab, jwks, kubernetes};
use super::{CLUSTER, PROVIDERS, Scene, US};

/// Waits for something that another task does.
async fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_asks_the_issuer_once() {
    let scene = Scene::new();
    assert!(scene.of(&scene.rsa.token(&github(US))).await.is_ok());
    let before = scene.pages.requests("GET /keys").len();
    let strangers: Vec<Signer> = (0..3).map(|number| Signer::p256(&format!("unknown-{number}"))).collect();
    for round in 0..100 {
        let token = strangers[round % 3].token(&github(US));
        assert_eq!(scene.refusal(&token).await, Refusal::UnknownKey);
    }
    let asked = scene.pages.requests("GET /keys").len() - before;
    // GitLab's keys lie at the same address; they may have been fetched for the first time meanwhile.
    assert!((1..=2).contains(&asked), "{asked} fetches for 100 tokens");
    assert!(scene.of(&scene.rsa.token(&github(US))).await.is_ok(), "the flood shuts nobody out");
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_found_and_a_withdrawn_one_is_forgotten() {
    let scene = Scene::new();
    assert!(scene.of(&scene.rsa.token(&github(US))).await.is_ok());
    let next = Signer::rsa("rsa-2");
    scene.pages.publish(&[&next]);
    assert!(scene.of(&next.token(&github(US))).await.is_ok());
    assert_eq!(scene.refusal(&scene.rsa.token(&github(US))).await, Refusal::UnknownKey);
}

#[tokio::test]
async fn many_bearers_at_once_wait_for_one_fetch() {
    let scene = Scene::new();
    let token = scene.rsa.token(&github(US));
    // None of them was there when the keys were fetched first.
    let bearers = (0..50).map(|_| scene.of(&token));
    for caller in futures_of(bearers).await {
        assert!(caller.is_ok());
    }
    assert!(scene.pages.requests("GET /keys").len() <= 3, "github once or twice, gitlab once");
}

async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_a_state_and_not_a_refusal() {
    let scene =
        Scene::with(PROVIDERS, |scene| scene.pages.put("/keys", "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!(scene.refusal(&scene.rsa.token(&github(US))).await, Refusal::KeysUnavailable);
    let failure = || scene.bearers.issuers()[0].failure.clone();
    until("the failure shows", || failure().is_some()).await;
    assert!(failure().unwrap().contains("503"), "{:?}", failure());
    assert!(scene.bearers.metrics().fetches()[&("github".to_owned(), "failed")] >= 1);
    assert_eq!(scene.identities(&kubernetes(CLUSTER, US)).await, ["signer", "by-uid"], "keys in a file need nobody");
}

#[tokio::test]
async fn the_last_good_keys_stay_when_the_issuer_fails() {
    let scene = Scene::new();
    let token = scene.rsa.token(&github(US));
    assert!(scene.of(&token).await.is_ok());
    let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(600 << 10));
    scene.pages.put("/keys", large);
    let unknown = Signer::p256("unknown").token(&github(US));
    assert_eq!(scene.refusal(&unknown).await, Refusal::KeysUnavailable, "who can say whether the issuer has that key?");
    assert!(scene.bearers.issuers()[0].failure.as_deref().unwrap().contains("512 KiB"));
    assert!(scene.of(&token).await.is_ok());
}

#[tokio::test]
async fn answers_that_are_no_keys_and_redirects_are_refused() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let two = Signer::p256("twice");
    for (what, answer) in [
        ("redirect", moved.to_owned()),
        ("no JSON", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_owned()),
        ("two keys", {
            let body = jwks(&[&two, &two]).to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }),
        ("does not answer in HTTP", "SMTP ready\r\n".to_owned()),
        ("no key that verifies", "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}".to_owned()),
    ] {
        let scene = Scene::with(PROVIDERS, |scene| {
            scene.pages.put("/keys", answer);
            scene.pages.put_json("/elsewhere", &jwks(&[&scene.rsa]));
        });
        let failure = || scene.bearers.issuers()[0].failure.clone();
        until(what, || failure().is_some()).await;
        assert!(failure().unwrap().contains(what), "{what}: {:?}", failure());
        assert_eq!(scene.refusal(&scene.rsa.token(&github(US))).await, Refusal::KeysUnavailable);
        assert!(scene.pages.requests("GET /elsewhere").is_empty());
    }
}

#[tokio::test]
async fn discovery_is_of_the_issuer_itself() {
    let scene = Scene::with(PROVIDERS, |scene| {
        let document =
            json!({ "issuer": "https://evil.example", "jwks_uri": format!("{}/keys", scene.pages.address()) });
        scene.pages.put_json("/.well-known/openid-configuration", &document);
    });
    let token = scene.rsa.token(&gitlab(&scene.pages.address(), US));
    assert_eq!(scene.refusal(&token).await, Refusal::KeysUnavailable);
    let failure = scene.bearers.issuers()[1].failure.clone().unwrap();
    assert!(failure.contains("another issuer"), "{failure}");
}

#[tokio::test]
async fn a_host_that_another_authority_signed_is_not_believed() {
    let scene = Scene::with(PROVIDERS, |scene| {
        super::Authority::new(scene.directory.path(), "ca");
    });
    assert_eq!(scene.refusal(&scene.rsa.token(&github(US))).await, Refusal::KeysUnavailable);
    let failure = scene.bearers.issuers()[0].failure.clone().unwrap();
    assert!(failure.starts_with("TLS with localhost"), "{failure}");
    assert!(scene.pages.requests("GET").is_empty());
}

#[tokio::test]
async fn a_reload_keeps_known_keys_and_changes_everything_or_nothing() {
    let scene = Scene::new();
    let token = scene.rsa.token(&github(US));
    assert!(scene.of(&token).await.is_ok());
    let broken = PROVIDERS.replace("cluster.json", "missing.json");
    assert!(scene.install(&broken).unwrap_err().contains("provider cluster:"));
    assert!(scene.of(&token).await.is_ok());
    scene.pages.put("/keys", "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    scene
        .install(
            &PROVIDERS.replace(
                "name = \"release\"\nclaims = { repository_id",
                "name = \"renamed\"\nclaims = { repository_id",
            ),
        )
        .unwrap();
    assert_eq!(scene.identities(&github(US)).await, ["renamed", "shared-workflow"]);
    scene.install("").unwrap();
    assert_eq!(scene.refusal(&token).await, Refusal::Issuer);
}
