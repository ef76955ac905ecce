//! Certificates that were good when the connection began.

use std::fs;
use std::time::Instant;

use sealward::client::messages::WhoAmIRequest;
use sealward::client::{Client, ClientError};
use time::Duration;

use crate::support::frames::{DATA, END_STREAM, Frames};
use crate::support::pki::{Authority, Signed, dns, uri};
use crate::support::{PATIENCE, World};

/// A daemon whose TCP listener looks at a deny-list and, where asked for, a revocation list.
struct Guarded {
    world: World,
    authority: Authority,
    ci: Signed,
    port: u16,
}

fn guarded(more: &str, prepare: impl FnOnce(&World, &Authority)) -> Guarded {
    let world = World::empty();
    let directory = world.path("");
    let authority = Authority::new(&directory, "ca");
    authority.sign(&directory, "server", vec![dns("localhost")]);
    let ci = authority.sign(&directory, "ci", vec![uri("spiffe://example/ci")]);
    authority.sign(&directory, "other", vec![dns("other.example")]);
    fs::write(world.path("denied"), "# nobody yet\n").unwrap();
    prepare(&world, &authority);
    let listener = r#"
[[listener]]
name = "remote"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = { file = "server.key" }
client_ca = "ca.pem"
deny_list = "denied"
"#;
    let world = world.init_and_start(&format!("{}{listener}{more}", crate::support::SOFTWARE));
    let port = world.port("remote");
    Guarded { world, authority, ci, port }
}

impl Guarded {
    /// A client all of whose connections are open.
    fn connect(&self, who: &str) -> Client {
        let client = self.world.tls_client(self.port, who).unwrap();
        for _ in 0..8 {
            // What it is told does not matter yet.
            drop(self.ask(&client));
        }
        client
    }

    fn ask(&self, client: &Client) -> Result<String, ClientError> {
        self.world.block_on(client.who_am_i(WhoAmIRequest {})).map(|answer| answer.caller)
    }

    /// Whether somebody gets an answer over a connection of his own.
    fn lets_in(&self, who: &str) -> bool {
        self.world.tls_client(self.port, who).and_then(|client| self.ask(&client)).is_ok()
    }

    /// What a connection that was good is told now.
    fn refusal(&self, client: &Client) -> String {
        let error = self.ask(client).expect_err("it was answered");
        assert_eq!(error.exit_code(), 77, "{error}");
        assert_eq!(error.reason(), "unauthenticated", "{error}");
        error.to_string()
    }
}

#[test]
fn a_stolen_certificate_is_useless_from_the_reload_on_also_over_open_connections() {
    let guarded = guarded("", |_, _| {});
    for entry in [format!("key {}", guarded.ci.key), format!("certificate {}", guarded.ci.fingerprint)] {
        let (thief, other) = (guarded.connect("ci"), guarded.connect("other"));
        assert_eq!(guarded.ask(&thief).unwrap(), "uri:spiffe://example/ci");
        fs::write(guarded.world.path("denied"), format!("{entry} # stolen\n")).unwrap();
        assert!(guarded.ask(&thief).is_ok(), "nothing changes before the reload");
        let (code, text) = guarded.world.reload();
        assert_eq!(code, 0, "{text}");
        assert!(guarded.refusal(&thief).contains("deny-list"));
        assert!(!guarded.lets_in("ci"));
        assert_eq!(guarded.ask(&other).unwrap(), "dns:other.example", "nobody else is concerned");
        fs::write(guarded.world.path("denied"), "").unwrap();
        assert_eq!(guarded.world.reload().0, 0);
        assert!(guarded.lets_in("ci"));
    }
    assert!(guarded.world.metrics().contains("reason=\"unauthenticated\""));
}

#[test]
fn a_certificate_on_the_deny_list_does_not_come_back_with_another_form_of_its_signature() {
    let guarded = guarded("", |world, _| {
        Authority::malleate(&world.path(""), "ci", "other-form");
        Authority::malleate(&world.path(""), "other-form", "first-form");
    });
    let names = ["ci", "other-form", "first-form"];
    assert!(names.iter().all(|name| guarded.lets_in(name)), "the verifier takes every form");
    fs::write(guarded.world.path("denied"), format!("certificate {}\n", guarded.ci.fingerprint)).unwrap();
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "{text}");
    for name in names {
        assert!(!guarded.lets_in(name), "{name}");
    }
    assert!(guarded.lets_in("other"));
}

#[test]
fn a_revoked_certificate_is_refused_and_an_old_list_refuses_everybody_whom_it_is_about() {
    let crls = "crls = [\"list.crl\"]\n";
    let guarded = guarded(crls, |world, authority| {
        authority.revoke(&world.path(""), "list", &[], Duration::days(1));
    });
    let (ci, other) = (guarded.connect("ci"), guarded.connect("other"));
    assert!(guarded.ask(&ci).is_ok() && guarded.ask(&other).is_ok());
    let directory = guarded.world.path("");
    guarded.authority.revoke(&directory, "list", &[&guarded.ci], Duration::days(1));
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "{text}");
    assert!(guarded.refusal(&ci).contains("does not verify any more"));
    assert!(!guarded.lets_in("ci"));
    assert!(guarded.ask(&other).is_ok() && guarded.lets_in("other"));
    // Past its time.
    guarded.authority.revoke(&directory, "list", &[], Duration::hours(-1));
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "the unix socket must not fall with it: {text}");
    assert!(guarded.refusal(&other).contains("does not verify any more"));
    assert!(!guarded.lets_in("other") && !guarded.lets_in("ci"));
    assert!(guarded.world.log().contains("out of date"), "{}", guarded.world.log());
    // A list of somebody else says nothing of ours: unknown, and refused.
    Authority::new(&directory, "stranger").revoke(&directory, "list", &[], Duration::days(1));
    assert_eq!(guarded.world.reload().0, 0);
    assert!(!guarded.lets_in("other"));
    guarded.world.reconfigure(crls, &format!("{crls}unknown_revocation = \"allow\"\n"));
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "{text}");
    assert!(guarded.lets_in("other"));
}

