//! The table of rights says what the daemon's own grants say, question by question.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealward::config::{Configuration, Who, load};
use sealward::domain::caller::Caller;
use sealward::domain::grant::{Scope, Verb};
use sealward::domain::name::{Pattern, RepositoryName, Role};

use super::{good, least_and};

/// Overlapping patterns, persons, shadows, an offline role.
const MANY: &str = r#"
[[listener]]
name = "tls"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "c"
key = { file = "k" }
client_ca = "a"

[[keystore]]
name = "files"
kind = "software"
directory = "keys"
unseal = { identity = { file = "identity" } }

[[repository]]
pattern = "acme/*"
[repository.role.timestamp]
keystore = "files"
[repository.role.targets]
custody = "offline"

[[repository]]
name = "acme/app"
[repository.role.timestamp]
max_expiry = "1d"
max_supersedes = 2
cryptoperiod = { warn = "60d", refuse = "90d" }
max_signatures = { refuse = 1000 }
keystore = "files"
[repository.role.targets]
custody = "online"
keystore = "files"
[repository.role."releases/stable"]
custody = "online"
keystore = "files"

[[repository]]
pattern = "**"
[repository.role.snapshot]
keystore = "files"

[[person]]
name = "alice"
identities = ["unix:1001", "uri:spiffe://acme/alice"]

[[grant]]
callers = ["person:alice"]
verbs = ["sign", "explain", "delegate", "read"]
repositories = ["acme/**"]
roles = ["*"]

[[grant]]
callers = ["unix-group:4", "uri:spiffe://acme/*"]
verbs = ["sign", "read"]
repositories = ["*/app", "other"]
roles = ["timestamp", "snapshot"]

[[grant]]
callers = ["unix:1000"]
verbs = ["manage-roots", "manage-keys", "freeze", "approve"]
repositories = ["acme/app", "a*/x"]
roles = ["root", "releases/**", "t*"]

[[grant]]
callers = ["unix:1000"]
verbs = ["audit", "status", "operate"]
"#;

fn configuration() -> Configuration {
    good(&least_and(MANY))
}

fn callers() -> Vec<(&'static str, Caller)> {
    let certificate = |uri: &str| Caller::Certificate { dns: vec![], uris: vec![uri.to_owned()] };
    vec![
        ("unix:1000", Caller::Unix { uid: 1000, gids: vec![] }),
        ("unix:1001", Caller::Unix { uid: 1001, gids: vec![] }),
        ("unix:1000,unix-group:4", Caller::Unix { uid: 1000, gids: vec![4] }),
        ("unix:9", Caller::Unix { uid: 9, gids: vec![9] }),
        ("uri:spiffe://acme/alice", certificate("spiffe://acme/alice")),
        ("uri:spiffe://acme/bob", certificate("spiffe://acme/bob")),
        ("uri:spiffe://acme/a/b", certificate("spiffe://acme/a/b")),
    ]
}

/// Whether a row of the table is about this repository.
fn is_about(row: &str, repository: &RepositoryName, configuration: &Configuration) -> bool {
    let all = row.split(" and ").all(|pattern| Pattern::new(pattern).unwrap().matches(repository.as_str()));
    all && configuration.policies.find(repository).is_some()
}

#[test]
fn the_table_says_what_the_grants_say() {
    let configuration = configuration();
    let grants = &configuration.grants;
    let repositories = ["acme/app", "acme/lib", "acme/x", "other", "b/app", "a/x", "acme/a/b"];
    let (mut given, mut refused) = (0, 0);
    for (name, caller) in callers() {
        let who = Who::parse(name, &configuration).unwrap();
        let table = configuration.rights(&who, None);
        for verb in Verb::ALL {
            if verb.scope() == Scope::Daemon {
                let row = table.rights.iter().any(|row| row.verb == verb && row.blocked.is_none());
                assert_eq!(row, grants.allow_daemon(&caller, verb), "{name} {verb}");
                continue;
            }
            for repository in repositories.map(|text| text.parse::<RepositoryName>().unwrap()) {
                let policy = configuration.policies.find(&repository).unwrap();
                let rows = || {
                    table
                        .rights
                        .iter()
                        .filter(|row| row.verb == verb && is_about(&row.repository, &repository, &configuration))
                };
                if verb.scope() == Scope::Repository {
                    assert_eq!(
                        rows().next().is_some(),
                        grants.allow_repository(&caller, verb, &repository),
                        "{name} {verb}"
                    );
                    continue;
                }
                if verb == Verb::Freeze {
                    let whole = rows().any(|row| row.role.is_none());
                    assert_eq!(whole, grants.allow_whole_repository(&caller, verb, &repository), "{name} {repository}");
                }
                let roles = policy
                    .roles
                    .keys()
                    .cloned()
                    .chain([Verb::ManageRoots, Verb::Approve].contains(&verb).then_some(Role::Root));
                for role in roles {
                    let allowed = grants.allow_role(&caller, verb, &repository, &role);
                    // Only targets delegate; the grant alone does not know that.
                    let useful = verb != Verb::Delegate || !matches!(role, Role::Timestamp | Role::Snapshot);
                    let shown = rows().any(|row| {
                        row.role.as_deref() == Some(role.as_str())
                            && row.limits.as_ref().is_none_or(|limits| policy.roles.get(&role) == Some(limits))
                    });
                    assert_eq!(shown, allowed && useful, "{name} {verb} {repository} {role}: {:#?}", table.rights);
                    if shown { given += 1 } else { refused += 1 }
                }
            }
        }
    }
    assert!(given > 50 && refused > 200, "{given} {refused}");
}

