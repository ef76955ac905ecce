//! What is legal and probably not meant.

use super::{LEAST, good, least_and, line_of, usual, usual_with};

/// The one warning of a text.
fn warning(text: &str) -> String {
    let mut warnings = good(text).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    warnings.remove(0)
}

#[test]
fn an_empty_daemon_is_told() {
    let warnings = good(LEAST).warnings.join("\n");
    for name in ["[no-repository]", "[no-keystore]", "[no-grant]"] {
        assert!(warnings.contains(name), "{warnings}");
    }
}

#[test]
fn a_grant_that_never_matches_is_told_with_its_place() {
    let more = "[[grant]]\ncallers = [\"unix:7\"]\nverbs = [\"read\"]\nrepositories = [\"amce/*\"]\nroles = [\"**\"]\n";
    let text = format!("{}{more}", usual());
    let warning = warning(&text);
    let last = line_of(&text, more);
    assert!(warning.starts_with(&format!("/etc/sealward/sealward.toml:{last}1: [grant-never-matches]")), "{warning}");
}

#[test]
fn a_role_that_nobody_may_sign_is_told() {
    let snapshot = usual_with("[[grant]]", "[repository.role.snapshot]\n[[grant]]");
    let text = warning(&snapshot);
    assert!(text.contains("[role-without-grant] no grant lets anybody sign snapshot of `acme/app`"), "{text}");
    let verb = warning(&usual_with("[\"sign\"]", "[\"explain\"]"));
    assert!(verb.contains("[role-without-grant]"), "{verb}");
    let offline = usual_with("[[grant]]", "[repository.role.targets]\ncustody = \"offline\"\n[[grant]]");
    assert!(good(&offline).warnings.is_empty(), "an offline role needs no grant");
    let pattern = usual_with("name = \"acme/app\"", "pattern = \"acme/*\"");
    assert!(good(&pattern).warnings.is_empty(), "a grant for one name meets a pattern");
}

#[test]
fn a_wildcard_that_reaches_targets_is_told() {
    for roles in ["*", "**", "t*"] {
        let text = warning(&usual_with("[\"timestamp\"]", &format!("[\"{roles}\"]")));
        assert!(text.contains("[wildcard-reaches-targets]"), "{text}");
    }
    assert!(good(&usual_with("[\"timestamp\"]", "[\"time*\"]")).warnings.is_empty());
    assert!(good(&usual_with("[\"timestamp\"]", "[\"timestamp\", \"targets\"]")).warnings.is_empty(), "said, so meant");
}

#[test]
fn callers_that_no_listener_lets_in_are_told() {
    for caller in ["dns:ci.example", "uri:spiffe://example/*", "anonymous@local"] {
        let text = warning(&usual_with("\"unix:1000\"", &format!("\"{caller}\"")));
        assert!(text.contains("[caller-never-comes]"), "{text}");
    }
}

#[test]
fn verbs_over_the_whole_daemon_are_not_given_by_half() {
    let text = warning(&usual_with("[\"sign\"]", "[\"sign\", \"status\"]"));
    assert!(text.contains("[verb-never-granted] `status`"), "{text}");
}

#[test]
fn other_oddities_are_told() {
    let open = warning(&usual_with("path = \"sock\"", "path = \"sock\"\nmode = \"0666\""));
    assert!(open.contains("[socket-open-to-all] mode 0666"), "{open}");
    let secret = warning(&usual_with("name = \"hsm\"", "name = \"hsm\"\nenvironment = { HSM_PASSWORD = \"hunter2\" }"));
    assert!(secret.contains("[secret-in-environment] `HSM_PASSWORD`") && !secret.contains("hunter2"), "{secret}");
    let no_role =
        warning(&least_and(&super::USUAL.replace("[[repository]]", "[[repository]]\nname = \"b\"\n[[repository]]")));
    assert!(no_role.contains("[no-role] `b`"), "{no_role}");
}
