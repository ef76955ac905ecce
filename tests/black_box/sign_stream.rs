//! SignStream: item by item, in order, under the rules of the moment.

use std::time::{Duration, Instant};

use sealward::client::messages::sign_stream_response::Result as Outcome;
use sealward::client::messages::signing_service_client::SigningServiceClient;
use sealward::client::messages::{SignStreamRequest, SignStreamResponse};
use tokio::sync::mpsc;

use crate::support::{SOFTWARE, World, in_seconds, sign_request, snapshot, targets, timestamp, tomorrow};

fn world() -> World {
    let world = World::dev();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world
}

fn item(id: u64, role: &str, payload: &str) -> SignStreamRequest {
    SignStreamRequest { id, request: Some(sign_request("demo", role, payload)) }
}

/// The step of an item, or the rule that refused it.
fn outcome(answer: SignStreamResponse) -> (u64, String) {
    let said = match answer.result.unwrap() {
        Outcome::Response(signed) => signed.signatures[0].step.clone(),
        Outcome::Refusal(refusal) => refusal.reason,
    };
    (answer.id, said)
}

#[test]
fn items_are_decided_and_answered_in_order_each_with_an_outcome_of_its_own() {
    let world = world();
    let expires = tomorrow();
    let asked = [
        ("targets", targets(1, &expires), "advance"),
        ("snapshot", snapshot(1, 1, &[], &expires), "advance"),
        ("timestamp", timestamp(1, 1, &expires), "advance"),
        ("timestamp", timestamp(1, 1, &expires), "replay"),
        ("timestamp", timestamp(1, 1, &in_seconds(5_000)), "equivocation"),
        ("snapshot", snapshot(2, 2, &[], &expires), "listed-unreleased"),
        ("targets", "{".to_owned(), "malformed-metadata"),
        ("nonsense/../x", targets(2, &expires), "malformed"),
        ("targets", targets(2, &expires), "advance"),
        ("snapshot", snapshot(2, 2, &[], &expires), "advance"),
    ];
    let answers = world.with_client(async |client| {
        let (items, stream) = mpsc::channel(32);
        let mut answers = client.sign_stream(stream).await.unwrap();
        for (id, (role, payload, _)) in (100..).zip(&asked) {
            items.send(item(id, role, payload)).await.unwrap();
        }
        items.send(SignStreamRequest { id: 7, request: None }).await.unwrap();
        drop(items);
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await.unwrap() {
            all.push(outcome(answer));
        }
        all
    });
    let mut expected: Vec<_> = (100..).zip(&asked).map(|(id, (_, _, said))| (id, (*said).to_owned())).collect();
    expected.push((7, "malformed".to_owned()));
    for (found, expected) in answers.iter().zip(&expected) {
        if expected.1 == "malformed-metadata" {
            assert!(["malformed-metadata", "not-canonical"].contains(&found.1.as_str()), "{found:?}");
        } else {
            assert_eq!(found, expected);
        }
    }
    assert_eq!(answers.len(), expected.len());
}

#[test]
fn each_answer_is_durable_before_the_next_item_needs_it() {
    let mut world = world();
    let expires = tomorrow();
    let versions = world.with_client(async |client| {
        let (items, stream) = mpsc::channel(1);
        let mut answers = client.sign_stream(stream).await.unwrap();
        let mut versions = Vec::new();
        for version in 1..=20 {
            items.send(item(version, "targets", &targets(version, &expires))).await.unwrap();
            versions.push(outcome(answers.next().await.unwrap().unwrap()));
        }
        versions
    });
    assert!(versions.iter().zip(1..).all(|((id, step), at)| *id == at && step == "advance"), "{versions:?}");
    world.kill();
    world.start();
    assert_eq!(world.refusal("demo", "targets", &targets(19, &expires)), "rollback");
    assert_eq!(world.sign("demo", "targets", &targets(20, &expires)).unwrap().signatures[0].step, "replay");
}

#[test]
fn an_open_stream_does_not_hold_up_a_stop_and_is_told_why_it_ended() {
    let mut world = world();
    let expires = tomorrow();
    let (items, stream) = mpsc::channel(4);
    let server: sealward::client::Server = world.server().parse().unwrap();
    let (opened, wait) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let files = sealward::client::TlsFiles::default();
            let client = sealward::client::Client::connect(&server, &files, Duration::from_secs(30)).await.unwrap();
            let mut answers = client.sign_stream(stream).await.unwrap();
            let first = outcome(answers.next().await.unwrap().unwrap());
            opened.send(first).unwrap();
            answers.next().await
        })
    });
    items.blocking_send(item(1, "targets", &targets(1, &expires))).unwrap();
    assert_eq!(wait.recv_timeout(Duration::from_secs(30)).unwrap(), (1, "advance".to_owned()));
    let begun = Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let end = client.join().unwrap().unwrap_err();
    assert_eq!(end.reason(), "shutting-down", "{end}");
    drop(items);
}

