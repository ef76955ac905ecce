//! The committed gRPC code is what `proto/` says, byte for byte. Made without protoc: protox reads the files.
//!
//! `make generate` (this test with `SEALWARD_REGENERATE=1`) writes it anew.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::{Path, PathBuf};

const FILES: [&str; 1] = ["sealward/v1/sealward.proto"];
const DESCRIPTOR: &str = "descriptor.bin";

#[test]
fn committed_code_is_what_the_proto_files_say() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let committed = root().join("src/wire/generated");
    if std::env::var_os("SEALWARD_REGENERATE").is_some() {
        for name in names(fresh.path()) {
            fs::copy(fresh.path().join(&name), committed.join(&name)).unwrap();
        }
    }
    assert_eq!(names(fresh.path()), names(&committed), "files of src/wire/generated; run `make generate`");
    for name in names(fresh.path()) {
        let same = fs::read(fresh.path().join(&name)).unwrap() == fs::read(committed.join(&name)).unwrap();
        assert!(same, "src/wire/generated/{name} is not what proto/ says; run `make generate`");
    }
}

fn generate(out: &Path) {
    let proto = root().join("proto");
    let mut compiler = protox::Compiler::new([&proto]).unwrap();
    // Comments would double the descriptor, and reflection does not show them.
    let bare = compiler.include_imports(true).include_source_info(false).open_files(FILES).unwrap();
    fs::write(out.join(DESCRIPTOR), bare.encode_file_descriptor_set()).unwrap();

    let mut compiler = protox::Compiler::new([&proto]).unwrap();
    let commented = compiler.include_imports(true).include_source_info(true).open_files(FILES).unwrap();
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".")
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"cli\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"daemon\")]")
        .compile_fds(commented.file_descriptor_set())
        .unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