#[test]
fn every_row_names_the_lines_that_give_it_and_what_holds() {
    let configuration = configuration();
    let text = least_and(MANY);
    let who = |name: &str| Who::parse(name, &configuration).unwrap();
    let line = |piece: &str| text.split_once(piece).unwrap().0.matches('\n').count();
    let alice = configuration.rights(&who("person:alice"), None);
    assert_eq!(alice.identities, ["person:alice", "unix:1001", "uri:spiffe://acme/alice"]);
    let timestamp = |row: &&sealward::config::Right| {
        row.verb == Verb::Sign && row.repository == "acme/app" && row.role.as_deref() == Some("timestamp")
    };
    let row = alice.rights.iter().find(timestamp).unwrap();
    assert_eq!(row.limits.as_ref().unwrap().max_expiry_seconds, 86_400);
    let places: Vec<usize> = row.places.iter().map(|place| place.line).collect();
    assert_eq!(
        places,
        [line("callers = [\"person:alice\"]"), line("callers = [\"unix-group:4\"")],
        "both lines give it"
    );

    let offline = alice.rights.iter().find(|row| row.verb == Verb::Sign && row.repository == "acme/*").unwrap();
    assert!(
        alice.rights.iter().any(|row| row.role.as_deref() == Some("targets")
            && row.repository == "acme/*"
            && row.blocked.as_ref().is_some_and(|why| why.contains("offline"))),
        "{offline:?}"
    );
    let note = "targets of acme/app is online: one request gets a signature of every key of it here";
    assert!(alice.notes.iter().any(|told| told.starts_with(note)), "{:?}", alice.notes);
    assert!(!alice.rights.iter().any(|row| row.role.as_deref() == Some("releases/stable")), "* stops at a slash");

    let user = configuration.rights(&who("unix:1001"), None);
    assert_eq!(user.identities, ["unix:1001", "person:alice"]);
    assert_eq!(user.notes.iter().filter(|note| note.contains("--as unix:1001,unix-group:4")).count(), 1);
    let all = configuration.rights(&who("uri:spiffe://**"), None);
    assert!(all.rights.is_empty());
    assert!(
        all.notes
            .iter()
            .any(|note| note.ends_with("gives more to those of these callers that are uri:spiffe://acme/*"))
    );
}

#[test]
fn a_caller_whom_no_listener_lets_in_has_rights_that_come_to_nothing() {
    let text = least_and(MANY).replace(
        "kind = \"unix\"\npath",
        "kind = \"tcp-mtls\"\naddress = \"127.0.0.1:1\"\ncertificate = \"c\"\nkey = { file = \"k\" }\nclient_ca",
    );
    let configuration = good(&text);
    let table = configuration.rights(&Who::parse("unix:1000", &configuration).unwrap(), None);
    assert!(!table.rights.is_empty());
    assert!(table.rights.iter().all(|row| row.blocked.as_deref() == Some("no listener lets this caller in")));
}

#[test]
fn everybody_is_found_once_and_persons_by_their_name() {
    let names: Vec<String> = configuration().callers().iter().map(Who::to_string).collect();
    assert_eq!(names, ["person:alice", "unix-group:4", "uri:spiffe://acme/*", "unix:1000"]);
}

