//! Kill switches and latches of the built daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealward::client::messages::ListLeavesRequest;
use serde_json::Value;

use crate::support::faults::{run, text};
use crate::support::{PATIENCE, SOFTWARE, World, bounded, in_seconds, snapshot, targets, timestamp, tomorrow};

/// Releases the first version of each role.
fn released(world: World) -> World {
    let expires = tomorrow();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    world
}

/// A command that must end with this code; what it said.
fn says(world: &World, code: i32, arguments: &[&str]) -> String {
    let output = world.sealward(arguments);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

fn json(world: &World, code: i32, arguments: &[&str]) -> Value {
    let output = world.sealward(&[&["--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stdout));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["v"], 1);
    value
}

/// All leaves.
fn leaves(world: &World) -> Vec<Value> {
    let mut leaves = Vec::new();
    world.with_client(async |client| {
        loop {
            let request = ListLeavesRequest { start: leaves.len() as u64, limit: 1000 };
            let page = client.list_leaves(request).await.unwrap();
            if page.leaves.is_empty() {
                return;
            }
            leaves.extend(page.leaves.iter().map(|leaf| serde_json::from_slice::<Value>(leaf).unwrap()));
        }
    });
    leaves
}

#[test]
fn a_freeze_stops_a_load_of_signers_and_stands_through_a_kill() {
    let fast = "algorithm = \"ed25519\"\nrelease_rate = { per_hour = 600000, burst = 10000 }";
    let mut world = released(World::configured(&SOFTWARE.replacen("algorithm = \"ed25519\"", fast, 1)));
    let expires = tomorrow();
    let (frozen, newest) = (AtomicBool::new(false), AtomicU64::new(1));
    let (server, begun) = (world.server(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let files = sealward::client::TlsFiles::default();
                    let client =
                        sealward::client::Client::connect(&server.parse().unwrap(), &files, PATIENCE).await.unwrap();
                    let mut refused = 0;
                    while refused < 20 {
                        assert!(begun.elapsed() < PATIENCE, "nobody froze");
                        let version = newest.load(Ordering::SeqCst) + 1;
                        let was_frozen = frozen.load(Ordering::SeqCst);
                        let payload = timestamp(version, 1, &expires);
                        match client.sign(crate::support::sign_request("demo", "timestamp", &payload)).await {
                            Ok(_) => {
                                assert!(!was_frozen, "version {version} was asked for after the freeze had answered");
                                newest.fetch_max(version, Ordering::SeqCst);
                            }
                            Err(error) if error.reason() == "frozen" => refused += 1,
                            Err(error) => {
                                assert!(!was_frozen, "{error}");
                                newest.fetch_max(version, Ordering::SeqCst);
                            }
                        }
                    }
                });
            });
        }
        while newest.load(Ordering::SeqCst) < 30 {
            assert!(begun.elapsed() < PATIENCE, "nobody signs");
            std::thread::sleep(Duration::from_millis(1));
        }
        says(&world, 0, &["freeze", "--all", "--reason-code", "drill"]);
        frozen.store(true, Ordering::SeqCst);
    });
    let all = leaves(&world);
    let at = all.iter().position(|leaf| leaf["verb"] == "freeze").unwrap();
    assert!(all[..at].iter().filter(|leaf| leaf["event"] == "advance").count() > 20);
    assert!(all[at..].iter().all(|leaf| leaf["event"] != "advance"), "a release after the freeze");
    assert_eq!(all[at]["subject"], "everything (drill)");

    world.kill();
    world.start();
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(9000, 1, &expires)), "frozen");
    let metrics = world.metrics();
    assert!(metrics.contains("sealward_freezes{scope=\"all\"} 1"), "{metrics}");
    assert!(metrics.contains("sealward_freezes{scope=\"role\"} 0"), "{metrics}");
    let status = json(&world, 0, &["status"]);
    assert_eq!(
        (&status["freezes"][0]["covers"], &status["freezes"][0]["scope"]),
        (&"everything".into(), &"--all".into())
    );
    says(&world, 0, &["thaw", "--all"]);
    world.sign("demo", "snapshot", &snapshot(2, 1, &[], &expires)).unwrap();
}

