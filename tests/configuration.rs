//! The configuration file: what it says, and every way in which it can be wrong.

// clippy.toml lets tests stop at the first surprise; their helpers are no tests to clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "configuration/bad.rs"]
mod bad;
#[path = "configuration/check.rs"]
mod check;
#[path = "configuration/files.rs"]
mod files;
#[path = "configuration/good.rs"]
mod good;
#[path = "configuration/hostile.rs"]
mod hostile;
#[path = "configuration/people.rs"]
mod people;
#[path = "configuration/reference.rs"]
mod reference;
#[path = "configuration/rights.rs"]
mod rights;
#[path = "configuration/roles.rs"]
mod roles;
#[path = "configuration/softhsm.rs"]
mod softhsm;
#[path = "configuration/tokens.rs"]
mod tokens;
#[path = "configuration/warnings.rs"]
mod warnings;

use sealward::config::{Configuration, parse};

/// The least that a file must say.
const LEAST: &str = r#"version = 1
[ledger]
directory = "ledger"
[log_key]
unseal = { identity = { file = "identity" } }
[[listener]]
name = "local"
kind = "unix"
path = "sock"
"#;

/// Two keystores, a repository and a grant, without any warning.
const USUAL: &str = r#"[[keystore]]
name = "files"
kind = "software"
directory = "keys"
unseal = { passphrase = { credential = "phrase" } }
[[keystore]]
name = "hsm"
kind = "pkcs11"
module = "/usr/lib/softhsm/libsofthsm2.so"
token_label = "tuf"
pin = { file = "pin" }
[[repository]]
name = "acme/app"
[repository.role.timestamp]
keystore = "hsm"
[[grant]]
callers = ["unix:1000"]
verbs = ["sign"]
repositories = ["acme/app"]
roles = ["timestamp"]
"#;

const FILE: &str = "/etc/sealward/sealward.toml";

/// The least file with more at its end.
fn least_and(more: &str) -> String {
    format!("{LEAST}{more}")
}

/// The usual file.
fn usual() -> String {
    least_and(USUAL)
}

/// The usual file with one piece of text replaced; the piece must be there.
fn usual_with(old: &str, new: &str) -> String {
    let text = usual();
    assert!(text.contains(old), "{old:?} is not in the usual file");
    text.replacen(old, new, 1)
}

fn good(text: &str) -> Configuration {
    parse(text, FILE).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The mistakes as `LINE:COLUMN [code] detail`; at least one.
fn mistakes(text: &str) -> Vec<String> {
    let errors = parse(text, FILE).expect_err(text);
    let line = |error: &sealward::config::ConfigError| {
        let place = error.position.map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        format!("{place} [{}] {}", error.code, error.detail)
    };
    let lines: Vec<String> = errors.iter().map(line).collect();
    assert!(!lines.is_empty());
    lines
}

/// The one mistake of a text.
fn mistake(text: &str) -> String {
    let mut lines = mistakes(text);
    assert_eq!(lines.len(), 1, "{lines:#?}\n{text}");
    lines.remove(0)
}

/// Where a piece of text begins, as `LINE:`.
fn line_of(text: &str, piece: &str) -> String {
    let before = text.split_once(piece).unwrap_or_else(|| panic!("{piece:?} is not there")).0;
    format!("{}:", before.matches('\n').count() + 1)
}
