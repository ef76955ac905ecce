//! Each thing that a ceremony refuses, by its name.

use crate::world::World;

#[test]
fn a_proposal_is_signed_only_under_the_digest_that_was_read_out() {
    let world = World::with_proposal();
    world.propose_first("other.json", "364d");
    let (digest, other) = (world.digest("proposal.json"), world.digest("other.json"));
    let detail = world.refused(&world.signing("alice", "proposal.json", "--first", &other), 77, "digest-mismatch");
    assert!(detail.contains(&digest) && detail.contains(&other), "{detail}");
    world.refused(&world.signing("alice", "proposal.json", "--first", "12ab"), 64, "usage");
    let without = "sign --state alice --name alice --proposal proposal.json --first --passphrase-file alice.passphrase";
    world.refused(without, 64, "usage");
    assert!(!world.path("alice/alice.sig.json").exists());
}

#[test]
fn a_tampered_proposal_is_refused_before_anybody_signs() {
    let world = World::with_proposal();
    let digest = world.digest("proposal.json");
    let year = |text: &str| text.replace("\"consistent_snapshot\":true", "\"consistent_snapshot\":false");
    world.edit("proposal.json", "tampered.json", |text| year(&text));
    let sign = world.signing("alice", "tampered.json", "--first", &digest);
    let detail = world.refused(&sign, 66, "unreadable-input");
    assert!(detail.contains("signed_sha256 is not the envelope's"), "{detail}");
    // Whoever changes both parts alike cannot change what was read out.
    let changed = year(&String::from_utf8(world.read("proposal.json")).unwrap());
    let proposal: serde_json::Value = serde_json::from_str(&changed).unwrap();
    let signed = sealward::tuf::canonical::parse_lenient(
        proposal["envelope"]["signed"].to_string().as_bytes(),
        sealward::tuf::canonical::Limits::of_bytes(1 << 20),
    );
    let signed = sealward::tuf::canonical::encode(&signed.unwrap());
    let new_digest = sealward::domain::name::Sha256Digest::of(&signed).to_string();
    world.write("tampered.json", changed.replace(&digest, &new_digest));
    assert_eq!(world.digest("tampered.json"), new_digest);
    world.refused(&sign, 77, "digest-mismatch");
    // Nor do signatures of one proposal count for another.
    world.sign("alice", "proposal.json", "--first");
    world.sign("bob", "proposal.json", "--first");
    let merge = "merge --proposal tampered.json --first alice/alice.sig.json bob/bob.sig.json --out 1.root.json";
    let detail = world.refused(merge, 77, "root-unverified");
    assert!(detail.starts_with("0/3 valid"), "{detail}");
}

#[test]
fn the_signature_of_a_stranger_is_refused_by_name_and_a_signer_counts_once() {
    let world = World::with_proposal();
    world.keygen("mallory", "ed25519");
    let digest = world.digest("proposal.json");
    let detail = world.refused(&world.signing("mallory", "proposal.json", "--first", &digest), 77, "key-not-listed");
    assert!(detail.contains("lists key"), "{detail}");

    // Mallory signs a root of her own, and calls it a signature of this one.
    world.ok(
        "propose --out mallory.json --first --expires-in 365d --root-threshold 1 --root-key mallory/mallory.pub.json \
         --key targets=online1.pem snapshot=online2.pem timestamp=online3.pem",
    );
    world.sign("mallory", "mallory.json", "--first");
    let other = world.digest("mallory.json");
    world.edit("mallory/mallory.sig.json", "forged.sig.json", |text| text.replace(&other, &digest));
    world.sign("alice", "proposal.json", "--first");
    world.edit("alice/alice.sig.json", "again.sig.json", |text| text.replace("\"alice\"", "\"bob\""));
    world.edit("alice/alice.sig.json", "broken.sig.json", |text| text.replace("\"sig\":\"30", "\"sig\":\"31"));
    let merge = "merge --proposal proposal.json --first alice/alice.sig.json";
    for (file, why) in [
        ("forged.sig.json", "signature of mallory: a stranger"),
        ("mallory/mallory.sig.json", "signature of mallory: over another root"),
        ("alice/alice.sig.json", "signature of alice: this key is counted already"),
        ("again.sig.json", "signature of bob: this key is counted already"),
        ("broken.sig.json", "signature of alice: these bytes are no ecdsa-p256 signature"),
    ] {
        let line = format!("{merge} {file} --out 1.root.json");
        let detail = world.refused(&line, 77, "root-unverified");
        assert!(detail.starts_with("1/3 valid"), "{file}: {detail}");
        let told = String::from_utf8(world.run(&line).stderr).unwrap();
        assert!(told.contains(&format!("refused: {file}: {why}")), "{file}: {told}");
    }
    world.sign("bob", "proposal.json", "--first");
    world.ok(&format!("{merge} forged.sig.json bob/bob.sig.json --out 1.root.json"));
    let root = String::from_utf8(world.read("1.root.json")).unwrap();
    assert_eq!(root.matches("\"sig\"").count(), 2, "the stranger's is not in it");
}

