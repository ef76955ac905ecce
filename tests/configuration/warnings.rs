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
    let snapshot = usual_with("[[grant]]", "[repository.role.snapshot]\nkeystore = \"hsm\"\n[[grant]]");
    let text = warning(&snapshot);
    let place = line_of(&snapshot, "[repository.role.snapshot]");
    assert!(text.starts_with(&format!("/etc/sealward/sealward.toml:{place}18: ")), "where the role stands: {text}");
    assert!(text.contains("[role-without-grant] no grant lets anybody sign snapshot of `acme/app`"), "{text}");
    let verb = warning(&usual_with("[\"sign\"]", "[\"explain\"]"));
    assert!(verb.contains("[role-without-grant]"), "{verb}");
    let keyless = warning(&usual_with("keystore = \"hsm\"\n", ""));
    assert!(keyless.contains("[role-without-keystore] timestamp of `acme/app`"), "{keyless}");
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
    let told =
        usual_with("[[grant]]", "[repository.role.targets]\ncustody = \"online\"\nkeystore = \"hsm\"\n[[grant]]");
    let told = told.replace("[\"timestamp\"]", "[\"timestamp\", \"targets\"]");
    assert!(good(&told).warnings.is_empty(), "said, so meant");
    for verb in ["delegate", "approve"] {
        let text =
            good(&told.replace("[\"sign\"]", &format!("[\"{verb}\"]")).replace("\"targets\"]", "\"*\"]")).warnings;
        let wanted = format!("[wildcard-reaches-targets] roles `*` lets these callers {verb} targets too");
        assert!(text.iter().any(|line| line.contains(&wanted)), "{text:#?}");
    }
    let bins: String = ["a", "b", "c/d", "e"]
        .map(|role| format!("[repository.role.\"{role}\"]\ncustody = \"online\"\nkeystore = \"hsm\"\n"))
        .concat();
    let wide = told.replace("[[grant]]", &format!("{bins}[[grant]]")).replace("\"targets\"]", "\"**\"]");
    let text = warning(&wide);
    assert!(text.contains("roles `**` lets these callers sign targets, a, b, c/d and 1 more too"), "{text}");
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

/// The usual file with another grant at its end, and where that grant stands.
fn with_grant(callers: &str, verbs: &str, repositories: &str, roles: &str) -> (String, String) {
    let list = |text: &str| text.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let grant = format!(
        "[[grant]]\ncallers = [{}]\nverbs = [{}]\nrepositories = [{}]\nroles = [{}]\n",
        list(callers),
        list(verbs),
        list(repositories),
        list(roles)
    );
    let line = usual().matches('\n').count() + 1;
    (format!("{}{grant}", usual()), format!("/etc/sealward/sealward.toml:{line}:1: "))
}

#[test]
fn a_grant_that_gives_nothing_says_why() {
    for (verbs, repositories, roles, wanted) in [
        (
            "read",
            "amce/app",
            "**",
            "[grant-never-matches] this grant gives nothing: amce/app: no [[repository]] declares it",
        ),
        (
            "explain",
            "acme/app",
            "snapshto",
            "[grant-never-matches] this grant gives nothing: none of the roles that it names",
        ),
        ("sign", "acme/app", "root", "[grant-never-matches] this grant gives nothing: none of the roles that it names"),
        (
            "delegate",
            "acme/app",
            "timestamp",
            "[grant-never-matches] this grant gives nothing: of the roles that it names",
        ),
        (
            "status",
            "acme/app",
            "**",
            "[grant-never-matches] this grant gives nothing: `status` is about the whole daemon",
        ),
        (
            "explain delegate",
            "acme/app",
            "timestamp",
            "[verb-never-granted] `delegate` is not given by this grant: of the",
        ),
        (
            "read",
            "acme/app amce/app",
            "**",
            "[pattern-never-matches] no [[repository]] has a name that `amce/app` means",
        ),
        ("explain", "acme/app", "timestamp snapshto", "[pattern-never-matches] no role of the repositories that this"),
    ] {
        let (text, place) = with_grant("person:bob", verbs, repositories, roles);
        let bob = "[[person]]\nname = \"bob\"\nidentities = [\"unix:7\"]\n";
        let warning = warning(&format!("{text}{bob}"));
        assert!(warning.starts_with(&format!("{place}{wanted}")), "{verbs} {repositories} {roles}: {warning}");
    }
    let offline = usual_with("[[grant]]", "[repository.role.targets]\ncustody = \"offline\"\n[[grant]]");
    let offline = format!(
        "{offline}[[grant]]\ncallers = [\"unix:7\"]\nverbs = [\"sign\"]\nrepositories = [\"**\"]\nroles = [\"targets\"]\n"
    );
    let text = warning(&offline);
    assert!(
        text.contains("[grant-never-matches]") && text.contains("targets of acme/app: the role is offline"),
        "{text}"
    );
    let (roots, _) = with_grant("unix:7", "manage-roots", "acme/app", "root");
    assert!(good(&roots).warnings.is_empty(), "manage-roots is for root");
}

