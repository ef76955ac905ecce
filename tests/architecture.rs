//! The house keeps its rooms: who may use whom, and what each may link. `design.md` explains the table; a change here is a
//! change of the design, and wants its reason in the commit.

// clippy.toml lets tests unwrap; their helpers down here are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "architecture/scan.rs"]
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use scan::{Named, Scan, scan};

/// A room. Lists are separated by white space; a name stands for everything below it.
struct Room {
    name: &'static str,
    /// The rooms, or parts of rooms, that its paths may lead to.
    may_use: &'static str,
    /// The crates, or parts of crates, that it may name. `std`, `core` and `alloc` are everybody's.
    crates: &'static str,
    /// What it may not name all the same.
    never: &'static str,
}

const TABLE: &[Room] = &[
    Room {
        name: "domain",
        may_use: "",
        crates: "serde sha2 der spki aws_lc_rs hex thiserror time",
        never: "std::fs std::net std::env std::process std::thread std::os std::io std::time::SystemTime \
                std::time::Instant time::OffsetDateTime::now_utc time::OffsetDateTime::now_local time::UtcDateTime::now",
    },
    Room {
        name: "tuf",
        may_use: "domain",
        crates: "serde serde_json sha2 base64ct hex thiserror time",
        never: "std::fs std::net std::env std::process std::thread std::os std::time::SystemTime std::time::Instant",
    },
    Room {
        name: "content",
        may_use: "domain",
        crates: "serde serde_json sha2 base64ct hex thiserror time",
        never: "std::fs std::net std::env std::process std::thread std::os std::time::SystemTime std::time::Instant",
    },
    Room {
        name: "audit",
        may_use: "domain",
        crates: "serde serde_json sha2 base64ct hex thiserror",
        never: "std::fs std::net std::env std::process std::thread std::os std::time::SystemTime std::time::Instant",
    },
    Room {
        name: "keystore",
        may_use: "domain",
        crates: "age aws_lc_rs base64ct clap cryptoki der hex rustix secrecy serde serde_json sha2 spki thiserror \
                 tracing zeroize",
        never: "std::net rustix::net::AddressFamily::INET rustix::net::AddressFamily::INET6",
    },
    Room {
        name: "ledger",
        may_use: "domain audit",
        crates: "hex rusqlite rustix serde serde_json sha2 thiserror tracing",
        never: "std::net",
    },
    Room {
        name: "engine",
        may_use: "domain tuf content keystore ledger audit",
        crates: "aws_lc_rs base64ct hex secrecy serde serde_json sha2 thiserror tokio tracing zeroize",
        never: "std::env std::net std::fs tokio::net tokio::fs",
    },
    Room {
        // The only room that connects to others: one GET over TLS.
        name: "fetch",
        may_use: "",
        crates: "http_body_util hyper hyper_util rustls rustls_native_certs secrecy thiserror tokio tokio_rustls zeroize",
        never: "std::fs std::env std::process",
    },
    Room {
        name: "oidc",
        may_use: "domain fetch",
        // Of the crypto provider only verification: no key of ours is here.
        crates: "aws_lc_rs::signature base64ct serde serde_json thiserror tokio tracing",
        never: "std::env std::net std::process tokio::net tokio::fs",
    },
    Room {
        name: "wire",
        may_use: "domain",
        crates: "prost prost_types tonic tonic_prost tonic_types",
        never: "std::fs std::net std::env std::process std::thread",
    },
    Room {
        name: "door",
        // Who the bearer of a token is, oidc says; what he may do, the engine.
        may_use: "engine domain wire oidc",
        // Of the crypto provider only randomness, for request ids.
        crates: "aws_lc_rs::rand axum der hex http_body libc prometheus_client prost prost_types rustix serde thiserror time tokio tokio_stream \
                 tonic tonic_health tonic_reflection tonic_types tracing x509_cert",
        never: "std::env",
    },
    Room {
        name: "client",
        // A CI service hands out its job's token over the network.
        may_use: "domain wire fetch",
        crates: "hyper_util prost prost_types rustix thiserror tokio tokio_stream tonic tonic_types tower zeroize \
                 secrecy serde serde_json",
        never: "",
    },
    Room {
        name: "refresh",
        may_use: "client domain tuf",
        crates: "hex serde serde_json thiserror time tokio tracing",
        never: "",
    },
    Room { name: "migrate", may_use: "engine domain tuf", crates: "hex serde serde_json thiserror tracing", never: "" },
    Room {
        name: "cli",
        // The log's public formats and their verifier; never the parts that write a log.
        may_use: "client domain tuf refresh config audit::verify audit::export audit::checkpoint audit::note \
                  audit::leaf audit::merkle",
        crates: "base64ct clap clap_mangen hex rustix serde serde_json sha2 thiserror time tokio",
        never: "tokio::net std::net",
    },
    Room {
        name: "ceremony",
        may_use: "domain tuf keystore audit::merkle",
        crates: "base64ct clap clap_mangen hex rpassword rustix secrecy serde serde_json sha2 thiserror time zeroize",
        never: "std::net rustix::net",
    },
    Room {
        name: "config",
        // What it fills in: the rooms' settings, and the law's policies and grants.
        may_use: "domain keystore::settings ledger::settings engine::settings door::settings client::settings \
                  refresh::settings oidc::settings fetch::Url",
        crates: "rustix serde thiserror toml",
        never: "",
    },
    Room {
        name: "daemon",
        may_use: "domain tuf content audit keystore ledger engine wire door client migrate config oidc",
        crates: "aws_lc_rs axum base64ct clap clap_mangen hex libc listenfd prometheus_client rustix rustls sd_notify secrecy \
                 serde serde_json thiserror time tokio tokio_rustls tokio_stream tonic tonic_health tonic_reflection tonic_types \
                 tower tracing tracing_subscriber x509_cert zeroize",
        never: "",
    },
    // One line into the library. What each may use is in BINS.
    Room { name: "bin", may_use: "", crates: "", never: "std::fs std::net" },
];

