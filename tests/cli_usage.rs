//! The command line without a daemon: wrong usage, bad addresses, unreadable files, and what each of them says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // helpers of tests are tests

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sealward::domain::name::Sha256Digest;
use sealward::domain::outcome::Reason;
use serde_json::Value;

#[test]
fn wrong_usage_ends_with_64_and_says_how_it_is_done() {
    for arguments in [
        &[][..],
        &["sing"],
        &["key"],
        &["key", "generate"],
        &["key", "generate", "--repository", "a b", "--role", "timestamp"],
        &["key", "generate", "--repository", "a", "--role", "Root"],
        &["key", "generate", "--repository", "a", "--role", "targets", "--algorithm", "dsa"],
        &["key", "show", "12"],
        &["sign", "--repository", "a", "--role", "timestamp"],
        &["sign", "--repository", "a", "--role", "timestamp", "--tuf-key-id", "x", "f"],
        &["sign-batch", "--repository", "a", "--out", "o", "timestamp"],
        &["audit", "prove", "-1"],
        &["audit", "verify", "directory"],
        &["audit", "verify", "--verifier-key", "nonsense", "directory"],
        &["status", "--timeout", "0"],
        &["status", "--server", "http://localhost:1"],
        &["root", "stage", "--repository", "a", "--pin", "xyz", "f"],
    ] {
        let output = sealward(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(stderr(&output).contains("--help") || stderr(&output).contains("Usage:"), "{}", stderr(&output));
    }
}

#[test]
fn an_option_that_stands_before_the_noun_is_said_to_when_it_comes_after() {
    for option in ["--cert", "--key", "--ca", "--token-file"] {
        let output = sealward(&["whoami", option, "file"]);
        assert_eq!(output.status.code(), Some(64));
        let told = format!("{option} stands before the noun: sealward {option} ... NOUN");
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    }
    assert!(!stderr(&sealward(&["whoami", "--nonsense"])).contains("before the noun"));
}

#[test]
fn no_daemon_ends_with_69_and_asks_whether_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let absent = format!("unix:{}", dir.path().join("absent").display());
    let output = sealward(&["--server", &absent, "status"]);
    assert_eq!(output.status.code(), Some(69));
    let lines = stderr(&output);
    assert!(lines.starts_with("failed: cannot-connect: cannot connect to unix:"), "{lines}");
    assert!(lines.contains("  do:      Is the daemon running?"), "{lines}");

    let socket = dir.path().join("deserted");
    drop(UnixListener::bind(&socket).unwrap());
    let output = sealward(&["--server", &format!("unix:{}", socket.display()), "whoami"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("nobody listens"), "{}", stderr(&output));
}

#[test]
fn something_that_does_not_answer_ends_within_the_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("silent");
    let _silent = UnixListener::bind(&socket).unwrap();
    let address = format!("unix:{}", socket.display());
    let started = std::time::Instant::now();
    let output = sealward(&["--server", &address, "--timeout", "300ms", "status"]);
    assert!(matches!(output.status.code(), Some(69 | 75)), "{}", stderr(&output));
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn something_that_speaks_another_protocol_is_no_sealward() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("http");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = format!("unix:{}", socket.display());
    let server = std::thread::spawn(move || {
        // As many connections as the client may make, each answered with something else than HTTP/2.
        for connection in listener.incoming().take(8) {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x1b[31mhello");
        }
    });
    let output = sealward(&["--server", &address, "--timeout", "5s", "status"]);
    assert!(matches!(output.status.code(), Some(69 | 75 | 76)), "{}", stderr(&output));
    assert!(!stderr(&output).contains('\u{1b}'));
    assert!(!server.is_finished(), "fewer than eight connections: it does not hammer");
}

#[test]
fn the_server_comes_from_the_environment_too() {
    let output = command(&["status"]).env("SEALWARD_SERVER", "ftp://x").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("`ftp://x` is no server"), "{}", stderr(&output));
}

#[test]
fn unreadable_files_end_with_66_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("absent.json"), dir.path().to_owned()] {
        let path = path.to_str().unwrap();
        let output = sealward(&["sign", "--repository", "a", "--role", "timestamp", path]);
        assert_eq!(output.status.code(), Some(66));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
    }
    let output = sealward(&["--ca", "absent.pem", "--server", "https://localhost:1", "status"]);
    assert_eq!(output.status.code(), Some(66), "{}", stderr(&output));
    let output = sealward(&["--server", "https://localhost:1", "status"]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
}

#[test]
fn a_broken_envelope_is_denied_before_anything_is_sent() {
    let output = with_input(&["sign", "--repository", "a", "--role", "timestamp", "-"], b"{\"signed\":{}}");
    assert_eq!(output.status.code(), Some(77));
    assert!(stderr(&output).starts_with("denied: malformed-metadata: "), "{}", stderr(&output));
}

