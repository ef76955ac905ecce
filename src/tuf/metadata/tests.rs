use super::*;

const MAX: usize = 1 << 20;
const TIMESTAMP: &str = "{\"_type\":\"timestamp\",\"expires\":\"2030-01-01T00:00:00Z\",\
                         \"meta\":{\"snapshot.json\":{\"version\":2}},\"spec_version\":\"1.0.31\",\"version\":7}";
const SNAPSHOT: &str = "{\"_type\":\"snapshot\",\"expires\":\"2030-01-01T00:00:00Z\",\
                        \"meta\":{\"targets.json\":{\"version\":2}},\"spec_version\":\"1.0.31\",\"version\":7}";
const TARGETS: &str = "{\"_type\":\"targets\",\"expires\":\"2030-01-01T00:00:00Z\",\"spec_version\":\"1.0.31\",\
                       \"targets\":{\"f\":{\"hashes\":{\"sha256\":\"00\"},\"length\":0}},\"version\":7}";
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(text: &str) -> Result<Statement, Denial> {
    read_signed(text.as_bytes(), MAX)
}

/// The reason for the text after one replacement, which must apply.
fn reason(text: &str, from: &str, to: &str) -> Reason {
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from} does not occur");
    match read(&changed) {
        Ok(_) => panic!("accepted: {changed}"),
        Err(denial) => denial.reason,
    }
}

fn with_digest(text: &str) -> String {
    text.replace("\"00\"", &format!("\"{SHA256}\""))
}

#[test]
fn a_timestamp_says_its_version_expiry_and_snapshot() {
    let entry =
        format!("{{\"hashes\":{{\"sha256\":\"{SHA256}\",\"whirl\":\"0a\"}},\"length\":9,\"version\":2,\"x\":null}}");
    let statement = read(&TIMESTAMP.replace("{\"version\":2}", &entry)).unwrap();
    assert_eq!(statement.metadata_type(), MetadataType::Timestamp);
    assert_eq!(statement.version().get(), 7);
    assert_eq!(statement.expires().to_string(), "2030-01-01T00:00:00Z");
    let listed = &statement.listing()["snapshot.json"];
    assert_eq!((listed.version.get(), listed.length), (2, Some(9)));
    assert_eq!(listed.sha256, Some(SHA256.parse().unwrap()));
    assert_eq!(statement.length(), TIMESTAMP.len() - "{\"version\":2}".len() + entry.len());
}

#[test]
fn a_snapshot_lists_every_entry() {
    let text = SNAPSHOT.replace("\"targets.json\"", "\"a/b.json\":{\"version\":9007199254740991},\"targets.json\"");
    let listing = read(&text).unwrap().listing().clone();
    let versions: Vec<_> = listing.iter().map(|(file, entry)| (file.as_str(), entry.version.get())).collect();
    assert_eq!(versions, [("a/b.json", (1 << 53) - 1), ("targets.json", 2)]);
}

#[test]
fn a_malformed_listing_is_refused() {
    use Reason::*;
    for (from, to, expected) in [
        ("{\"snapshot.json\":{\"version\":2}}", "{}", MalformedMetadata),
        ("{\"snapshot.json\":{\"version\":2}}", "[]", MalformedMetadata),
        ("snapshot.json", "snapshot", MalformedMetadata),
        (
            "\"snapshot.json\":{\"version\":2}",
            "\"snapshot.json\":{\"version\":2},\"x.json\":{\"version\":1}",
            MalformedMetadata,
        ),
        ("{\"version\":2}", "2", MalformedMetadata),
        ("{\"version\":2}", "{}", VersionInvalid),
        ("{\"version\":2}", "{\"version\":0}", VersionInvalid),
        ("{\"version\":2}", "{\"version\":9007199254740992}", VersionInvalid),
        ("{\"version\":2}", "{\"version\":\"2\"}", VersionInvalid),
        ("{\"version\":2}", "{\"length\":-1,\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"length\":null,\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"hashes\":{},\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"hashes\":[],\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"hashes\":{\"sha256\":\"00\"},\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"hashes\":{\"sha512\":\"0\"},\"version\":2}", MalformedMetadata),
        ("{\"version\":2}", "{\"hashes\":{\"sha512\":\"\"},\"version\":2}", MalformedMetadata),
        ("\"meta\"", "\"mfta\"", MalformedMetadata),
    ] {
        assert_eq!(reason(TIMESTAMP, from, to), expected, "{to}");
    }
    let target = "\"targets.json\"";
    for file in ["Root.json", "../x.json", "noend", ".json", "a b.json", "\u{1b}.json"] {
        assert_eq!(
            reason(SNAPSHOT, target, &format!("\"{file}\":{{\"version\":1}},{target}")),
            MalformedMetadata,
            "{file}"
        );
    }
    assert_eq!(reason(SNAPSHOT, "targets.json", "target.json"), MalformedMetadata);
}