#[test]
fn a_freeze_says_what_stands_still_and_how_to_undo_it() {
    let world = released(World::dev());
    let said = says(&world, 0, &["freeze", "--all"]);
    assert!(said.starts_with("FROZEN everything (unspecified)\n"), "{said}");
    for part in ["What stands still: no signature leaves", "through restarts", "Undo it with: sealward thaw --all"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let again = says(&world, 0, &["freeze", "--all", "--reason-code", "again"]);
    assert!(again.contains("already (unspecified)"), "{again}");
    let thawed = says(&world, 0, &["thaw", "--all"]);
    assert!(!thawed.contains("other scopes"), "there are none: {thawed}");
    says(&world, 0, &["freeze", "--repository", "demo"]);
    let role = ["thaw", "--repository", "demo", "--role", "timestamp"];
    let thawed = says(&world, 0, &role);
    assert!(thawed.contains("STILL FROZEN by repository demo: sealward thaw --repository demo\n"), "{thawed}");
    assert_eq!(json(&world, 0, &role)["covering"][0]["covers"], "repository demo");
    says(&world, 0, &["freeze", "--caller", "unix:7"]);
    let thawed = says(&world, 0, &["thaw", "--repository", "demo"]);
    assert!(thawed.starts_with("thawed\nFreezes of other scopes stay (1)"), "{thawed}");
    let subject = "oidc:github:repo:acme/app:it's";
    let frozen = json(&world, 0, &["freeze", "--caller", subject]);
    assert_eq!(frozen["undo"], "sealward thaw --caller 'oidc:github:repo:acme/app:it'\\''s'");
    assert_eq!(frozen["freeze"]["covers"], format!("caller {subject}"));
    assert_eq!(json(&world, 0, &["thaw", "--caller", subject])["changed"], true);
    let denied = json(&world, 77, &["freeze", "--repository", "dmeo"]);
    assert_eq!(denied["error"]["reason"], "unknown-repository");
    for wrong in [
        &["freeze"][..],
        &["thaw"],
        &["freeze", "--all", "--repository", "demo"],
        &["freeze", "--role", "timestamp"],
        &["freeze", "--all", "--reason-code", "Two Words"],
        &["freeze", "--caller", "somebody"],
        &["latch", "resolve", "root-fork"],
        &["latch", "resolve", "offline-key"],
        &["latch", "resolve", "fault"],
    ] {
        says(&world, 64, wrong);
    }
}

#[test]
fn a_recovered_ledger_is_still_frozen() {
    let mut world = released(World::configured(SOFTWARE));
    says(&world, 0, &["freeze", "--repository", "demo"]);
    world.stop();
    fs::write(world.path("ledger/FAULT"), "a test says so").unwrap();
    let recovered = world.sealwardd(&["recover", "--config", world.path("sealward.toml").to_str().unwrap()]);
    assert!(recovered.status.success(), "{}", text(&recovered.stderr));
    world.start();
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 1, &tomorrow())), "frozen");
}

#[test]
fn the_page_about_switches_can_be_typed_as_it_stands() {
    let world = released(World::dev());
    fs::write(world.path("timestamp.json"), timestamp(2, 1, &tomorrow())).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/switches.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect();
    assert!(commands.len() > 10);
    let bin = Path::new(env!("CARGO_BIN_EXE_sealward")).parent().unwrap();
    for command in commands {
        let expected = command.split_once("# exits ").map_or(0, |(_, code)| code.trim().parse().unwrap());
        let output = bounded(
            Command::new("sh")
                .args(["-c", command])
                .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
                .env("SEALWARD_SERVER", world.server())
                .current_dir(world.path("")),
        );
        assert_eq!(output.status.code(), Some(expected), "{command}: {}", text(&output.stderr));
    }
    world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).unwrap();
}

/// Puts itself before the C library and moves CLOCK_REALTIME by the seconds that a file holds. The boot clock, which the
/// daemon asks the kernel for, stays as it is.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, id, time);
    const char *path = getenv("SEALWARD_TEST_CLOCK");
    if (result == 0 && id == CLOCK_REALTIME && path) {
        FILE *file = fopen(path, "r");
        long seconds = 0;
        if (file) {
            if (fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
            fclose(file);
        }
    }
    return result;
}
"#;

