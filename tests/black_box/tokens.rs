//! Callers who come in by an OIDC token over TLS, through the built daemon and the command line that CI jobs use.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::frames::{DATA, Frames};
use crate::support::issuer::{Pages, Signer, github, gitlab, jwks, kubernetes};
use crate::support::pki::{Authority, dns};
use crate::support::{PATIENCE, World, bounded, snapshot, targets, timestamp, tomorrow};

const PROVIDERS: &str = r#"
[[listener]]
name = "ci"
kind = "tcp-token"
address = "127.0.0.1:0"
certificate = "server.pem"
key = { file = "server.key" }

[[oidc]]
name = "github"
issuer = "https://token.actions.githubusercontent.com"
audiences = ["signer"]
jwks_url = "{url}/keys"
ca = "ca.pem"
[[oidc.identity]]
name = "release"
claims = { repository_id = "1296269", environment = "release" }

[[oidc]]
name = "gitlab"
issuer = "{url}"
audiences = ["signer"]
discovery = true
ca = "ca.pem"
[[oidc.identity]]
name = "release"
claims = { project_id = "20", ref_protected = "true", environment = "release" }

[[oidc]]
name = "cluster"
issuer = "https://kubernetes.default.svc.cluster.local"
audiences = ["signer"]
jwks_file = "cluster.json"
[[oidc.identity]]
name = "signer"
claims = { "/kubernetes.io/namespace" = "release", "/kubernetes.io/serviceaccount/name" = "signer" }

[[grant]]
callers = ["oidc:github/release", "oidc:gitlab/release", "oidc:cluster/signer"]
verbs = ["sign"]
repositories = ["demo"]
roles = ["timestamp"]
"#;

