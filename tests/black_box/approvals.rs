//! Attended targets, with people who come in by certificates of their own.

use std::collections::BTreeSet;
use std::process::Command;

use sealward::client::messages::{ListLeavesRequest, SignBatchRequest};
use sealward::domain::name::Sha256Digest;
use serde_json::{Value, json};

use crate::support::pki::{Authority, dns, uri};
use crate::support::{SOFTWARE, World, sign_request, snapshot, targets, timestamp, tomorrow};

/// Targets need the approval of `approvals` persons out of alice, bob and carol; robot is granted and is no person.
fn settings(approvals: u32, more: &str) -> String {
    let attended = format!("custody = \"attended\"\napprovals = {approvals}\n{more}");
    let people = r#"
[[listener]]
name = "remote"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "server.pem"
key = { file = "server.key" }
client_ca = "ca.pem"

[[person]]
name = "alice"
identities = ["uri:spiffe://acme/alice", "dns:alice.example"]

[[person]]
name = "bob"
identities = ["uri:spiffe://acme/bob"]

[[person]]
name = "carol"
identities = ["uri:spiffe://acme/carol"]

[[grant]]
callers = ["person:alice", "person:bob", "person:carol", "uri:spiffe://acme/robot"]
verbs = ["approve"]
repositories = ["demo"]
roles = ["targets"]

[[grant]]
callers = ["person:alice"]
verbs = ["sign"]
repositories = ["demo"]
roles = ["targets"]
"#;
    format!("{}{people}", SOFTWARE.replace("custody = \"online\"", &attended))
}

struct People {
    world: World,
    port: u16,
}

impl People {
    fn new(approvals: u32, more: &str) -> Self {
        Self::limited(approvals, more, "")
    }

    fn limited(approvals: u32, more: &str, limits: &str) -> Self {
        let world = World::empty();
        let directory = world.path("");
        let authority = Authority::new(&directory, "ca");
        authority.sign(&directory, "server", vec![dns("localhost")]);
        for who in ["alice", "bob", "carol", "robot", "mallory"] {
            authority.sign(&directory, who, vec![uri(&format!("spiffe://acme/{who}"))]);
        }
        authority.sign(&directory, "alice-laptop", vec![dns("alice.example")]);
        let world = world.init_and_start(&settings(approvals, more).replacen(
            "version = 1\n",
            &format!("version = 1\nlimits = {{ {limits} }}\n"),
            1,
        ));
        let mut people = Self { world, port: 0 };
        people.find_port();
        for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
            people.world.key("demo", role, new);
        }
        people
    }

    fn find_port(&mut self) {
        let log = self.world.log();
        let last = log.rsplit("listening listener=remote address=127.0.0.1:").next().unwrap().to_owned();
        self.port = last.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap();
    }

    /// Ends the daemon by SIGKILL and starts it again.
    fn crash(&mut self) {
        self.world.kill();
        self.world.start();
        self.find_port();
    }

    /// Runs `sealward` as somebody: exit code and everything that was printed.
    fn run(&self, who: &str, arguments: &[&str]) -> (i32, String) {
        let server = format!("https://localhost:{}", self.port);
        let (cert, key) = (format!("{who}.pem"), format!("{who}.key"));
        let mut all = vec!["--server", &server, "--ca", "ca.pem", "--cert", &cert, "--key", &key];
        all.extend(arguments);
        let output = self.world.sealward(&all);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    }

    /// The whole command line, in the world's directory.
    fn command(&self, who: &str, arguments: &[&str]) -> Vec<String> {
        let server = format!("https://localhost:{}", self.port);
        let (cert, key) = (format!("{who}.pem"), format!("{who}.key"));
        let global = ["--server", &server, "--ca", "ca.pem", "--cert", &cert, "--key", &key];
        let program = env!("CARGO_BIN_EXE_sealward");
        [&[program], global.as_slice(), arguments].concat().into_iter().map(str::to_owned).collect()
    }

    fn approve(&self, who: &str, id: &str, payload: &str) -> (i32, String) {
        let digest = Sha256Digest::of(payload.as_bytes()).to_string();
        self.run(who, &["approve", "accept", id, "--digest", &digest])
    }

    fn approved(&self, who: &str, id: &str, payload: &str) {
        let (code, text) = self.approve(who, id, payload);
        assert_eq!(code, 0, "{text}");
    }

    /// Asks for a signature of targets; the name under which it waits.
    fn ask(&self, payload: &str) -> String {
        let error = self.world.sign("demo", "targets", payload).expect_err("it was signed");
        assert_eq!((error.reason(), error.exit_code()), ("awaits-approval", 75), "{error}");
        let sealward::client::ClientError::Refused(refused) = error else { panic!("{error}") };
        assert!(!refused.denied, "waiting is no denial");
        refused.approval
    }

    fn refusal(&self, payload: &str) -> String {
        self.world.refusal("demo", "targets", payload)
    }

    fn signed(&self, payload: &str) -> Vec<u8> {
        let mut answer = self.world.sign("demo", "targets", payload).unwrap();
        answer.signatures.pop().unwrap().signature.to_vec()
    }

    fn leaves(&self) -> Vec<Value> {
        self.world.with_client(async |client| {
            let request = ListLeavesRequest { start: 0, limit: 1000 };
            let leaves = client.list_leaves(request).await.unwrap().leaves;
            leaves.iter().map(|leaf| serde_json::from_slice(leaf).unwrap()).collect()
        })
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        self.leaves().into_iter().filter(|leaf| leaf["event"] == kind).collect()
    }
}

