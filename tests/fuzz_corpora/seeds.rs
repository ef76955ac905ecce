//! Small inputs to begin with, made here: for each target some that get through and some that do not.

use std::collections::BTreeMap;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use prost::Message as _;
use sealward::audit::leaf;
use sealward::audit::note::VerifierKey;
use sealward::domain::audit_event::{Event, EventKind};
use sealward::domain::caller::Caller;
use sealward::domain::outcome::{Denial, Reason};
use sealward::tuf::canonical::{Value, encode};
use sealward::tuf::envelope::{EnvelopeSignature, assemble};
use sealward::tuf::key_id::{default_form, default_object};
use sealward::wire::v1::SignRequest;

use crate::targets::values::{NOW, key_id, public_key, snapshot, targets, timestamp};

type Seed = (&'static str, String, Vec<u8>);

pub(crate) fn all() -> Vec<Seed> {
    [canonical_json(), configuration(), leaves(), names(), published_files(), requests(), tokens()].concat()
}

fn named(target: &'static str, seeds: &[(&str, &str)]) -> Vec<Seed> {
    seeds.iter().map(|(name, text)| (target, (*name).to_owned(), text.as_bytes().to_vec())).collect()
}

fn canonical_json() -> Vec<Seed> {
    let mut seeds = named(
        "canonical_json",
        &[
            ("object", r#"{"a":[1,-2,null,true],"b":{"":"x\"\\y"},"é":"żółć"}"#),
            ("control-characters", "{\"pem\":\"a\nb\u{1}\"}"),
            ("escapes", r#"{"a":"\u0041\ud83d\ude00\n\/"}"#),
            ("lone-surrogate", r#"{"a":"\ud800"}"#),
            ("order-of-olpc-cjson", r#"{"a.b":1,"a\\":2,"a":3}"#),
            ("twice", r#"{"a":1,"a":1}"#),
            ("minus-nought", "[-0]"),
            ("float", "[1.0]"),
            ("exponent", "[1e3]"),
            ("largest", "[9223372036854775807,-9223372036854775808]"),
            ("too-large", "[9223372036854775808]"),
            ("white-space", " { \"a\" : [ 1 , 2 ] }\n"),
            ("byte-order-mark", "\u{feff}{}"),
            ("timestamp", &timestamp(2, 1)),
        ],
    );
    seeds.push(("canonical_json", "deep".to_owned(), "[".repeat(65).into_bytes()));
    seeds.push(("canonical_json", "no-utf8".to_owned(), b"[\"\xc3\x28\"]".to_vec()));
    seeds
}

fn configuration() -> Vec<Seed> {
    let least = "version = 1\nledger.directory = \"l\"\nlog_key.unseal = { identity = { file = \"i\" } }\n\
                 [[listener]]\nname = \"l\"\nkind = \"unix\"\npath = \"s\"\n";
    let rules = "[[keystore]]\nname = \"k\"\nkind = \"software\"\ndirectory = \"k\"\n\
                 unseal = { passphrase = { credential = \"p\" }, work_factor = 12 }\n\
                 [[repository]]\npattern = \"a/**\"\nmax_keys = 3\n\
                 [repository.role.timestamp]\nkeystore = \"k\"\nrelease_rate = { per_hour = 4, burst = 2 }\n\
                 [repository.role.targets]\ncustody = \"offline\"\n\
                 [[repository]]\nname = \"b\"\n[repository.role.\"x/y\"]\ncustody = \"online\"\nmax_expiry = \"2w\"\n\
                 [[person]]\nname = \"alice\"\nidentities = [\"unix:1\", \"uri:spiffe://a/*\"]\n\
                 [[grant]]\ncallers = [\"person:alice\", \"unix-group:4\", \"dns:*.a\"]\nverbs = [\"sign\", \"delegate\"]\n\
                 repositories = [\"*\", \"a/*/c\"]\nroles = [\"t*\", \"**\"]\n\
                 [[grant]]\ncallers = [\"unix:1\"]\nverbs = [\"status\", \"operate\"]\n";
    named(
        "configuration",
        &[
            ("least", least),
            ("rules", &format!("{least}{rules}")),
            ("mistakes", &format!("{least}[[grant]]\ncallers = [\"root\"]\nverb = 7\n[limits]\nbatch_items = -1\n")),
            ("syntax", "version = 1\n[ledger\n= 2\n\"\\u{0}\" = ["),
            ("secret", &format!("{least}[[keystore]]\nkind = \"pkcs11\"\npin = \"1234\"\n")),
            ("escape", "\"\\u001b[31m\" = 1\n"),
        ],
    )
}

fn leaves() -> Vec<Seed> {
    let caller = Caller::Unix { uid: 1000, gids: vec![] };
    let plain = Event::new(NOW, &caller, "sign", "0123456789abcdef", EventKind::Advance);
    let full = Event {
        repository: Some("demo".parse().unwrap()),
        role: Some("timestamp".parse().unwrap()),
        epoch: Some(1),
        key: Some(key_id(1)),
        count: Some(3),
        ..plain.clone()
    };
    let refused = full.clone().refused(&Denial::new(Reason::Rollback, "older"));
    let mut seeds: Vec<Seed> = [("plain", plain), ("full", full), ("refused", refused)]
        .map(|(name, event)| ("leaf", name.to_owned(), leaf::encode(7, &event)))
        .into();
    let key = VerifierKey::new("example.com/log", [9; 32]).unwrap().to_string();
    let note =
        "example.com/log\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} example.com/log AAAAAAAA\n";
    let order = r#"{"v":1,"seq":0,"verb":"sign"}"#;
    seeds.extend(named("leaf", &[("verifier-key", &key), ("checkpoint", note), ("out-of-order", order)]));
    seeds
}

fn names() -> Vec<Seed> {
    named(
        "names",
        &[
            ("repository", "docker.io/library/app"),
            ("delegated", "releases/stable"),
            ("dots", "a/../b"),
            ("look-alike", "tаrgets"),
            ("capital", "Targets"),
            ("control", "timestamp\u{0}"),
            ("turned-around", "\u{202e}stegrat"),
            ("caller", "uri:spiffe://acme/*"),
            ("token", "oidc:github/release"),
            ("group", "unix-group:4294967296"),
            ("pattern", "acme/**/a*\nacme/x/y/app"),
            ("hostile-pattern", &format!("{}\n{}", "*a".repeat(40), "a".repeat(40))),
            ("time", "2030-02-28T23:59:59Z"),
            ("no-time", "2030-02-30T23:59:59Z"),
        ],
    )
}

fn published_files() -> Vec<Seed> {
    let root = |version: i64, threshold: i64, signer: u8| {
        let id = |number: u8| default_form(&public_key(number)).key_id;
        let role = |number: u8, threshold: i64| {
            let members = [("keyids", Value::Array(vec![id(number).into()])), ("threshold", threshold.into())];
            object(members.into_iter())
        };
        let roles = [
            ("root", role(100, threshold)),
            ("snapshot", role(2, 1)),
            ("targets", role(3, 1)),
            ("timestamp", role(1, 1)),
        ];
        let keys: BTreeMap<String, Value> =
            [100, 1, 2, 3].into_iter().map(|number| (id(number), default_object(&public_key(number)))).collect();
        let signed = encode(&object(
            [
                ("_type", "root".into()),
                ("consistent_snapshot", Value::Bool(true)),
                ("expires", "2031-01-01T00:00:00Z".into()),
                ("keys", object(keys.iter().map(|(name, key)| (name.as_str(), key.clone())))),
                ("roles", object(roles.into_iter())),
                ("spec_version", "1.0.31".into()),
                ("version", version.into()),
            ]
            .into_iter(),
        ));
        let pair = Ed25519KeyPair::from_seed_unchecked(&[signer; 32]).unwrap();
        let signature = EnvelopeSignature { key_id: id(100), signature: pair.sign(&signed).as_ref().to_vec() };
        assemble(&signed, &[signature]).unwrap()
    };
    let mut seeds: Vec<Seed> = [
        ("root", root(1, 1, 100)),
        ("root-2", root(2, 1, 100)),
        ("unmet", root(1, 2, 100)),
        ("forged", root(1, 1, 99)),
    ]
    .map(|(name, bytes)| ("published_file", name.to_owned(), bytes))
    .into();
    let unsigned = assemble(timestamp(2, 1).as_bytes(), &[]).unwrap();
    seeds.push(("published_file", "unsigned".to_owned(), unsigned));
    seeds
}

fn object<'n>(members: impl Iterator<Item = (&'n str, Value)>) -> Value {
    Value::Object(sealward::tuf::canonical::Object::of(members.map(|(name, value)| (name.to_owned(), value))))
}

fn requests() -> Vec<Seed> {
    let request = |role: &str, payload: String| SignRequest {
        repository: "demo".to_owned(),
        role: role.to_owned(),
        payload: payload.into_bytes().into(),
        ..SignRequest::default()
    };
    let good = request("timestamp", timestamp(2, 1));
    let attached = assemble(snapshot(1, &[("targets", 1)]).as_bytes(), &[]).unwrap();
    [
        ("timestamp", good.clone()),
        ("snapshot", request("snapshot", snapshot(2, &[("targets", 1)]))),
        ("targets", request("targets", targets(2))),
        ("replay", request("timestamp", timestamp(1, 1))),
        ("one-key", SignRequest { key: key_id(1).to_string(), encoding: 1, ..good.clone() }),
        ("foreign-key", SignRequest { key: key_id(2).to_string(), ..good.clone() }),
        ("with-snapshot", SignRequest { snapshot_file: attached.into(), ..good.clone() }),
        ("another-role", request("snapshot", timestamp(2, 1))),
        ("root", request("root", targets(2))),
        ("slash", request("targets/../root", targets(2))),
        ("another-repository", SignRequest { repository: "demo/".to_owned(), ..good.clone() }),
        ("jump", request("timestamp", timestamp(12, 1))),
        ("rollback", request("snapshot", snapshot(2, &[]))),
        ("equivocation", request("targets", targets(1).replace("1.0.31", "1.0.30"))),
    ]
    .map(|(name, request)| ("wire_to_law", name.to_owned(), request.encode_to_vec()))
    .into_iter()
    .chain(named("wire_to_law", &[("bare-payload", &timestamp(3, 1)), ("nothing", "")]))
    .collect()
}

fn tokens() -> Vec<Seed> {
    let token = |header: &str, payload: &str, signature: &[u8]| {
        let part = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        format!("{}.{}.{}", part(header.as_bytes()), part(payload.as_bytes()), part(signature))
    };
    let header = r#"{"alg":"RS256","kid":"k1","typ":"JWT"}"#;
    let payload = r#"{"aud":["sealward"],"exp":1900000000,"iat":1899999000,"iss":"https://ci.example","sub":"repo:a/b:ref:refs/heads/main"}"#;
    named(
        "token",
        &[
            ("good-shape", &token(header, payload, &[7; 64])),
            ("none", &token(r#"{"alg":"none","kid":""}"#, payload, &[])),
            ("crit", &token(r#"{"alg":"ES256","b64":false,"crit":["b64"],"kid":"k"}"#, payload, &[7; 64])),
            ("twice", &token(r#"{"alg":"ES256","alg":"none","kid":"k"}"#, payload, &[7; 64])),
            ("deep", &token(header, &"[".repeat(200), &[7; 64])),
            ("float", &token(header, r#"{"exp":1.9e9,"sub":"\ud800"}"#, &[7; 64])),
            ("padded", &format!("{}==", token(header, payload, &[7; 64]))),
            ("four-parts", &format!("{}.AA", token(header, payload, &[7; 64]))),
            ("dots", ".."),
        ],
    )
}