/// A daemon whose wall clock the test sets.
fn with_clock() -> World {
    let mut world = World::empty();
    fs::write(world.path("clock.c"), CLOCK).unwrap();
    fs::write(world.path("clock"), "0").unwrap();
    let (source, library) = (world.path("clock.c"), world.path("clock.so"));
    let built = run("cc", &["-shared", "-fPIC", "-O1", "-o", library.to_str().unwrap(), source.to_str().unwrap()]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let clock = world.path("clock");
    world.set_environment("LD_PRELOAD", library.to_str().unwrap());
    world.set_environment("SEALWARD_TEST_CLOCK", clock.to_str().unwrap());
    released(world.init_and_start(SOFTWARE))
}

/// Somebody sets the clock, by a rename: never half a number.
fn set_clock(world: &World, seconds: i64) {
    fs::write(world.path("clock.new"), seconds.to_string()).unwrap();
    fs::rename(world.path("clock.new"), world.path("clock")).unwrap();
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_clock_that_is_set_latches_the_daemon_until_an_operator_resolves_it() {
    let mut world = with_clock();
    let expires = in_seconds(3 * 24 * 3600);
    world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap();
    set_clock(&world, 7200);
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(3, 1, &expires)), "latched");
    wait_until("health does not tell", || world.health("") == Some(2));
    let metrics = world.metrics();
    assert!(metrics.contains("sealward_latch{name=\"clock\",scope=\"everything\"} 1"), "{metrics}");
    let listed = says(&world, 69, &["latch", "list"]);
    assert!(listed.contains("LATCHED clock (everything): the clock jumped") && listed.contains("latch resolve clock"));
    assert!(says(&world, 69, &["status"]).contains("LATCHED clock"));
    says(&world, 0, &["key", "list"]);
    assert_eq!(world.stop(), Some(69), "the exit code tells");

    set_clock(&world, 0);
    world.start();
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(3, 1, &expires)), "latched");
    says(&world, 0, &["latch", "resolve", "clock"]);
    world.sign("demo", "timestamp", &timestamp(3, 1, &expires)).unwrap();
    wait_until("health does not recover", || world.health("") == Some(1));

    // Backward while it was down: the newest leaf tells.
    assert_eq!(world.stop(), Some(0));
    set_clock(&world, -7200);
    world.start();
    let denial = world.sign("demo", "timestamp", &timestamp(4, 1, &in_seconds(3600))).unwrap_err().to_string();
    assert!(denial.contains("the newest leaf was written at"), "{denial}");
}

#[test]
fn a_ledger_on_another_machine_serves_reads_and_signs_nothing() {
    let machine = "[machine]\nid_file = \"{dir}/machine-id\"\n[clock]\nskew = \"2m\"\njump = \"2m\"\n";
    let world = World::empty();
    fs::write(world.path("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut world = released(world.init_and_start(&format!("{SOFTWARE}{machine}")));
    world.stop();
    let database = fs::read(world.path("ledger/ledger.sqlite3")).unwrap();
    assert!(!database.windows(32).any(|window| window == b"0123456789abcdef0123456789abcdef"), "the id is stored");

    fs::write(world.path("machine-id"), "fedcba9876543210fedcba9876543210\n").unwrap();
    world.start();
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 1, &tomorrow())), "latched");
    says(&world, 0, &["key", "list"]);
    assert_eq!(world.health(""), Some(2));
    let resolved = json(&world, 0, &["latch", "resolve", "clone"]);
    assert_eq!(resolved["latches"], Value::Array(vec![]));
    world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).unwrap();
    assert_eq!(world.stop(), Some(0));

    for nothing in ["", "uninitialized\n"] {
        fs::write(world.path("machine-id"), nothing).unwrap();
        let refused = world.try_start().unwrap_err();
        assert!(refused.starts_with("exit Some(78)") && refused.contains("check = false"), "{refused}");
    }
    let off = SOFTWARE.to_owned() + "[machine]\ncheck = false\n";
    world.configure(&off);
    world.start();
    assert!(world.log().contains("a copied ledger will not be noticed"));
    let warnings = json(&world, 0, &["status"])["warnings"].to_string();
    assert!(warnings.contains("[machine] check is off"), "{warnings}");
}