/// `hsm-config/attended.toml` in a directory of ours, with people of ours.
fn attended_example() -> People {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("hsm-config/attended.toml")).unwrap();
    let text = text
        .replace("/etc/sealward/tls/people-ca.pem", "ca.pem")
        .replace("/etc/sealward/tls/", "")
        .replace("/var/lib/sealward", "{dir}")
        .replace("/run/sealward", "{dir}")
        .replace("127.0.0.1:7443", "127.0.0.1:0")
        .replace("name = \"people\"", "name = \"remote\"")
        .replace("unix:1000", "unix:{uid}")
        .replace("unix:0", "unix:{uid}");
    let world = World::empty();
    let directory = world.path("");
    let authority = Authority::new(&directory, "ca");
    authority.sign(&directory, "server", vec![dns("localhost")]);
    for who in ["alice", "bob", "carol"] {
        authority.sign(&directory, who, vec![uri(&format!("spiffe://acme/{who}"))]);
    }
    let mut people = People { world: world.init_and_start(&text), port: 0 };
    people.find_port();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        people.world.key("demo", role, new);
    }
    people
}

#[test]
fn people_who_type_the_page_have_a_release_signed_and_another_one_refused() {
    let people = attended_example();
    let first = targets(1, &tomorrow());
    let id = people.ask(&first);
    for who in ["alice", "bob"] {
        people.approved(who, &id, &first);
    }
    people.signed(&first);
    let write = |name: &str, text: &str| std::fs::write(people.world.path(name), text).unwrap();
    std::fs::create_dir(people.world.path("published")).unwrap();
    write("published/1.targets.json", &first);
    // As a person writes it: the digest of these bytes is not that of what is signed.
    let second: Value = serde_json::from_str(&targets(2, &tomorrow())).unwrap();
    write("targets.json", &format!("{:#}\n", json!({ "signed": second, "signatures": [] })));
    write("next.json", &targets(3, &tomorrow()));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/approvals.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let script: String = blocks.collect::<String>().replace(":7443", &format!(":{}", people.port));
    assert!(script.matches("sealward ").count() >= 9, "{script}");
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_sealward")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]).current_dir(people.world.path(""));
    let output = crate::support::bounded(command.env("PATH", path).env("SEALWARD_SERVER", people.world.server()));
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("version 1 -> 2") && told.contains("your own file"), "{told}");
    assert!(told.contains("approval-rejected"), "{told}");
    let signed = std::fs::read_to_string(people.world.path("signed.json")).unwrap();
    assert_eq!(signed.matches("\"keyid\"").count(), 1, "{signed}");
}

#[test]
fn what_two_persons_approved_is_signed_and_nothing_else() {
    let people = People::new(2, "");
    let expires = tomorrow();
    let payload = targets(1, &expires);
    let id = people.ask(&payload);
    assert_eq!(people.ask(&payload), id, "the same bytes have the same name");
    people.approved("alice", &id, &payload);
    assert_eq!(people.ask(&payload), id, "one is not two");
    people.approved("alice-laptop", &id, &payload);
    assert_eq!(people.ask(&payload), id, "nor are two identities of one person");
    people.approved("bob", &id, &payload);
    let signature = people.signed(&payload);
    // Used up; the record answers from now on, without people.
    assert_eq!(people.signed(&payload), signature, "a replay needs no new approval");
    let (code, text) = people.run("bob", &["approve", "show", &id]);
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("unknown-approval"), "{text}");
    assert_ne!(people.ask(&targets(2, &expires)), id);
    // The roles around it sign by themselves.
    people.world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    people.world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();

    let pending = people.events("pending");
    assert_eq!(pending.len(), 2, "asking again writes nothing: {pending:#?}");
    assert_eq!((&pending[0]["approval"], &pending[0]["outcome"]), (&id.clone().into(), &"failed".into()));
    let persons: Vec<_> = people.events("approval").iter().map(|leaf| leaf["person"].clone()).collect();
    assert_eq!(persons, ["alice", "alice", "bob"]);
    let released = people.events("advance");
    assert_eq!(released[0]["approval"], id.clone(), "the release names what allowed it");
}

