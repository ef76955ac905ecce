//! `docs/ceremony.md`: its commands, as they stand there, from the first to the last.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use sealward::tuf::root::verify_successor;

use crate::world::{PROGRAM, World};

#[test]
fn an_operator_who_types_the_page_gets_two_good_roots() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ceremony.md")).unwrap();
    let script = commands(&page);
    assert!(script.matches("sealward-ceremony ").count() >= 15, "{script}");
    let world = World::new();
    // A rehearsal's work factor, without a word about it in the page: only time differs.
    world.write(
        "sealward-ceremony",
        format!("#!/bin/sh\nverb=$1; shift\n[ \"$verb\" = keygen ] && set -- --work-factor 10 \"$@\"\nexec '{PROGRAM}' \"$verb\" \"$@\"\n"),
    );
    std::fs::set_permissions(world.path("sealward-ceremony"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let room = world.path("room");
    std::fs::create_dir(&room).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([world.path("")].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]).env("PATH", path).current_dir(&room).stdin(Stdio::null());
    let output = command.output().unwrap();
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("good: 2 roots verified"), "{told}");
    let [first, second] = ["room/1.root.json", "room/2.root.json"].map(|name| world.read(name));
    assert_eq!(verify_successor(&first, &second).unwrap().version.get(), 2);
}

/// What stands in the page's `sh` blocks.
fn commands(page: &str) -> String {
    let mut inside = false;
    let mut script = String::new();
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}