#[test]
fn a_certificate_that_expires_ends_its_connection() {
    let guarded = guarded("", |world, authority| {
        authority.sign_for(&world.path(""), "short", vec![dns("short.example")], Duration::seconds(20));
    });
    let short = guarded.connect("short");
    assert_eq!(guarded.ask(&short).unwrap(), "dns:short.example");
    let begun = Instant::now();
    while guarded.ask(&short).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it was answered after its end");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(guarded.refusal(&short).contains("has expired"));
}

#[test]
fn an_authority_that_is_taken_away_takes_its_certificates_with_it() {
    let guarded = guarded("", |world, _| drop(Authority::new(&world.path(""), "next-ca")));
    let ci = guarded.connect("ci");
    assert!(guarded.ask(&ci).is_ok());
    guarded.world.reconfigure("client_ca = \"ca.pem\"", "client_ca = \"next-ca.pem\"");
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "{text}");
    assert!(guarded.refusal(&ci).contains("does not verify any more"));
    assert!(!guarded.lets_in("ci"));
}

#[test]
fn a_caller_whose_certificate_another_authority_signed_is_told_so() {
    let guarded = guarded("", |world, _| {
        let stranger = Authority::new(&world.path(""), "stranger-ca");
        stranger.sign(&world.path(""), "stranger", vec![uri("spiffe://example/ci")]);
    });
    // In TLS 1.3 the daemon looks at the certificate after the client is done: what it says may come too late to be read.
    let told = (0..20).any(|_| {
        let asked = guarded.world.tls_client(guarded.port, "stranger").and_then(|client| guarded.ask(&client));
        let error = asked.expect_err("it was answered");
        assert_ne!(error.exit_code(), 0, "{error}");
        error.advice().contains("client_ca did not sign the certificate")
    });
    assert!(told, "not once in twenty times");
}

#[test]
fn a_server_certificate_is_renewed_without_a_pause() {
    let guarded = guarded("", |_, _| {});
    let before = guarded.connect("ci");
    let directory = guarded.world.path("");
    guarded.authority.sign(&directory, "server", vec![dns("renamed.example")]);
    assert_eq!(guarded.world.reload().0, 0);
    assert!(guarded.ask(&before).is_ok(), "a connection that is open stays");
    assert!(!guarded.lets_in("ci"), "the new certificate is for another name");
    guarded.authority.sign(&directory, "server", vec![dns("localhost")]);
    assert_eq!(guarded.world.reload().0, 0);
    assert!(guarded.lets_in("ci"));
}

#[test]
fn two_spiffe_ids_or_none_that_is_well_formed_name_nobody() {
    let guarded = guarded("", |world, authority| {
        let directory = world.path("");
        authority.sign(&directory, "two", vec![uri("spiffe://example/a"), uri("spiffe://example/ci")]);
        authority.sign(&directory, "nul", vec![dns("other.example\0.evil.example")]);
        authority.sign(&directory, "nameless", vec![]);
    });
    for (who, why) in [("two", "SPIFFE"), ("nul", "forbidden character"), ("nameless", "subject alternative name")] {
        let client = guarded.connect(who);
        let refusal = guarded.refusal(&client);
        assert!(refusal.contains(why), "{who}: {refusal}");
    }
}

#[test]
fn who_is_turned_away_between_the_headers_of_a_request_and_its_body_gets_no_answer() {
    let guarded = guarded("", |_, _| {});
    let answered = || {
        let wanted = "sealward_requests_total{verb=\"who-am-i\",role=\"\",outcome=\"succeeded\",reason=\"\"} ";
        let page = guarded.world.metrics();
        page.lines().find_map(|line| line.strip_prefix(wanted)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let turned_away = || {
        let wanted =
            "sealward_requests_total{verb=\"connect\",role=\"\",outcome=\"denied\",reason=\"unauthenticated\"} ";
        guarded.world.metrics().contains(wanted)
    };
    let wait_until = |what: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < PATIENCE, "{}", guarded.world.metrics());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let mut frames = Frames::connect_tls(&guarded.world.path(""), guarded.port, "ci");
    let path = "/sealward.v1.AdminService/WhoAmI";
    frames.call(1, path).unwrap();
    frames.send(DATA, END_STREAM, 1, &[0; 5]).unwrap();
    wait_until(&|| answered() == 1);
    frames.call(3, path).unwrap();
    // As long as the headers of the first call took, and more.
    std::thread::sleep(std::time::Duration::from_secs(1));
    fs::write(guarded.world.path("denied"), format!("key {}\n", guarded.ci.key)).unwrap();
    let (code, text) = guarded.world.reload();
    assert_eq!(code, 0, "{text}");
    assert!(!turned_away(), "nobody was asked yet");
    frames.send(DATA, END_STREAM, 3, &[0; 5]).unwrap();
    wait_until(&|| turned_away() || answered() > 1);
    assert_eq!(answered(), 1, "the old identity was believed");
}
