//! The program of the ceremony has no network code in it.

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn nothing_that_speaks_over_a_network_is_in_the_tree() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none", "--format", "{p}"]);
    command.args(["--no-default-features", "--features", "ceremony", "--target", "all"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains("sealward") && crates.contains("age"), "no tree was read: {text}");
    let network = [
        "tokio",
        "mio",
        "hyper",
        "hyper-util",
        "rustls",
        "tonic",
        "axum",
        "tower",
        "h2",
        "reqwest",
        "ureq",
        "socket2",
        "async-std",
        "smol",
        "quinn",
        "native-tls",
        "openssl",
        "rusqlite",
        "cryptoki",
    ];
    let found: Vec<_> = network.iter().filter(|name| crates.contains(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
