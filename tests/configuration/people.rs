//! `[[person]]`: who counts as whom, and every mistake in it.

use super::{good, line_of, mistake, mistakes, usual_with};
use sealward::domain::caller::Caller;

const ALICE: &str = "[[person]]\nname = \"alice\"\nidentities = [\"unix:1000\", \"unix:1001\"]\n";

/// The usual file with these tables before its grant.
fn with(tables: &str) -> String {
    usual_with("[[grant]]", &format!("{tables}[[grant]]"))
}

fn the_warning(text: &str) -> String {
    let warnings = good(text).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    warnings.into_iter().next().unwrap()
}

#[test]
fn a_person_has_a_name_and_identities() {
    let configuration = good(&with(ALICE));
    assert!(configuration.warnings.is_empty(), "{:?}", configuration.warnings);
    let unix = |uid| Caller::Unix { uid, gids: vec![] };
    let persons = configuration.grants.persons();
    assert_eq!(persons.of(&unix(1001)).map(|name| name.as_str()), Some("alice"));
    assert_eq!(persons.of(&unix(1002)), None);
}

#[test]
fn every_mistake_has_its_place_and_code() {
    for (old, new, wanted) in [
        ("name = \"alice\"\n", "", "[missing-key] [[person]] needs the key `name`"),
        ("identities = [\"unix:1000\", \"unix:1001\"]\n", "", "[missing-key] [[person]] needs the key `identities`"),
        ("\"alice\"", "\"a b\"", "[invalid-name] `name`: a name is 1 to 64 characters"),
        ("\"alice\"", "\"\"", "[invalid-name] `name`"),
        ("\"alice\"", "\"аlice\"", "[invalid-name] `name`"),
        ("\"alice\"", "7", "[wrong-type] `name`"),
        ("[\"unix:1000\", \"unix:1001\"]", "[]", "[invalid-value] `identities`: an empty list"),
        ("[\"unix:1000\", \"unix:1001\"]", "\"unix:1000\"", "[wrong-type] `identities`"),
        ("\"unix:1001\"", "\"unix-group:4\"", "[invalid-value] `identities`: a person comes in as unix:UID"),
        ("\"unix:1001\"", "\"anonymous@local\"", "[invalid-value] `identities`: a person comes in as"),
        ("\"unix:1001\"", "\"person:bob\"", "[invalid-value] `identities`: a person comes in as"),
        ("\"unix:1001\"", "\"alice\"", "[invalid-value] `identities`: `alice` names no caller"),
        ("identities", "identity_list", "[unknown-key] [[person]] has no key `identity_list`"),
        ("[[person]]", "[person]", "[wrong-type] `person` is a list: write its header in double brackets"),
    ] {
        let text = with(&ALICE.replacen(old, new, 1));
        let lines = mistakes(&text);
        let found = lines.iter().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{wanted}: {lines:#?}"));
        let line: usize = found.split(':').next().unwrap().parse().unwrap();
        let first: usize = line_of(&text, "person]").trim_end_matches(':').parse().unwrap();
        assert!((first..first + 3).contains(&line), "{found}");
    }
}

#[test]
fn nobody_is_two_persons() {
    let twice = mistake(&with(&format!("{ALICE}{}", ALICE.replace("1000", "7").replace("1001", "8"))));
    assert!(twice.contains("[duplicate] `alice` has a [[person]] already"), "{twice}");
    let bob = "[[person]]\nname = \"bob\"\nidentities = [\"unix:1001\"]\n";
    let shared = mistake(&with(&format!("{ALICE}{bob}")));
    assert!(shared.contains("[duplicate] an identity of `bob` is one of `alice` already"), "{shared}");
    let unknown = mistake(&usual_with("\"unix:1000\"", "\"person:alise\""));
    assert!(unknown.contains("[unknown-reference]") && unknown.contains("no [[person]] is named `alise`"), "{unknown}");
}

#[test]
fn persons_whose_patterns_meet_are_told() {
    let tls = "[[listener]]\nname = \"tls\"\nkind = \"tcp-mtls\"\naddress = \"127.0.0.1:0\"\ncertificate = \"c\"\nkey = { file = \"k\" }\nclient_ca = \"a\"\n";
    let person = |name: &str, identity: &str| format!("[[person]]\nname = \"{name}\"\nidentities = [\"{identity}\"]\n");
    let two = |one: &str, other: &str| {
        let text = with(&format!("{tls}{}{}", person("alice", one), person("bob", other)));
        text.replace("callers = [\"unix:1000\"]", "callers = [\"unix:1000\", \"person:alice\", \"person:bob\"]")
    };
    let text = the_warning(&two("uri:spiffe://acme/*", "uri:spiffe://acme/bob"));
    assert!(
        text.contains("[persons-overlap] `uri:spiffe://acme/bob` of `bob` meets `uri:spiffe://acme/*` of `alice`"),
        "{text}"
    );
    assert!(good(&two("uri:spiffe://acme/a*", "uri:spiffe://acme/bob")).warnings.is_empty());
}

#[test]
fn a_person_whom_no_grant_names_is_told() {
    let bob = "[[person]]\nname = \"bob\"\nidentities = [\"unix:7\"]\n";
    let text = the_warning(&with(bob));
    assert!(text.contains("[person-without-grant] no grant names `bob`"), "{text}");
    for caller in ["person:bob", "unix:7", "unix-group:4"] {
        let text = with(bob).replace("\"unix:1000\"", &format!("\"unix:1000\", \"{caller}\""));
        assert!(good(&text).warnings.is_empty(), "{caller}");
    }
    let absent =
        with(&bob.replace("unix:7", "dns:bob.example")).replace("\"unix:1000\"", "\"unix:1000\", \"person:bob\"");
    let text = the_warning(&absent);
    assert!(text.contains("[caller-never-comes] `bob` has an identity that no listener lets in"), "{text}");
}