#[test]
fn a_caller_that_is_none_is_refused() {
    let configuration = configuration();
    for bad in ["", "alice", "unix:x", "person:bob", "unix:1000,", "cn:alice"] {
        assert!(Who::parse(bad, &configuration).is_err(), "{bad}");
    }
    let tokens = good(&least_and(OVERLAPPING));
    for (bad, wanted) in [
        ("oidc:ci/mian", "provider `ci` has no [[oidc.identity]] named `mian`; known: main, any, tags"),
        ("oidc:ce/main", "no [[oidc]] is named `ce`; did you mean `ci`?"),
    ] {
        assert_eq!(Who::parse(bad, &tokens).unwrap_err().to_string(), wanted);
    }
    let error = Who::parse("person:bob", &configuration).unwrap_err().to_string();
    assert!(error.contains("known: alice"), "{error}");
}

/// The whole of the file as people see it. After a change that is meant: SEALWARD_REGENERATE=1.
#[test]
fn the_tables_of_the_shipped_files_are_as_they_were() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["attended", "ci", "software", "softhsm2"] {
        let file = root.join("hsm-config").join(name).with_extension("toml");
        let output = explain(&["--config", file.to_str().unwrap()]);
        assert!(output.status.success() && !output.stdout.contains(&0x1b), "{output:?}");
        let told = with_grants_by_number(&String::from_utf8(output.stdout).unwrap(), &load(&file).unwrap());
        let golden = root.join("tests/configuration/golden").join(name).with_extension("txt");
        if std::env::var_os("SEALWARD_REGENERATE").is_some() {
            fs::write(&golden, &told).unwrap();
        }
        assert_eq!(told, fs::read_to_string(&golden).unwrap(), "{}", golden.display());
    }
}

/// The table with `#1` instead of the line of the first grant: a comment more in a file is no other right.
fn with_grants_by_number(table: &str, configuration: &Configuration) -> String {
    let lines: Vec<String> = configuration.places.grants.iter().map(|place| place.line.to_string()).collect();
    let cell = |cell: &str| match lines.iter().position(|line| line == cell) {
        Some(number) => format!("#{}", number + 1),
        None => cell.to_owned(),
    };
    let row =
        |row: &str| row.split("  ").filter(|text| !text.is_empty()).map(|text| cell(text.trim())).collect::<Vec<_>>();
    table.lines().map(|line| format!("{}\n", row(line).join("  "))).collect()
}