#[test]
fn a_throw_away_key_is_never_used_by_a_real_daemon_nor_the_other_way_round() {
    let mut throw_away = released(World::dev());
    throw_away.stop();
    let mut real = released(World::configured(SOFTWARE));
    real.stop();
    let (mine, theirs) = (real.path("keys"), throw_away.path("keys"));
    let keep = real.path("kept");
    fs::rename(&mine, &keep).unwrap();
    fs::rename(real.path("identity"), real.path("kept-identity")).unwrap();
    let copy = |from: &Path, to: &Path| {
        let copied = run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
        assert!(copied.status.success(), "{}", text(&copied.stderr));
    };
    copy(&theirs, &mine);
    // The log key is opened by the real identity, the keys by theirs: only their mark keeps them out.
    fs::rename(real.path("kept-identity"), real.path("identity")).unwrap();
    let configuration = fs::read_to_string(real.path("sealward.toml")).unwrap();
    let identity = throw_away.path("identity");
    let (head, tail) = configuration.rsplit_once("unseal = { identity").unwrap();
    let (_, tail) = tail.split_once('\n').unwrap();
    let other = format!("{head}unseal = {{ identity = {{ file = \"{}\" }} }}\n{tail}", identity.display());
    fs::write(real.path("sealward.toml"), other).unwrap();
    let refused = real.try_start().unwrap_err();
    assert!(refused.contains("a throw-away key, made by --dev"), "{refused}");

    let (dev_keys, dev_kept) = (throw_away.path("keys"), throw_away.path("kept"));
    fs::rename(&dev_keys, &dev_kept).unwrap();
    copy(&keep, &dev_keys);
    fs::copy(real.path("identity"), throw_away.path("real-identity")).unwrap();
    let configuration = fs::read_to_string(throw_away.path("sealward.toml")).unwrap();
    let (head, tail) = configuration.rsplit_once("/identity\"").unwrap();
    fs::write(throw_away.path("sealward.toml"), format!("{head}/real-identity\"{tail}")).unwrap();
    let refused = throw_away.try_start().unwrap_err();
    assert!(refused.contains("a key of a real daemon: --dev never uses it"), "{refused}");
}

#[test]
fn the_origin_of_a_throw_away_log_says_so_and_no_other_may() {
    let world = World::dev();
    let key = json(&world, 0, &["status"])["verifier_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("dev."), "{key}");
    let real = World::empty();
    real.configure(SOFTWARE);
    let file = real.path("sealward.toml");
    let init = real.sealwardd(&["init", "--config", file.to_str().unwrap(), "--origin", "dev.example/log"]);
    assert_eq!(init.status.code(), Some(64), "{}", text(&init.stderr));
    assert!(!real.path("ledger").exists(), "nothing was made");
    // A log key that a throw-away daemon left.
    let copied = run("cp", &["-a", world.path("log-key").to_str().unwrap(), real.path("ledger-key").to_str().unwrap()]);
    assert!(copied.status.success());
    fs::copy(world.path("identity"), real.path("identity")).unwrap();
    real.configure(&SOFTWARE.replace("[log_key]\n", "[log_key]\npath = \"{dir}/ledger-key\"\n"));
    let init = real.sealwardd(&["init", "--config", file.to_str().unwrap()]);
    assert_eq!(init.status.code(), Some(64), "{}", text(&init.stderr));
    assert!(!real.path("ledger/ledger.sqlite3").exists(), "no ledger begins over it");
}

#[test]
fn a_throw_away_daemon_is_no_service() {
    for variable in ["NOTIFY_SOCKET", "SYSTEMD_EXEC_PID"] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // SYSTEMD_EXEC_PID is the process's own number, which exec keeps.
        let script = format!("{variable}=$$ exec \"$0\" --dev --dir \"$1\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sealwardd")]).arg(directory.path());
        let output = bounded(command.stdout(Stdio::null()));
        assert_eq!(output.status.code(), Some(64), "{variable}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("refuses to run under systemd"));
    }
}