#[test]
fn a_digest_is_that_of_what_sign_sends_whatever_the_file_looks_like() {
    let digest = |input: &[u8]| {
        let output = with_input(&["digest", "-"], input);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let canonical = br#"{"_type":"targets","version":1}"#;
    let of_signed = format!("{}\n", Sha256Digest::of(canonical));
    assert_eq!(digest(canonical), of_signed);
    let pretty = b"{\n \"signatures\": [{\"keyid\": \"a\", \"sig\": \"01\"}],\n \"signed\": {\"version\": 1, \"_type\": \"targets\"}\n}\n";
    assert_eq!(digest(pretty), of_signed, "neither white space nor signatures nor order count");
    let output = with_input(&["--json", "digest", "-"], pretty);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["v"], &object["bytes"]), (&1.into(), &canonical.len().into()));
}

#[test]
fn what_is_no_json_is_called_so_and_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.txt");
    fs::write(&notes, "- bump targets\n").unwrap();
    let notes = notes.to_str().unwrap();
    for arguments in [&["sign", "--repository", "a", "--role", "targets", notes][..], &["digest", notes]] {
        let output = sealward(arguments);
        assert_eq!(output.status.code(), Some(77), "{arguments:?}");
        assert!(
            stderr(&output).contains(&format!("{notes} is no JSON that could be signed: byte ")),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn json_errors_are_one_object_on_stdout_and_nothing_on_stderr() {
    for (arguments, code, reason) in [
        (&["--json", "status", "--server", "unix:/nonexistent/s"][..], 69, "cannot-connect"),
        (&["--json", "sing"], 64, "usage"),
        (&["--json", "root", "stage", "--repository", "a", "/nonexistent"], 66, "unreadable-input"),
        (&["--json", "verify", "--root", "/dev/null", "/dev/null"], 77, "malformed-metadata"),
    ] {
        let output = sealward(arguments);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["v"], 1);
        assert_eq!(object["error"]["exit_code"], code);
        assert_eq!(object["error"]["reason"], reason);
        assert!(object["error"]["advice"].as_str().unwrap().len() > 10);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn the_help_of_every_command_shows_examples() {
    let mut waiting = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = sealward(&arguments);
        assert_eq!(output.status.code(), Some(0), "{path:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Examples:\n  sealward "), "{path:?}:\n{help}");
        assert!(!help.contains('\u{1b}'), "no colour");
        seen += 1;
        let commands = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
        for line in commands.lines() {
            // Descriptions that wrap are indented further.
            let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
            if let Some(name) = name.and_then(|rest| rest.split(' ').next()).filter(|name| *name != "help") {
                waiting.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(seen >= 25, "only {seen} commands were found");
}

#[test]
fn the_manual_has_a_page_per_command() {
    let dir = tempfile::tempdir().unwrap();
    let output = sealward(&["man", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["sealward.1", "sealward-sign.1", "sealward-audit-verify.1"] {
        assert!(fs::read_to_string(dir.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = command(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_full_device_ends_with_74() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["--help"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", stderr(&output));
}

#[test]
fn a_directory_that_is_no_export_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = sealward(&["audit", "verify", "--verifier-key", KEY, path]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("no export of an audit log"), "{}", stderr(&output));
    fs::write(dir.path().join("checkpoint"), "sealward.example/log\n1\nAAAA\n\n\u{2014} x AAAA\n").unwrap();
    let output = sealward(&["audit", "verify", "--verifier-key", KEY, path]);
    assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("failed: ledger-integrity: the checkpoint is not believed"));
}

#[test]
fn the_page_of_exit_codes_is_the_table() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md")).unwrap();
    let said: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let table: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| {
            format!("| `{reason}` | {} | {} | {} |", reason.outcome().name(), reason.exit_code(), reason.advice())
        })
        .collect();
    for (index, row) in table.iter().enumerate() {
        assert_eq!(
            said.get(index),
            Some(&row.as_str()),
            "docs/exit-codes.md must have all reasons in the table's order"
        );
    }
    assert_eq!(said.len(), table.len(), "docs/exit-codes.md has reasons that are gone");
    use sealward::client::exit::*;
    for code in [USAGE, NO_INPUT, UNAVAILABLE, SOFTWARE, IO, TEMPORARY, PROTOCOL, DENIED, CONFIG] {
        assert!(page.contains(&format!("\n| {code} | ")), "{code}");
    }
}

/// A verifier key, of the public key in RFC 8032, section 7.1, test 1.
const KEY: &str = "sealward.example/log+ca611516+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealward"));
    command.args(arguments).env_remove("SEALWARD_SERVER").stdin(Stdio::null());
    command
}

fn sealward(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child =
        command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