#[test]
fn the_header_is_exact() {
    use Reason::*;
    for (from, to, expected) in [
        ("\"version\":7", "\"version\":0", VersionInvalid),
        ("\"version\":7", "\"version\":-1", VersionInvalid),
        ("\"version\":7", "\"version\":9007199254740992", VersionInvalid),
        ("\"version\":7", "\"version\":9223372036854775808", NotCanonical),
        ("\"version\":7", "\"version\":7.0", NotCanonical),
        ("\"version\":7", "\"version\":true", VersionInvalid),
        (",\"version\":7", "", VersionInvalid),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5Z", ExpiryFormat),
        ("2030-01-01T00:00:00Z", "2030-02-30T00:00:00Z", ExpiryFormat),
        ("\"expires\":\"2030-01-01T00:00:00Z\"", "\"expires\":1893456000", ExpiryFormat),
        ("\"expires\":\"2030-01-01T00:00:00Z\",", "", ExpiryFormat),
        ("1.0.31", "2.0.0", SpecVersion),
        ("1.0.31", "1", SpecVersion),
        ("1.0.31", "1.0.0.0", SpecVersion),
        ("1.0.31", "1.x", SpecVersion),
        ("1.0.31", "1.", SpecVersion),
        ("1.0.31", "01.0", SpecVersion),
        ("1.0.31", "", SpecVersion),
        ("\"spec_version\":\"1.0.31\"", "\"spec_version\":1", SpecVersion),
        ("\"timestamp\"", "\"Timestamp\"", MalformedMetadata),
        ("\"timestamp\"", "\"mirrors\"", MalformedMetadata),
        ("\"timestamp\"", "7", MalformedMetadata),
        ("\"_type\":\"timestamp\",", "", MalformedMetadata),
        ("\"timestamp\"", "\"snapshot\"", MalformedMetadata),
        ("\"timestamp\"", "\"root\"", OfflineRole),
    ] {
        assert_eq!(reason(TIMESTAMP, from, to), expected, "{to}");
    }
    assert!(read(&TIMESTAMP.replace("1.0.31", "1.0")).is_ok());
}

#[test]
fn root_metadata_is_refused_as_offline_whatever_else_it_says() {
    let denial = read("{\"_type\":\"root\"}").unwrap_err();
    assert_eq!(denial.reason, Reason::OfflineRole);
    assert!(denial.detail.contains("root online"));
}

#[test]
fn targets_need_length_and_hashes() {
    use Reason::MalformedMetadata;
    let targets = with_digest(TARGETS);
    assert!(read(&targets).unwrap().listing().is_empty());
    assert!(read(&targets.replace("\"hashes\":", "\"custom\":{\"a\":[null,-7]},\"hashes\":")).is_ok());
    assert_eq!(reason(&targets, ",\"length\":0", ""), MalformedMetadata);
    assert_eq!(reason(&targets, "\"length\":0", "\"length\":-1"), MalformedMetadata);
    assert_eq!(reason(TARGETS, "\"00\"", "\"0\""), MalformedMetadata);
    assert_eq!(reason(&targets, "\"targets\":{", "\"targett\":{"), MalformedMetadata);
    assert_eq!(reason(&targets, "\"hashes\"", "\"hashed\""), MalformedMetadata);
}