#[test]
fn the_table_is_one_object_with_json_and_one_repository_when_asked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), least_and(MANY)).unwrap();
    let config = file.path().to_str().unwrap();
    let rows = |arguments: &[&str]| {
        let output = explain(&[&["--config", config, "--json"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["v"], 1);
        object["callers"].as_array().unwrap().clone()
    };
    assert_eq!(rows(&[]).len(), 4);
    let alice = rows(&["--as", "person:alice", "--repository", "acme/lib"]);
    let about: Vec<_> =
        alice[0]["rights"].as_array().unwrap().iter().map(|row| row["repository"].as_str().unwrap()).collect();
    assert!(!about.is_empty() && about.iter().all(|repository| *repository == "acme/lib"), "{about:?}");
    let text = explain(&["--config", config, "--as", "person:alice", "--repository", "acme/app"]);
    let wanted = "expiry 1d, step 10, 60/h burst 20, 2 supersedes per version, a key for 90d, 1000 signatures per key";
    assert!(String::from_utf8_lossy(&text.stdout).contains(wanted), "{text:?}");
    let nobody = explain(&["--config", config, "--as", "unix:77"]);
    assert!(nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("gives this caller anything"));
    let unknown = explain(&["--config", config, "--as", "person:bob"]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
    fs::write(file.path(), "version = 2\nlimit = 1\n").unwrap();
    let broken = explain(&["--config", config]);
    assert_eq!(broken.status.code(), Some(78));
    let told = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(told.contains(":1:11: [unsupported-version]") && told.contains(":2:1: [unknown-key]"), "{told}");
}

/// Identities of which some follow from others, and certificates with several names.
const OVERLAPPING: &str = r#"
[[listener]]
name = "tls"
kind = "tcp-mtls"
address = "127.0.0.1:0"
certificate = "c"
key = { file = "k" }
client_ca = "a"

[[listener]]
name = "tokens"
kind = "tcp-token"
address = "127.0.0.1:0"
certificate = "c"
key = { file = "k" }

[[keystore]]
name = "files"
kind = "software"
directory = "keys"
unseal = { identity = { file = "identity" } }

[[oidc]]
name = "ci"
issuer = "https://issuer.example"
audiences = ["us"]
discovery = true
[[oidc.identity]]
name = "main"
claims = { repository_id = "1", ref = "refs/heads/main", environment = "release" }
[[oidc.identity]]
name = "any"
claims = { repository_id = ["1", "2"], ref = { glob = "refs/heads/*" } }
[[oidc.identity]]
name = "tags"
claims = { repository_id = "1", ref = { glob = "refs/tags/v*" } }

[[repository]]
name = "demo"
[repository.role.timestamp]
keystore = "files"
[repository.role.snapshot]
keystore = "files"
[repository.role."targets/*"]
unguarded = true
custody = "online"
keystore = "files"

[[person]]
name = "alice"
identities = ["oidc:ci/main"]

[[grant]]
callers = ["oidc:ci/main", "uri:https://a.example/x"]
verbs = ["sign"]
repositories = ["demo"]
roles = ["timestamp"]

[[grant]]
callers = ["oidc:ci/any", "dns:a.example"]
verbs = ["sign", "freeze"]
repositories = ["demo"]
roles = ["snapshot"]

[[grant]]
callers = ["oidc:ci/tags"]
verbs = ["sign", "freeze"]
repositories = ["demo"]
roles = ["**"]
"#;

#[test]
fn a_token_has_what_every_identity_gives_that_follows_from_its_own() {
    let configuration = good(&least_and(OVERLAPPING));
    let table = |name: &str| configuration.rights(&Who::parse(name, &configuration).unwrap(), None);
    let signs = |name: &str| {
        let rights = table(name).rights;
        let signs = rights.iter().filter(|row| row.verb == Verb::Sign && row.blocked.is_none());
        signs.map(|row| row.role.clone().unwrap()).collect::<Vec<_>>()
    };
    let main = table("oidc:ci/main");
    assert_eq!(main.identities, ["oidc:ci/main", "oidc:ci/any", "person:alice"]);
    for name in ["oidc:ci/main", "person:alice"] {
        assert_eq!(signs(name), ["snapshot", "timestamp"], "{name}");
    }
    assert_eq!(signs("oidc:ci/any"), ["snapshot"], "the other way nothing follows");
    let token =
        "a token may have these as well, and more rights: oidc:ci/tags; ask with --as oidc:ci/main,oidc:ci/tags";
    assert!(main.notes.iter().any(|note| note == token), "{:?}", main.notes);
    let certificate = table("uri:https://a.example/x").notes;
    let wanted = "a certificate may have these as well, and more rights: dns:a.example; ask with --as uri:https://a.example/x,dns:a.example";
    assert!(certificate.iter().any(|note| note == wanted), "{certificate:?}");
    assert_eq!(signs("uri:https://a.example/x,dns:a.example"), ["snapshot", "timestamp"]);
    let named: Vec<String> = configuration.callers().iter().map(Who::to_string).collect();
    assert_eq!(named[0], "person:alice");
}

#[test]
fn a_role_without_a_guard_and_a_freeze_of_roles_only_are_told() {
    let configuration = good(&least_and(OVERLAPPING));
    let notes = |name: &str| configuration.rights(&Who::parse(name, &configuration).unwrap(), None).notes;
    let (all, some) = (notes("oidc:ci/tags"), notes("oidc:ci/any"));
    let unguarded = "targets/* of demo is unguarded";
    assert!(all.iter().any(|note| note.starts_with(unguarded)), "{all:?}");
    assert!(!some.iter().any(|note| note.starts_with(unguarded)), "{some:?}");
    let roles_only = "freezes the roles that are shown of demo, not the repository as a whole";
    assert!(some.iter().any(|note| note.starts_with(roles_only)), "{some:?}");
    assert!(!all.iter().any(|note| note.starts_with(roles_only)), "{all:?}");
}

#[test]
fn a_freeze_of_a_repository_as_a_whole_and_of_everything_has_a_row() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let alarm = "[[grant]]\ncallers = [\"unix:7\"]\nverbs = [\"freeze\"]\nrepositories = [\"**\"]\nroles = [\"**\"]\n";
    fs::write(file.path(), least_and(&format!("{OVERLAPPING}{alarm}"))).unwrap();
    let config = file.path().to_str().unwrap();
    let table = |more: &[&str]| {
        let output = explain(&[&["--config", config], more].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let has = |rows: &[String], row: &str| rows.iter().any(|line| line.starts_with(row));
    let (alarm, tags, any) =
        (table(&["--as", "unix:7"]), table(&["--as", "oidc:ci/tags"]), table(&["--as", "oidc:ci/any"]));
    assert!(has(&alarm, "** (whole) freeze") && has(&alarm, "demo (whole) freeze"), "{alarm:#?}");
    assert!(has(&tags, "demo (whole) freeze") && !has(&tags, "**"), "{tags:#?}");
    assert!(has(&any, "demo snapshot sign,freeze") && !has(&any, "demo (whole)"), "{any:#?}");
    let one = table(&["--as", "unix:7", "--repository", "demo"]);
    assert!(has(&one, "demo (whole) freeze") && !has(&one, "**"), "{one:#?}");
    for (more, wanted) in [
        (["--repository", "dmeo"], "no [[repository]] declares `dmeo`; did you mean `demo`?"),
        (["--as", "oidc:ci/nope"], "has no [[oidc.identity]] named `nope`"),
    ] {
        let output = explain(&[&["--config", config], &more[..]].concat());
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wanted), "{output:?}");
    }
}

/// As many repositories, and whoever may do everything in all of them, by one pattern and by every name.
fn large(repositories: usize) -> String {
    let mut text = least_and(MANY);
    let mut names = Vec::new();
    for number in 0..repositories {
        let name = format!("large/r{number}");
        text.push_str(&format!("[[repository]]\nname = \"{name}\"\n"));
        text.push_str(
            "[repository.role.timestamp]\nkeystore = \"files\"\n[repository.role.snapshot]\nkeystore = \"files\"\n",
        );
        names.push(format!("{name:?}"));
    }
    let verbs = Verb::ALL.map(|verb| format!("{:?}", verb.name())).join(", ");
    for (caller, repositories) in [("person:alice", "\"**\"".to_owned()), ("unix:4000", names.join(", "))] {
        text.push_str(&format!(
            "[[grant]]\ncallers = [\"{caller}\"]\nverbs = [{verbs}]\nrepositories = [{repositories}]\nroles = [\"**\"]\n"
        ));
    }
    text
}

#[test]
fn the_table_of_a_large_file_is_whole() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), large(2000)).unwrap();
    let config = file.path().to_str().unwrap();
    for caller in ["person:alice", "unix:4000"] {
        let output = explain(&["--config", config, "--as", caller]);
        let (rows, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{caller}: {notes}");
        for number in 0..2000 {
            let row = format!("large/r{number} ");
            assert!(rows.lines().filter(|line| line.starts_with(&row)).count() >= 3, "{caller}: {row}");
        }
        assert!(!notes.contains("no grant gives") && !notes.contains("not complete"), "{notes}");
    }
}

