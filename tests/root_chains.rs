//! Root chains and metadata that others made: published ones (`tests/fixtures/tuf`), and python-tuf's of this minute.

// A test and its helpers may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::PathBuf;

use sealward::domain::algorithm::Algorithm;
use sealward::domain::name::{MetadataType, Role, Sha256Digest};
use sealward::domain::outcome::Reason;
use sealward::domain::public_key::PublicKey;
use sealward::domain::signature::Signature;
use sealward::tuf::attached::attached_snapshot;
use sealward::tuf::canonical::{Limits, parse_lenient};
use sealward::tuf::envelope::{Envelope, assemble};
use sealward::tuf::key_id::{default_form, forms, key_id_of, read_key};
use sealward::tuf::root::{RootFile, signature_count, verify_first, verify_same_version, verify_successor};
use sealward::tuf::summary::{differences, other_differences};
use sealward::tuf::verify::verify_role_metadata;
use serde_json::{Value, json};

#[path = "support/python/peer.rs"]
mod peer;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tuf").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn the_published_roots_of_sigstore_verify() {
    for (version, keys) in [(5, 5), (12, 5), (13, 5), (15, 5)] {
        let root = verify_first(&fixture(&format!("sigstore/{version}.root.json"))).unwrap();
        assert_eq!(root.version.get(), version);
        assert_eq!((root.roles[&Role::Root].threshold, root.roles[&Role::Root].keys.len()), (3, keys));
    }
    let next = verify_successor(&fixture("sigstore/12.root.json"), &fixture("sigstore/13.root.json")).unwrap();
    assert_eq!(next.version.get(), 13);
    let skipped = verify_successor(&fixture("sigstore/13.root.json"), &fixture("sigstore/15.root.json")).unwrap_err();
    assert_eq!(skipped.reason, Reason::RootVersion);
    let same = fixture("sigstore/12.root.json");
    assert_eq!(verify_same_version(&same, &same).unwrap(), verify_first(&same).unwrap());
}

#[test]
fn a_half_signed_root_of_sigstore_is_counted_and_refused() {
    let (trusted, unfinished) = (fixture("sigstore/13.root.json"), fixture("sigstore/14.root.unfinished.json"));
    let denial = verify_successor(&trusted, &unfinished).unwrap_err();
    assert_eq!(denial.reason, Reason::RootUnverified);
    assert_eq!(denial.detail, "root 14 has 1 of 3 valid signatures by keys of root 13");
    let (trusted, unfinished) = (RootFile::parse(&trusted).unwrap(), RootFile::parse(&unfinished).unwrap());
    let count = signature_count(&trusted, &Role::Root, unfinished.envelope());
    assert_eq!((count.to_string().as_str(), count.missing.len(), count.listed), ("1/3 valid", 4, 5));
}

#[test]
fn the_change_of_holders_in_sigstore_13_is_told_in_words() {
    let old = RootFile::parse(&fixture("sigstore/12.root.json")).unwrap();
    let new = RootFile::parse(&fixture("sigstore/13.root.json")).unwrap();
    let lines = differences(Some(old.root()), new.root());
    assert_eq!(lines[0], "version 12 -> 13");
    assert!(lines.iter().any(|line| line.starts_with("root: removes key 6f260089d5923daf")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("root: adds key 183e64f37670dc13")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("threshold")), "{lines:#?}");
    let others = other_differences(&old.envelope().value, &new.envelope().value);
    assert!(others.iter().any(|line| line.contains("keys/183e64f37670dc13")), "{others:#?}");
}

#[test]
fn one_changed_byte_of_a_published_root_is_noticed() {
    let good = fixture("sigstore/13.root.json");
    let text = String::from_utf8(good).unwrap();
    for (from, to) in [
        ("\"2026-01-22T13:05:59Z\"", "\"2027-01-22T13:05:59Z\""),
        ("\"consistent_snapshot\": true", "\"consistent_snapshot\": false"),
        ("@lance", "@lancf"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} does not occur");
        assert_eq!(verify_first(changed.as_bytes()).unwrap_err().reason, Reason::RootUnverified, "{to}");
    }
}

#[test]
fn a_published_repository_of_tuf_on_ci_seeds_every_role() {
    let root = fixture("tuf-on-ci/1.root.json");
    verify_first(&root).unwrap();
    for (role, file, version) in
        [(Role::Timestamp, "timestamp", 2), (Role::Snapshot, "2.snapshot", 2), (Role::Targets, "1.targets", 1)]
    {
        let file = fixture(&format!("tuf-on-ci/{file}.json"));
        let statement = verify_role_metadata(&root, &role, &file).unwrap();
        assert_eq!((statement.metadata_type(), statement.version().get()), (role.metadata_type(), version));
        let text = String::from_utf8(file).unwrap();
        let forged = text.replace("\"2044-", "\"2045-");
        assert_eq!(verify_role_metadata(&root, &role, forged.as_bytes()).unwrap_err().reason, Reason::SeedUnverified);
    }
    let snapshot = fixture("tuf-on-ci/2.snapshot.json");
    let listing = verify_role_metadata(&root, &Role::Snapshot, &snapshot).unwrap().listing().clone();
    assert_eq!(listing.keys().collect::<Vec<_>>(), ["delegatedrole.json", "targets.json"]);
    let attached = attached_snapshot(&snapshot).unwrap();
    assert_eq!((attached.version.get(), attached.file_digest), (2, Sha256Digest::of(&snapshot)));
    // Snapshot and timestamp share one key here: the type tells them apart. Targets has another key.
    for (role, wrong) in [(Role::Timestamp, "2.snapshot"), (Role::Targets, "timestamp")] {
        let wrong = fixture(&format!("tuf-on-ci/{wrong}.json"));
        assert_eq!(verify_role_metadata(&root, &role, &wrong).unwrap_err().reason, Reason::SeedUnverified, "{role}");
    }
    let delegated = "delegatedrole".parse().unwrap();
    let denial = verify_role_metadata(&root, &delegated, &snapshot).unwrap_err();
    assert!(denial.reason == Reason::SeedUnverified && denial.detail.contains("delegator"), "{denial}");
    assert_eq!(verify_role_metadata(&root, &Role::Root, &root).unwrap_err().reason, Reason::OfflineRole);
}