#[test]
fn delegations_are_well_formed_or_refused() {
    let key = "\"k\":{\"keytype\":\"x\",\"keyval\":{},\"scheme\":\"y\"}";
    let role = "{\"keyids\":[\"k\"],\"name\":\"a b\",\"paths\":[\"*\"],\"terminating\":false,\"threshold\":1}";
    let succinct = "{\"bit_length\":8,\"keyids\":[\"k\"],\"name_prefix\":\"p\",\"threshold\":1}";
    let with = |delegations: &str| {
        with_digest(TARGETS).replace("\"expires\"", &format!("\"delegations\":{delegations},\"expires\""))
    };
    let roles = with(&format!("{{\"keys\":{{{key}}},\"roles\":[{role}]}}"));
    let bins = with(&format!("{{\"keys\":{{{key}}},\"succinct_roles\":{succinct}}}"));
    read(&roles).unwrap();
    read(&bins).unwrap();
    for (text, from, to) in [
        (&roles, "\"roles\"", "\"rolez\""),
        (&roles, "\"keyids\":[\"k\"]", "\"keyids\":[\"l\"]"),
        (&roles, "\"keyids\":[\"k\"]", "\"keyids\":[\"k\",\"k\"]"),
        (&roles, "\"keyids\":[\"k\"]", "\"keyids\":\"k\""),
        (&roles, "\"name\":\"a b\"", "\"name\":\"root\""),
        (&roles, "\"name\":\"a b\"", "\"name\":\"\""),
        (&roles, "\"name\":\"a b\"", "\"name\":1"),
        (&roles, "\"terminating\":false", "\"terminating\":0"),
        (&roles, "\"threshold\":1", "\"threshold\":0"),
        (&roles, "\"paths\":[\"*\"]", "\"paths\":[1]"),
        (&roles, "\"paths\":[\"*\"],", ""),
        (&roles, "\"paths\":[\"*\"]", "\"path_hash_prefixes\":[],\"paths\":[\"*\"]"),
        (&roles, "[{\"keyids\"", "[1,{\"keyids\""),
        (&roles, "\"keytype\":\"x\"", "\"keytype\":1"),
        (&roles, key, "\"k\":1"),
        (&bins, "\"bit_length\":8", "\"bit_length\":33"),
        (&bins, "\"bit_length\":8", "\"bit_length\":0"),
        (&bins, "\"name_prefix\":\"p\"", "\"name_prefix\":null"),
        (&bins, "\"threshold\":1", "\"threshold\":-1"),
    ] {
        assert_eq!(reason(text, from, to), Reason::MalformedMetadata, "{to}");
    }
    let twice = roles.replace(role, &format!("{role},{role}"));
    assert_eq!(read(&twice).unwrap_err().reason, Reason::MalformedMetadata);
    assert_eq!(read(&with("1")).unwrap_err().reason, Reason::MalformedMetadata);
}

#[test]
fn only_canonical_bytes_of_bounded_length_are_read() {
    for end in 0..TIMESTAMP.len() {
        assert_eq!(read(&TIMESTAMP[..end]).unwrap_err().reason, Reason::NotCanonical, "{end}");
    }
    assert!(read_signed(TIMESTAMP.as_bytes(), TIMESTAMP.len()).is_ok());
    assert_eq!(read_signed(TIMESTAMP.as_bytes(), TIMESTAMP.len() - 1).unwrap_err().reason, Reason::PayloadTooLarge);
    assert_eq!(reason(TIMESTAMP, ",\"version\"", ", \"version\""), Reason::NotCanonical);
    assert_eq!(read("[]").unwrap_err().reason, Reason::MalformedMetadata);
    assert_eq!(read("\"\"").unwrap_err().reason, Reason::MalformedMetadata);
    let huge = vec![b'['; 100 << 20];
    assert_eq!(read_signed(&huge, 8 << 20).unwrap_err().reason, Reason::PayloadTooLarge);
    let olpc = read(&TIMESTAMP.replace("\"version\":7", "\"version x\":1,\"version\":7")).unwrap_err();
    assert!(olpc.detail.contains("olpc-cjson"), "{olpc}");
}

#[test]
fn a_denial_shows_no_control_characters_and_not_much_of_a_name() {
    let long = format!("\"\u{1b}[31m{}\"", "x".repeat(100_000));
    let denial = read(&TIMESTAMP.replace("\"timestamp\"", &long)).unwrap_err();
    assert!(!denial.detail.contains('\u{1b}') && denial.detail.len() < 300, "{denial}");
}
