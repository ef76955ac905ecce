//! The audit log from outside: held against two independent implementations, and against people who change files.

// clippy.toml lets tests unwrap; their helpers down here are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64ct::{Base64, Encoding as _};
use proptest::prelude::*;
use sealward::audit::checkpoint::{self, Checkpoint};
use sealward::audit::export::{ExportError, write_export};
use sealward::audit::leaf;
use sealward::audit::merkle::{
    Hash, append, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion,
};
use sealward::audit::note::{NoteError, NoteSigner, VerifierKey, open_note, sign_note};
use sealward::audit::tile::{TileStack, tile_bytes, tile_path};
use sealward::audit::verify::{VerifyError, verify_export};
use sealward::domain::audit_event::{Event, EventKind};
use sealward::domain::caller::Caller;
use sealward::domain::name::{Role, Sha256Digest, Version};
use sealward::domain::time::Instant;
use tempfile::TempDir;

// --- Against the crates tlog_tiles and signed_note ---

#[test]
fn every_root_node_and_proof_up_to_600_leaves_is_that_of_tlog_tiles() {
    let (mut ours, mut theirs) = (BTreeMap::new(), TheirHashes::default());
    for size in 0..=600u64 {
        let expected = tlog_tiles::tree_hash(size, &theirs).unwrap();
        let found = root(&ours, size).unwrap();
        assert_eq!(found, expected.0, "root of {size}");
        // Every place of small trees; of larger ones those that a stride hits, and the last.
        let stride = if size <= 70 { 1 } else { 37 };
        for place in (0..size).step_by(stride).chain(size.checked_sub(1)) {
            let proof = inclusion_proof(&ours, place, size).unwrap();
            let expected_proof = tlog_tiles::prove_record(size, place, &theirs).unwrap();
            assert_eq!(proof, bare(&expected_proof), "inclusion of {place} in {size}");
            verify_inclusion(&leaf_hash(&entry(place)), place, size, &proof, &found).unwrap();

            let old = place + 1;
            let proof = consistency_proof(&ours, old, size).unwrap();
            let expected_proof = tlog_tiles::prove_tree(size, old, &theirs).unwrap();
            assert_eq!(proof, bare(&expected_proof), "consistency of {old} with {size}");
            verify_consistency(old, &root(&ours, old).unwrap(), size, &found, &proof).unwrap();
        }
        let fresh = append(&ours, size, leaf_hash(&entry(size))).unwrap();
        theirs.push(size, &entry(size));
        for (level, index, hash) in fresh {
            assert_eq!(hash, theirs.0[tlog_tiles::stored_hash_index(level, index) as usize].0, "{level} {index}");
            ours.insert((level, index), hash);
        }
        assert_eq!(ours.len(), theirs.0.len(), "as many nodes at {size}");
    }
}

#[test]
fn tiles_of_larger_trees_have_the_paths_and_bytes_of_tlog_tiles() {
    let (mut stack, mut theirs) = (TileStack::new(), TheirHashes::default());
    let mut ours = BTreeMap::new();
    for index in 0..65_800u64 {
        let leaf = entry(index);
        theirs.push(index, &leaf);
        stack
            .push(leaf_hash(&leaf), |level, index, hashes| {
                ours.insert(tile_path(level, index, hashes.len()), tile_bytes(hashes));
                Ok::<_, Infallible>(())
            })
            .unwrap();
        let size = index + 1;
        if ![1, 255, 256, 257, 65_535, 65_536, 65_537, 65_800].contains(&size) {
            continue;
        }
        assert_eq!(stack.root(), tlog_tiles::tree_hash(size, &theirs).unwrap().0, "root of {size}");
        let mut all = ours.clone();
        for (level, index, hashes) in stack.partial() {
            all.insert(tile_path(level, index, hashes.len()), tile_bytes(hashes));
        }
        let expected: BTreeMap<String, Vec<u8>> = tlog_tiles::Tile::new_tiles(8, 0, size)
            .iter()
            .map(|tile| (c2sp_path(tile), tile.read_data(&theirs).unwrap()))
            .collect();
        assert!(all == expected, "tiles of {size}: {:?} are not {:?}", all.keys(), expected.keys());
    }
}