/// Each binary is the face of one room.
const BINS: &[(&str, &str)] = &[
    ("sealwardd", "daemon config"),
    ("sealward", "cli config"),
    ("sealward-ceremony", "ceremony"),
    ("sealward-token", "keystore"),
];

const BIN_LINES: usize = 40;

/// Modules, by the start of their path, that may name what their room may not, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    // An export is a directory; writing and verifying one is all that these two do.
    ("src/audit/export", "std::fs std::process::id"),
    ("src/audit/verify", "std::fs"),
    // How an AF_UNIX stream is shut down.
    ("src/keystore/", "std::net::Shutdown"),
];

/// Rooms that pass on, under their own name, what belongs to another: nobody else may, or every edge could be bent.
const RE_EXPORTS: &[(&str, &str)] = &[
    // Commands are written against the client, whose calls take and give the wire's messages.
    ("client", "wire"),
];

/// Files that may contain `unsafe`, by the start of their path. Each says in its own words why it must.
const UNSAFE: &[&str] = &["src/door/peer_groups.rs", "src/keystore/pkcs11/ffi", "src/daemon/harden"];

/// Identifiers that only files below these paths may say.
const RESERVED: &[(&str, &[&str])] = &[
    // Whoever makes a statement says that he has read the bytes.
    ("read_by_content_room", &["src/tuf/", "src/content/", "src/domain/statement.rs"]),
];

/// Sockets of every kind but AF_UNIX, under the names that std, rustix and libc have for them.
const NETWORK: &str = "TcpStream TcpListener UdpSocket ToSocketAddrs to_socket_addrs SocketAddrV4 SocketAddrV6 INET INET6 \
                       AF_INET AF_INET6 PF_INET PF_INET6 NETLINK AF_NETLINK PACKET AF_PACKET VSOCK AF_VSOCK";

/// Rooms whose processes may create no other socket.
const NO_NETWORK: &[&str] = &["domain", "tuf", "content", "audit", "keystore", "ceremony"];

/// The only place where source is included: generated code, which is compared with its origin by a test of its own.
const GENERATED: &str = "src/wire/";

// --- The house as it stands ---

