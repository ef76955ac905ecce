//! Clients that send too much, read too little, or hold what they do not use. Whatever they do, others are served.

use std::time::{Duration, Instant};

use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, frame, headers,
};
use crate::support::{PATIENCE, SOFTWARE, World};

const STATUS: &str = "/sealward.v1.AdminService/Status";
const SIGN: &str = "/sealward.v1.SigningService/Sign";
/// A gRPC message without bytes.
const EMPTY: [u8; 5] = [0; 5];

fn with_limits(limits: &str) -> World {
    World::configured(&format!("{SOFTWARE}\n[limits]\n{limits}\n"))
}

/// Resident memory of the daemon in KiB.
fn memory(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What must hold during and after every flood.
fn others_are_served(world: &World, before: u64) {
    let begun = Instant::now();
    assert!(world.sealward(&["--timeout", "10s", "status"]).status.success(), "{}", world.log());
    assert!(begun.elapsed() < Duration::from_secs(10));
    let grown = memory(world).saturating_sub(before);
    assert!(grown < 100 << 10, "it grew by {grown} KiB");
    assert!(!world.log().contains("panicked"), "{}", world.log());
}

fn turned_away(world: &World, reason: &str) -> u64 {
    let wanted = format!("sealward_door_refusals_total{{listener=\"local\",reason=\"{reason}\"}} ");
    let page = world.metrics();
    page.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok()).unwrap_or(0)
}

fn wait_until_turned_away(world: &World, reason: &str) {
    let begun = Instant::now();
    while turned_away(world, reason) == 0 {
        assert!(begun.elapsed() < PATIENCE, "nobody was turned away for {reason}: {}", world.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let world = with_limits("");
    let before = memory(&world);
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
    let mut ended = false;
    for stream in 0..20_000_u32 {
        let stream = 2 * stream + 1;
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &headers(STATUS));
        bytes.extend(frame(DATA, END_STREAM, stream, &EMPTY));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        ended = frames.send_all(&bytes).is_err();
        if ended {
            break;
        }
    }
    others_are_served(&world, before);
    let ended = ended || frames.read_to_end(Duration::from_secs(10)).is_some();
    assert!(ended, "20,000 resets and the connection still stands");
}

#[test]
fn settings_and_pings_whose_answers_nobody_reads_end_their_connection() {
    for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[7; 8])] {
        let world = with_limits("answer_patience = \"2s\"");
        let before = memory(&world);
        let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
        let many = frame(kind, 0, 0, payload).repeat(10_000);
        // The daemon stops to read when its own answers are not taken; then our writes wait, until it has had enough.
        let flood = std::thread::spawn(move || (0..1_000).any(|_| frames.send_all(&many).is_err()));
        wait_until_turned_away(&world, "slow-reader");
        others_are_served(&world, before);
        assert!(flood.join().unwrap(), "ten million frames were taken");
    }
}

#[test]
fn headers_without_end_end_their_connection() {
    let world = with_limits("");
    let before = memory(&world);
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
    frames.send(HEADERS, 0, 1, &headers(STATUS)).unwrap();
    // A literal that is never indexed, whose value fills the frame.
    let mut field = vec![0x10, 1, b'x', 0x7f, 0x81, 0x7e];
    field.resize(16_000, b'y');
    let ended = (0..10_000).any(|_| frames.send(CONTINUATION, 0, 1, &field).is_err());
    others_are_served(&world, before);
    assert!(ended || frames.read_to_end(Duration::from_secs(10)).is_some(), "160 MB of headers were taken");
}

#[test]
fn data_without_bytes_and_windows_without_room_hold_nobody_up() {
    let world = with_limits("answer_patience = \"2s\"");
    let before = memory(&world);
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
    frames.call(1, SIGN).unwrap();
    let many = frame(DATA, 0, 1, &[]).repeat(10_000);
    let _ended = (0..100).any(|_| frames.send_all(&many).is_err());
    others_are_served(&world, before);
    // A reader that gives its answer no room (SETTINGS_INITIAL_WINDOW_SIZE of 0), and pings to look alive.
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[(4, 0)]);
    for stream in [1, 3, 5] {
        frames.call(stream, STATUS).unwrap();
        frames.send(DATA, END_STREAM, stream, &EMPTY).unwrap();
    }
    let begun = Instant::now();
    while frames.send(PING, 0, 0, &[7; 8]).is_ok() && frames.read_to_end(Duration::from_millis(300)).is_none() {
        assert!(begun.elapsed() < PATIENCE, "the connection still stands");
    }
    assert!(turned_away(&world, "slow-reader") >= 1, "{}", world.metrics());
    others_are_served(&world, before);
}