#[test]
fn a_swapped_previous_root_and_a_version_jump_are_refused() {
    let world = World::with_root();
    world.propose_second("next.json");
    let digest = world.digest("next.json");
    // Another good first root of the same holders, which was discarded.
    world.propose_first("discarded.json", "200d");
    for name in ["alice", "carol"] {
        let line = world.signing(name, "discarded.json", "--first", &world.digest("discarded.json"));
        world.ok(&format!("{line} --replace"));
    }
    let merge = "merge --proposal discarded.json --first alice/alice.sig.json carol/carol.sig.json";
    world.ok(&format!("{merge} --out swapped.json"));
    let swapped = world.signing("bob", "next.json", "--previous swapped.json", &digest);
    let detail = world.refused(&swapped, 77, "proposal-mismatch");
    assert!(detail.contains("the proposal follows a root 1 with digest"), "{detail}");
    world.refused("review next.json --previous swapped.json", 77, "proposal-mismatch");
    let merge = "merge --proposal next.json --previous swapped.json bob/bob.sig.json --out 2.root.json";
    world.refused(merge, 77, "proposal-mismatch");
    // A proposal that was made from it, shown to a holder who signed the real one.
    world.ok("propose --out forked.json --previous swapped.json --expires-in 9d");
    let forked = world.signing("bob", "forked.json", "--previous swapped.json", &world.digest("forked.json"));
    let detail = world.refused(&forked, 77, "equivocation");
    assert!(detail.contains("is not the root 1 that this holder signed"), "{detail}");

    world.refused(&world.signing("bob", "next.json", "--first", &digest), 77, "root-version");
    world.sign("bob", "next.json", "--previous 1.root.json");
    world.refused(&world.signing("bob", "proposal.json", "--previous 1.root.json", &digest), 77, "root-version");
    world.refused("verify 1.root.json 1.root.json", 77, "root-version");
    world.refused("verify 1.root.json swapped.json", 77, "root-version");
    let back = world.signing("bob", "proposal.json", "--first", &world.digest("proposal.json"));
    world.refused(&back, 77, "rollback");
}

#[test]
fn a_holder_signs_one_root_of_a_version_unless_the_other_was_discarded() {
    let world = World::with_proposal();
    world.sign("alice", "proposal.json", "--first");
    world.sign("alice", "proposal.json", "--first");
    world.propose_first("other.json", "300d");
    let line = world.signing("alice", "other.json", "--first", &world.digest("other.json"));
    world.refused(&line, 77, "equivocation");
    world.ok(&format!("{line} --replace"));
    world.refused(
        &world.signing("alice", "proposal.json", "--first", &world.digest("proposal.json")),
        77,
        "equivocation",
    );
    world.write("alice/alice.sig.json", "{");
    world.refused(&line, 66, "unreadable-input");
}

#[test]
fn a_short_passphrase_is_warned_of_and_taken() {
    let world = World::new();
    let told = |passphrase: &str, name: &str| {
        world.secret("passphrase", passphrase);
        let line = format!("keygen --state {name} --name {name} --work-factor 10 --passphrase-file passphrase");
        let output = world.run(&line);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told("short", "alice").contains("warning: the passphrase is short"));
    assert!(!told("four words of a kind", "bob").contains("short"));
}