#[test]
fn tlog_tiles_reads_an_export_and_proves_from_it() {
    let world = World::new(700);
    let checkpoint = world.export(700).unwrap();
    let reader = TheirTiles(world.target());
    let hashes = tlog_tiles::TileHashReader::new(checkpoint.size, tlog_tiles::Hash(checkpoint.root), &reader);
    for index in [0, 255, 256, 511, 512, 699] {
        let proof = tlog_tiles::prove_record(checkpoint.size, index, &hashes).unwrap();
        let leaf = leaf_hash(&world.leaves[index as usize]);
        verify_inclusion(&leaf, index, 700, &bare(&proof), &checkpoint.root).unwrap();
    }
    let text = fs::read(world.target().join("checkpoint")).unwrap();
    let note = signed_note::Note::from_bytes(&text).unwrap();
    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (ORIGIN, 700, checkpoint.root));
    assert_eq!(theirs.to_bytes(), note.text());
}

#[test]
fn notes_are_understood_both_ways() {
    let ours = Signer::new(ORIGIN, 7);
    let key = VerifierKey::of(&ours).unwrap();
    let verifier = signed_note::StandardVerifier::new(&key.to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let text = "log.example/audit\nДень добрий, 한글\n\nlast line\n";

    let note = sign_note(text, &ours).unwrap();
    let theirs = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    assert_eq!(theirs.text(), text.as_bytes());
    assert_eq!(theirs.verify(&known).unwrap().0.len(), 1);

    let secret = Base64::encode_string(&[&[1], &[7u8; 32][..]].concat());
    let id = hex::encode(key.id());
    let signer = signed_note::StandardSigner::new(&format!("PRIVATE+KEY+{ORIGIN}+{id}+{secret}")).unwrap();
    let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let theirs = String::from_utf8(theirs.to_bytes()).unwrap();
    assert_eq!(open_note(&theirs, &key).unwrap(), text);
    assert_eq!(theirs, note, "Ed25519 is deterministic, so both notes are the same bytes");
}

// --- Properties of proofs ---

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_inclusion_proof_proves_nothing(size in 1u64..2000, place in any::<u64>(), change in change()) {
        let tree = tree(size);
        let place = place % size;
        let (root, leaf) = (root(&tree, size).unwrap(), leaf_hash(&entry(place)));
        let proof = inclusion_proof(&tree, place, size).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, place, size, &proof, &root), Ok(()));
        prop_assert!(verify_inclusion(&leaf_hash(b"another"), place, size, &proof, &root).is_err());
        let changed = change.of(&proof);
        prop_assert_eq!(verify_inclusion(&leaf, place, size, &changed, &root).is_ok(), changed == proof);
        let other = (place + 1 + u64::from(change.at)) % size;
        prop_assert_eq!(verify_inclusion(&leaf, other, size, &proof, &root).is_ok(), other == place);
    }

    #[test]
    fn a_changed_consistency_proof_proves_nothing(new in 1u64..2000, old in any::<u64>(), change in change()) {
        let tree = tree(new);
        let old = old % (new + 1);
        let (old_root, new_root) = (root(&tree, old).unwrap(), root(&tree, new).unwrap());
        let proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
        let changed = change.of(&proof);
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &changed).is_ok(), changed == proof);
        let forged = leaf_hash(b"another");
        prop_assert!(verify_consistency(old, &forged, new, &new_root, &proof).is_err());
        prop_assert!(old == 0 || verify_consistency(old, &old_root, new, &forged, &proof).is_err());
    }

    #[test]
    fn noise_is_no_proof(old in any::<u64>(), new in any::<u64>(), noise in proptest::collection::vec(any::<Hash>(), 0..70)) {
        prop_assert!(verify_inclusion(&[1; 32], old, new, &noise, &[2; 32]).is_err());
        prop_assert!(verify_consistency(old, &[1; 32], new, &[2; 32], &noise).is_err());
    }

    #[test]
    fn noise_is_no_leaf_and_no_note(noise in any::<Vec<u8>>(), text in any::<String>()) {
        prop_assert!(leaf::decode(&noise).is_err());
        let key = VerifierKey::of(&Signer::new(ORIGIN, 7)).unwrap();
        prop_assert!(open_note(&text, &key).is_err());
        prop_assert!(VerifierKey::parse(&text).is_err());
    }
}