#[test]
fn answers_that_nobody_reads_hold_up_nobody_else() {
    let world = world();
    let expires = tomorrow();
    let narrow = world.narrow_channel();
    world.with_client(async |client| {
        let (items, stream) = mpsc::channel(1);
        let mut stub = SigningServiceClient::new(narrow.await);
        let answers = stub.sign_stream(tokio_stream::wrappers::ReceiverStream::new(stream)).await.unwrap();
        // More than any buffer on the way holds: at some point the daemon takes no more, and this waits.
        let payload = targets(1, &expires);
        let mut sent = 0_u64;
        while sent < 20_000 {
            let next = items.send(item(sent, "targets", &payload));
            match tokio::time::timeout(Duration::from_secs(2), next).await {
                Ok(Ok(())) => {}
                // Taken no more, or the connection closed: thousands of small frames that wait are an attack to HTTP/2.
                Ok(Err(_)) | Err(_) => break,
            }
            sent += 1;
        }
        assert!((1..20_000).contains(&sent), "the daemon took {sent} items whose answers nobody read");
        let other = client.sign(sign_request("demo", "snapshot", &snapshot(1, 1, &[], &expires))).await.unwrap();
        assert_eq!(other.signatures[0].step, "advance");
        drop((items, answers));
    });
}

#[test]
fn a_client_that_reads_late_loses_nothing() {
    let world = world();
    let expires = tomorrow();
    let count = 600;
    let answers = world.with_client(async |client| {
        let (items, stream) = mpsc::channel(1);
        let mut answers = client.sign_stream(stream).await.unwrap();
        let payload = targets(1, &expires);
        let sender = tokio::spawn(async move {
            for id in 0..count {
                items.send(item(id, "targets", &payload)).await.unwrap();
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!sender.is_finished(), "256 are without an answer");
        let mut ids = Vec::new();
        while let Some(answer) = answers.next().await.unwrap() {
            ids.push(outcome(answer).0);
        }
        ids
    });
    assert!(answers.into_iter().eq(0..count));
}

#[test]
fn a_reload_bites_in_mid_stream() {
    let world = World::configured(SOFTWARE);
    world.key("demo", "targets", true);
    let expires = tomorrow();
    let (items, stream) = mpsc::channel(1);
    let server: sealward::client::Server = world.server().parse().unwrap();
    let (told, answers) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let files = sealward::client::TlsFiles::default();
            let client = sealward::client::Client::connect(&server, &files, Duration::from_secs(30)).await.unwrap();
            let mut answers = client.sign_stream(stream).await.unwrap();
            while let Some(answer) = answers.next().await.unwrap() {
                told.send(outcome(answer)).unwrap();
            }
        });
    });
    let sign = |version: u64| {
        items.blocking_send(item(version, "targets", &targets(version, &expires))).unwrap();
        answers.recv_timeout(Duration::from_secs(30)).unwrap().1
    };
    assert_eq!(sign(1), "advance");
    world.reconfigure("\"sign\", ", "");
    assert_eq!(sign(2), "advance", "nothing changes before the reload");
    let (code, text) = world.reload();
    assert_eq!(code, 0, "{text}");
    assert_eq!(sign(3), "no-grant");
    world.reconfigure("verbs = [", "verbs = [\"sign\", ");
    assert_eq!(world.reload().0, 0);
    assert_eq!(sign(3), "advance");
    drop(items);
    client.join().unwrap();
}

fn turned_away(world: &World, reason: &str) -> bool {
    world.metrics().contains(&format!("sealward_door_refusals_total{{listener=\"local\",reason=\"{reason}\"}} "))
}

#[test]
fn one_caller_holds_a_quarter_of_the_streams_and_whoever_may_sign_nothing_none() {
    let world = World::configured(&format!("{SOFTWARE}[limits]\nrequests_per_connection = 100\n"));
    let narrow = world.narrow_channel();
    world.with_client(async |_| {
        let mut stub = SigningServiceClient::new(narrow.await);
        let mut held = Vec::new();
        for at in 0..=64 {
            let (items, stream) = mpsc::channel::<SignStreamRequest>(1);
            let opened = stub.sign_stream(tokio_stream::wrappers::ReceiverStream::new(stream)).await;
            match opened {
                Ok(answers) => held.push((items, answers)),
                Err(status) => {
                    assert_eq!(at, 64, "{status}");
                    assert!(status.message().contains("streams-per-caller"), "{status}");
                }
            }
        }
        assert_eq!(held.len(), 64);
    });
    assert!(turned_away(&world, "streams-per-caller"), "{}", world.metrics());
    world.reconfigure("\"sign\", ", "");
    assert_eq!(world.reload().0, 0);
    let error = world.with_client(async |client| {
        let (_items, stream) = mpsc::channel(1);
        let Err(error) = client.sign_stream(stream).await else { panic!("a place for nothing") };
        error
    });
    assert_eq!(error.reason(), "no-grant", "{error}");
}

#[test]
fn a_stream_that_is_silent_for_too_long_ends_and_says_why() {
    let world = World::configured(&format!("{SOFTWARE}[limits]\nstream_idle = \"2s\"\n"));
    world.key("demo", "targets", true);
    let expires = tomorrow();
    let end = world.with_client(async |client| {
        let (items, stream) = mpsc::channel(1);
        let mut answers = client.sign_stream(stream).await.unwrap();
        // Each item buys time.
        for version in 1..=3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            items.send(item(version, "targets", &targets(version, &expires))).await.unwrap();
            assert_eq!(outcome(answers.next().await.unwrap().unwrap()).1, "advance");
        }
        let begun = Instant::now();
        let end = answers.next().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(items);
        end
    });
    assert_eq!(end.reason(), "deadline", "{end}");
    assert!(end.to_string().contains("no item came for 2 seconds"), "{end}");
    assert!(turned_away(&world, "idle-stream"), "{}", world.metrics());
}