#[test]
fn every_file_keeps_to_its_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(root);
    assert!(files.len() > 20, "found only {} files below {}", files.len(), root.display());
    let broken = check_all(&files, &dependencies(&fs::read_to_string(root.join("Cargo.toml")).unwrap()));
    assert!(broken.is_empty(), "{} broken rules:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn the_table_is_about_this_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = dependencies(&fs::read_to_string(root.join("Cargo.toml")).unwrap());
    assert!(known.contains("aws_lc_rs") && known.contains("tokio") && known.contains("tempfile"), "{known:?}");
    for room in TABLE {
        for target in room.may_use.split_whitespace() {
            let name = target.split("::").next().unwrap();
            assert!(room_named(name).is_some() && name != room.name, "{} may use {target}", room.name);
        }
    }
    // The rooms flow one way: taking away whoever uses nobody that is left ends with nobody.
    let mut left: BTreeSet<&str> = TABLE.iter().map(|room| room.name).collect();
    while let Some(next) = TABLE.iter().find(|room| {
        let uses = |name: &&str| room.may_use.split_whitespace().any(|target| target.split("::").next() == Some(name));
        left.contains(room.name) && !left.iter().any(uses)
    }) {
        left.remove(next.name);
    }
    assert!(left.is_empty(), "these rooms use each other in a circle: {left:?}");
}

#[test]
fn the_ceremony_and_the_worker_link_no_network_code() {
    for feature in ["ceremony", "worker"] {
        let tree = tree(&["--no-default-features", "--features", feature]);
        for banned in ["tokio", "mio", "hyper", "rustls", "tonic", "h2", "tower", "axum", "socket2", "rusqlite"] {
            assert!(!tree.contains(banned), "{feature} links {banned}");
        }
        assert!(tree.contains("age"), "{feature}: this is the tree of the keystore");
    }
    assert!(!tree(&["--no-default-features", "--features", "ceremony"]).contains("cryptoki"));
}

#[test]
fn the_tree_has_one_crypto_provider_and_no_other_canonical_json() {
    let tree = tree(&[]);
    // `rsa`: private-key operations that leak through timing (RUSTSEC-2023-0071).
    for banned in ["ring", "openssl", "openssl-sys", "native-tls", "rsa", "olpc-cjson", "tough"] {
        assert!(!tree.contains(banned), "the daemon links {banned}");
    }
    assert!(tree.contains("aws-lc-rs"));
}

/// Names of the packages that are linked with these features.
fn tree(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    assert!(names.contains("sealward"), "this is a tree of ours");
    names
}

// --- The rules ---

/// Every `.rs` file below `src`, by its path from the root.
fn sources(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.join("src")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// The crates that Cargo.toml names, as source spells them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut within = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line.contains("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| within && !line.starts_with([' ', '#'])) {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    names
}