// --- Exports ---

#[test]
fn exports_of_every_shape_verify() {
    let world = World::new(513);
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513] {
        let checkpoint = world.export(size).unwrap();
        let report = verify_export(&world.target(), &world.key()).unwrap();
        assert_eq!((report.origin.as_str(), report.size, report.root), (ORIGIN, size, checkpoint.root));
        assert_eq!(report.counts.values().sum::<u64>(), size);
        assert_eq!(report.first, (size > 0).then_some(Instant::from_unix(1_000_000)));
        assert_eq!(report.notes, Vec::<String>::new());
    }
    assert_eq!(world.siblings(), ["export"], "no staging directory is left");
}

#[test]
fn a_flipped_byte_in_any_file_is_detected() {
    let world = World::new(300);
    world.export(300).unwrap();
    let files = files_below(&world.target());
    let names: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let expected = [
        "README.txt",
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
        "verifier-key",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for file in files {
        let path = world.target().join(&file);
        let good = fs::read(&path).unwrap();
        // Every byte of small files; of large ones about 80, and the last.
        let stride = good.len().div_ceil(80);
        for at in (0..good.len()).step_by(stride).chain([good.len() - 1]) {
            for bit in [0x01, 0x20] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                fs::write(&path, &bad).unwrap();
                assert!(verify_export(&world.target(), &world.key()).is_err(), "byte {at} of {file}, bit {bit:#x}");
            }
        }
        fs::write(&path, &good).unwrap();
    }
    verify_export(&world.target(), &world.key()).unwrap();
}

#[test]
fn cut_lengthened_and_missing_files_are_detected() {
    let world = World::new(300);
    world.export(300).unwrap();
    for file in files_below(&world.target()) {
        let path = world.target().join(&file);
        let good = fs::read(&path).unwrap();
        let longer = [good.as_slice(), b"\n"].concat();
        for bad in [&good[..good.len() - 1], &good[..good.len() / 2], b"", &longer, &good.repeat(3)] {
            fs::write(&path, bad).unwrap();
            let refused = verify_export(&world.target(), &world.key());
            assert!(refused.is_err(), "{} bytes of {} in {file}", bad.len(), good.len());
        }
        fs::remove_file(&path).unwrap();
        match verify_export(&world.target(), &world.key()) {
            Ok(report) => {
                assert!(["README.txt", "verifier-key"].contains(&file.as_str()), "{file} may not be missing");
                assert!(report.notes.iter().any(|note| note.contains(&file)), "{:?}", report.notes);
            }
            Err(VerifyError::Missing { path: named }) => assert_eq!(named, path),
            Err(VerifyError::NotAnExport { .. }) => assert_eq!(file, "checkpoint"),
            Err(other) => panic!("{file}: {other}"),
        }
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(matches!(verify_export(&world.target(), &world.key()), Err(VerifyError::NotAFile { .. })), "{file}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_rewritten_history_is_told_from_a_broken_file() {
    let world = World::new(20);
    world.export(20).unwrap();
    // Somebody with the whole directory, but without the log key, replaces an entry and all hashes above it.
    let mut forged = world.leaves.clone();
    forged[7] = release(7, 9_999, "forged", EventKind::Advance);
    let (mut bundle, mut tile) = (Vec::new(), Vec::new());
    for leaf in &forged {
        bundle.extend(u16::try_from(leaf.len()).unwrap().to_be_bytes());
        bundle.extend(leaf);
        tile.extend(leaf_hash(leaf));
    }
    fs::write(world.target().join("tile/entries/000.p/20"), bundle).unwrap();
    fs::write(world.target().join("tile/0/000.p/20"), tile).unwrap();
    // What the forged leaves say (here a rollback) is not held against the daemon.
    let refused = verify_export(&world.target(), &world.key());
    assert!(matches!(refused, Err(VerifyError::RootMismatch)), "{refused:?}");
}

#[test]
fn another_key_does_not_verify_an_export() {
    let world = World::new(3);
    world.export(3).unwrap();
    for stranger in [Signer::new(ORIGIN, 8), Signer::new("other.example/log", 7)] {
        let refused = verify_export(&world.target(), &VerifierKey::of(&stranger).unwrap());
        assert!(matches!(refused, Err(VerifyError::Checkpoint(_))), "{refused:?}");
    }
    // Nor does the directory get to offer one.
    let stranger = VerifierKey::of(&Signer::new(ORIGIN, 8)).unwrap();
    fs::write(world.target().join("verifier-key"), format!("{stranger}\n")).unwrap();
    let refused = verify_export(&world.target(), &world.key());
    assert!(matches!(refused, Err(VerifyError::Altered { .. })), "{refused:?}");
}

#[test]
fn files_that_do_not_belong_are_noted() {
    let world = World::new(300);
    world.export(300).unwrap();
    fs::write(world.target().join("tile/0/001.p/45"), "x").unwrap();
    fs::create_dir_all(world.target().join("evil\u{1b}[2J")).unwrap();
    fs::write(world.target().join("evil\u{1b}[2J/a"), "x").unwrap();
    let report = verify_export(&world.target(), &world.key()).unwrap();
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].starts_with("2 files are no part"), "{:?}", report.notes);
    assert!(report.notes[0].contains("tile/0/001.p/45") && !report.notes[0].contains('\u{1b}'), "{:?}", report.notes);
}