#[test]
fn an_approval_that_does_not_count_is_named_and_counts_again_when_its_person_is_back() {
    let people = People::new(2, "");
    let payload = targets(1, &tomorrow());
    let id = people.ask(&payload);
    people.approved("bob", &id, &payload);
    let (here, gone) = (r#"identities = ["uri:spiffe://acme/bob"]"#, r#"identities = ["uri:spiffe://acme/nobody"]"#);
    people.world.reconfigure(here, gone);
    assert_eq!(people.world.reload().0, 0);
    let (_, text) = people.run("carol", &["approve", "show", &id]);
    assert!(text.contains("approved   by nobody; it takes 2"), "{text}");
    assert!(text.contains("bob's approval does not count now"), "{text}");
    people.world.reconfigure(gone, here);
    assert_eq!(people.world.reload().0, 0);
    let (_, text) = people.run("carol", &["approve", "show", &id]);
    assert!(text.contains("approved   by bob") && !text.contains("does not count"), "{text}");
}

#[test]
fn the_command_line_says_who_is_to_be_asked_and_shows_them_the_difference() {
    let people = People::new(1, "");
    let payload = targets(1, &tomorrow());
    std::fs::write(people.world.path("targets.json"), &payload).unwrap();
    let arguments = ["sign", "--repository", "demo", "--role", "targets", "targets.json"];
    let output = people.world.sealward(&arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.starts_with("pending: awaits-approval: 0 of 1 approvals"), "{text}");
    let id = text.split("sealward approve show ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let explain = people.world.sealward(&["explain", "--repository", "demo", "--role", "targets", "targets.json"]);
    assert_eq!(explain.status.code(), Some(75), "explain ends as sign would");
    let explain = String::from_utf8(explain.stdout).unwrap();
    assert!(explain.starts_with("would be pending: awaits-approval: "), "and has its word for it: {explain}");

    let (code, text) = people.run("bob", &["approve", "list"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&id) && text.contains("waiting") && text.contains("0 of 1"), "{text}");
    let (_, text) = people.run("bob", &["approve", "show", &id]);
    assert!(text.contains("compared   with nothing: this is the first version"), "{text}");
    let digest = Sha256Digest::of(payload.as_bytes()).to_string();
    assert!(text.contains(&format!("{} {}", &digest[..4], &digest[4..8])), "{text}");
    let (code, text) = people.run("bob", &["approve", "accept", &id]);
    assert_eq!(code, 64, "neither a terminal nor a digest: {text}");
    let (code, text) = people.run("bob", &["approve", "accept", &id, "--digest", &"0".repeat(64)]);
    assert_eq!((code, text.contains("approval-digest")), (77, true), "{text}");
    assert!(text.contains("the digest of a whole file") && text.contains("sealward digest FILE"), "{text}");
    people.approved("bob", &id, &payload);
    assert_eq!(people.world.sealward(&arguments).status.code(), Some(0));

    let hash = "ab".repeat(32);
    let entry = format!(r#""a":{{"hashes":{{"sha256":"{hash}"}},"length":1}}"#);
    let next = targets(2, &tomorrow()).replace("\"targets\":{}", &format!("\"targets\":{{{entry}}}"));
    let id = people.ask(&next);
    let (_, text) = people.run("bob", &["--json", "approve", "show", &id]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["difference"][0], format!("target `a` is added: 1 bytes, sha256 `{hash}`"), "{shown:#}");
    assert!(shown["against"].as_str().unwrap().starts_with("version 1 as the daemon keeps it"), "{shown:#}");
    let (_, text) = people.run("bob", &["approve", "show", &id, "--payload"]);
    assert_eq!(text, next, "the bytes, for a program of one's own");
    // To a terminal they would say what their author wants it to show.
    let words = people.command("bob", &["approve", "show", &id, "--payload"]).join(" ");
    let terminal =
        Command::new("script").args(["-qec", &words, "/dev/null"]).current_dir(people.world.path("")).output();
    let terminal = terminal.unwrap();
    let text = String::from_utf8_lossy(&terminal.stdout).into_owned();
    assert_eq!(terminal.status.code(), Some(64), "{text}");
    assert!(text.contains("> FILE") && !text.contains("_type"), "{text}");
    std::fs::write(people.world.path("mine.json"), &next).unwrap();
    let (_, text) = people.run("bob", &["approve", "show", &id, "--against", "mine.json"]);
    assert!(text.contains("your own file") && text.contains("version 2 -> 2"), "{text}");
}

#[test]
fn nobody_approves_alone_what_he_asked_for() {
    let people = People::new(1, "");
    let payload = targets(1, &tomorrow());
    std::fs::write(people.world.path("targets.json"), &payload).unwrap();
    let sign = ["sign", "--repository", "demo", "--role", "targets", "targets.json"];
    let (code, text) = people.run("alice", &sign);
    assert_eq!(code, 75, "{text}");
    let id = people.ask(&payload);
    for who in ["alice", "alice-laptop"] {
        let (code, text) = people.approve(who, &id, &payload);
        assert_eq!((code, text.contains("self-approval")), (77, true), "{text}");
    }
    let (code, text) = people.approve("robot", &id, &payload);
    assert_eq!((code, text.contains("no-person")), (77, true), "{text}");
    let (code, text) = people.approve("mallory", &id, &payload);
    assert_eq!((code, text.contains("no-grant")), (77, true), "no grant, no answer: {text}");
    assert_eq!(people.ask(&payload), id);
    people.approved("bob", &id, &payload);
    let (code, text) = people.run("alice", &sign);
    assert_eq!(code, 0, "{text}");
    // The other way round: who approved does not take the signature out.
    let next = targets(2, &tomorrow());
    std::fs::write(people.world.path("targets.json"), &next).unwrap();
    let id = people.ask(&next);
    people.approved("alice", &id, &next);
    let (code, text) = people.run("alice-laptop", &sign);
    assert_eq!((code, text.contains("self-approval")), (77, true), "{text}");
    people.signed(&next);
}

#[test]
fn an_approval_is_used_once_and_for_one_head() {
    let people = People::new(1, "");
    let expires = tomorrow();
    let (one, other) = (targets(1, &expires), targets(1, &crate::support::in_seconds(7200)));
    let (first, second) = (people.ask(&one), people.ask(&other));
    assert_ne!(first, second);
    people.approved("alice", &first, &one);
    people.approved("alice", &second, &other);
    people.signed(&one);
    assert_eq!(people.refusal(&other), "equivocation", "both were approved; one can be signed");
    let (code, text) = people.approve("bob", &second, &other);
    assert_eq!((code, text.contains("approval-void")), (77, true), "{text}");
    let (_, text) = people.run("bob", &["approve", "list"]);
    assert!(text.contains(&second) && text.contains("void") && !text.contains(&first), "{text}");
    // For a later version that waited at the old head as well.
    let third = targets(3, &expires);
    let before = people.ask(&third);
    people.approved("alice", &before, &third);
    let between = targets(2, &expires);
    let id = people.ask(&between);
    people.approved("alice", &id, &between);
    people.signed(&between);
    let error = people.world.sign("demo", "targets", &third).unwrap_err().to_string();
    assert!(error.contains(&format!("{before} is void: the guard has another head")), "{error}");
    let after = people.ask(&third);
    assert_ne!(before, after);
    let (_, text) = people.run("bob", &["approve", "list"]);
    assert!(!text.contains(&before), "what is void goes when its successor waits: {text}");
}

#[test]
fn approvals_survive_a_crash_and_lead_to_one_release() {
    let mut people = People::new(2, "");
    let payload = targets(1, &tomorrow());
    let id = people.ask(&payload);
    people.crash();
    assert_eq!(people.ask(&payload), id, "the same name after a restart");
    people.approved("alice", &id, &payload);
    people.crash();
    people.approved("bob", &id, &payload);
    // Approved, and the daemon dies before anybody fetches the signature.
    people.crash();
    let signature = people.signed(&payload);
    people.crash();
    assert_eq!(people.signed(&payload), signature);
    assert_eq!(people.events("advance").len(), 1);
}

#[test]
fn another_policy_voids_what_was_approved_under_the_old_one() {
    let mut people = People::new(1, "");
    let payload = targets(1, &tomorrow());
    let id = people.ask(&payload);
    people.approved("alice", &id, &payload);
    people.world.stop();
    people.world.configure(&settings(1, "max_version_step = 5\n"));
    people.world.start();
    people.find_port();
    let error = people.world.sign("demo", "targets", &payload).unwrap_err().to_string();
    assert!(error.contains(&format!("{id} is void: the policy of the role has changed")), "{error}");
    let after = people.ask(&payload);
    assert_ne!(after, id);
    people.approved("alice", &after, &payload);
    people.signed(&payload);
}

#[test]
fn a_rejection_stands_and_is_on_record() {
    let people = People::new(1, "");
    let payload = targets(1, &tomorrow());
    let id = people.ask(&payload);
    let (code, text) = people.run("carol", &["approve", "reject", &id, "--code", "wrong-content"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(people.refusal(&payload), "approval-rejected");
    let (code, text) = people.approve("bob", &id, &payload);
    assert_eq!((code, text.contains("approval-rejected")), (77, true), "{text}");
    let leaf = people.events("approval").pop().unwrap();
    assert_eq!(
        (&leaf["verb"], &leaf["reason"], &leaf["person"]),
        (&"reject".into(), &"wrong-content".into(), &"carol".into())
    );
    // Other bytes are another matter.
    people.ask(&targets(1, &crate::support::in_seconds(7200)));
}

#[test]
fn what_nobody_approves_in_time_is_forgotten() {
    let people = People::new(1, "approval_expiry = \"2s\"\n");
    let payload = targets(1, &tomorrow());
    let id = people.ask(&payload);
    people.approved("alice", &id, &payload);
    std::thread::sleep(std::time::Duration::from_millis(3100));
    let (code, text) = people.approve("bob", &id, &payload);
    assert_eq!((code, text.contains("unknown-approval")), (77, true), "{text}");
    assert_eq!(people.ask(&payload), id, "asked for anew");
    let (_, text) = people.run("bob", &["approve", "list"]);
    assert!(text.contains("0 of 1"), "and approved by nobody: {text}");
}

#[test]
fn ten_thousand_requests_leave_no_more_than_the_bound() {
    let many = "request_rate_per_caller = { per_minute = 60000, burst = 20000 }";
    let people = People::limited(1, "max_pending = 8\n", many);
    let mut reasons = BTreeSet::new();
    let mut waiting = 0;
    people.world.with_client(async |client| {
        for batch in 0..40 {
            let payload = |number: i64| targets(1, &crate::support::in_seconds(1000 + batch * 250 + number));
            let items = (0..250).map(|number| sign_request("demo", "targets", &payload(number))).collect();
            for result in client.sign_batch(SignBatchRequest { items }).await.unwrap().results {
                let Some(sealward::client::messages::sign_batch_result::Result::Refusal(refusal)) = result.result
                else {
                    panic!("signed")
                };
                waiting += usize::from(refusal.reason == "awaits-approval");
                reasons.insert(refusal.reason);
            }
        }
    });
    assert_eq!(reasons, ["awaits-approval".to_owned(), "pending-limit".to_owned()].into());
    // Seconds may repeat between batches; a repetition of what waits is no further piece.
    assert!((8..100).contains(&waiting), "{waiting}");
    let (_, text) = people.run("bob", &["--json", "approve", "list"]);
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(listed["pending"].as_array().unwrap().len(), 8);
    assert_eq!(people.events("pending").len(), 8);
    assert!(people.leaves().len() < 40, "refusals beyond the bound are counted, not written");
    assert!(people.world.metrics().contains("sealward_pending 8"), "{}", people.world.metrics());
}

#[test]
fn a_batch_waits_only_for_what_people_must_approve() {
    let people = People::new(1, "");
    let expires = tomorrow();
    let payload = targets(1, &expires);
    let id = people.ask(&payload);
    people.approved("alice", &id, &payload);
    let items = vec![
        sign_request("demo", "targets", &payload),
        sign_request("demo", "targets", &targets(2, &expires)),
        sign_request("demo", "snapshot", &snapshot(1, 1, &[], &expires)),
        sign_request("demo", "timestamp", &timestamp(1, 1, &expires)),
    ];
    let results =
        people.world.with_client(async |client| client.sign_batch(SignBatchRequest { items }).await.unwrap().results);
    let reason = |index: usize| match results[index].result.clone().unwrap() {
        sealward::client::messages::sign_batch_result::Result::Response(_) => "signed".to_owned(),
        sealward::client::messages::sign_batch_result::Result::Refusal(refusal) => refusal.reason,
    };
    assert_eq!([0, 1, 2, 3].map(reason), ["signed", "awaits-approval", "signed", "signed"]);
    let waiting = people.ask(&targets(2, &expires));
    people.approved("bob", &waiting, &targets(2, &expires));
    people.signed(&targets(2, &expires));
}
