//! The shipped examples and the reference: held against the parser, so that neither can say what is not so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealward::config::{Code, TABLES, load, parse};

use super::LEAST;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn examples() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("hsm-config")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_shipped_configuration_reads_without_a_warning() {
    let names: Vec<_> = examples().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(names.iter().any(|name| name == "software.toml") && names.iter().any(|name| name == "softhsm2.toml"));
    for path in examples() {
        let configuration = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(configuration.warnings, Vec::<String>::new(), "{}", path.display());
        assert!(configuration.keystores.len() == 1 && configuration.grants.iter().count() > 0);
    }
}

/// A test starts the daemon with these files in a directory of its own; what sed does not move would reach the system.
#[test]
fn shipped_configurations_keep_to_the_three_roots() {
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            for quoted in line.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')) {
                let roots = ["/etc/sealward/", "/var/lib/sealward/", "/run/sealward/"];
                let module = quoted == "/usr/lib/softhsm/libsofthsm2.so";
                let claim = quoted.starts_with("/kubernetes.io/");
                assert!(
                    module || claim || roots.iter().any(|root| quoted.starts_with(root)),
                    "{}: {line}",
                    path.display()
                );
            }
        }
    }
}

/// The examples promise every setting: each key stands there, in use or in a comment.
#[test]
fn the_examples_together_show_every_key() {
    let text: String = examples().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    // What only a TCP listener has is shown in systemd/README.md, where its certificates come from.
    let elsewhere = ["certificate", "key", "client_ca"];
    for key in TABLES.iter().flat_map(|table| table.keys).filter(|key| !elsewhere.contains(key)) {
        assert!(words.contains(key), "`{key}` is in no file of hsm-config");
    }
}

fn reference() -> String {
    fs::read_to_string(root().join("docs/configuration.md")).unwrap()
}

#[test]
fn the_reference_names_every_key_under_its_table() {
    let text = reference();
    for table in TABLES {
        let heading = format!("\n### {}\n", table.table);
        let (_, section) = text.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading:?}"));
        let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        for key in table.keys {
            assert!(section.contains(&format!("\n| `{key}` |")), "{} lacks a row for `{key}`", table.table);
        }
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, table.keys.len(), "{}: rows for keys that do not exist", table.table);
    }
}

#[test]
fn the_reference_names_every_error_and_no_other() {
    let text = reference();
    let (_, errors) = text.split_once("\n## Errors\n").unwrap();
    let errors = errors.split("\n## ").next().unwrap();
    let rows: BTreeSet<&str> = errors.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(rows, codes);
}

#[test]
fn the_reference_names_every_warning() {
    let text = reference();
    let (_, warnings) = text.split_once("\n## Warnings\n").unwrap();
    let rows: BTreeSet<&str> =
        warnings.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut named = BTreeSet::new();
    let code: String =
        sources(&root().join("src/config")).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for call in code.split("report.warning(").skip(1) {
        named.insert(call.split('"').nth(1).unwrap().to_owned());
    }
    assert_eq!(rows, named.iter().map(String::as_str).collect());
}

/// Every source file below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(sources(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// Every block of TOML in the documents is a file or a part of one; a part is read with the least that it lacks.
#[test]
fn every_block_of_toml_in_the_documents_reads() {
    let mut blocks = 0;
    for file in [
        "docs/configuration.md",
        "docs/rotation.md",
        "docs/ci.md",
        "systemd/README.md",
        "softhsm/README.md",
        "hsm-config/README.md",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let whole = completed(block);
            parse(&whole, "/etc/sealward/sealward.toml").unwrap_or_else(|errors| panic!("{file}: {errors}\n{whole}"));
            blocks += 1;
        }
    }
    assert!(blocks >= 8, "{blocks}");
}

fn completed(block: &str) -> String {
    let mut whole = String::new();
    if !block.contains("version = ") {
        whole.push_str("version = 1\n");
    }
    // Keys of the top level must come before any table, so the block's own come first.
    whole.push_str(block);
    for part in LEAST.split_inclusive('\n').collect::<String>().split("\n[").skip(1) {
        let part = format!("[{}\n", part.trim_end());
        let header = part.lines().next().unwrap().to_owned();
        if !block.contains(&header) {
            whole.push_str(&part);
        }
    }
    for name in ["files", "hsm"] {
        if block.contains(&format!("keystore = \"{name}\"")) && !block.contains(&format!("name = \"{name}\"")) {
            let unseal = "unseal = { identity = { file = \"i\" } }";
            let keystore =
                format!("[[keystore]]\nname = \"{name}\"\nkind = \"software\"\ndirectory = \"{name}\"\n{unseal}\n");
            whole.push_str(&keystore);
        }
    }
    whole
}
