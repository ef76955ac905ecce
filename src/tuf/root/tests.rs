use super::*;
use crate::tuf::testing::{SoftKey, root_signed, root_value, signed_by};

fn reason<T: fmt::Debug>(result: Result<T, Denial>) -> Reason {
    result.unwrap_err().reason
}

/// The root after one replacement in its canonical text, which must apply, read without signatures.
fn changed(text: &[u8], from: &str, to: &str) -> Result<VerifiedRoot, Denial> {
    let text = std::str::from_utf8(text).unwrap();
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from} does not occur");
    read_unsigned(changed.as_bytes())
}

#[test]
fn a_first_root_is_verified_by_its_own_threshold() {
    let [a, b, c, online] = SoftKey::four();
    let signed = root_signed(3, 2, &[&a, &b, &c], &[&online]);
    let file = signed_by(&signed, &[&a, &c]);
    let root = verify_first(&file).unwrap();
    assert_eq!((root.version.get(), root.roles[&Role::Root].threshold), (3, 2));
    assert_eq!((root.signed_digest, root.file_digest), (Sha256Digest::of(&signed), Sha256Digest::of(&file)));
    assert_eq!(root.key_id_for(&Role::Timestamp, &online.public().id()), Some(online.key_id().as_str()));
    assert_eq!(read_unsigned(&signed).unwrap().roles, root.roles);

    let denial = verify_first(&signed_by(&signed, &[&a, &online])).unwrap_err();
    assert_eq!(denial.reason, Reason::RootUnverified);
    assert_eq!(denial.detail, "root 3 has 1 of 2 valid signatures by keys of root 3");
}

#[test]
fn a_successor_needs_the_next_version_and_both_thresholds() {
    let [a, b, c, online] = SoftKey::four();
    let first = signed_by(&root_signed(1, 2, &[&a, &b], &[&online]), &[&a, &b]);
    let next = root_signed(2, 1, &[&c], &[&online]);
    assert_eq!(verify_successor(&first, &signed_by(&next, &[&a, &b, &c])).unwrap().version.get(), 2);
    for keys in [vec![&a, &b], vec![&a, &c], vec![&c], vec![]] {
        assert_eq!(reason(verify_successor(&first, &signed_by(&next, &keys))), Reason::RootUnverified);
    }
    for version in [1, 3, 9] {
        let other = signed_by(&root_signed(version, 1, &[&c], &[&online]), &[&a, &b, &c]);
        assert_eq!(reason(verify_successor(&first, &other)), Reason::RootVersion, "{version}");
    }
}

#[test]
fn a_fork_is_a_root_of_the_same_version_under_both_thresholds() {
    let [a, b, c, online] = SoftKey::four();
    let trusted = signed_by(&root_signed(2, 1, &[&a], &[&online]), &[&a]);
    let other = root_signed(2, 1, &[&b], &[&c]);
    assert!(verify_same_version(&trusted, &signed_by(&other, &[&a, &b])).is_ok());
    assert_eq!(reason(verify_same_version(&trusted, &signed_by(&other, &[&b]))), Reason::RootUnverified);
    let next = signed_by(&root_signed(3, 1, &[&a], &[&online]), &[&a]);
    assert_eq!(reason(verify_same_version(&trusted, &next)), Reason::RootVersion);
}

#[test]
fn one_key_under_two_ids_signs_once() {
    let [a, b, _, online] = SoftKey::four();
    let text = String::from_utf8(root_signed(1, 2, &[&a, &b], &[&online])).unwrap();
    // The second id becomes another name of the first key.
    let other = encode(&crate::tuf::key_id::default_object(b.public()));
    let same = encode(&crate::tuf::key_id::default_object(a.public()));
    let twice = text.replace(std::str::from_utf8(&other).unwrap(), std::str::from_utf8(&same).unwrap());
    let refused = read_unsigned(twice.as_bytes()).unwrap_err();
    assert!(refused.detail.contains("the threshold of root is 2, of 1 distinct keys"), "{refused}");

    let one = twice.replace("\"threshold\":2", "\"threshold\":1");
    let signature = a.sign(one.as_bytes());
    let second = crate::tuf::envelope::EnvelopeSignature { key_id: b.key_id(), ..signature.clone() };
    let file = crate::tuf::envelope::assemble(one.as_bytes(), &[signature, second.clone()]).unwrap();
    let root = RootFile::parse(&file).unwrap();
    let count = signature_count(&root, &Role::Root, root.envelope());
    assert_eq!((count.valid.len(), count.missing.len(), count.listed), (1, 0, 2));
    // Under its second id alone it signs as well, and nobody is missing.
    let file = crate::tuf::envelope::assemble(one.as_bytes(), &[second]).unwrap();
    let root = RootFile::parse(&file).unwrap();
    assert!(signature_count(&root, &Role::Root, root.envelope()).missing.is_empty());
    assert!(verify_first(&file).is_ok());
}

#[test]
fn key_ids_of_any_form_are_kept_as_listed() {
    let [a, _, _, online] = SoftKey::four();
    let text = String::from_utf8(root_signed(1, 1, &[&a], &[&online])).unwrap();
    let renamed = text.replace(&online.key_id(), "the online key");
    let sorted = crate::tuf::canonical::parse_lenient(renamed.as_bytes(), Limits::of_bytes(1 << 20)).unwrap();
    let root = read_unsigned(&encode(&sorted)).unwrap();
    let id = root.key_id_for(&Role::Snapshot, &online.public().id()).unwrap();
    assert_eq!(id, "the online key");
}

