//! `sealwardd config check`, typed.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{least_and, usual};

/// The exit code and what was said.
fn check(directory: &Path, text: &str, options: &[&str]) -> (i32, String) {
    let file = directory.join("sealward.toml");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sealwardd"))
        .args(["config", "check", "--config", file.to_str().unwrap()])
        .args(options)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn files_are_opened_when_asked_and_secrets_never() {
    let directory = tempfile::tempdir().unwrap();
    let text = least_and(
        "[[listener]]\nname = \"tls\"\nkind = \"tcp-mtls\"\naddress = \"127.0.0.1:0\"\ncertificate = \"c.pem\"\n\
         key = { file = \"none.key\" }\nclient_ca = \"ca.pem\"\n",
    );
    let (code, said) = check(directory.path(), &text, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("files and devices that it names were not opened (--files"), "{said}");
    let (code, said) = check(directory.path(), &text, &["--files"]);
    assert_eq!(code, 78, "{said}");
    for name in ["c.pem", "ca.pem"] {
        assert!(said.contains(&format!("listener tls: {}", directory.path().join(name).display())), "{said}");
    }
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x", "-keyout", "k", "-out", "c.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::copy(directory.path().join("c.pem"), directory.path().join("ca.pem")).unwrap();
    let (code, said) = check(directory.path(), &text, &["--files"]);
    assert!(code == 0 && said.contains("secrets, devices and directories were not opened"), "{code} {said}");
    let keys = "[[oidc]]\nname = \"ci\"\nissuer = \"https://issuer.example\"\naudiences = [\"us\"]\njwks_file = \"keys.json\"\n\
                [[oidc.identity]]\nname = \"main\"\nclaims = { repository_id = \"1\" }\n";
    let tokens = text.replace("tcp-mtls", "tcp-token").replace("client_ca = \"ca.pem\"\n", keys);
    let (code, said) = check(directory.path(), &tokens, &["--files"]);
    assert!(code == 78 && said.contains("keys.json"), "{code} {said}");
}

#[test]
fn a_warning_is_a_failure_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = check(directory.path(), &usual(), &["--deny-warnings"]);
    assert_eq!(code, 0, "{said}");
    let doubtful = usual().replace("[\"timestamp\"]", "[\"timestamp\", \"tiemstamp\"]");
    assert_eq!(check(directory.path(), &doubtful, &[]).0, 0);
    let (code, said) = check(directory.path(), &doubtful, &["--deny-warnings"]);
    assert!(code == 78 && said.contains("warnings: 1; --deny-warnings takes none"), "{code} {said}");
    assert!(said.contains("did you mean `timestamp`?"), "{said}");
}
