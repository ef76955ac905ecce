//! What can be wrong with the files of a software keystore: each is refused by name, and none of its keys is used.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sealward::domain::algorithm::Algorithm;
use sealward::domain::outcome::Reason;
use sealward::keystore::secret::Secrets;
use sealward::keystore::settings::{KindSettings, SecretSource, UnsealSettings};
use sealward::keystore::software::{Unseal, create, create_identity};
use sealward::keystore::{KeystoreError, open};

use crate::{World, with_identity, with_passphrase};

fn keys_of(world: &World) -> &Path {
    match &world.settings.kind {
        KindSettings::Software(software) => &software.directory,
        KindSettings::Pkcs11(_) => panic!("a software keystore"),
    }
}

/// A keystore with two keys: its world, and the file of the first one.
fn two_keys(world: World) -> (World, PathBuf) {
    let store = world.open();
    let first = store.generate(Algorithm::Ed25519).unwrap();
    store.generate(Algorithm::EcdsaP256).unwrap();
    let file = keys_of(&world).join(format!("{}.age", first.id()));
    assert!(file.is_file());
    (world, file)
}

fn refusal(world: &World) -> KeystoreError {
    match open(&world.settings, &Secrets::default(), true) {
        Ok(_) => panic!("the keystore opened"),
        Err(error) => error,
    }
}

/// The whole open is refused, naming this file and no other.
fn assert_refuses(world: &World, file: &Path, fault: &str) {
    let error = refusal(world);
    let KeystoreError::Files { files, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(files.len(), 1, "{error}");
    assert_eq!(Path::new(&files[0].name), file.file_name().unwrap());
    assert!(error.to_string().contains(fault), "{error}");
    assert!(error.to_string().contains("Restore each from a backup"), "{error}");
}

#[test]
fn what_is_on_the_disk_is_private_and_encrypted() {
    for world in [with_identity(), with_passphrase()] {
        let (world, _) = two_keys(world);
        assert_eq!(std::fs::metadata(keys_of(&world)).unwrap().permissions().mode() & 0o7777, 0o700);
        for entry in std::fs::read_dir(keys_of(&world)).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{:?}", entry.file_name());
        }
    }
}

#[test]
fn a_key_file_cut_anywhere_is_refused_by_name() {
    let (world, file) = two_keys(with_identity());
    let whole = std::fs::read(&file).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        assert_refuses(&world, &file, "");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(world.open().public_keys().unwrap().len(), 2);
}

#[test]
fn a_key_file_with_any_byte_flipped_or_added_is_refused_by_name() {
    let (world, file) = two_keys(with_identity());
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 0x01;
        std::fs::write(&file, &altered).unwrap();
        assert_refuses(&world, &file, "");
    }
    std::fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    assert_refuses(&world, &file, "");
    std::fs::write(&file, vec![0; 70_000]).unwrap();
    assert_refuses(&world, &file, "larger than");
}

#[test]
fn a_renamed_a_foreign_and_a_swapped_file_are_refused_by_name() {
    let (world, file) = two_keys(with_identity());
    let other = keys_of(&world).join(format!("{}.age", "0".repeat(64)));
    std::fs::rename(&file, &other).unwrap();
    assert_refuses(&world, &other, "not the one that it is named for");
    std::fs::rename(&other, &file).unwrap();
    for name in ["notes.txt", "identity.age", "log-key.age", "x.age", ".hidden"] {
        let foreign = keys_of(&world).join(name);
        std::fs::copy(&file, &foreign).unwrap();
        assert_refuses(&world, &foreign, "not the name of a key file");
        std::fs::remove_file(&foreign).unwrap();
    }
    let shouted = file.file_name().unwrap().to_str().unwrap().to_uppercase().replace(".AGE", ".age");
    let shouted = keys_of(&world).join(shouted);
    std::fs::rename(&file, &shouted).unwrap();
    assert_refuses(&world, &shouted, "");
    std::fs::rename(&shouted, &file).unwrap();
    assert_eq!(world.open().public_keys().unwrap().len(), 2);
}