#[test]
fn a_medium_that_others_may_use_and_a_wrong_passphrase_are_refused() {
    let world = World::with_proposal();
    let line = world.signing("alice", "proposal.json", "--first", &world.digest("proposal.json"));
    world.set_mode("alice", 0o750);
    let detail = world.refused(&line, 77, "medium");
    assert!(detail.contains("its mode is 0750"), "{detail}");
    world.refused("keygen --state alice --name second --passphrase-file alice.passphrase", 77, "medium");
    world.set_mode("alice", 0o700);
    world.secret("alice.passphrase", "the passphrase of bob");
    let detail = world.refused(&line, 69, "keystore-unavailable");
    assert!(detail.contains("does not open it") && !detail.contains("the passphrase of"), "{detail}");
    world.set_mode("alice.passphrase", 0o644);
    let detail = world.refused(&line, 66, "unreadable-input");
    assert!(detail.contains("chmod it to 0600"), "{detail}");
    world.refused(&line.replace("--state alice", "--state absent"), 66, "unreadable-input");
    world.refused(&line.replace("--name alice", "--name bob"), 66, "unreadable-input");
    world.secret("alice.passphrase", "the passphrase of alice");
    std::fs::rename(world.path("alice/alice.keys"), world.path("alice/gone")).unwrap();
    let detail = world.refused(&line, 66, "unreadable-input");
    assert!(detail.contains("another medium"), "{detail}");
    // Bob's key in the place of alice's.
    std::fs::rename(world.path("bob/bob.keys"), world.path("alice/alice.keys")).unwrap();
    world.secret("alice.passphrase", "the passphrase of bob");
    world.refused(&line, 69, "key-missing");
}

#[test]
fn what_no_root_should_say_is_not_proposed() {
    let world = World::with_proposal();
    let online = "--key targets=online1.pem snapshot=online2.pem timestamp=online3.pem";
    let holders = "--root-key alice/alice.pub.json bob/bob.pub.json";
    let base = format!("propose --out new.json --first {holders} {online}");
    let with = |more: &str| format!("{base} {more}");
    let good = "--root-threshold 2 --expires-in 30d";
    let threshold = world.refused(&with("--root-threshold 3 --expires-in 30d"), 77, "threshold");
    assert_eq!(threshold, "root would have threshold 3 and 2 keys");
    world.refused(&with(&format!("{good} --threshold snapshot=2")), 77, "threshold");
    world.refused(&with(&format!("{good} --threshold snapshot=0")), 64, "usage");
    world.refused(&with("--root-threshold 0 --expires-in 30d"), 64, "usage");
    world.refused(&with("--expires-in 30d"), 64, "usage");
    world.refused(&with(&format!("{good} --key mirrors=online1.pem")), 64, "usage");
    world.refused(&with(&format!("{good} --key root=online1.pem")), 64, "usage");
    world.refused(&with("--root-threshold 2 --expires 2020-01-01"), 77, "expired");
    world.refused(&with("--root-threshold 2 --expires soon"), 64, "usage");
    world.refused(&with(&format!("{good} --expires 2090-01-01")), 64, "usage");
    world.refused(&with("--root-threshold 2"), 64, "usage");
    let shared = world.refused(&with(&format!("{good} --key timestamp=alice/alice.pub.json")), 77, "role-set");
    assert!(shared.ends_with("is listed for root and for timestamp"), "{shared}");
    let forms = sealward::tuf::key_id::forms(&crate::world::online(1).1);
    world.write("online1.json", &forms[1].json);
    let twice = world.refused(&with(&format!("{good} --key targets=online1.json")), 77, "duplicate-key");
    assert!(twice.contains(&forms[0].key_id) && twice.contains(&forms[1].key_id), "{twice}");
    world.refused(&with(&format!("{good} --remove {}", "ab".repeat(32))), 77, "not-listed");
    assert!(!world.path("new.json").exists(), "a refused proposal leaves no file");

    let all = world.run(&with(good));
    assert_eq!(all.status.code(), Some(0));
    assert!(String::from_utf8(all.stderr).unwrap().contains("WARNING: root needs all of its 2 keys"));
    world.refused(&with("--root-threshold 2 --expires-in 31d"), 74, "unwritable-output");
}