/// A daemon that takes tokens, and the issuer of all of them.
struct Scene {
    world: World,
    pages: Pages,
    key: Signer,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        let world = World::empty();
        let directory = world.path("");
        let authority = Authority::new(&directory, "ca");
        authority.sign(&directory, "server", vec![dns("localhost")]);
        let pages = Pages::start(&directory, &authority);
        let key = Signer::rsa("key-1");
        pages.publish(&[&key]);
        pages.publish_discovery();
        fs::write(world.path("cluster.json"), jwks(&[&key]).to_string()).unwrap();
        let providers = PROVIDERS.replace("{url}", &pages.address());
        let world = world.init_and_start(&format!("{}{providers}", crate::support::SOFTWARE));
        let port = world.wait_for_log("listening listener=ci address=127.0.0.1:", |rest| {
            rest.split_whitespace().next().and_then(|port| port.parse().ok())
        });
        Self { world, pages, key, port }
    }

    /// As [`Scene::new`], with a repository whose timestamp may be signed next.
    fn with_repository() -> Self {
        let scene = Self::new();
        let (world, expires) = (&scene.world, tomorrow());
        for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
            world.key("demo", role, new);
        }
        world.sign("demo", "targets", &targets(1, &expires)).unwrap();
        world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
        fs::write(world.path("timestamp.json"), timestamp(1, 1, &expires)).unwrap();
        fs::write(world.path("targets.json"), targets(2, &expires)).unwrap();
        scene
    }

    fn server(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The command line of a CI job: nothing in its environment but what the job was given.
    fn job(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let server = self.server();
        let all = ["--server", &server, "--ca", "ca.pem", "--timeout", "20s"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealward"));
        command.env_clear().envs(environment.iter().copied()).current_dir(self.world.path(""));
        bounded(command.args(all).args(arguments))
    }

    /// As [`Scene::job`], with a token in a file. The exit code and all that was said.
    fn by_token(&self, token: &str, arguments: &[&str]) -> (i32, String) {
        fs::write(self.world.path("token"), token).unwrap();
        said(&self.job(&[], &[&["--token-file", "token"], arguments].concat()))
    }
}

fn said(output: &Output) -> (i32, String) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

const SIGN: [&str; 6] = ["sign", "--repository", "demo", "--role", "timestamp", "timestamp.json"];

#[test]
fn a_job_signs_what_was_granted_to_its_identity_and_the_leaf_names_provider_and_subject() {
    let scene = Scene::with_repository();
    let token = scene.key.token(&github("signer"));
    let (code, text) = scene.by_token(&token, &["whoami"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("oidc:github:repo:acme/app:environment:release") && text.contains("oidc:github/release"),
        "{text}"
    );
    let (code, text) = scene.by_token(&token, &SIGN);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\"signatures\""), "{text}");
    let (code, text) = scene.by_token(&token, &["sign", "--repository", "demo", "--role", "targets", "targets.json"]);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no-grant"), "{text}");
    let leaves = String::from_utf8(scene.world.sealward(&["--json", "audit", "list"]).stdout).unwrap();
    assert!(leaves.contains("\"oidc:github:repo:acme/app:environment:release\""), "{leaves}");
    // GitLab and Kubernetes get the released signature again.
    for claims in
        [gitlab(&scene.pages.address(), "signer"), kubernetes("https://kubernetes.default.svc.cluster.local", "signer")]
    {
        let (code, text) = scene.by_token(&scene.key.token(&claims), &SIGN);
        assert_eq!(code, 0, "{text}");
    }
    let page = scene.world.metrics();
    for line in [
        "sealward_tokens_total{provider=\"github\",result=\"accepted\"} 3",
        "sealward_token_keys{provider=\"cluster\"} 1",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    no_secret(&scene, &token);
}

#[test]
fn a_token_comes_out_of_a_pipe_and_a_file_that_others_read_is_told() {
    let scene = Scene::new();
    let token = scene.key.token(&github("signer"));
    let told = "others can read the token";
    let (code, text) = scene.by_token(&token, &["whoami"]);
    assert_eq!((code, text.contains(told)), (0, true), "{text}");
    fs::set_permissions(scene.world.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let own = said(&scene.job(&[], &["--token-file", "token", "whoami"]));
    assert_eq!((own.0, own.1.contains(told)), (0, false), "{}", own.1);
    // As a shell hands over the output of a program: there is one reading of it.
    let line = format!(
        "{} --server {} --ca ca.pem --timeout 20s --token-file <(cat token) whoami",
        env!("CARGO_BIN_EXE_sealward"),
        scene.server()
    );
    let output = bounded(Command::new("bash").args(["-c", &line]).current_dir(scene.world.path("")));
    let (code, text) = said(&output);
    assert_eq!((code, text.contains(told)), (0, false), "{text}");
}

/// I9: no token in logs, leaves or metrics, whole or in part.
fn no_secret(scene: &Scene, token: &str) {
    let leaves = String::from_utf8(scene.world.sealward(&["--json", "audit", "list"]).stdout).unwrap();
    let all = format!("{}{leaves}{}", scene.world.log(), scene.world.metrics());
    for part in token.split('.') {
        assert!(!all.contains(part), "{all}");
    }
}

#[test]
fn stolen_and_forged_tokens_get_nothing_and_write_no_leaf_of_their_own() {
    let scene = Scene::with_repository();
    let leaves = || {
        let status = scene.world.sealward(&["--json", "status"]).stdout;
        serde_json::from_slice::<serde_json::Value>(&status).unwrap()["tree_size"].as_u64().unwrap()
    };
    let before = leaves();
    // Of another repository of the same issuer, for this daemon: good, and nobody's.
    let mut stranger = github("signer");
    stranger["repository_id"] = json!("666");
    stranger["sub"] = json!("repo:evil/app:environment:release");
    let stolen = scene.key.token(&stranger);
    let (code, text) = scene.by_token(&stolen, &SIGN);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no-grant"), "{text}");
    let refused = |token: &str, why: &str, counted: &str| {
        let (code, text) = scene.by_token(token, &SIGN);
        assert_eq!(code, 77, "{text}");
        assert!(text.contains("denied: unauthenticated: the token is refused") && text.contains(why), "{why}: {text}");
        let page = scene.world.metrics();
        assert!(page.contains(&format!("result=\"{counted}\"}} ")), "{counted}\n{page}");
    };
    refused(&Signer::rsa("key-1").token(&github("signer")), "signature does not verify", "signature");
    refused(&scene.key.token(&github("other")), "another audience", "audience");
    let mut expired = github("signer");
    expired["exp"] = json!(crate::support::issuer::now() - 3600);
    refused(&scene.key.token(&expired), "expired", "expired");
    let none =
        format!("{}.AA", crate::support::issuer::unsigned(&json!({"alg":"none","kid":"key-1"}), &github("signer")));
    refused(&none, "algorithm", "algorithm");
    refused("garbage", "no JWT", "malformed");
    refused(&"x".repeat(16_384), "no JWT", "malformed");
    for number in 0..5 {
        let unknown = Signer::p256(&format!("unknown-{number}"));
        refused(&unknown.token(&github("signer")), "not among those", "unknown-key");
    }
    assert_eq!(scene.pages.requests("GET /keys").len(), 3, "one more than github's and gitlab's first");
    let (code, text) = said(&scene.job(&[], &SIGN));
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no token"), "{text}");
    assert_eq!(leaves(), before);
    no_secret(&scene, &stolen);
    assert_eq!(scene.by_token(&scene.key.token(&github("signer")), &SIGN).0, 0, "the daemon goes on");
}

#[test]
fn an_issuer_that_is_away_is_told_and_its_tokens_may_be_tried_again() {
    let scene = Scene::new();
    assert_eq!(scene.by_token(&scene.key.token(&github("signer")), &["whoami"]).0, 0);
    scene.pages.put("/keys", "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    let unknown = Signer::rsa("key-2").token(&github("signer"));
    let (code, text) = scene.by_token(&unknown, &["whoami"]);
    assert_eq!(code, 75, "{text}");
    assert!(text.contains("failed: issuer-unavailable"), "{text}");
    let (code, text) = said(&scene.world.sealward(&["status"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("token provider github could not be fetched") && text.contains("503"), "{text}");
    let page = scene.world.metrics();
    assert!(page.contains("sealward_token_key_fetches_total{provider=\"github\",result=\"failed\"} 1"), "{page}");
    assert!(page.contains("reason=\"issuer-unavailable\""), "{page}");
    assert_eq!(scene.by_token(&scene.key.token(&github("signer")), &["whoami"]).0, 0, "the keys of before stay");
}

#[test]
fn identities_and_static_keys_change_with_a_reload_and_a_bad_key_file_changes_nothing() {
    let scene = Scene::new();
    let world = &scene.world;
    let pod = |key: &Signer| {
        scene.by_token(&key.token(&kubernetes("https://kubernetes.default.svc.cluster.local", "signer")), &["whoami"])
    };
    assert!(pod(&scene.key).1.contains("oidc:cluster/signer"));
    // The cluster has new keys, and the namespace is no longer the one that may sign.
    let next = Signer::p256("key-2");
    fs::write(world.path("cluster.json"), "no keys").unwrap();
    let (code, text) = world.reload();
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("provider cluster") && text.contains("cluster.json"), "{text}");
    assert_eq!(pod(&scene.key).0, 0, "the keys in force stay");
    fs::write(world.path("cluster.json"), jwks(&[&next]).to_string()).unwrap();
    assert_eq!(pod(&next).0, 77, "nothing changes before the reload");
    world.reconfigure("\"/kubernetes.io/namespace\" = \"release\"", "\"/kubernetes.io/namespace\" = \"other\"");
    let (code, text) = world.reload();
    assert_eq!(code, 0, "{text}");
    let (code, text) = pod(&scene.key);
    assert!(code == 77 && text.contains("not among those"), "a withdrawn key: {text}");
    let (code, text) = pod(&next);
    assert!(code == 0 && !text.contains("oidc:cluster/signer"), "a bearer without an identity: {text}");
    let github = scene.by_token(&scene.key.token(&github("signer")), &["whoami"]);
    assert!(github.1.contains("oidc:github/release"), "other providers go on: {github:?}");
}

#[test]
fn a_github_job_asks_for_its_token_by_itself() {
    let scene = Scene::with_repository();
    let given = |claims: serde_json::Value| {
        scene.pages.put_json("/token", &json!({ "count": 1, "value": scene.key.token(&claims) }));
    };
    given(github("signer"));
    let url = format!("{}/token?api-version=2.0", scene.pages.address());
    let ca = scene.world.path("ca.pem");
    // The machine's authorities, which a runner has and this test hands in.
    let environment = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret"),
        ("SSL_CERT_FILE", ca.to_str().unwrap()),
    ];
    let (code, text) = said(&scene.job(&environment, &[&["--audience", "signer"][..], &SIGN].concat()));
    assert_eq!(code, 0, "{text}");
    let asked = scene.pages.requests("GET /token");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("GET /token?api-version=2.0&audience=signer HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].to_lowercase().contains("authorization: bearer runner-secret\r\n"), "{asked:?}");
    // Unless told otherwise a token is for this server alone.
    let (code, text) = said(&scene.job(&environment, &["whoami"]));
    assert_eq!(code, 0, "{text}");
    let audience = format!("&audience=https%3A%2F%2Flocalhost%3A{} ", scene.port);
    assert!(scene.pages.requests("GET /token")[1].contains(&audience), "{:?}", scene.pages.requests("GET /token"));
    // Over the unix socket nobody is asked for a token.
    let unix = scene.world.server();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealward"));
    command.env_clear().envs(environment).args(["--server", &unix, "whoami"]);
    assert!(bounded(&mut command).status.success());
    assert_eq!(scene.pages.requests("GET /token").len(), 2);
    scene.pages.put("/token", "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let (code, text) = said(&scene.job(&environment, &SIGN));
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("failed: no-token") && text.contains("403") && text.contains("id-token: write"), "{text}");
    assert!(!text.contains("runner-secret"), "{text}");
}

#[test]
fn a_gitlab_job_and_a_pod_bring_the_token_that_they_were_given() {
    let scene = Scene::with_repository();
    let token = scene.key.token(&gitlab(&scene.pages.address(), "signer"));
    let (code, text) = said(&scene.job(&[("SEALWARD_ID_TOKEN", &token)], &SIGN));
    assert_eq!(code, 0, "{text}");
    let projected = scene.key.token(&kubernetes("https://kubernetes.default.svc.cluster.local", "signer"));
    fs::write(scene.world.path("projected"), format!("{projected}\n")).unwrap();
    let (code, text) =
        said(&scene.job(&[("SEALWARD_TOKEN_FILE", "projected"), ("SEALWARD_ID_TOKEN", "unused")], &["whoami"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("oidc:cluster:system:serviceaccount:release:signer"), "{text}");
}

#[test]
fn a_token_that_is_asked_for_and_not_there_is_told_and_nothing_else_is_tried() {
    let scene = Scene::new();
    let good = scene.key.token(&github("signer"));
    for (environment, arguments, code, what) in [
        (
            &[("SEALWARD_TOKEN_FILE", "missing"), ("SEALWARD_ID_TOKEN", &good)][..],
            &["whoami"][..],
            66,
            "cannot read the token in missing",
        ),
        (&[("SEALWARD_ID_TOKEN", "two words")], &["whoami"], 69, "is no token"),
        (&[("SEALWARD_ID_TOKEN", &good)], &["--token-file", "missing", "whoami"], 66, "cannot read the token"),
        (
            &[("ACTIONS_ID_TOKEN_REQUEST_URL", "http://ci.example/"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")],
            &["whoami"],
            69,
            "https://",
        ),
        (&[], &["--token-file", "x", "--cert", "y", "whoami"], 64, "cannot be used with"),
        (&[], &["--server", "unix:/run/x", "--token-file", "x", "whoami"], 64, "cannot be used multiple times"),
    ] {
        let (got, text) = said(&scene.job(environment, arguments));
        assert_eq!(got, code, "{text}");
        assert!(text.contains(what) && !text.contains(&good), "{what}: {text}");
    }
    let unix = scene.world.server();
    let output = scene.world.sealward(&["--server", &unix, "--token-file", "x", "whoami"]);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn without_a_token_health_is_answered_and_holds_next_to_nothing() {
    let scene = Scene::new();
    let mut frames = Frames::connect_tls(&scene.world.path(""), scene.port, "server");
    let path = "/grpc.health.v1.Health/Check";
    for stream in (1..41).step_by(2) {
        frames.call(stream, path).unwrap();
    }
    let counted = |reason: &str| {
        let counted = format!("sealward_door_refusals_total{{listener=\"ci\",reason=\"{reason}\"}} ");
        let begun = Instant::now();
        while !scene.world.metrics().contains(&counted) {
            assert!(begun.elapsed() < PATIENCE, "{}", scene.world.metrics());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    counted("health-and-reflection");
    // Four megabytes, as tonic would take them by itself; of all, because which of them have a place is a matter of chance.
    for stream in (1..41).step_by(2) {
        frames.send(DATA, 0, stream, &[&[0][..], &(4_u32 << 20).to_be_bytes()].concat()).unwrap();
    }
    counted("message-bytes");
    let (code, text) = scene.by_token(&scene.key.token(&github("signer")), &["whoami"]);
    assert_eq!(code, 0, "callers have places of their own: {text}");
}

#[test]
fn strangers_of_an_issuer_are_one_caller_with_small_messages_and_may_still_ask_who_they_are() {
    let mut scene = Scene::with_repository();
    let stranger = |name: &str| {
        let mut claims = github("signer");
        claims["repository_id"] = json!("666");
        claims["sub"] = json!(format!("repo:evil/{name}"));
        scene.key.token(&claims)
    };
    fs::write(scene.world.path("large.json"), format!("\"{}\"", "x".repeat(100 << 10))).unwrap();
    let large = ["sign", "--repository", "demo", "--role", "timestamp", "large.json"];
    for name in ["one", "two"] {
        let token = stranger(name);
        let (code, text) = scene.by_token(&token, &["whoami"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(&format!("oidc:github:repo:evil/{name}")), "{text}");
        let (_, text) = scene.by_token(&token, &SIGN);
        assert!(text.contains("no-grant"), "{text}");
        let (_, text) = scene.by_token(&token, &large);
        assert!(text.contains("payload-too-large"), "{text}");
    }
    let (_, text) = scene.by_token(&scene.key.token(&github("signer")), &large);
    assert!(!text.contains("payload-too-large"), "whoever is granted something sends what the role allows: {text}");
    // What was counted is written at the end, at the latest.
    scene.world.stop();
    scene.world.start();
    let leaves = String::from_utf8(scene.world.sealward(&["--json", "audit", "list"]).stdout).unwrap();
    assert!(leaves.contains("\"strangers@oidc:github\"") && !leaves.contains("evil"), "{leaves}");
}