#[test]
fn a_log_that_proves_its_daemon_wrong_is_refused() {
    let twice = [release(0, 5, "one", EventKind::Advance), release(1, 5, "other", EventKind::Cosign)];
    let refused = World::with(twice.to_vec()).export_and_verify();
    assert!(matches!(refused, Err(VerifyError::Equivocation { first: 0, second: 1, .. })), "{refused:?}");

    let back = [release(0, 5, "one", EventKind::Advance), release(1, 4, "other", EventKind::Advance)];
    let refused = World::with(back.to_vec()).export_and_verify();
    assert!(matches!(refused, Err(VerifyError::Rollback { first: 0, second: 1, .. })), "{refused:?}");

    let misplaced = [release(0, 5, "one", EventKind::Advance), release(2, 6, "other", EventKind::Advance)];
    let refused = World::with(misplaced.to_vec()).export_and_verify();
    assert!(matches!(refused, Err(VerifyError::WrongSequence { index: 1, found: 2 })), "{refused:?}");

    let refused = World::with(vec![b"no leaf".to_vec()]).export_and_verify();
    assert!(matches!(refused, Err(VerifyError::Leaf { index: 0, .. })), "{refused:?}");
}

#[test]
fn a_checkpoint_that_claims_too_much_is_refused_at_once() {
    let world = World::new(3);
    world.export(3).unwrap();
    for (size, cheap) in [(1 << 60, "TooLarge"), (u64::MAX, "TooLarge"), (1 << 39, "Missing"), (259, "Missing")] {
        let claim = Checkpoint { origin: ORIGIN.into(), size, root: [0; 32] };
        fs::write(world.target().join("checkpoint"), checkpoint::sign(&claim, &world.signer).unwrap()).unwrap();
        let started = std::time::Instant::now();
        let refused = format!("{:?}", verify_export(&world.target(), &world.key()).unwrap_err());
        assert!(refused.starts_with(cheap), "{size}: {refused}");
        assert!(started.elapsed().as_secs() < 5, "{size}");
    }
}

