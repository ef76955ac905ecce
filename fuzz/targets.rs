//! What is fuzzed: each function takes any bytes and stops the program when a promise is broken. It answers whether the
//! bytes got through, so that the replay of the corpora (tests/fuzz_corpora.rs) knows that they reach what they are for.
#![allow(dead_code, unreachable_pub)] // each fuzz binary calls one of them, and none is a library

#[path = "../tests/support/values.rs"]
pub mod values;

use std::str::FromStr;

use prost::Message as _;
use sealward::audit::{checkpoint, leaf, note};
use sealward::config;
use sealward::domain::caller::CallerPattern;
use sealward::domain::guard::Step;
use sealward::domain::law::sign::{Keys, role_limits};
use sealward::domain::name::{KeystoreName, Pattern, RepositoryName, Role, Sha256Digest, Version};
use sealward::domain::person::PersonName;
use sealward::domain::policy::Policies;
use sealward::domain::time::Instant;
use sealward::tuf::attached::attached_snapshot;
use sealward::tuf::canonical::{Limits, Value, encode, encode_json, parse_canonical, parse_lenient};
use sealward::tuf::envelope::{Envelope, assemble};
use sealward::tuf::metadata::read_signed;
use sealward::tuf::root::{RootFile, read_unsigned, verify_first, verify_same_version, verify_successor};
use sealward::tuf::summary::differences;
use sealward::wire::v1::SignRequest;
use values::Model;

/// A target: its name, which is also that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every target.
pub const ALL: [Target; 7] = [
    ("canonical_json", canonical_json),
    ("configuration", configuration),
    ("leaf", leaf),
    ("names", names),
    ("published_file", published_file),
    ("token", token),
    ("wire_to_law", wire_to_law),
];

/// The strict reader accepts exactly what the writer writes; the lenient one reads what every JSON library reads, and
/// means the same by it.
pub fn canonical_json(bytes: &[u8]) -> bool {
    let limits = Limits::of_bytes(1 << 20);
    let strict = parse_canonical(bytes, limits);
    if let Ok(value) = &strict {
        assert_eq!(encode(value), bytes, "what was read is written in the same bytes");
        assert_eq!(parse_lenient(&encode_json(value), limits).as_ref(), Ok(value));
    }
    if let Ok(value) = parse_lenient(bytes, limits) {
        assert_eq!(parse_canonical(&encode(&value), limits).as_ref(), Ok(&value));
        assert_eq!(parse_lenient(&encode_json(&value), limits).as_ref(), Ok(&value));
        if let Ok(other) = serde_json::from_slice::<serde_json::Value>(bytes) {
            assert!(is_same(&value, &other), "{value:?}\n{other:?}");
        }
        if let Ok(strict) = &strict {
            assert_eq!(*strict, value, "two readers, one meaning");
        }
    }
    strict.is_ok()
}

fn is_same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
        (Value::Integer(ours), serde_json::Value::Number(theirs)) => theirs.as_i64() == Some(*ours),
        (Value::String(ours), serde_json::Value::String(theirs)) => ours == theirs,
        (Value::Array(ours), serde_json::Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), serde_json::Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|theirs| is_same(value, theirs)))
        }
        _ => false,
    }
}

/// From a request's bytes to a permit. Bytes that are no message are taken for a payload, which mutates further.
pub fn wire_to_law(bytes: &[u8]) -> bool {
    let request = SignRequest::decode(bytes);
    let requests = match request {
        Ok(request) => vec![request],
        Err(_) => ["timestamp", "snapshot", "targets"]
            .map(|role| SignRequest {
                repository: "demo".to_owned(),
                role: role.to_owned(),
                payload: bytes.to_vec().into(),
                ..SignRequest::default()
            })
            .into(),
    };
    requests.iter().filter(|request| is_permitted(request)).count() > 0
}

/// The way of `engine::sign` without keystores and ledger; what the law permits is held against `law.md`.
fn is_permitted(request: &SignRequest) -> bool {
    let mut model = Model::with_first_versions();
    let policies = Policies::new(vec![model.policy.clone()]);
    let (Ok(repository), Ok(role)) = (request.repository.parse::<RepositoryName>(), request.role.parse::<Role>())
    else {
        return false;
    };
    let Some(policy) = policies.find(&repository) else { return false };
    let Ok(limits) = role_limits(policy, &repository, &role) else { return false };
    let Ok(statement) = read_signed(&request.payload, limits.max_payload_bytes) else { return false };
    let attached = attached_snapshot(&request.snapshot_file).ok();
    let key = match request.key.as_str() {
        "" => None,
        key => match model.keys.iter().find(|record| record.id().to_string() == key) {
            Some(record) => Some(record.clone()),
            None => return false,
        },
    };
    let Ok(text) = std::str::from_utf8(&request.payload) else { panic!("canonical JSON is UTF-8") };
    model.attached = attached;
    let keys = key.as_ref().map_or(Keys::OfRole(&model.keys), Keys::One);
    let decision = model.decide_with(role.as_str(), text, keys);
    let Ok(decision) = decision else { return false };
    let head = model.guard(role.as_str()).head.clone().expect("version 1 was released");
    let steps: Vec<Step> =
        decision.judgement().keys.iter().filter_map(|(_, step)| step.as_ref().ok().copied()).collect();
    assert!(!steps.is_empty(), "an answer without a signature is a refusal");
    assert!(repository.as_str() == "demo" && role != Role::Root && statement.metadata_type() == role.metadata_type());
    assert!(
        statement.expires() > model.now && statement.expires() <= model.now.plus_seconds(limits.max_expiry_seconds)
    );
    let same = statement.version() == head.version;
    assert!(statement.version() >= head.version, "a rollback was permitted");
    assert!(statement.version().get() - head.version.get() <= limits.max_version_step, "a jump was permitted");
    assert!(!same || statement.digest() == head.digest, "two payloads of one version were permitted");
    for (file, entry) in statement.listing() {
        if let Some(before) = head.listing.get(file) {
            assert!(entry.version >= before.version, "a listed version fell");
        }
    }
    assert!(head.listing.keys().all(|file| statement.listing().contains_key(file)), "an entry was dropped");
    // Once released, the same bytes are a replay, and nothing is signed anew.
    model.carry_out(decision);
    let mut again = model.decide(role.as_str(), text).expect("what was released is released again");
    assert!(key.is_some() || again.take_permits().is_empty(), "a replay was signed anew");
    true
}