fn check_all(files: &BTreeMap<String, String>, crates: &BTreeSet<String>) -> Vec<String> {
    let read = |name: &str, source: &str, test| {
        scan(source, &module_of(name), "sealward", test).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let shipped: Vec<Scan> = files.iter().map(|(name, source)| read(name, source, false)).collect();
    let test_modules: BTreeSet<&Vec<String>> = shipped.iter().flat_map(|scan| &scan.test_modules).collect();
    let mut broken = Vec::new();
    for (name, source) in files {
        let module = module_of(name);
        let test = test_modules.iter().any(|test| module.starts_with(test));
        broken.extend(check(name, &read(name, source, test), crates).into_iter().map(|what| format!("{name}: {what}")));
        if name.starts_with("src/bin/") && source.lines().count() > BIN_LINES {
            broken.push(format!("{name}: more than {BIN_LINES} lines; move them into the room"));
        }
    }
    broken
}

/// The rules that one file breaks.
fn check(file: &str, scan: &Scan, crates: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    if file == "src/lib.rs" {
        if scan.items_beside_mods > 0 {
            broken.push("the map holds modules and nothing else".to_owned());
        }
        if scan.has_path_attribute || !scan.paths.is_empty() {
            broken.push("the map says which rooms there are, and nothing about what is in them".to_owned());
        }
        for module in &scan.modules {
            if module.first().is_none_or(|name| room_named(name).is_none()) {
                broken.push(format!("{} is no room of the table", module.join("::")));
            }
        }
        return broken;
    }
    let name = room_of(file);
    let Some(room) = room_named(&name) else {
        return vec![format!("{name} is no room of the table")];
    };
    let bin = file.strip_prefix("src/bin/").and_then(|file| file.strip_suffix(".rs"));
    let may_use = match bin {
        Some(bin) => BINS.iter().find(|(name, _)| *name == bin).map_or("", |(_, rooms)| rooms),
        None => room.may_use,
    };
    for path in &scan.paths {
        broken.extend(wrong_edge(room.name, may_use, path));
        broken.extend(wrong_crate(file, room, path, crates));
    }
    let generated = file.starts_with(GENERATED);
    let mut say = |wrong: bool, what: &str| broken.extend(wrong.then(|| what.to_owned()));
    say(scan.has_super_super && !generated, "says super::super; write the path from crate");
    say(scan.has_path_attribute, "has #[path]: a module lies where its name says");
    say(scan.has_include && !generated, "includes source that nobody reads here");
    say(scan.has_unsafe && !UNSAFE.iter().any(|start| file.starts_with(start)), "has unsafe and is not on the list");
    for (ident, files) in RESERVED {
        let here = files.iter().any(|start| file.starts_with(start));
        say(!here && scan.idents.contains(*ident), &format!("says {ident}, which only {files:?} may"));
    }
    if NO_NETWORK.contains(&room.name) {
        for word in NETWORK.split_whitespace() {
            say(scan.idents.contains(word), &format!("says {word}: this room makes no socket but AF_UNIX"));
        }
    }
    broken
}

fn wrong_edge(room: &str, may_use: &str, path: &Named) -> Option<String> {
    let (first, rest) = path.segments.split_first()?;
    if first != "crate" {
        return None;
    }
    let Some(target) = rest.first().filter(|target| *target != "*") else {
        return Some("names the whole crate at once; name rooms".to_owned());
    };
    if target == room || (room == "bin" && room_named(target).is_none()) {
        return None;
    }
    if room_named(target).is_none() {
        return Some(format!("uses {path}, and {target} is no room"));
    }
    if !may_use.split_whitespace().any(|allowed| is_below(rest, allowed)) {
        return Some(format!("uses {path}; {room} may use [{may_use}]"));
    }
    let passed_on = path.exported && !RE_EXPORTS.iter().any(|(from, what)| *from == room && is_below(rest, what));
    passed_on.then(|| format!("passes {path} on as its own"))
}

fn wrong_crate(file: &str, room: &Room, path: &Named, crates: &BTreeSet<String>) -> Option<String> {
    let first = path.segments.first()?;
    // Tests of a room may read files, spawn threads and use what tests use.
    if path.test || first == "crate" {
        return None;
    }
    if crates.contains(first) && !room.crates.split_whitespace().any(|allowed| is_below(&path.segments, allowed)) {
        return Some(format!("uses {path}; {} may link [{}]", room.name, room.crates));
    }
    let excepted = EXCEPTIONS
        .iter()
        .filter(|(start, _)| file.starts_with(start))
        .flat_map(|(_, what)| what.split_whitespace())
        .any(|what| is_below(&path.segments, what));
    let banned = room.never.split_whitespace().find(|banned| {
        let everything = path.segments.split_last().filter(|(last, _)| *last == "*");
        is_below(&path.segments, banned)
            || everything.is_some_and(|(_, above)| is_below(&banned.split("::").collect::<Vec<_>>(), &above.join("::")))
    });
    banned.filter(|_| !excepted).map(|banned| format!("uses {path}; {} never uses {banned}", room.name))
}

/// Whether the path is what is named, or lies below it.
fn is_below<S: AsRef<str>>(path: &[S], named: &str) -> bool {
    let named: Vec<&str> = named.split("::").collect();
    path.len() >= named.len() && path.iter().zip(named).all(|(a, b)| a.as_ref() == b)
}

fn room_named(name: &str) -> Option<&'static Room> {
    TABLE.iter().find(|room| room.name == name)
}