#[test]
fn a_database_is_refused_with_advice() {
    let world = World::new(3);
    let database = [b"SQLite format 3\0".as_slice(), &[0; 4080]].concat();
    let directory = world.parent.path().join("state");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("ledger.db");
    fs::write(&file, database).unwrap();
    for path in [&file, &directory] {
        let refused = verify_export(path, &world.key()).unwrap_err();
        assert!(matches!(&refused, VerifyError::LiveDatabase { path } if *path == file), "{refused:?}");
        let advice = "a bare copy of a live database is not an export; run `sealward audit export";
        assert!(refused.to_string().contains(advice), "{refused}");
    }
    fs::rename(&file, directory.join("ledger.db-wal")).unwrap();
    assert!(matches!(verify_export(&directory, &world.key()), Err(VerifyError::LiveDatabase { .. })));

    let nothing = world.parent.path().join("nothing");
    assert!(matches!(verify_export(&nothing, &world.key()), Err(VerifyError::Io { .. })));
    fs::write(&nothing, "text").unwrap();
    assert!(matches!(verify_export(&nothing, &world.key()), Err(VerifyError::NotAnExport { .. })));
    fs::remove_file(&nothing).unwrap();
    fs::create_dir(&nothing).unwrap();
    assert!(matches!(verify_export(&nothing, &world.key()), Err(VerifyError::NotAnExport { .. })));
}

// --- What an export replaces, and what it does not ---

#[test]
fn an_export_is_replaced_only_by_one_that_extends_it() {
    let world = World::new(400);
    let old = world.export(100).unwrap();
    let new = world.export(400).unwrap();
    let proof = consistency_proof(&tree_of(&world.leaves), 100, 400).unwrap();
    verify_consistency(100, &old.root, 400, &new.root, &proof).unwrap();
    assert_eq!(verify_export(&world.target(), &world.key()).unwrap().size, 400);
    let before = snapshot(&world.target());
    assert!(!before.contains_key("tile/entries/000.p/100"), "nothing of the old export is left");

    let shorter = world.export(399);
    assert!(matches!(shorter, Err(ExportError::NotExtended { exported: 400, size: 399, .. })), "{shorter:?}");
    let mut forked = world.leaves.clone();
    forked[399] = release(399, 9_999, "fork", EventKind::Advance);
    forked.push(release(400, 10_000, "more", EventKind::Advance));
    let fork = export_as(&world.signer, &world.target(), &forked, 401);
    assert!(matches!(fork, Err(ExportError::NotExtended { exported: 400, size: 401, .. })), "{fork:?}");
    let stranger = Signer::new(ORIGIN, 8);
    let refused = export_as(&stranger, &world.target(), &world.leaves, 400);
    assert!(matches!(refused, Err(ExportError::Occupied { .. })), "{refused:?}");

    assert_eq!(snapshot(&world.target()), before, "a refused export changes nothing");
    world.export(400).unwrap();
    assert_eq!(snapshot(&world.target()), before, "the same export again is the same");
    assert_eq!(world.siblings(), ["export"]);
}

#[test]
fn what_is_not_an_export_is_never_overwritten() {
    let world = World::new(3);
    fs::create_dir(world.target()).unwrap();
    fs::write(world.target().join("thesis.tex"), "ten years").unwrap();
    assert!(matches!(world.export(3), Err(ExportError::Occupied { .. })));
    fs::rename(world.target().join("thesis.tex"), world.target().join("checkpoint")).unwrap();
    assert!(matches!(world.export(3), Err(ExportError::Occupied { .. })));
    assert_eq!(fs::read(world.target().join("checkpoint")).unwrap(), b"ten years");
    fs::remove_file(world.target().join("checkpoint")).unwrap();
    world.export(3).expect("an empty directory is taken");

    fs::remove_dir_all(world.target()).unwrap();
    fs::write(world.target(), "a file").unwrap();
    assert!(matches!(world.export(3), Err(ExportError::Occupied { .. })));
    fs::remove_file(world.target()).unwrap();
    std::os::unix::fs::symlink(world.parent.path(), world.target()).unwrap();
    assert!(matches!(world.export(3), Err(ExportError::Occupied { .. })));
    assert!(matches!(export_as(&world.signer, Path::new("/"), &world.leaves, 3), Err(ExportError::Occupied { .. })));
}

