//! Mistakes that people make, each with its place, its code and advice.

use super::{LEAST, USUAL, least_and, line_of, mistake, mistakes, usual, usual_with};

#[test]
fn three_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"version = 1
[ledger]
directry = "ledger"
directory = "ledger"
[log_key]
unseal = { identity = { file = "identity" } }
[[listener]]
name = "local"
kind = "unix"
path = 7
[[repository]]
name = "a"
role.timestamp.max_expiry = "7x"
"#;
    let lines = mistakes(text);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[0], "3:1 [unknown-key] [ledger] has no key `directry`; did you mean `directory`?");
    assert_eq!(lines[1], "10:8 [wrong-type] `path`: takes a string, not an integer");
    assert!(lines[2].starts_with("13:29 [invalid-duration] `max_expiry`: "), "{}", lines[2]);
}

#[test]
fn the_whole_text_names_file_line_column_and_code() {
    let errors = sealward::config::parse("version = 1\nlimit = 3\n", "/x/s.toml").unwrap_err();
    let text = errors.to_string();
    let first = text.lines().find(|line| line.contains("limit`")).unwrap();
    assert_eq!(first, "/x/s.toml:2:1: [unknown-key] the top level has no key `limit`; did you mean `limits`?");
    assert_eq!(errors.file(), "/x/s.toml");
}