#[test]
fn a_table_that_cannot_be_whole_says_so_and_is_no_success() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Patterns of which no two mean one name, which takes long to see.
    let nasty: Vec<String> = (0..40).map(|number| format!("\"{}{number}y\"", "**a*".repeat(55))).collect();
    let wide = "[[repository]]\npattern = \"**\"";
    let repository = |number| format!("[[repository]]\npattern = \"{}{number}x\"\n", "*a".repeat(119));
    let many: String = (0..20).map(repository).collect();
    let mut text = least_and(&MANY.replace(wide, &format!("{many}{wide}")));
    text.push_str(&format!(
        "[[grant]]\ncallers = [\"person:alice\"]\nverbs = [\"sign\"]\nrepositories = [\"acme/app\"]\nroles = [\"**\"]\n\
         [[grant]]\ncallers = [\"person:alice\"]\nverbs = [\"sign\"]\nrepositories = [{}]\nroles = [\"**\"]\n",
        nasty.join(", ")
    ));
    fs::write(file.path(), &text).unwrap();
    let config = file.path().to_str().unwrap();
    let output = explain(&["--config", config, "--as", "person:alice"]);
    let (rows, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(78), "{notes}");
    assert!(notes.contains("not complete") && !notes.contains("no grant gives"), "{notes}");
    assert!(rows.lines().any(|line| line.starts_with("acme/app ")), "what was found is shown: {rows}");
    let told = good(&text).threshold_notes();
    assert!(told.iter().any(|note| note.contains("not every threshold")), "{told:?}");
    let json = explain(&["--config", config, "--as", "person:alice", "--json"]);
    assert_eq!(json.status.code(), Some(78));
    let object: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(object["callers"][0]["complete"], false);
}

#[test]
fn config_check_says_where_a_threshold_adds_nothing() {
    let notes = configuration().threshold_notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("targets of acme/app is online") && notes[0].ends_with(": person:alice"), "{notes:?}");
}

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealward")).args(["config", "explain"]).args(arguments).output().unwrap()
}
