//! A directory of its own for each test, with a medium for each holder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealward::domain::public_key::PublicKey;
use sealward::tuf::envelope::{EnvelopeSignature, assemble};
use sealward::tuf::key_id::default_form;
use serde_json::Value;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sealward-ceremony");

pub(crate) struct World {
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Three holders, four online keys, and a proposal of a first root that two holders must sign.
    pub(crate) fn with_proposal() -> Self {
        let world = Self::new();
        for (name, algorithm) in [("alice", "ecdsa-p256"), ("bob", "ed25519"), ("carol", "rsa-pss-3072")] {
            world.keygen(name, algorithm);
        }
        for number in 1..=4 {
            world.write(&format!("online{number}.pem"), online(number).1.to_pem());
        }
        world.propose_first("proposal.json", "365d");
        world
    }

    /// As [`World::with_proposal`], signed by two of them, and merged.
    pub(crate) fn with_root() -> Self {
        let world = Self::with_proposal();
        world.sign("alice", "proposal.json", "--first");
        world.sign("bob", "proposal.json", "--first");
        world.ok("merge --proposal proposal.json --first alice/alice.sig.json bob/bob.sig.json --out 1.root.json");
        world
    }

    /// Makes a holder's medium; the passphrase stands beside it.
    pub(crate) fn keygen(&self, name: &str, algorithm: &str) {
        self.secret(&format!("{name}.passphrase"), &format!("the passphrase of {name}"));
        let line = format!("keygen --state {name} --name {name} --algorithm {algorithm} --work-factor 10");
        self.ok(&format!("{line} --passphrase-file {name}.passphrase"));
    }

    pub(crate) fn propose_first(&self, out: &str, expires_in: &str) -> String {
        self.ok(&format!(
            "propose --out {out} --first --expires-in {expires_in} --root-threshold 2 \
             --root-key alice/alice.pub.json bob/bob.pub.json carol/carol.pub.json \
             --key targets=online1.pem --key snapshot=online2.pem --key timestamp=online3.pem"
        ))
    }

    /// Root 2: dave comes, carol goes, the timestamp key changes.
    pub(crate) fn propose_second(&self, out: &str) -> String {
        self.keygen("dave", "ecdsa-p384");
        self.ok(&format!(
            "propose --out {out} --previous 1.root.json --expires-in 400d --root-key dave/dave.pub.json \
             alice/alice.pub.json bob/bob.pub.json --key timestamp=online4.pem \
             --remove-key carol/carol.pub.json online3.pem"
        ))
    }

    pub(crate) fn sign(&self, name: &str, proposal: &str, before: &str) {
        let digest = self.digest(proposal);
        self.ok(&self.signing(name, proposal, before, &digest));
    }

    pub(crate) fn signing(&self, name: &str, proposal: &str, before: &str, digest: &str) -> String {
        let passphrase = format!("--passphrase-file {name}.passphrase");
        format!("sign --state {name} --name {name} --proposal {proposal} {before} --digest {digest} {passphrase}")
    }

    /// The digest as the coordinator reads it out.
    pub(crate) fn digest(&self, proposal: &str) -> String {
        let review = self.json(&format!("review {proposal}"));
        review["signed_sha256"].as_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, content: &str) {
        self.write(name, content);
        self.set_mode(name, 0o600);
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Changes a text of a file of ours.
    pub(crate) fn edit(&self, from: &str, to: &str, change: impl FnOnce(String) -> String) {
        let before = String::from_utf8(self.read(from)).unwrap();
        let after = change(before.clone());
        assert_ne!(before, after, "{from} was not changed");
        self.write(to, after);
    }

    /// Arguments are separated by white space. There is no terminal.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).current_dir(self.directory.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Standard output of a command that succeeds.
    pub(crate) fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}\n{stderr}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        let object: Value = serde_json::from_str(&self.ok(&format!("--json {line}"))).unwrap();
        assert_eq!(object["v"], 1);
        object
    }

    /// The detail of a refusal, which has this exit code and reason; it is told alike to people and to programs.
    pub(crate) fn refused(&self, line: &str, code: i32, reason: &str) -> String {
        let output = self.run(&format!("--json {line}"));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let object: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{line}: no object: {stdout}"));
        let error = &object["error"];
        assert_eq!(error["reason"], reason, "{line}\n{error}");
        assert_eq!((output.status.code(), &error["exit_code"]), (Some(code), &Value::from(code)), "{line}\n{error}");
        let detail = error["detail"].as_str().unwrap().to_owned();
        let people = self.run(line);
        assert_eq!(people.status.code(), Some(code), "{line}");
        assert!(people.stdout.is_empty(), "{line}: data of a refused command");
        let told = String::from_utf8(people.stderr).unwrap();
        let last_words: Vec<_> = told.lines().filter(|line| line.starts_with("  do: ")).collect();
        let says_itself = reason == "keystore-unavailable" || reason == "unreadable-input" || code == 64;
        assert!(last_words.len() == 1 || says_itself, "{line}: what is to be done next?\n{told}");
        detail
    }
}

/// An online key, the same for the same number, always.
pub(crate) fn online(number: u8) -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
    let public = PublicKey::from_ed25519(pair.public_key().as_ref()).unwrap();
    (pair, public)
}

/// Published metadata with one signature of an online key.
pub(crate) fn published(signed: &str, number: u8) -> Vec<u8> {
    let (pair, public) = online(number);
    let signature = pair.sign(signed.as_bytes()).as_ref().to_vec();
    assemble(signed.as_bytes(), &[EnvelopeSignature { key_id: default_form(&public).key_id, signature }]).unwrap()
}