#[test]
fn key_ids_of_published_roots_follow_from_their_whole_key_objects() {
    let mut seen = 0;
    for name in ["sigstore/5.root.json", "sigstore/12.root.json", "sigstore/15.root.json", "tuf-on-ci/1.root.json"] {
        let root = RootFile::parse(&fixture(name)).unwrap();
        for (id, key) in root.envelope().value.get("keys").unwrap().as_object().unwrap().iter() {
            assert!(read_key(key).is_some(), "{name}: {id}");
            assert_eq!(key_id_of(key), id, "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 7 + 6 + 6 + 2);
}

#[test]
fn a_chain_that_python_tuf_made_verifies_step_by_step() {
    let mut peer = peer::Peer::start();
    let made = peer.ask(json!({ "op": "chain" }));
    let roots: Vec<_> = made["roots"].as_array().unwrap().iter().map(bytes).collect();
    assert_eq!(verify_first(&roots[0]).unwrap().version.get(), 1);
    assert_eq!(verify_successor(&roots[0], &roots[1]).unwrap().version.get(), 2);
    assert_eq!(verify_successor(&roots[1], &roots[2]).unwrap().version.get(), 3);
    assert_eq!(verify_successor(&roots[0], &roots[2]).unwrap_err().reason, Reason::RootVersion);
    assert_eq!(verify_successor(&roots[1], &roots[0]).unwrap_err().reason, Reason::RootVersion);

    // Below each threshold it stops: root 2 needs two of root 1's keys and three of its own.
    let second = Envelope::parse(&roots[1], 1 << 20).unwrap();
    for dropped in 0..second.signatures.len() {
        let mut left = second.signatures.clone();
        left.remove(dropped);
        let still = verify_successor(&roots[0], &assemble(&second.signed, &left).unwrap());
        // Without either of the two keys that both roots list, root 1's threshold of two is not met.
        assert_eq!(still.is_ok(), dropped >= 2, "without signature {dropped}: {still:?}");
    }

    let trusted = hex::encode(&roots[2]);
    for (role, metadata_type, version) in [
        (Role::Targets, MetadataType::Targets, 4),
        (Role::Snapshot, MetadataType::Snapshot, 5),
        (Role::Timestamp, MetadataType::Timestamp, 6),
    ] {
        let file = bytes(&made["roles"][role.as_str()]);
        let statement = verify_role_metadata(&roots[2], &role, &file).unwrap();
        assert_eq!((statement.metadata_type(), statement.version().get()), (metadata_type, version));
        let old_key = verify_role_metadata(&roots[0], &role, &file);
        assert_eq!(old_key.is_ok(), role != Role::Timestamp, "the timestamp key was replaced by root 2");

        // What we assemble is what python-tuf verifies, over the very bytes that were signed.
        let envelope = Envelope::parse(&file, 1 << 20).unwrap();
        let ours = assemble(&envelope.signed, &envelope.signatures).unwrap();
        let request = json!({ "op": "verify", "root": trusted, "role": role.as_str(), "file": hex::encode(ours) });
        assert_eq!(bytes(&peer.ask(request)), envelope.signed);
    }
    let ours = assemble(&second.signed, &second.signatures).unwrap();
    let request = json!({ "op": "verify", "root": hex::encode(&roots[0]), "role": "root", "file": hex::encode(ours) });
    assert_eq!(bytes(&peer.ask(request)), second.signed);
}

#[test]
fn keys_and_key_ids_are_those_of_securesystemslib_for_every_algorithm() {
    let mut peer = peer::Peer::start();
    let kinds: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let made = peer.ask(json!({ "op": "keys", "kinds": kinds }));
    for (algorithm, theirs) in Algorithm::ALL.into_iter().zip(made.as_array().unwrap()) {
        let object = parse_lenient(theirs["key"].to_string().as_bytes(), Limits::of_bytes(1 << 16)).unwrap();
        let key = read_key(&object).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let ours = default_form(&key);
        assert_eq!(theirs["keyid"], ours.key_id, "{algorithm}");
        assert_eq!(serde_json::from_str::<Value>(&ours.json).unwrap(), theirs["key"], "{algorithm}");
        let signature = Signature::from_der(algorithm, &bytes(&theirs["signature"])).unwrap();
        assert_eq!(key.verify(b"message", &signature), Ok(()), "{algorithm}");
        check_forms(&mut peer, &key, &theirs["signature"]);
    }
}

/// The id of every form is the reference's, and the reference verifies with the key that it reads from each.
fn check_forms(peer: &mut peer::Peer, key: &PublicKey, signature: &Value) {
    let all = forms(key);
    assert_eq!(all.first(), Some(&default_form(key)));
    let written: Vec<_> = all
        .iter()
        .map(|form| {
            let signature = if form.form == "notary" { &Value::Null } else { signature };
            json!({ "json": form.json, "signature": signature })
        })
        .collect();
    let answers = peer.ask(json!({ "op": "key_forms", "forms": written }));
    for (form, theirs) in all.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(theirs["key_id"], form.key_id, "{} {}", key.algorithm(), form.form);
        assert_eq!(theirs["verifies"] == true, form.form != "notary", "{} {}", key.algorithm(), form.form);
    }
}