#[test]
fn a_log_that_does_not_keep_its_checkpoint_is_not_exported() {
    let world = World::new(3);
    let short = export_as(&world.signer, &world.target(), &world.leaves[..2], 3);
    assert!(matches!(short, Err(ExportError::TooFewLeaves { found: 2, size: 3 })), "{short:?}");

    let note = signed(&world.signer, &world.leaves, 3);
    let mut changed = world.leaves.clone();
    changed[1][0] ^= 1;
    let refused = write_export(&world.target(), &world.key(), &note, changed.into_iter().map(Ok::<_, Infallible>));
    assert!(matches!(refused, Err(ExportError::RootMismatch)), "{refused:?}");

    let long = vec![vec![0; 65_536]; 3];
    let refused = write_export(&world.target(), &world.key(), &note, long.into_iter().map(Ok::<_, Infallible>));
    assert!(matches!(refused, Err(ExportError::LeafTooLong { index: 0 })), "{refused:?}");

    let broken = [Ok(world.leaves[0].clone()), Err(std::io::Error::other("disk"))];
    let refused = write_export(&world.target(), &world.key(), &note, broken);
    assert!(matches!(refused, Err(ExportError::Leaves(_))), "{refused:?}");

    let claim = Checkpoint { origin: ORIGIN.into(), size: u64::MAX, root: [0; 32] };
    let claim = checkpoint::sign(&claim, &world.signer).unwrap();
    let refused = write_export(&world.target(), &world.key(), &claim, std::iter::empty::<Result<_, Infallible>>());
    assert!(matches!(refused, Err(ExportError::TooFewLeaves { .. })), "{refused:?}");
    assert_eq!(world.siblings(), Vec::<String>::new(), "nothing is left of what failed");
}

#[test]
fn leaves_beyond_the_checkpoint_are_not_asked_for() {
    let world = World::new(2);
    let note = signed(&world.signer, &world.leaves, 2);
    let leaves = world.leaves.iter().cloned().map(Ok::<_, Infallible>);
    let tripwire = std::iter::from_fn(|| panic!("asked for a leaf that the checkpoint does not cover"));
    write_export(&world.target(), &world.key(), &note, leaves.chain(tripwire)).unwrap();
}

// --- The world of a test ---

const ORIGIN: &str = "log.example/audit";

struct Signer(String, Ed25519KeyPair);

impl Signer {
    fn new(name: &str, seed: u8) -> Self {
        Self(name.to_owned(), Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }
}

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        &self.0
    }
    fn public_key(&self) -> [u8; 32] {
        self.1.public_key().as_ref().try_into().unwrap()
    }
    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(self.1.sign(text).as_ref().try_into().unwrap())
    }
}

/// A directory of its own, a log key, and leaves.
struct World {
    parent: TempDir,
    signer: Signer,
    leaves: Vec<Vec<u8>>,
}

impl World {
    fn new(leaves: u64) -> Self {
        Self::with((0..leaves).map(|n| release(n, n + 1, "payload", EventKind::Advance)).collect())
    }

    fn with(leaves: Vec<Vec<u8>>) -> Self {
        Self { parent: TempDir::new().unwrap(), signer: Signer::new(ORIGIN, 7), leaves }
    }

    fn key(&self) -> VerifierKey {
        VerifierKey::of(&self.signer).unwrap()
    }

    fn target(&self) -> PathBuf {
        self.parent.path().join("export")
    }

    fn export(&self, size: u64) -> Result<Checkpoint, ExportError<Infallible>> {
        export_as(&self.signer, &self.target(), &self.leaves, size)
    }

    fn export_and_verify(&self) -> Result<(), VerifyError> {
        self.export(self.leaves.len() as u64).unwrap();
        verify_export(&self.target(), &self.key()).map(|_| ())
    }