#[test]
fn unknown_keys_are_refused_in_every_table_with_the_nearest_known() {
    for (old, new, wanted) in [
        ("version = 1", "version = 1\nlisteners = 1", "did you mean `listener`?"),
        ("directory = \"ledger\"", "directory = \"ledger\"\nDirectory = \"x\"", "did you mean `directory`?"),
        ("[log_key]", "[log_key]\nunsael = 1", "did you mean `unseal`?"),
        ("{ file = \"identity\" }", "{ file = \"identity\", fiel = 1 }", "did you mean `file`?"),
        ("name = \"local\"", "name = \"local\"\nmod = \"0600\"", "did you mean `mode`?"),
        ("name = \"local\"", "name = \"local\"\nclient_ca = \"x\"", "it is a key of [[listener]] of kind \"tcp-mtls\""),
        ("name = \"hsm\"", "name = \"hsm\"\nlabel = \"x\"", "it has name, kind, queue_limit, module, token_label"),
        ("name = \"hsm\"", "name = \"hsm\"\ndirectory = \"x\"", "it is a key of [ledger]"),
        ("name = \"acme/app\"", "name = \"acme/app\"\nmax_expiry = \"1d\"", "it is a key of [repository.role.NAME]"),
        ("keystore = \"hsm\"", "keystore = \"hsm\"\nexpires = \"1d\"", "it has custody, max_expiry"),
        ("keystore = \"hsm\"", "release_rate = { per_hour = 1, bursts = 2 }", "did you mean `burst`?"),
        ("callers =", "caller = [\"unix:1\"]\ncallers =", "did you mean `callers`?"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[unknown-key]") && line.contains(wanted), "{line}");
    }
}

#[test]
fn every_required_key_is_missed() {
    for (line, key) in [
        ("version = 1\n", "`version`"),
        ("directory = \"ledger\"\n", "`directory`"),
        ("unseal = { identity = { file = \"identity\" } }\n", "`unseal`"),
        ("name = \"local\"\n", "`name`"),
        ("kind = \"unix\"\n", "`kind`: unix or tcp-mtls or tcp-token"),
        ("path = \"sock\"\n", "`path`"),
        ("directory = \"keys\"\n", "`directory`"),
        ("unseal = { passphrase = { credential = \"phrase\" } }\n", "`unseal`"),
        ("module = \"/usr/lib/softhsm/libsofthsm2.so\"\n", "`module`"),
        ("token_label = \"tuf\"\n", "`token_label`"),
        ("pin = { file = \"pin\" }\n", "`pin`"),
        ("name = \"acme/app\"\n", "`name` or `pattern`"),
        ("callers = [\"unix:1000\"]\n", "`callers`"),
        ("verbs = [\"sign\"]\n", "`verbs`"),
        ("repositories = [\"acme/app\"]\n", "`repositories`"),
        ("roles = [\"timestamp\"]\n", "`roles`"),
    ] {
        let message = mistake(&usual_with(line, ""));
        assert!(message.contains("[missing-key]") && message.contains(key), "{message}");
    }
    let all = mistakes("");
    let missing = |key: &str| all.iter().any(|line| line.starts_with("1:1 [missing-key]") && line.contains(key));
    assert!(["`version`", "`ledger`", "`log_key`", "`listener`"].into_iter().all(missing), "{all:#?}");
    assert_eq!(all.len(), 4);
}

#[test]
fn values_of_a_wrong_type_are_told_by_type_and_never_shown() {
    for (old, new, wanted) in [
        ("version = 1", "version = \"1\"", "takes a whole number, not a string"),
        ("directory = \"ledger\"", "directory = 1.5", "takes a string, not a float"),
        ("[ledger]\ndirectory = \"ledger\"", "ledger = true", "takes a table, not a boolean"),
        ("\"sock\"", "[\"sock\"]", "takes a string, not an array"),
        ("name = \"acme/app\"", "name = \"acme/app\"\nrequire_root = \"yes\"", "takes true or false, not a string"),
        ("keystore = \"hsm\"", "max_expiry = 7", "takes a string, not an integer"),
        ("keystore = \"hsm\"", "max_payload_bytes = 1e3", "takes a whole number, not a float"),
        ("keystore = \"hsm\"", "release_rate = 60", "takes a table, not an integer"),
        ("keystore = \"hsm\"", "algorithm = 2026-01-01", "takes a string, not a datetime"),
        ("[\"unix:1000\"]", "\"unix:1000\"", "takes an array, not a string"),
        ("[\"unix:1000\"]", "[1000]", "takes a string, not an integer"),
        ("[[grant]]", "[grant]", "write its header in double brackets"),
        ("name = \"hsm\"", "name = \"hsm\"\nenvironment = [\"A=1\"]", "takes a table, not an array"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[wrong-type]") && line.contains(wanted), "{new}: {line}");
    }
}

#[test]
fn durations_are_a_number_and_a_unit() {
    for bad in ["7x", "-1d", "", "d", "0d", "1.5h", "99999999999999999999d", "40000d", "7 d"] {
        let line = mistake(&usual_with("keystore = \"hsm\"", &format!("max_expiry = \"{bad}\"")));
        assert!(line.contains("[invalid-duration] `max_expiry`: a length of time is"), "{line}");
    }
    for limit in ["default_deadline", "answer_patience", "stream_idle"] {
        let line = mistake(&least_and(&format!("[limits]\n{limit} = \"2h\"\n")));
        assert!(line.contains("[out-of-range]"), "{line}");
    }
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (old, new) in [
        ("keystore = \"hsm\"", "release_rate = { per_hour = 0, burst = 1 }"),
        ("keystore = \"hsm\"", "release_rate = { per_hour = 1, burst = 0 }"),
        ("keystore = \"hsm\"", "release_rate = { per_hour = 4294967296 }"),
        ("keystore = \"hsm\"", "max_signatures = { warn = 0 }"),
        ("keystore = \"hsm\"", "max_payload_bytes = 0"),
        ("keystore = \"hsm\"", "max_payload_bytes = 1_000_000_000"),
        ("keystore = \"hsm\"", "max_version_step = 0"),
        ("keystore = \"hsm\"", "max_version_step = -1"),
        ("keystore = \"hsm\"", "first_listed_max = 9007199254740992"),
        ("keystore = \"hsm\"", "first_listed_max = 99999999999999999999999999999999"),
        ("name = \"acme/app\"", "name = \"acme/app\"\nmax_keys = 0"),
        ("name = \"hsm\"", "name = \"hsm\"\nsessions = 65"),
        ("name = \"hsm\"", "name = \"hsm\"\nqueue_limit = 0"),
        ("{ credential = \"phrase\" }", "{ credential = \"phrase\" }, work_factor = 9"),
        ("{ credential = \"phrase\" }", "{ credential = \"phrase\" }, work_factor = 21"),
        ("version = 1", "version = 1\nlimits.max_connections = 0"),
        ("version = 1", "version = 1\nlimits.batch_items = 1000000"),
        ("path = \"sock\"", "path = \"sock\"\ngroup = 4294967295"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[out-of-range]"), "{new}: {line}");
    }
}

#[test]
fn half_of_the_bytes_in_flight_is_enough_for_any_message() {
    let limits = |bytes: usize| least_and(&format!("[limits]\nbytes_in_flight = {bytes}\n"));
    let largest = sealward::config::parse(&least_and(""), "sealward.toml").unwrap().limits.max_message_bytes;
    let line = mistake(&limits(2 * largest - 1));
    assert!(line.contains("[out-of-range]") && line.contains(&(2 * largest).to_string()), "{line}");
    assert!(sealward::config::parse(&limits(2 * largest), "sealward.toml").is_ok());
}

#[test]
fn words_are_refused_with_the_nearest_known() {
    for (old, new, wanted) in [
        ("kind = \"unix\"", "kind = \"unx\"", "did you mean \"unix\"?"),
        ("kind = \"pkcs11\"", "kind = \"yubikey\"", "known are \"software\", \"pkcs11\""),
        ("keystore = \"hsm\"", "custody = \"onlin\"", "did you mean \"online\"?"),
        ("keystore = \"hsm\"", "algorithm = \"ED25519\"", "did you mean \"ed25519\"?"),
        ("keystore = \"hsm\"", "algorithm = \"rsa\"", "known are \"ed25519\", "),
        ("[\"sign\"]", "[\"signs\"]", "did you mean \"sign\"?"),
        ("version = 1", "version = 1\nlog.level = \"verbose\"", "known are \"error\", \"warn\""),
        ("version = 1", "version = 1\nlog.format = \"JSON\"", "did you mean \"json\"?"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[invalid-value]") && line.contains(wanted), "{new}: {line}");
    }
}

#[test]
fn names_and_patterns_with_bad_characters_are_refused() {
    for (old, new) in [
        ("name = \"acme/app\"", "name = \"acme//app\""),
        ("name = \"acme/app\"", "name = \"acme app\""),
        ("name = \"acme/app\"", "name = \"../app\""),
        ("name = \"acme/app\"", "name = \"acme/*\""),
        ("name = \"acme/app\"", "pattern = \"acme/app\""),
        ("name = \"acme/app\"", "pattern = \"acme/?\""),
        ("name = \"acme/app\"", "pattern = \"acme@*\""),
        ("name = \"acme/app\"", "pattern = \"\""),
        ("[repository.role.timestamp]", "[repository.role.Timestamp]"),
        ("[repository.role.timestamp]", "[repository.role.\"rel eases/*\"]"),
        ("[repository.role.timestamp]", "[repository.role.\"\"]"),
        ("keystore = \"hsm\"", "keystore = \"h s m\""),
        ("name = \"files\"", "name = \"fi les\""),
        ("name = \"local\"", "name = \"lo/cal\""),
        ("path = \"sock\"", "activation = \"a:b\""),
        ("{ credential = \"phrase\" }", "{ credential = \"../phrase\" }"),
        ("{ credential = \"phrase\" }", "{ credential = \"..\" }"),
        ("[\"acme/app\"]", "[\"acme/app\", \"a b\"]"),
        ("[\"timestamp\"]", "[\"time\\nstamp\"]"),
        ("name = \"hsm\"", "name = \"hsm\"\nenvironment = { \"1A\" = \"x\" }"),
        ("name = \"hsm\"", "name = \"hsm\"\nenvironment = { \"A=B\" = \"x\" }"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[invalid-name]"), "{new}: {line}");
        assert!(!line.contains('\n'), "{line:?}");
    }
}

#[test]
fn what_is_no_place_is_refused() {
    let long = format!("path = \"/{}\"", "x".repeat(107));
    for (old, new, wanted) in [
        ("path = \"sock\"", long.as_str(), "at most 107 bytes, this one has 108"),
        ("path = \"sock\"", "path = \"\"", "neither empty"),
        ("path = \"sock\"", "path = \"a\\u0000b\"", "NUL"),
        ("path = \"sock\"", "path = \"sock\"\nmode = 660", "octal"),
        ("path = \"sock\"", "path = \"sock\"\nmode = \"0o660\"", "octal"),
        ("path = \"sock\"", "path = \"sock\"\nmode = \"1777\"", "octal"),
        ("path = \"sock\"", "path = \"sock\"\nmode = \"0066\"", "octal"),
        ("path = \"sock\"", "path = \"sock\"\nmode = \"+660\"", "octal"),
        ("token_label = \"tuf\"", "token_label = \"\"", "1 to 32 bytes"),
        ("token_label = \"tuf\"", "token_label = \"tuf \"", "spaces at the end"),
        ("token_label = \"tuf\"", "token_label = \"tuf\"\ntoken_serial = \"12345678901234567\"", "1 to 16 bytes"),
        ("version = 1", "version = 1\nobserve.address = \"localhost:9464\"", "an IP address and a port"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[invalid-value]") && line.contains(wanted), "{new}: {line}");
    }
}

#[test]
fn metrics_stay_on_this_machine() {
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[::ffff:192.0.2.1]:9464"] {
        let line = mistake(&usual_with("version = 1", &format!("version = 1\nobserve.address = \"{address}\"")));
        assert!(line.contains("[not-loopback]"), "{line}");
    }
}

#[test]
fn duplicates_are_refused() {
    let again = |table: &str| {
        let start = USUAL.find(table).unwrap();
        let end = USUAL[start + 1..].find("[[").map_or(USUAL.len(), |at| start + 1 + at);
        least_and(&format!("{USUAL}{}", &USUAL[start..end]))
    };
    let keystore = mistakes(&again("[[keystore]]"));
    assert!(keystore[0].contains("[duplicate] two keystores are named `files`"), "{keystore:#?}");
    assert!(keystore[1].contains("[duplicate] keystore `files` has this token or directory"), "{keystore:#?}");
    let repository = mistake(&again("[[repository]]"));
    assert!(repository.contains("[duplicate] `acme/app` has a [[repository]] already"), "{repository}");
    let listener = &LEAST[LEAST.find("[[listener]]").unwrap()..];
    let listeners = mistakes(&least_and(listener));
    assert!(listeners[0].contains("[duplicate] two listeners are named `local`"), "{listeners:#?}");
    assert!(listeners[1].contains("[duplicate] listener `local` has this socket"), "{listeners:#?}");
    let hsm = &USUAL[USUAL.find("[[keystore]]\nname = \"hsm\"").unwrap()..USUAL.find("[[repository]]").unwrap()];
    let text = usual_with("[[grant]]", &format!("{}[[grant]]", hsm.replace("\"hsm\"", "\"hsm2\"")));
    assert!(mistake(&text).contains("[duplicate] keystore `hsm` has this token"), "one token, one owner");
    let toml = mistakes(&usual_with("version = 1", "version = 1\nversion = 1"));
    assert_eq!(toml, ["2:1 [syntax] duplicate key"]);
}

#[test]
fn of_two_ways_to_say_a_thing_one_may_stand() {
    for (old, new) in [
        ("name = \"acme/app\"", "name = \"acme/app\"\npattern = \"acme/*\""),
        ("path = \"sock\"", "path = \"sock\"\nactivation = \"local\""),
        ("path = \"sock\"", "mode = \"0600\"\nactivation = \"local\""),
        ("{ file = \"pin\" }", "{ file = \"pin\", credential = \"pin\" }"),
        (
            "{ passphrase = { credential = \"phrase\" } }",
            "{ passphrase = { file = \"a\" }, identity = { file = \"b\" } }",
        ),
        ("{ file = \"identity\" } }", "{ file = \"identity\" }, work_factor = 18 }"),
        ("version = 1", "version = 1\nobserve = { address = \"127.0.0.1:1\", path = \"m\" }"),
    ] {
        let line = mistake(&usual_with(old, new));
        assert!(line.contains("[conflict]"), "{new}: {line}");
    }
}

#[test]
fn a_role_names_a_keystore_that_exists() {
    let text = usual_with("keystore = \"hsm\"", "keystore = \"hms\"");
    let line = mistake(&text);
    assert!(line.starts_with(&line_of(&text, "keystore = \"hms\"")), "{line}");
    assert!(
        line.ends_with("[unknown-reference] `keystore`: no [[keystore]] is named `hms`; did you mean `hsm`?"),
        "{line}"
    );
    let broken = mistake(&usual_with("token_label = \"tuf\"", "token_label = 7"));
    assert!(broken.contains("[wrong-type]"), "a keystore with a mistake is still known: {broken}");
}

#[test]
fn root_and_offline_roles_have_no_keys_here() {
    let text = usual_with("[repository.role.timestamp]", "[repository.role.root]\n[repository.role.timestamp]");
    let line = mistake(&text);
    assert!(line.starts_with(&line_of(&text, "[repository.role.root]")), "{line}");
    assert!(line.contains("[offline-role] root is offline by type; it signs in a ceremony"), "{line}");
    let offline = mistake(&usual_with("keystore = \"hsm\"", "custody = \"offline\"\nkeystore = \"hsm\""));
    assert!(offline.contains("[offline-role] `keystore`: timestamp is offline here"), "{offline}");
}

#[test]
fn approvals_where_nobody_approves_are_a_mistake() {
    for key in ["approvals = 2", "approval_expiry = \"1h\"", "max_pending = 3"] {
        let text = usual_with("keystore = \"hsm\"", key);
        let line = mistake(&text);
        assert!(line.starts_with(&line_of(&text, key)), "{line}");
        assert!(line.contains("[conflict]") && line.contains("goes with custody = \"attended\""), "{line}");
    }
    for (key, why) in [("approvals = 0", "1 to 16"), ("approvals = 17", "1 to 16"), ("max_pending = 257", "1 to 256")] {
        let line = mistake(&usual_with("keystore = \"hsm\"", &format!("custody = \"attended\"\n{key}")));
        assert!(line.contains("[out-of-range]") && line.contains(why), "{line}");
    }
}

#[test]
fn grants_name_callers_that_can_be() {
    for bad in ["alice", "unix:alice", "unix:-1", "unix:4294967296", "cn:x", "", "dns:a b", "unix-name:alice"] {
        let line = mistake(&usual_with("\"unix:1000\"", &format!("\"{bad}\"")));
        assert!(line.contains("[invalid-value] `callers`: ") && line.contains("write unix:UID"), "{line}");
    }
    for list in ["callers = [\"unix:1000\"]", "verbs = [\"sign\"]", "roles = [\"timestamp\"]"] {
        let key = list.split(' ').next().unwrap();
        let line = mistake(&usual_with(list, &format!("{key} = []")));
        assert!(line.contains("an empty list grants nothing"), "{line}");
    }
    let two = mistakes(&usual_with("[\"unix:1000\"]", "[\"alice\", \"unix:1\", \"bob\"]"));
    assert_eq!(two.len(), 2, "each wrong item is told: {two:#?}");
}

#[test]
fn only_version_one_is_read() {
    for bad in ["0", "2", "-1", "99999999999999999999999"] {
        let line = mistake(&usual_with("version = 1", &format!("version = {bad}")));
        assert!(line.contains("[unsupported-version]"), "{line}");
    }
}

#[test]
fn a_secret_in_the_file_is_told_and_never_shown() {
    const SECRET: &str = "hunter2-very-secret";
    for (old, new) in [
        ("pin = { file = \"pin\" }", format!("pin = \"{SECRET}\"")),
        ("pin = { file = \"pin\" }", format!("pin = [\"{SECRET}\"]")),
        ("pin = { file = \"pin\" }", "pin = 123456".to_owned()),
        ("pin = { file = \"pin\" }", format!("pin = {{ file = \"pin\" }}\npassword = \"{SECRET}\"")),
        ("pin = { file = \"pin\" }", format!("pin = {{ file = \"pin\" }}\nSO_PIN = \"{SECRET}\"")),
        ("{ passphrase = { credential = \"phrase\" } }", format!("{{ passphrase = \"{SECRET}\" }}")),
        ("{ identity = { file = \"identity\" } }", "{ identity = \"AGE-SECRET-KEY-1HUNTER2\" }".to_owned()),
        ("{ identity = { file = \"identity\" } }", "{ identity = { file = \"AGE-SECRET-KEY-1HUNTER2\" } }".to_owned()),
        ("version = 1", format!("version = 1\nprivate_key = \"{SECRET}\"")),
        ("keystore = \"hsm\"", "keystore = \"-----BEGIN PRIVATE KEY-----hunter2\"".to_owned()),
    ] {
        let line = mistake(&usual_with(old, &new));
        assert!(line.contains("[secret-in-file]") && line.contains("credential = \"name\""), "{new}: {line}");
        assert!(!line.to_lowercase().contains("hunter2") && !line.contains("123456"), "{line}");
    }
}

#[test]
fn a_syntax_error_does_not_hide_other_mistakes_nor_invent_some() {
    let text =
        usual_with("directory = \"ledger\"", "directory = \"ledger").replace("kind = \"pkcs11\"", "knid = \"pkcs11\"");
    let lines = mistakes(&text);
    assert!(lines[0].starts_with("3:") && lines[0].contains("[syntax]"), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("[missing-key]")), "{lines:#?}");
    let two = mistakes(&usual().replace("name = \"local\"", "name = ").replace("path = \"sock\"", "path = sock"));
    assert_eq!(two.iter().filter(|line| line.contains("[syntax]")).count(), 2, "{two:#?}");
    assert_eq!(two.len(), 2, "{two:#?}");
}

#[test]
fn a_clock_strays_within_bounds_and_a_file_that_nobody_reads_is_not_named() {
    for bad in ["skew = \"4s\"", "jump = \"25h\"", "skew = \"2d\""] {
        let line = mistake(&least_and(&format!("[clock]\n{bad}\n")));
        assert!(line.contains("[out-of-range]") && line.contains("5s to 24h"), "{line}");
    }
    let line = mistake(&least_and("[machine]\ncheck = false\nid_file = \"id\"\n"));
    assert!(line.contains("[conflict]") && line.contains("`id_file`"), "{line}");
}

#[test]
fn a_listener_for_tokens_without_a_provider_of_tokens_is_refused() {
    let listener = "[[listener]]\nname = \"ci\"\nkind = \"tcp-token\"\naddress = \"127.0.0.1:0\"\ncertificate = \"c.pem\"\n\
                    key = { file = \"k.pem\" }\n";
    let line = mistake(&least_and(listener));
    assert!(line.contains("[missing-key] a tcp-token listener needs a provider of tokens"), "{line}");
}

#[test]
fn single_brackets_around_one_of_several_are_one_mistake_each() {
    let grant =
        "[grant]\ncallers = [\"unix:1\"]\nverbs = [\"sign\"]\nrepositories = [\"acme/app\"]\nroles = [\"timestamp\"]\n";
    let text = usual_with("[[grant]]", "[grant]") + grant + grant;
    let lines = mistakes(&text);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in lines {
        assert!(line.contains("[syntax] `[grant]` is one of several: write `[[grant]]`"), "{line}");
    }
    let mixed = usual() + grant;
    let mixed = mistakes(&mixed);
    assert!(mixed.len() == 1 && mixed[0].contains("write `[[grant]]`"), "{mixed:#?}");
    // What stands twice for another reason is told as before.
    let twice = mistakes(&usual_with("name = \"acme/app\"", "name = \"acme/app\"\nname = \"acme/app\""));
    assert!(twice.len() == 1 && twice[0].contains("duplicate key"), "{twice:#?}");
}
