//! A second opinion on signatures: the openssl command.

use std::path::Path;
use std::process::Command;

use sealward::domain::algorithm::Algorithm;
use sealward::domain::public_key::PublicKey;
use sealward::domain::signature::{Encoding, Signature};

/// Fails the test unless openssl verifies the signature. (OpenSSL 3.0's command cannot read an empty Ed25519 message.)
pub(crate) fn assert_verifies(directory: &Path, key: &PublicKey, message: &[u8], signature: &Signature) {
    let algorithm = key.algorithm();
    if algorithm == Algorithm::Ed25519 && message.is_empty() {
        return;
    }
    let path = |name: &str| directory.join(format!("openssl-{}-{name}", key.id()));
    let (pem, text, bytes) = (path("key"), path("message"), path("signature"));
    std::fs::write(&pem, key.to_pem()).unwrap();
    std::fs::write(&text, message).unwrap();
    std::fs::write(&bytes, signature.encode(Encoding::Der)).unwrap();
    let mut command = Command::new("openssl");
    match algorithm {
        Algorithm::Ed25519 => command
            .args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"])
            .arg(&pem)
            .arg("-in")
            .arg(&text)
            .arg("-sigfile")
            .arg(&bytes),
        _ => {
            let digest = if algorithm == Algorithm::EcdsaP384 { "-sha384" } else { "-sha256" };
            command.args(["dgst", digest, "-verify"]).arg(&pem).arg("-signature").arg(&bytes);
            if algorithm.rsa_modulus_bytes().is_some() {
                command.args(["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]);
            }
            command.arg(&text)
        }
    };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl refuses a {algorithm} signature of {} bytes: {said}", message.len());
}