    fn siblings(&self) -> Vec<String> {
        fs::read_dir(self.parent.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A checkpoint of this size over the first leaves, or over all where there are fewer.
fn signed(signer: &Signer, leaves: &[Vec<u8>], size: u64) -> String {
    let root = root(&tree_of(leaves), size.min(leaves.len() as u64)).unwrap();
    checkpoint::sign(&Checkpoint { origin: signer.0.clone(), size, root }, signer).unwrap()
}

fn export_as(
    signer: &Signer,
    target: &Path,
    leaves: &[Vec<u8>],
    size: u64,
) -> Result<Checkpoint, ExportError<Infallible>> {
    let note = signed(signer, leaves, size);
    write_export(target, &VerifierKey::of(signer).unwrap(), &note, leaves.iter().cloned().map(Ok))
}

fn release(sequence: u64, version: u64, payload: &str, kind: EventKind) -> Vec<u8> {
    let time = Instant::from_unix(1_000_000).plus_seconds(i64::try_from(sequence).unwrap());
    let caller = Caller::Unix { uid: 1000, gids: vec![1000] };
    let mut event = Event::new(time, &caller, "sign", &format!("request-{sequence}"), kind);
    event.repository = Some("acme/app".parse().unwrap());
    event.role = Some(Role::Timestamp);
    event.epoch = Some(0);
    event.version = Version::new(version);
    event.digest = Some(Sha256Digest::of(payload.as_bytes()));
    leaf::encode(sequence, &event)
}

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn tree(size: u64) -> BTreeMap<(u8, u64), Hash> {
    tree_of(&(0..size).map(entry).collect::<Vec<_>>())
}

fn tree_of(leaves: &[Vec<u8>]) -> BTreeMap<(u8, u64), Hash> {
    let mut nodes = BTreeMap::new();
    for (size, leaf) in (0..).zip(leaves) {
        for (level, index, hash) in append(&nodes, size, leaf_hash(leaf)).unwrap() {
            nodes.insert((level, index), hash);
        }
    }
    nodes
}

/// One change to a proof: a flipped bit, a hash left out, doubled, or two that swap places.
#[derive(Clone, Debug)]
struct Change {
    what: u8,
    at: u8,
}

fn change() -> impl Strategy<Value = Change> {
    (0u8..4, any::<u8>()).prop_map(|(what, at)| Change { what, at })
}

impl Change {
    fn of(&self, proof: &[Hash]) -> Vec<Hash> {
        let mut changed = proof.to_vec();
        if proof.is_empty() {
            changed.push([self.at; 32]);
            return changed;
        }
        let at = usize::from(self.at) % proof.len();
        match self.what {
            0 => changed[at][at] ^= 1,
            1 => drop(changed.remove(at)),
            2 => changed.insert(at, proof[at]),
            _ => changed.swap(at, 0),
        }
        changed
    }
}

/// The hashes as tlog_tiles keeps them: in one sequence.
#[derive(Default)]
struct TheirHashes(Vec<tlog_tiles::Hash>);

impl TheirHashes {
    fn push(&mut self, n: u64, entry: &[u8]) {
        let hashes = tlog_tiles::stored_hashes(n, entry, self).unwrap();
        self.0.extend(hashes);
    }
}

impl tlog_tiles::HashReader for TheirHashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&index| self.0[index as usize]).collect())
    }
}

/// Their tile reader, over the files of our export.
struct TheirTiles(PathBuf);

impl tlog_tiles::TileReader for TheirTiles {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // They ask for the narrowest tile that would do; the file may be wider, as the specification allows.
        Ok(tiles.iter().map(|tile| self.widest(tile)[..tile.width() as usize * 32].to_vec()).collect())
    }
    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

impl TheirTiles {
    fn widest(&self, tile: &tlog_tiles::Tile) -> Vec<u8> {
        let path = |width| {
            let wider = tlog_tiles::Tile::new(8, tile.level(), tile.level_index(), width, false);
            self.0.join(c2sp_path(&wider))
        };
        (tile.width()..=256).find_map(|width| fs::read(path(width)).ok()).unwrap()
    }
}

/// tlog_tiles names the height in its paths, as Go's checksum database does; C2SP fixes it at 8 and leaves it out.
fn c2sp_path(tile: &tlog_tiles::Tile) -> String {
    format!("tile/{}", tile.path().strip_prefix("tile/8/").unwrap())
}

fn bare(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

fn files_below(directory: &Path) -> Vec<String> {
    snapshot(directory).into_keys().collect()
}

fn snapshot(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}