#[test]
fn unreadable_keys_count_as_keys_that_never_sign() {
    let [a, b, _, online] = SoftKey::four();
    let text = String::from_utf8(root_signed(1, 1, &[&a, &b], &[&online])).unwrap();
    let unknown = format!("{{\"keytype\":\"{}\",\"keyval\":{{\"public\":\"\"}},\"scheme\":\"s\"}}", "ml-dsa");
    let key = encode(&crate::tuf::key_id::default_object(b.public()));
    let text = text.replace(std::str::from_utf8(&key).unwrap(), &unknown);
    let root = RootFile::from_signed(text.as_bytes()).unwrap();
    assert_eq!(root.root().roles[&Role::Root].keys.len(), 1);
    assert_eq!(root.public_keys(&Role::Root).len(), 1);
    let file = signed_by(text.as_bytes(), &[&a, &b]);
    let count = signature_count(&root, &Role::Root, &Envelope::parse(&file, 1 << 20).unwrap());
    assert_eq!(count.to_string(), "1/1 valid");
    assert_eq!(count.missing, BTreeMap::from([(b.key_id(), None)]));
    let two = text.replacen("\"threshold\":1", "\"threshold\":2", 1);
    assert!(read_unsigned(two.as_bytes()).is_ok(), "two distinct keys, one of them unreadable");
    assert_eq!(reason(verify_first(&signed_by(two.as_bytes(), &[&a, &b]))), Reason::RootUnverified);
}

#[test]
fn signatures_that_do_not_verify_or_are_no_signatures_do_not_count() {
    let [a, b, _, online] = SoftKey::four();
    let signed = root_signed(1, 2, &[&a, &b], &[&online]);
    let root = RootFile::from_signed(&signed).unwrap();
    let mut envelope = root.envelope().clone();
    for bytes in [vec![], vec![0; 64], vec![0; 1 << 16], a.sign(b"other").signature] {
        envelope.signatures = vec![crate::tuf::envelope::EnvelopeSignature { key_id: a.key_id(), signature: bytes }];
        assert_eq!(signature_count(&root, &Role::Root, &envelope).to_string(), "0/2 valid");
    }
    // A valid signature under another key's id does not count either.
    envelope.signatures = vec![crate::tuf::envelope::EnvelopeSignature { key_id: b.key_id(), ..a.sign(&signed) }];
    let count = signature_count(&root, &Role::Root, &envelope);
    assert!(count.valid.is_empty() && !count.is_met());
    let delegated: Role = "x".parse().unwrap();
    assert!(!signature_count(&root, &delegated, &envelope).is_met());
}

#[test]
fn malformed_roots_are_refused() {
    use Reason::*;
    let [a, b, _, online] = SoftKey::four();
    let text = root_signed(1, 2, &[&a, &b], &[&online]);
    let id = format!("\"{}\"", a.key_id());
    for (from, to, expected) in [
        ("\"_type\":\"root\"", "\"_type\":\"targets\"", MalformedMetadata),
        ("\"version\":1", "\"version\":0", VersionInvalid),
        ("1.0.31", "2.0", SpecVersion),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.1Z", ExpiryFormat),
        ("\"keys\":{", "\"keyz\":{", MalformedMetadata),
        ("\"roles\":{", "\"rolez\":{", MalformedMetadata),
        ("\"snapshot\":{", "\"snapshos\":{", MalformedMetadata),
        ("\"threshold\":2", "\"threshold\":0", MalformedMetadata),
        ("\"threshold\":2", "\"threshold\":-1", MalformedMetadata),
        ("\"threshold\":2", "\"threshold\":3", MalformedMetadata),
        ("\"threshold\":2", "\"threshold\":9007199254740992", MalformedMetadata),
        ("\"threshold\":2", "\"threshold\":\"2\"", MalformedMetadata),
        ("\"keyids\":[", "\"keyids\":[\"nobody\",", MalformedMetadata),
        ("\"keyids\":[", "\"keyids\":[7,", MalformedMetadata),
        ("\"keyids\":[", &format!("\"keyids\":[{id},"), MalformedMetadata),
        (",\"version\":1", ",\"version\": 1", NotCanonical),
    ] {
        assert_eq!(reason(changed(&text, from, to)), expected, "{to}");
    }
    for end in (0..text.len()).step_by(7) {
        assert!(read_unsigned(&text[..end]).is_err(), "{end}");
    }
    let Value::Object(mut root) = root_value(1, 1, &[&a], &[&online]) else { panic!("no object") };
    root.remove("keys");
    let keys = Value::Object(Object::of([(a.key_id(), Value::Null), (online.key_id(), Value::Null)]));
    let members = root.iter().map(|(name, value)| (name.to_owned(), value.clone()));
    let root = Value::Object(Object::of(members.chain([("keys".to_owned(), keys)])));
    assert_eq!(reason(read_unsigned(&encode(&root))), MalformedMetadata);
    assert_eq!(reason(verify_first(&vec![b' '; MAX_ROOT_BYTES + 1])), PayloadTooLarge);
    assert_eq!(reason(verify_first(b"")), MalformedMetadata);
}