/// Any text as a configuration: mistakes with places inside of it, or a table of rights.
pub fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match config::parse(text, "/etc/sealward/sealward.toml") {
        Ok(configuration) => {
            assert!(!configuration.listeners.is_empty(), "a daemon that nobody reaches");
            for policy in configuration.policies.iter() {
                assert!(!policy.roles.contains_key(&Role::Root), "root is never configured");
            }
            for who in configuration.callers() {
                drop(configuration.rights(&who, None));
                assert!(config::Who::parse(&who.to_string(), &configuration).is_ok(), "{who}");
            }
            drop(configuration.threshold_notes());
            true
        }
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            for error in errors.iter().filter_map(|error| error.position) {
                assert!(
                    error.line >= 1 && error.column >= 1 && error.line <= text.matches('\n').count() + 1,
                    "{error:?}"
                );
            }
            assert!(!errors.to_string().contains(['\u{1b}', '\0']), "names from outside are escaped");
            false
        }
    }
}

/// Leaves, notes and checkpoints: what reads is what would be written.
pub fn leaf(bytes: &[u8]) -> bool {
    if let Ok((sequence, event)) = leaf::decode(bytes) {
        assert_eq!(leaf::encode(sequence, &event), bytes);
        return true;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if let Ok(key) = note::VerifierKey::parse(text.trim_end()) {
        assert_eq!(note::VerifierKey::parse(&key.to_string()).ok(), Some(key));
        return true;
    }
    let key = note::VerifierKey::new("example.com/log", [7; 32]).expect("a good name");
    assert!(checkpoint::open(text, &key).is_err(), "nobody has the key of this log");
    false
}

/// A bearer's token, read before anything in it is believed. What reads has three parts and nothing around them.
pub fn token(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let read = sealward::oidc::read(text);
    if read.is_ok() {
        assert!(text.is_ascii() && text.split('.').count() == 3 && text.len() <= 16 << 10, "{text:?}");
        assert!(!text.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '+' | '/')), "{text:?}");
    }
    read.is_ok()
}

/// Names are ASCII and come back as they were; patterns match themselves.
pub fn names(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut any = comes_back::<RepositoryName>(text) | comes_back::<Role>(text) | comes_back::<KeystoreName>(text);
    any |= comes_back::<PersonName>(text) | comes_back::<Sha256Digest>(&text.to_ascii_lowercase());
    if let Some(time) = Instant::parse_tuf(text) {
        assert_eq!(time.to_string(), text);
        any = true;
    }
    if let Ok(caller) = CallerPattern::parse(text) {
        assert_eq!(CallerPattern::parse(&caller.to_string()).as_ref(), Ok(&caller));
        any = true;
    }
    let mut halves = text.splitn(2, '\n');
    if let (Some(pattern), Some(name)) = (halves.next().and_then(Pattern::new), halves.next()) {
        assert!(!pattern.is_exact() || pattern.matches(name) == (pattern.as_str() == name));
        assert!(Pattern::new("**").is_some_and(|all| all.matches(name)));
        any |= pattern.matches(name);
    }
    any
}

fn comes_back<T: FromStr + ToString>(text: &str) -> bool {
    let Ok(name) = text.parse::<T>() else { return false };
    assert_eq!(name.to_string(), text);
    assert!(text.is_ascii() && !text.contains(|c: char| c.is_ascii_control()) && !text.is_empty(), "{text:?}");
    assert!(text.split('/').all(|part| !matches!(part, "." | "..")) || !text.contains('/'), "{text:?}");
    true
}

/// Published files: envelopes, roots, and what a root of ours would be replaced by.
pub fn published_file(bytes: &[u8]) -> bool {
    if let Ok(envelope) = Envelope::parse(bytes, 1 << 20) {
        let assembled = assemble(&envelope.signed, &envelope.signatures).expect("what was read is written");
        let again = Envelope::parse(&assembled, 2 << 20).expect("what was written is read");
        assert_eq!(again.signed, envelope.signed);
    }
    let Ok(file) = RootFile::parse(bytes) else {
        assert!(verify_first(bytes).is_err());
        return false;
    };
    let root = file.root().clone();
    assert!(root.version.get() <= Version::MAX);
    drop(differences(Some(&root), &root));
    drop(read_unsigned(bytes));
    let verified = verify_first(bytes);
    if let Ok(verified) = &verified {
        let threshold = verified.roles.get(&Role::Root).expect("a root has the role root").threshold;
        assert!(threshold >= 1);
        assert!(verify_same_version(bytes, bytes).is_ok());
        assert!(verify_successor(bytes, bytes).is_err(), "a root is not its own successor");
    }
    verified.is_ok()
}