#[test]
fn one_caller_takes_no_more_connections_than_his_share() {
    let world = with_limits("max_connections = 8\nconnections_per_caller = 3");
    let socket = world.path("sealward.sock");
    let held: Vec<_> = (0..3).map(|_| Frames::connect(&socket, &[])).collect();
    assert!(!world.sealward(&["--timeout", "2s", "whoami"]).status.success());
    assert!(turned_away(&world, "connections-per-caller") >= 1, "{}", world.metrics());
    drop(held);
    let begun = Instant::now();
    while !world.sealward(&["--timeout", "2s", "whoami"]).status.success() {
        assert!(begun.elapsed() < PATIENCE, "places do not come back");
    }
    // More places, without a restart.
    world.reconfigure("connections_per_caller = 3", "connections_per_caller = 8");
    assert_eq!(world.reload().0, 0);
    let _held: Vec<_> = (0..4).map(|_| Frames::connect(&socket, &[])).collect();
    assert!(world.sealward(&["whoami"]).status.success());
}

#[test]
fn messages_that_are_announced_and_never_come_hold_their_share_for_a_while_only() {
    let world = World::configured(&format!(
        "{}\n[limits]\nbytes_in_flight = 4000000\n",
        SOFTWARE.replace("algorithm =", "max_payload_bytes = 100000\nalgorithm =")
    ));
    let socket = world.path("sealward.sock");
    let mut frames = Frames::connect(&socket, &[]);
    // Each announces a megabyte. One caller has half of four of them.
    let announced = [&[0][..], &1_000_000_u32.to_be_bytes()].concat();
    for stream in [1, 3, 5, 7] {
        frames.call(stream, SIGN).unwrap();
        frames.send(DATA, 0, stream, &announced).unwrap();
    }
    let announced_at = Instant::now();
    wait_until_turned_away(&world, "bytes-in-flight");
    assert!(world.metrics().contains("sealward_bytes_in_flight 2000000"), "{}", world.metrics());
    assert!(world.sealward(&["status"]).status.success(), "a small request finds room");
    // A megabyte has 10 seconds, and 4 more on a slow line.
    std::thread::sleep(Duration::from_secs(12).saturating_sub(announced_at.elapsed()));
    assert_eq!(turned_away(&world, "slow-body"), 0, "{}", world.metrics());
    wait_until_turned_away(&world, "slow-body");
    let begun = Instant::now();
    while !world.metrics().contains("sealward_bytes_in_flight 0") {
        assert!(begun.elapsed() < PATIENCE, "{}", world.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
    // One that is larger than any payload may be is refused before it comes.
    frames.call(9, SIGN).unwrap();
    frames.send(DATA, 0, 9, &[&[0][..], &u32::MAX.to_be_bytes()].concat()).unwrap();
    wait_until_turned_away(&world, "message-bytes");
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

#[test]
fn health_and_reflection_hold_few_places_and_little_memory() {
    let world = with_limits("");
    let before = memory(&world);
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
    // Four megabytes, as tonic would take them by itself.
    let announced = [&[0][..], &(4_u32 << 20).to_be_bytes()].concat();
    for (stream, path) in (1..).step_by(2).zip([CHECK, WATCH, REFLECTION]) {
        frames.call(stream, path).unwrap();
        frames.send(DATA, 0, stream, &announced).unwrap();
    }
    wait_until_turned_away(&world, "message-bytes");
    // Watches never end; there is room for a few.
    for stream in (101..141).step_by(2) {
        frames.call(stream, WATCH).unwrap();
        frames.send(DATA, END_STREAM, stream, &EMPTY).unwrap();
    }
    wait_until_turned_away(&world, "health-and-reflection");
    assert_eq!(world.health(""), None, "this peer has its share");
    others_are_served(&world, before);
    drop(frames);
    let begun = Instant::now();
    while world.health("") != Some(1) {
        assert!(begun.elapsed() < PATIENCE, "places do not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_question_that_never_comes_does_not_keep_its_place() {
    let world = with_limits("");
    let mut frames = Frames::connect(&world.path("sealward.sock"), &[]);
    for (stream, path) in (1..).step_by(2).zip([REFLECTION, CHECK, STATUS]) {
        frames.call(stream, path).unwrap();
    }
    let begun = Instant::now();
    while turned_away(&world, "slow-body") < 3 {
        assert!(begun.elapsed() < PATIENCE, "{}", world.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
}
