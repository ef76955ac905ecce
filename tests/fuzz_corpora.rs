//! The corpora of the fuzz targets, replayed on stable: every input that was ever worth keeping still keeps its promises.
//! `make fuzz` looks for new ones.

// clippy.toml lets tests stop at the first surprise; their helpers are no tests to clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "fuzz_corpora/seeds.rs"]
mod seeds;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use targets::ALL;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(root().join("fuzz/corpus").join(target)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_input_that_was_kept_keeps_its_promises() {
    for (name, target) in ALL {
        let inputs = corpus(name);
        let through = inputs.values().filter(|bytes| target(bytes)).count();
        assert!(through > 0, "{name}: no input reaches what it is for");
        assert!(through < inputs.len(), "{name}: no input is refused");
        assert!(inputs.values().all(|bytes| bytes.len() <= 64 << 10), "{name}: seeds are small");
    }
}

/// Cheap mutations of every kept input, the same in every run: what a fuzzer would try first.
#[test]
fn damaged_inputs_keep_their_promises() {
    let mut state: u64 = 7;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let pieces: [&[u8]; 12] =
        [b"", b"0", b"-", b"\"", b"}", b"]", b",", b"\\u0000", b"\xff", b"\n", b"99999999999999999999", b"[["];
    for (name, target) in ALL {
        for (path, bytes) in corpus(name) {
            // A configuration takes milliseconds without optimisation.
            for _ in 0..if name == "configuration" { 20 } else { 200 } {
                let mut damaged = bytes.clone();
                let from = next(damaged.len() + 1);
                let to = (from + next(6)).min(damaged.len());
                damaged.splice(from..to, pieces[next(pieces.len())].iter().copied());
                let told = std::panic::catch_unwind(|| target(&damaged));
                assert!(told.is_ok(), "{name} {}: {:?}", path.display(), String::from_utf8_lossy(&damaged));
            }
        }
    }
}

/// After a change that is meant: SEALWARD_REGENERATE=1.
#[test]
fn the_seeds_are_what_this_file_makes() {
    let regenerate = std::env::var_os("SEALWARD_REGENERATE").is_some();
    for (target, name, bytes) in seeds::all() {
        let path = root().join("fuzz/corpus").join(target).join(name);
        if regenerate {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn every_target_has_a_program_of_its_own() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let programs = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().count();
    assert_eq!(programs, ALL.len());
    for (name, _) in ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        let program = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{name}(bytes);")), "{name}");
    }
}