#[test]
fn several_bad_files_are_named_at_once() {
    let (world, file) = two_keys(with_identity());
    std::fs::write(&file, b"").unwrap();
    std::fs::write(keys_of(&world).join("a"), b"").unwrap();
    let error = refusal(&world);
    assert!(matches!(&error, KeystoreError::Files { files, .. } if files.len() == 2), "{error}");
    assert_eq!(error.denial().reason, Reason::KeystoreUnavailable);
}

#[test]
fn what_others_may_use_is_refused() {
    let (world, file) = two_keys(with_identity());
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o602] {
        set(&file, mode);
        assert_refuses(&world, &file, "chmod it to 0600");
    }
    set(&file, 0o600);
    for mode in [0o750, 0o705, 0o770, 0o701] {
        set(keys_of(&world), mode);
        let error = refusal(&world).to_string();
        assert!(error.contains("chmod it to 0700"), "{error}");
    }
}

#[test]
fn symlinks_are_refused_in_every_place() {
    let (world, file) = two_keys(with_identity());
    let moved = world.directory.join("moved");
    std::fs::rename(&file, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &file).unwrap();
    assert_refuses(&world, &file, "a symlink");
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&moved, &file).unwrap();
    let elsewhere = world.directory.join("elsewhere");
    std::fs::rename(keys_of(&world), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, keys_of(&world)).unwrap();
    let error = refusal(&world).to_string();
    assert!(error.contains("a symlink, or not a directory"), "{error}");
}

#[test]
fn another_identity_or_passphrase_opens_nothing() {
    let (world, file) = two_keys(with_identity());
    let identity = world.directory.join("identity");
    std::fs::remove_file(&identity).unwrap();
    create_identity(&identity).unwrap();
    let error = refusal(&world);
    assert!(matches!(&error, KeystoreError::Files { files, .. } if files.len() == 2), "{error}");
    assert!(error.to_string().contains("encrypted to another identity"), "{error}");
    assert!(file.is_file(), "nothing is touched");

    let (world, _) = two_keys(with_passphrase());
    std::fs::write(world.directory.join("passphrase"), "correct horse battory").unwrap();
    let error = refusal(&world).to_string();
    assert!(error.contains("identity.age") && error.contains("Check the passphrase"), "{error}");
    assert!(!error.contains("battory"), "{error}");
}

#[test]
fn what_is_missing_is_refused_and_never_made_anew() {
    let (world, _) = two_keys(with_passphrase());
    std::fs::remove_file(keys_of(&world).join("identity.age")).unwrap();
    let error = refusal(&world).to_string();
    assert!(error.contains("Restore it from a backup"), "{error}");
    std::fs::remove_dir_all(keys_of(&world)).unwrap();
    let error = refusal(&world).to_string();
    assert!(error.contains("no such directory") && error.contains("sealwardd init"), "{error}");
    assert!(!keys_of(&world).exists());
    let unseal = Unseal::resolve(
        &UnsealSettings::Passphrase { source: SecretSource::File(world.directory.join("passphrase")), work_factor: 9 },
        &Secrets::default(),
    );
    assert!(create(keys_of(&world), &unseal.unwrap()).is_err(), "a work factor that is guessed in a day");
}

#[test]
fn an_unfinished_file_of_a_crash_is_removed_and_a_made_keystore_is_not_made_again() {
    let (world, _) = two_keys(with_identity());
    let unfinished = keys_of(&world).join(".unfinished-0011223344556677");
    std::fs::write(&unfinished, b"half").unwrap();
    assert_eq!(world.open().public_keys().unwrap().len(), 2);
    assert!(!unfinished.exists());
    let KindSettings::Software(software) = &world.settings.kind else { panic!() };
    let unseal = Unseal::resolve(&software.unseal, &Secrets::default()).unwrap();
    assert!(matches!(create(keys_of(&world), &unseal), Err(KeystoreError::Exists { .. })));
}

#[test]
fn a_directory_that_takes_no_file_makes_no_key() {
    let (world, file) = two_keys(with_identity());
    let store = world.open();
    std::fs::remove_dir_all(keys_of(&world)).unwrap();
    let error = store.generate(Algorithm::Ed25519).unwrap_err();
    assert!(matches!(error, KeystoreError::Storage { .. }), "{error}");
    assert_eq!(store.public_keys().unwrap().len(), 2, "the key that is not durable is not offered");
    assert!(!file.exists());
}
