//! Who gets in, as whom, and what may be carried through.

use std::os::unix::net::UnixListener;

use crate::support::pki::{Authority, dns, uri};
use crate::support::{World, snapshot, targets, timestamp, tomorrow};

/// A daemon with software keys, a unix socket and a TCP listener on a port that the kernel chose.
fn with_tcp() -> (World, u16) {
    let mut world = World::empty();
    let directory = world.path("");
    let authority = Authority::new(&directory, "ca");
    authority.sign(&directory, "server", vec![dns("localhost")]);
    authority.sign(&directory, "ci", vec![dns("ci.example"), uri("spiffe://example/ci")]);
    authority.sign(&directory, "nameless", vec![]);
    Authority::new(&directory, "other-ca").sign(&directory, "stranger", vec![dns("ci.example")]);
    world.configure(&format!(
        "{}{}",
        crate::support::SOFTWARE,
        r#"
[[listener]]
name = "remote"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = { file = "server.key" }
client_ca = "ca.pem"

[[grant]]
callers = ["uri:spiffe://example/*"]
verbs = ["sign"]
repositories = ["demo"]
roles = ["timestamp"]
"#
    ));
    let init = world.sealwardd(&["init", "--config", world.path("sealward.toml").to_str().unwrap()]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    world.start();
    let port = world.wait_for_log("listening listener=remote address=127.0.0.1:", |rest| {
        rest.split_whitespace().next().and_then(|port| port.parse().ok())
    });
    (world, port)
}

fn over_tls(world: &World, port: u16, who: &str, arguments: &[&str]) -> (i32, String) {
    let server = format!("https://localhost:{port}");
    let (cert, key) = (format!("{who}.pem"), format!("{who}.key"));
    let mut all = vec!["--server", &server, "--ca", "ca.pem", "--timeout", "2s"];
    if !who.is_empty() {
        all.extend(["--cert", &cert, "--key", &key]);
    }
    all.extend(arguments);
    let output = world.sealward(&all);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

#[test]
fn a_certificate_is_named_by_its_uri_and_dns_names_and_gets_what_was_granted_to_them() {
    let (world, port) = with_tcp();
    let expires = tomorrow();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    let (code, text) = over_tls(&world, port, "ci", &["whoami"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("uri:spiffe://example/ci") && text.contains("dns:ci.example"), "{text}");
    std::fs::write(world.path("timestamp.json"), timestamp(1, 1, &expires)).unwrap();
    let sign = ["sign", "--repository", "demo", "--role", "timestamp", "timestamp.json"];
    let (code, text) = over_tls(&world, port, "ci", &sign);
    assert_eq!(code, 0, "{text}");
    std::fs::write(world.path("snapshot.json"), snapshot(2, 1, &[], &expires)).unwrap();
    let (code, text) =
        over_tls(&world, port, "ci", &["sign", "--repository", "demo", "--role", "snapshot", "snapshot.json"]);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no-grant"), "{text}");
    // A repository that does not exist gets the same answer as one without a grant.
    let (code, text) =
        over_tls(&world, port, "ci", &["sign", "--repository", "nowhere", "--role", "timestamp", "timestamp.json"]);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no-grant"), "{text}");
}

#[test]
fn strangers_and_the_nameless_stay_outside() {
    let (world, port) = with_tcp();
    let (code, text) = over_tls(&world, port, "nameless", &["whoami"]);
    assert_eq!(code, 77, "a common name is no name: {text}");
    assert!(text.contains("unauthenticated"), "{text}");
    for (who, why) in [("stranger", "signed by another authority"), ("", "no certificate")] {
        // Often, because what the client notices first is a matter of chance.
        for _ in 0..10 {
            let (code, text) = over_tls(&world, port, who, &["whoami"]);
            assert_eq!(code, 69, "{why}: {text}");
            assert!(text.contains("--cert"), "{why}: {text}");
        }
    }
    // No TLS at all.
    let mut plain = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(over_tls(&world, port, "ci", &["whoami"]).0, 0, "the listener goes on");
}

#[test]
fn nothing_older_than_tls_1_3_is_spoken() {
    let (world, port) = with_tcp();
    let speaks = |version: &str| {
        let address = format!("localhost:{port}");
        let arguments =
            ["s_client", version, "-connect", &address, "-CAfile", "ca.pem", "-cert", "ci.pem", "-key", "ci.key"];
        let directory = world.path("");
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        !String::from_utf8_lossy(&output.stdout).contains("Cipher is (NONE)")
    };
    assert!(speaks("-tls1_3"));
    assert!(!speaks("-tls1_2"));
}

#[test]
fn whoever_has_no_grant_writes_no_leaf_of_his_own() {
    let others = "[[grant]]\ncallers = [\"unix:4000000000\"]\nverbs = [\"manage-keys\"]\n\
                  repositories = [\"**\"]\nroles = [\"**\"]\n";
    let own = crate::support::SOFTWARE.replace("\"explain\", \"read\", \"manage-keys\", \"manage-roots\", ", "");
    let world = World::configured(&format!("{own}{others}"));
    let leaves = || {
        let output = world.sealward(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        status["tree_size"].as_u64().unwrap()
    };
    let before = leaves();
    for roles in [&[][..], &["timestamp"], &["root"], &["timestamp", "targets"]] {
        let refused = world.try_key("demo", roles, true).unwrap_err().reason().to_owned();
        assert!(refused == "no-grant" || refused == "malformed", "{roles:?}: {refused}");
    }
    assert_eq!(leaves(), before);
}

#[test]
fn a_grant_for_other_roles_does_not_reach_the_root() {
    let text =
        crate::support::SOFTWARE.replace("roles = [\"**\"]", "roles = [\"timestamp\", \"snapshot\", \"targets\"]");
    let world = World::configured(&text);
    std::fs::write(world.path("1.root.json"), "{}").unwrap();
    let output = world.sealward(&["root", "publish", "--repository", "demo", "--pin", &"0".repeat(64), "1.root.json"]);
    assert_eq!(output.status.code(), Some(77));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-grant"));
}

#[test]
fn a_unix_peer_without_a_grant_learns_nothing() {
    let world = World::configured(&crate::support::SOFTWARE.replace("unix:{uid}", "unix:4242"));
    for arguments in [
        &["status"][..],
        &["key", "list", "--repository", "demo"],
        &["audit", "list"],
        &["root", "show", "--repository", "demo"],
    ] {
        let output = world.sealward(arguments);
        assert_eq!(output.status.code(), Some(77), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("no-grant"), "{arguments:?}");
    }
    assert!(world.sealward(&["whoami"]).status.success());
}

#[test]
fn messages_that_are_too_large_or_no_protobuf_are_refused_and_the_daemon_stays() {
    let world = World::dev();
    world.key("demo", "timestamp", true);
    // 100 MiB through our own client, which lets it pass only as far as the limit.
    let huge = "x".repeat(100 << 20);
    let error = world.sign("demo", "timestamp", &huge).unwrap_err();
    assert_ne!(error.exit_code(), 0);
    // Frames that are no message of ours, through a bare HTTP/2 connection.
    for body in
        [&b"\0\0\0\0\x05\xff\xff\xff\xff\xff"[..], b"\0\xff\xff\xff\xff", b"\x01\0\0\0\0", b"", b"\0\0\0\0\x02\x0a\x7f"]
    {
        let code = world.raw_grpc("/sealward.v1.SigningService/Sign", body);
        assert_eq!(code, Some(3), "{body:?}: INVALID_ARGUMENT");
    }
    let malformed = || {
        let wanted = "sealward_requests_total{verb=\"decode\",role=\"\",outcome=\"denied\",reason=\"malformed\"} ";
        let page = world.metrics();
        page.lines().find_map(|line| line.strip_prefix(wanted)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = malformed();
    assert!(before >= 4, "{}", world.metrics());
    // One message where one is due, and no second one behind it.
    let who_am_i = "/sealward.v1.AdminService/WhoAmI";
    assert_eq!(world.raw_grpc(who_am_i, &[0; 5]), Some(0));
    assert_eq!(world.raw_grpc(who_am_i, &[0; 10]), Some(3));
    assert_eq!(malformed(), before + 1);
    // A call that there is not, and nonsense in the middle of a stream, are counted too.
    assert_eq!(world.raw_grpc("/sealward.v1.SigningService/Forge", &[0; 5]), Some(12), "UNIMPLEMENTED");
    assert_eq!(malformed(), before + 2);
    assert_eq!(world.raw_grpc("/sealward.v1.SigningService/SignStream", b"\0\0\0\0\x02\x0a\x7f"), Some(3));
    assert_eq!(malformed(), before + 3);
    assert!(world.sealward(&["status"]).status.success());
    assert!(!world.log().contains("panicked"), "{}", world.log());
}

#[test]
fn a_deadline_is_kept() {
    let world = World::dev();
    world.key("demo", "timestamp", true);
    let output = world.sealward(&[
        "--timeout",
        "1ms",
        "key",
        "generate",
        "--repository",
        "demo",
        "--role",
        "timestamp",
        "--algorithm",
        "rsa-pss-4096",
    ]);
    assert_eq!(output.status.code(), Some(75), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(world.sealward(&["status"]).status.success());
}

#[test]
fn a_socket_in_use_is_left_alone_and_a_stale_one_is_replaced() {
    let mut world = World::empty();
    world.configure(crate::support::SOFTWARE);
    let config = world.path("sealward.toml");
    let init = world.sealwardd(&["init", "--config", config.to_str().unwrap()]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let other = UnixListener::bind(world.path("sealward.sock")).unwrap();
    let output = world.sealwardd(&["--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in use by another process"));
    drop(other);
    world.start(); // the file is still there, and nobody answers on it
    assert!(world.sealward(&["whoami"]).status.success());
    world.stop();
    std::fs::write(world.path("sealward.sock"), "precious").unwrap();
    let output = world.sealwardd(&["--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(std::fs::read_to_string(world.path("sealward.sock")).unwrap(), "precious");
}

#[test]
fn a_socket_that_systemd_handed_in_is_served() {
    let mut world = World::empty();
    world.configure(
        &crate::support::SOFTWARE.replace("path = \"{dir}/sealward.sock\"\nmode = \"0600\"", "activation = \"local\""),
    );
    let config = world.path("sealward.toml");
    let init = world.sealwardd(&["init", "--config", config.to_str().unwrap()]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let refused = world.sealwardd(&["--config", config.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("FileDescriptorName=local"));
    world.start_activated("local");
    assert!(world.sealward(&["whoami"]).status.success());
}

#[test]
fn health_reflection_and_metrics_tell_the_truth() {
    let world = World::dev();
    world.key("demo", "timestamp", true);
    assert_eq!(world.health(""), Some(1), "SERVING");
    assert_eq!(world.health("keystore/software"), Some(1));
    assert_eq!(world.health("no-such-service"), None);
    assert!(world.reflected_services().contains(&"sealward.v1.SigningService".to_owned()));
    assert_eq!(world.refusal("demo", "timestamp", "{}"), "malformed-metadata");
    let page = world.metrics();
    for line in [
        "sealward_requests_total{verb=\"sign\",role=\"timestamp\",outcome=\"denied\",reason=\"malformed-metadata\"} 1",
        "sealward_keystore_ready{keystore=\"software\"} 1",
        "sealward_stage_seconds_bucket{le=\"+Inf\",stage=\"total\"}",
        "# EOF",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_hostile_name_is_malformed_and_shown_without_its_control_characters() {
    let world = World::dev();
    for (repository, role) in [
        ("a\0b", "timestamp"),
        ("../x", "timestamp"),
        ("demo", "Root"),
        ("demo", "a\u{202e}b"),
        ("", "timestamp"),
        ("demo", ""),
    ] {
        let error = world.sign(repository, role, "{}").unwrap_err();
        assert_eq!(error.reason(), "malformed", "{repository:?} {role:?}");
        assert!(!error.to_string().contains(['\0', '\u{202e}']), "{error}");
    }
    assert_eq!(world.refusal("demo", "root", "{}"), "offline-role");
}

#[test]
fn a_key_of_a_role_that_became_offline_keeps_the_daemon_from_starting() {
    let mut world = World::configured(crate::support::SOFTWARE);
    world.key("demo", "targets", true);
    world.stop();
    world.configure(
        &crate::support::SOFTWARE.replace(
            "custody = \"online\"\nkeystore = \"software\"\nalgorithm = \"ecdsa-p384\"",
            "custody = \"offline\"",
        ),
    );
    let told = world.try_start().unwrap_err();
    assert!(told.starts_with("exit Some(77)") && told.contains("offline keys must not be within reach"), "{told}");
}