#[test]
fn a_grant_that_another_one_contains_is_told_with_its_line() {
    let first = line_of(&usual(), "[[grant]]");
    for (callers, repositories, roles) in
        [("unix:1000", "acme/*", "timestamp"), ("unix:1000", "**", "*"), ("unix:1000 unix:7", "acme/app", "t*p")]
    {
        let (text, place) = with_grant(callers, "explain sign", repositories, roles);
        let told = good(&text).warnings;
        let line = place.split(':').nth(1).unwrap();
        let wanted = format!("[shadowed-grant] the grant in line {line} gives all that this one gives");
        let found = told.iter().filter(|told| told.contains("shadowed")).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{told:#?}");
        assert!(found[0].contains(&wanted) && found[0].contains(&format!(".toml:{first}1: ")), "{found:?}");
    }
    let (same, place) = with_grant("unix:1000", "sign", "acme/app", "timestamp");
    let text = warning(&same);
    let line = first.trim_end_matches(':');
    assert_eq!(text, format!("{place}[duplicate-grant] the grant in line {line} gives exactly the same"));
    for (callers, verbs, repositories, roles) in [
        ("unix:7", "sign", "**", "timestamp"),
        ("unix:1000", "explain", "**", "timestamp"),
        ("unix-group:1000", "sign", "acme/app", "timestamp"),
    ] {
        let (text, _) = with_grant(callers, verbs, repositories, roles);
        assert!(!good(&text).warnings.iter().any(|line| line.contains("shadowed") || line.contains("duplicate")));
    }
    let twice = warning(&usual_with("\"unix:1000\"", "\"unix:1000\", \"unix:1000\""));
    assert!(twice.contains("[named-twice] `unix:1000`"), "{twice}");
}

#[test]
fn the_line_of_a_person_shadows_that_of_their_identity() {
    let person = "[[person]]\nname = \"alice\"\nidentities = [\"unix:1000\"]\n[[grant]]";
    let text = usual_with("[[grant]]", person);
    let grant = "[[grant]]\ncallers = [\"person:alice\"]\nverbs = [\"sign\", \"read\"]\nrepositories = [\"**\"]\nroles = [\"timestamp\"]\n";
    assert!(warning(&format!("{text}{grant}")).contains("[shadowed-grant]"), "the daemon takes unix:1000 for alice");
    let other = grant.replace("\"sign\", \"read\"", "\"sign\"").replace("**", "acme/app");
    assert!(warning(&format!("{text}{other}")).contains("[duplicate-grant]"));
}

#[test]
fn an_approver_who_is_no_person_is_told() {
    let (text, place) = with_grant("unix:7", "approve", "acme/app", "root");
    let told = warning(&text);
    assert_eq!(
        told,
        format!("{place}[approver-no-person] `unix:7` may approve and is no [[person]]: its approvals never count")
    );
    let bob = format!("{text}[[person]]\nname = \"bob\"\nidentities = [\"unix:7\"]\n");
    assert!(good(&bob).warnings.is_empty(), "{:?}", good(&bob).warnings);
    let (group, _) = with_grant("unix-group:4", "approve", "acme/app", "root");
    assert!(good(&group).warnings.is_empty(), "who is in a group, the machine knows");
}

#[test]
fn an_attended_role_that_finds_too_few_people_is_told() {
    let role = |approvals: u32| {
        format!(
            "[repository.role.targets]\ncustody = \"attended\"\napprovals = {approvals}\nkeystore = \"hsm\"\n[[grant]]"
        )
    };
    let person = |name: &str, uid: u32| format!("[[person]]\nname = \"{name}\"\nidentities = [\"unix:{uid}\"]\n");
    let grant = |verb: &str, callers: &str| {
        format!(
            "[[grant]]\ncallers = [{callers}]\nverbs = [\"{verb}\"]\nrepositories = [\"acme/*\"]\nroles = [\"targets\"]\n"
        )
    };
    let people = format!("{}{}", person("alice", 1), person("bob", 2));
    let told = |approvals, sign: &str, approve: &str| {
        let more = format!("{people}{}{}", grant("sign", sign), grant("approve", approve));
        good(&format!("{}{more}", usual_with("[[grant]]", &role(approvals)))).warnings
    };
    let (alice, both) = ("\"person:alice\"", "\"person:alice\", \"unix:2\"");
    for (approvals, sign, approve, wanted) in [
        (1, alice, alice, "only alice may approve it, and nobody who may ask finds so many"),
        (2, both, both, "only alice, bob may approve it, and nobody who may ask finds so many"),
        (2, "\"unix:9\"", alice, "takes 2 approvals, and only alice may approve it: it never signs"),
        (3, "\"unix:9\"", both, "only alice, bob may approve it: it never signs"),
    ] {
        let found = told(approvals, sign, approve);
        let found: Vec<_> = found.iter().filter(|line| line.contains("[approvals-out-of-reach]")).collect();
        assert!(found.len() == 1 && found[0].contains(wanted), "{approvals} {sign} {approve}: {found:?}");
    }
    for (approvals, sign, approve) in
        [(1, both, both), (2, "\"unix:9\"", both), (1, "\"unix:9\"", alice), (1, alice, "\"unix-group:4\"")]
    {
        let found = told(approvals, sign, approve);
        assert!(!found.iter().any(|line| line.contains("out-of-reach")), "{approvals} {sign} {approve}: {found:?}");
    }
}

#[test]
fn a_repository_pattern_that_is_never_chosen_is_told() {
    let repositories = |first: &str, second: &str| {
        let role = "[repository.role.timestamp]\nkeystore = \"hsm\"\n";
        let one = |pattern: &str| format!("pattern = \"{pattern}\"\n{role}");
        let two = format!("{}[[repository]]\n{}", one(first), one(second));
        usual_with(&format!("name = \"acme/app\"\n{role}"), &two).replace("[\"acme/app\"]", "[\"**\"]")
    };
    let text = warning(&repositories("acme/**", "acme/*"));
    assert!(text.contains("[repository-never-chosen] `acme/*` is never chosen: `acme/**` in line "), "{text}");
    for (first, second) in [("acme/*", "acme/**"), ("a*", "*a")] {
        assert!(good(&repositories(first, second)).warnings.is_empty());
    }
}

#[test]
fn keys_that_are_made_where_nobody_operates_are_told() {
    let administrator = |more: &str| {
        format!(
            "{}[[grant]]\ncallers = [\"unix:7\"]\nverbs = [\"manage-keys\"]\nrepositories = [\"acme/*\"]\nroles = [\"timestamp\"]\n{more}",
            usual()
        )
    };
    let told = warning(&administrator(""));
    assert!(told.contains("[nobody-operates]"), "{told}");
    let operator = "[[grant]]\ncallers = [\"unix:8\"]\nverbs = [\"operate\"]\n";
    assert!(good(&administrator(operator)).warnings.is_empty());
    let half = operator.to_owned() + "repositories = [\"acme/app\"]\nroles = [\"**\"]\n";
    assert!(good(&administrator(&half)).warnings.iter().any(|line| line.contains("[nobody-operates]")));
}

#[test]
fn a_typing_error_is_told_with_what_was_meant() {
    for (role, meant) in [("snaphot", Some("snapshot")), ("tragets", Some("targets")), ("timestmap", Some("timestamp"))]
    {
        misspelt(role, meant);
    }
    for role in ["target-x", "targets2", "releases", "stable", "releases/snaphot"] {
        misspelt(role, None);
    }
    for (repositories, roles, wanted) in [
        ("acme/app", "timestmap", "[repository.role.NAME] there; did you mean `timestamp`?"),
        ("acme/app", "timestamp timestmap", "`timestmap` means; did you mean `timestamp`?"),
        ("amce/app", "**", "declares it; did you mean `acme/app`?"),
        ("acme/app amce/app", "**", "`amce/app` means; did you mean `acme/app`?"),
    ] {
        let (text, _) = with_grant("unix:7", "explain", repositories, roles);
        let told = warning(&text);
        assert!(told.ends_with(wanted), "{told}");
    }
    let (text, _) = with_grant("person:karol", "explain", "acme/app", "timestamp");
    let text = format!("{text}[[person]]\nname = \"Carol\"\nidentities = [\"unix:7\"]\n");
    let mistake = super::mistake(&text);
    assert!(mistake.ends_with("no [[person]] is named `karol`; did you mean `Carol`?"), "{mistake}");
}

/// A role of this name, signed by somebody, with what the one warning about it suggests.
fn misspelt(role: &str, meant: Option<&str>) {
    let table = format!("[repository.role.\"{role}\"]\ncustody = \"online\"\nkeystore = \"hsm\"\n[[grant]]");
    let text = usual_with("[[grant]]", &table).replace("[\"timestamp\"]", &format!("[\"timestamp\", \"{role}\"]"));
    let told = good(&text).warnings;
    match meant {
        None => assert!(told.is_empty(), "{told:#?}"),
        Some(meant) => {
            let wanted = format!(
                "[role-misspelt] `{role}` of `acme/app` is a delegated role of this name; did you mean `{meant}`?"
            );
            assert!(told.len() == 1 && told[0].ends_with(&wanted), "{told:#?}");
        }
    }
}