/// `engine` for `src/engine/sign.rs` and for `src/engine.rs`.
fn room_of(file: &str) -> String {
    let below = file.strip_prefix("src/").unwrap_or(file);
    below.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The module that a file is: `[engine, sign]` for `src/engine/sign.rs`, nothing for the roots of crates.
fn module_of(file: &str) -> Vec<String> {
    if file == "src/lib.rs" || file.starts_with("src/bin/") {
        return Vec::new();
    }
    let below = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let mut module: Vec<String> = below.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

// --- The rules themselves, against people who dress up ---

/// What is wrong with a house of one file.
fn wrong(file: &str, source: &str) -> Vec<String> {
    let crates = ["tokio", "time", "serde", "hex", "tempfile", "aws_lc_rs"].map(str::to_owned).into();
    check_all(&BTreeMap::from([(file.to_owned(), source.to_owned())]), &crates)
}

#[test]
fn a_forbidden_edge_is_caught_in_every_disguise() {
    for source in [
        "use crate::engine::Engine;",
        "use crate::{domain::name::Role, engine::{self, Engine}};",
        "use {crate::domain, crate::engine as law};",
        "use crate::r#engine;",
        "pub(crate) use crate::engine::*;",
        "fn f() { crate::engine::run() }",
        "fn f(e: &dyn crate::engine::Verb) {}",
        "fn f() { <crate::engine::Engine as Default>::default(); }",
        "fn f() { match x { crate::engine::A => {} } }",
        "impl crate::engine::Verb for X {}",
        "type E = Vec<Option<crate::engine::Engine>>;",
        "mod inner { use crate::engine; }",
        "fn f() { use crate::engine; }",
        "#[cfg(test)] mod tests { use crate::engine; }",
        "#[derive(crate::engine::Verb)] struct X;",
        "#[serde(with = \"crate::engine::hex\")] struct X;",
        "#[cfg_attr(all(), serde(with = \"crate::engine::hex\"))] struct X;",
        "fn f() { println!(\"{}\", crate::engine::NAME) }",
        "fn f() { anything!(a => { use crate::{domain::X, deep::{y}, engine::Z}; }) }",
        "macro_rules! m { () => { $crate::engine::run() } }",
        "macro_rules! m { () => { sealward::engine::run() } }",
        "use sealward::engine::Engine;",
        "use super::super::engine::Engine;",
        "mod a { mod b { use super::super::super::engine; } }",
        "use super::note::super::super::engine;",
        "fn f() { self::super::engine::run() }",
        "use crate as house; fn f() { house::engine::run() }",
        "use crate::{self as house}; fn f() { house::engine::run() }",
        "use super as house; fn f() { house::engine::run() }",
        "use crate::*; fn f() { engine::run() }",
        "use super::*; fn f() { engine::run() }",
        "extern crate self as house; fn f() { house::engine::run() }",
        "#[path = \"../engine/sign.rs\"] mod sign;",
        "#[cfg_attr(all(), path = \"../engine/sign.rs\")] mod sign;",
        "include!(\"../engine/sign.rs\");",
        "pub(in crate::engine) fn f() {}",
        "use crate::motor::X;",
    ] {
        assert!(!wrong("src/audit/mod.rs", source).is_empty(), "{source}");
    }
    for source in ["use crate::domain::name::Role;", "use super::Leaf;", "use super::engine::Local;"] {
        assert_eq!(wrong("src/audit/note.rs", source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn a_part_of_a_room_is_not_the_room() {
    assert!(wrong("src/cli/audit.rs", "use crate::audit::verify::verify_export;").is_empty());
    assert!(wrong("src/cli/audit.rs", "use crate::audit::{note::VerifierKey, verify};").is_empty());
    for source in ["use crate::audit;", "use crate::audit::*;", "use crate::audit::tile::tile_path;"] {
        assert!(!wrong("src/cli/audit.rs", source).is_empty(), "{source}");
    }
    assert!(wrong("src/config/mod.rs", "use crate::keystore::settings::KeystoreSettings;").is_empty());
    assert!(!wrong("src/config/mod.rs", "use crate::keystore::Keystore;").is_empty());
}

#[test]
fn an_allowed_edge_is_not_passed_on() {
    assert!(wrong("src/door/mod.rs", "use crate::engine::Engine;").is_empty());
    assert!(!wrong("src/engine/mod.rs", "pub use crate::ledger::Ledger;").is_empty());
    assert!(!wrong("src/engine/mod.rs", "pub(crate) use crate::{domain::X, ledger::{Ledger as Memory}};").is_empty());
    assert!(wrong("src/engine/mod.rs", "mod sign; pub use sign::Sign; pub use self::sign::Order;").is_empty());
    assert!(wrong("src/client/mod.rs", "pub use crate::wire::v1 as messages;").is_empty());
}

#[test]
fn a_forbidden_crate_is_caught_in_every_disguise() {
    for source in [
        "use tokio::spawn;",
        "use ::tokio as t;",
        "use tokio;",
        "extern crate tokio as t;",
        "fn f() { tokio::spawn(x) }",
        "fn f() { ::tokio::spawn(x) }",
        "fn f() { tokio::select! {} }",
        "#[tokio::main] fn f() {}",
        "fn f() { vec![tokio::spawn(x)] }",
        "use crate::domain as tokio; fn f() { ::tokio::spawn(x) }",
        "mod a { use crate::domain as tokio; } fn f() { tokio::spawn(x) }",
        "#[cfg(not(test))] fn f() { tokio::spawn(x) }",
        "#[cfg(any(test, unix))] fn f() { tokio::spawn(x) }",
        "use std::fs;",
        "use std::{fmt, io, fs::File};",
        "use std as s; fn f() { s::fs::read(x) }",
        "use std::*;",
        "fn f() { std::env::var(x) }",
        "fn f() { format!(\"{:?}\", std::env::args()) }",
        "use std::time; fn f() { time::SystemTime::now() }",
        "use std::time::*;",
        "fn f() -> ::std::net::IpAddr {}",
        "use time::OffsetDateTime; fn f() { OffsetDateTime::now_utc() }",
    ] {
        assert!(!wrong("src/domain/law.rs", source).is_empty(), "{source}");
    }
    for source in [
        "use std::time::Duration;",
        "use std::collections::BTreeMap;",
        "use time::OffsetDateTime; fn f() { OffsetDateTime::from_unix_timestamp(0) }",
        "pub mod tokio; use tokio::X; fn f() { tokio::spawn(x) }",
        "use crate::domain::tokio; fn f() { tokio::spawn(x) }",
        "#[cfg(test)] mod tests { use tempfile::TempDir; use std::fs; #[test] fn t() { std::thread::spawn(x) } }",
        "#[cfg(all(test, unix))] fn f() { std::fs::read(x) }",
        "fn f(hex: u8, time: u8) { let tokio = hex + time; }",
        "/// See `std::fs` and `tokio::spawn`.\nfn f() {}",
    ] {
        assert_eq!(wrong("src/domain/law.rs", source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn exceptions_are_for_the_modules_that_are_named() {
    assert!(wrong("src/audit/export.rs", "use std::fs;").is_empty());
    assert!(wrong("src/door/grpc/call.rs", "fn f() { aws_lc_rs::rand::fill(b) }").is_empty());
    assert!(!wrong("src/door/grpc/call.rs", "use aws_lc_rs::signature;").is_empty());
    assert!(!wrong("src/audit/export.rs", "use std::net;").is_empty());
    assert!(!wrong("src/audit/tile.rs", "use std::fs;").is_empty());
    assert!(
        wrong("src/keystore/pkcs11/link.rs", "use std::net::Shutdown; use std::os::unix::net::UnixStream;").is_empty()
    );
    assert!(!wrong("src/keystore/pkcs11/link.rs", "use std::net::TcpStream;").is_empty());
    for source in
        ["fn f() { socket(AddressFamily::INET) }", "fn f() { s!(libc::AF_INET6) }", "use x::TcpListener as U;"]
    {
        assert!(!wrong("src/ceremony/mod.rs", source).is_empty(), "{source}");
    }
}

#[test]
fn tests_in_files_of_their_own_are_tests() {
    let house = |parent: &str| {
        let files = [
            ("src/domain/law/mod.rs".to_owned(), parent.to_owned()),
            ("src/domain/law/tests/more.rs".to_owned(), "use std::fs;".to_owned()),
            ("src/domain/law/tests.rs".to_owned(), "mod more; use tempfile::TempDir;".to_owned()),
        ];
        check_all(&files.into(), &BTreeSet::from(["tempfile".to_owned()]))
    };
    assert_eq!(house("#[cfg(test)] mod tests;"), Vec::<String>::new());
    assert_eq!(house("mod tests;").len(), 2);
}

#[test]
fn only_those_who_read_bytes_make_statements() {
    let call = "fn f() { Statement::read_by_content_room(k) }";
    assert!(wrong("src/tuf/metadata.rs", call).is_empty());
    for file in ["src/engine/sign.rs", "src/domain/law/sign.rs", "src/door/grpc.rs"] {
        assert!(!wrong(file, call).is_empty(), "{file}");
        assert!(
            !wrong(file, "use crate::domain::statement::Statement as S; const F: X = S::read_by_content_room;")
                .is_empty()
        );
        assert!(!wrong(file, "fn f() { m!(Statement::read_by_content_room(k)) }").is_empty());
        assert!(!wrong(file, "fn f() { m!(read_by_content_room) }").is_empty());
    }
}

#[test]
fn unsafe_is_where_the_list_says() {
    for source in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for X {}",
        "unsafe trait T {}",
        "unsafe extern \"C\" { fn g(); }",
        "struct X; impl X { unsafe fn f() {} }",
        "fn f() { m!(unsafe { g() }) }",
        "#[unsafe(no_mangle)] fn f() {}",
        "#![allow(unsafe_code)]",
        "#[cfg_attr(all(), allow(unsafe_code))] mod a {}",
    ] {
        assert!(!wrong("src/engine/sign.rs", source).is_empty(), "{source}");
        assert!(wrong("src/door/peer_groups.rs", source).is_empty(), "{source}");
    }
}

#[test]
fn binaries_are_thin_and_use_their_one_room() {
    assert!(wrong("src/bin/sealward.rs", "fn main() { sealward::cli::run(std::env::args_os()) }").is_empty());
    assert!(wrong("src/bin/sealwardd.rs", "use sealward::{config, daemon}; fn main() { daemon::main() }").is_empty());
    assert!(wrong("src/bin/sealwardd.rs", "mod own {} fn main() { crate::own::x() }").is_empty());
    assert!(!wrong("src/bin/sealward.rs", "fn main() { sealward::daemon::main() }").is_empty());
    assert!(!wrong("src/bin/sealward-token.rs", "use sealward as s; fn main() { s::cli::main() }").is_empty());
    assert!(!wrong("src/bin/stranger.rs", "fn main() { sealward::cli::main() }").is_empty());
    assert!(!wrong("src/bin/sealward.rs", "fn main() { tokio::spawn(x) }").is_empty());
    assert!(!wrong("src/bin/sealward.rs", &format!("fn main() {{{}}}", "\n".repeat(BIN_LINES))).is_empty());
}

#[test]
fn the_map_and_the_rooms_are_the_tables() {
    assert!(wrong("src/lib.rs", "//! Words.\npub mod audit;\npub mod engine;").is_empty());
    assert!(!wrong("src/lib.rs", "pub mod util;").is_empty());
    assert!(!wrong("src/lib.rs", "pub mod audit; pub use audit::note;").is_empty());
    assert!(!wrong("src/lib.rs", "pub mod audit { use crate::engine::Engine; }").is_empty());
    assert!(!wrong("src/lib.rs", "#[path = \"engine/mod.rs\"] pub mod audit;").is_empty());
    assert!(!wrong("src/util/mod.rs", "").is_empty());
    assert!(!wrong("src/util.rs", "").is_empty());
    assert!(wrong("src/engine.rs", "use crate::ledger::Ledger;").is_empty());
}
