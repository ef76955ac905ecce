//! What a good file means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealward::config::settings::{
    ListenerKind, LogFormat, LogLevel, MtlsSettings, ObserveSettings, SocketGroup, TcpCallers, TcpEndpoint,
    UnixEndpoint,
};
use sealward::domain::caller::CallerPattern;
use sealward::domain::grant::Verb;
use sealward::domain::name::Role;
use sealward::domain::policy::{Custody, ReleaseRate, RolePolicy};
use sealward::domain::quota::{Quotas, Rate};
use sealward::domain::thresholds::Thresholds;
use sealward::keystore::settings::{KindSettings, SecretSource, UnsealSettings};

use super::{LEAST, good, least_and, usual, usual_with};

#[test]
fn the_least_file_has_the_documented_defaults() {
    let configuration = good(LEAST);
    assert_eq!(configuration.version, 1);
    assert_eq!(configuration.ledger.directory, Path::new("/etc/sealward/ledger"), "relative to the file");
    assert_eq!(configuration.log_key.path, Path::new("/etc/sealward/ledger/log-key"));
    let identity = UnsealSettings::Identity(SecretSource::File("/etc/sealward/identity".into()));
    assert_eq!(configuration.log_key.unseal, identity);
    let local = UnixEndpoint::Bind { path: "/etc/sealward/sock".into(), mode: 0o660, group: None };
    assert_eq!(configuration.listeners[0].kind, ListenerKind::Unix(local));
    assert_eq!(configuration.observe, None);
    assert_eq!((configuration.log.format, configuration.log.level), (LogFormat::Text, LogLevel::Info));
    assert_eq!((configuration.clock.skew_seconds, configuration.clock.jump_seconds), (60, 60));
    let machine = &configuration.machine;
    assert_eq!((machine.check, machine.id_file.to_str()), (true, Some("/etc/machine-id")));
    assert_eq!(configuration.limits.default_deadline, Duration::from_secs(10));
    assert_eq!(configuration.limits.max_connections, 256);
    assert_eq!(configuration.limits.requests_per_connection, 64);
    assert_eq!(configuration.limits.batch_items, 256);
    assert!(configuration.keystores.is_empty());
    assert_eq!(configuration.policies.iter().count() + configuration.grants.iter().count(), 0);
}

#[test]
fn the_usual_file_gives_each_room_its_settings_without_a_warning() {
    let configuration = good(&usual());
    assert_eq!(configuration.warnings, Vec::<String>::new());
    let [files, hsm] = configuration.keystores.as_slice() else { panic!("two keystores") };
    assert_eq!((files.name.as_str(), files.queue_limit), ("files", 256));
    let KindSettings::Software(software) = &files.kind else { panic!("{files:?}") };
    let phrase = SecretSource::Credential("phrase".into());
    assert_eq!(software.unseal, UnsealSettings::Passphrase { source: phrase, work_factor: 18 });
    assert_eq!(software.directory, Path::new("/etc/sealward/keys"));
    let KindSettings::Pkcs11(token) = &hsm.kind else { panic!("{hsm:?}") };
    assert_eq!(token.module, Path::new("/usr/lib/softhsm/libsofthsm2.so"));
    assert_eq!((token.token_label.as_str(), &token.token_serial), ("tuf", &None));
    assert_eq!(token.pin, SecretSource::File("/etc/sealward/pin".into()));
    assert_eq!((token.environment.len(), &token.worker, token.sessions), (0, &None, 2));

    let app = "acme/app".parse().unwrap();
    let policy = configuration.policies.find(&app).unwrap();
    assert_eq!((policy.require_root, policy.require_snapshot_bytes, policy.max_keys), (false, false, 64));
    let expected = RolePolicy { keystore: Some("hsm".parse().unwrap()), ..RolePolicy::default_for(&Role::Timestamp) };
    assert_eq!(policy.roles.get(&Role::Timestamp), Some(&expected), "the law's own defaults");
    assert_eq!(policy.roles.len(), 1, "a role without a table signs nothing");
    let grant = configuration.grants.iter().next().unwrap();
    assert_eq!(
        (grant.callers.as_slice(), grant.verbs.as_slice()),
        (&[CallerPattern::UnixUser(1000)][..], &[Verb::Sign][..])
    );
}

#[test]
fn every_setting_arrives() {
    let configuration = good(
        r#"
version = 1
ledger.directory = "/var/ledger"
log_key = { path = "/var/key", unseal = { passphrase = { file = "p" }, work_factor = 12 } }
log = { format = "json", level = "trace" }
clock = { skew = "5s", jump = "24h" }
machine = { id_file = "/var/lib/host/id" }
limits = { default_deadline = "2m", max_connections = 1, requests_per_connection = 2, batch_items = 3, connections_per_caller = 4, requests_per_caller = 5, bytes_in_flight = 400000000, answer_patience = "6s", stream_idle = "7s", request_rate_per_caller = { per_minute = 4, burst = 5 }, denial_leaves_per_minute = 6 }
observe = { address = "[::1]:9464" }
[[listener]]
name = "a"
kind = "unix"
path = "/run/a"
mode = 0o600
group = "wheel"
[[listener]]
name = "b"
kind = "unix"
path = "/run/b"
mode = "640"
group = 7
[[listener]]
name = "c"
kind = "unix"
activation = "local"
[[listener]]
name = "d"
kind = "tcp-mtls"
address = "0.0.0.0:7443"
certificate = "c.pem"
key = { credential = "tls.key" }
client_ca = "ca.pem"
crls = ["a.crl", "/b.crl"]
unknown_revocation = "allow"
deny_list = "denied"
[[listener]]
name = "e"
kind = "tcp-mtls"
activation = "remote"
certificate = "c.pem"
key = { file = "k.pem" }
client_ca = "ca.pem"
[[keystore]]
name = "hsm"
kind = "pkcs11"
queue_limit = 9
module = "lib.so"
token_label = "t"
token_serial = "s"
pin = { credential = "pin" }
environment = { SOFTHSM2_CONF = "relative.conf", B = "2" }
worker = "worker"
sessions = 8
[[repository]]
pattern = "acme/**"
require_root = true
require_snapshot_bytes = true
max_keys = 5
destroy_delay = "2d"
[repository.role.snapshot]
custody = "online"
max_expiry = "2w"
max_payload_bytes = 1000
max_version_step = 2
first_listed_max = 3
max_supersedes = 2
release_rate = { per_hour = 4, burst = 5 }
cryptoperiod = { warn = "70d", stage = "80d", refuse = "90d" }
max_signatures = { refuse = 6 }
keystore = "hsm"
algorithm = "ecdsa-p384"
[repository.role.targets]
custody = "offline"
[repository.role."releases/stable"]
custody = "attended"
approvals = 2
approval_expiry = "2h"
max_pending = 7
"#,
    );
    assert_eq!(configuration.log_key.path, Path::new("/var/key"));
    let UnsealSettings::Passphrase { work_factor, .. } = configuration.log_key.unseal else { panic!() };
    assert_eq!(work_factor, 12);
    assert_eq!((configuration.log.format, configuration.log.level), (LogFormat::Json, LogLevel::Trace));
    assert_eq!((configuration.clock.skew_seconds, configuration.clock.jump_seconds), (5, 86_400));
    let machine = &configuration.machine;
    assert_eq!((machine.check, machine.id_file.to_str()), (true, Some("/var/lib/host/id")));
    let limits = configuration.limits;
    assert_eq!(limits.default_deadline, Duration::from_secs(120));
    let quotas = Quotas {
        request_rate_per_caller: Rate { per_minute: 4, burst: 5 },
        denial_leaves_per_minute: 6,
        ..Quotas::default()
    };
    assert_eq!(limits.quotas, quotas);
    assert_eq!((limits.max_connections, limits.requests_per_connection, limits.batch_items), (1, 2, 3));
    assert_eq!((limits.connections_per_caller, limits.requests_per_caller), (4, 5));
    assert_eq!((limits.bytes_in_flight, limits.answer_patience), (400_000_000, Duration::from_secs(6)));
    assert_eq!(limits.stream_idle, Duration::from_secs(7));
    assert_eq!(configuration.observe, Some(ObserveSettings::Loopback("[::1]:9464".parse().unwrap())));
    let kinds: Vec<_> = configuration.listeners.iter().map(|listener| &listener.kind).collect();
    let group = Some(SocketGroup::Name("wheel".into()));
    let bind = |path: &str, mode, group| ListenerKind::Unix(UnixEndpoint::Bind { path: path.into(), mode, group });
    assert_eq!(kinds[0], &bind("/run/a", 0o600, group));
    assert_eq!(kinds[1], &bind("/run/b", 0o640, Some(SocketGroup::Id(7))));
    assert_eq!(kinds[2], &ListenerKind::Unix(UnixEndpoint::Activation("local".into())));
    let ListenerKind::Tcp(tcp) = kinds[3] else { panic!() };
    assert_eq!(tcp.endpoint, TcpEndpoint::Bind("0.0.0.0:7443".parse().unwrap()));
    assert_eq!(tcp.server.key, SecretSource::Credential("tls.key".into()));
    assert_eq!(tcp.server.certificate, Path::new("/etc/sealward/c.pem"));
    assert_eq!(
        tcp.callers,
        TcpCallers::Certificates(MtlsSettings {
            client_ca: "/etc/sealward/ca.pem".into(),
            crls: vec!["/etc/sealward/a.crl".into(), "/b.crl".into()],
            allow_unknown_revocation: true,
            deny_list: Some("/etc/sealward/denied".into()),
        })
    );
    let ListenerKind::Tcp(tcp) = kinds[4] else { panic!() };
    assert_eq!(tcp.endpoint, TcpEndpoint::Activation("remote".into()));

    let KindSettings::Pkcs11(token) = &configuration.keystores[0].kind else { panic!() };
    assert_eq!(configuration.keystores[0].queue_limit, 9);
    assert_eq!((token.module.as_path(), token.sessions), (Path::new("/etc/sealward/lib.so"), 8));
    assert_eq!(token.worker, Some(PathBuf::from("/etc/sealward/worker")));
    assert_eq!(token.token_serial.as_deref(), Some("s"));
    let mut environment = token.environment.clone();
    environment.sort();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(environment, [pair("B", "2"), pair("SOFTHSM2_CONF", "relative.conf")], "values are taken as they stand");

    let policy = configuration.policies.find(&"acme/x/y".parse().unwrap()).unwrap();
    assert_eq!((policy.require_root, policy.require_snapshot_bytes, policy.max_keys), (true, true, 5));
    assert_eq!(policy.destroy_delay_seconds, 2 * 86_400);
    let snapshot = &policy.roles[&Role::Snapshot];
    let expected = RolePolicy {
        custody: Custody::Online,
        max_expiry_seconds: 14 * 86_400,
        max_payload_bytes: 1000,
        max_version_step: 2,
        first_listed_max: 3,
        max_supersedes: 2,
        release_rate: ReleaseRate { per_hour: 4, burst: 5 },
        cryptoperiod: Thresholds { warn: Some(70 * 86_400), stage: Some(80 * 86_400), refuse: Some(90 * 86_400) },
        max_signatures: Thresholds { refuse: Some(6), ..Thresholds::default() },
        approvals: 1,
        approval_expiry_seconds: 86_400,
        max_pending: 16,
        keystore: Some("hsm".parse().unwrap()),
        algorithm: Some("ecdsa-p384".parse().unwrap()),
        ..RolePolicy::default_for(&Role::Snapshot)
    };
    assert_eq!(snapshot, &expected);
    assert_eq!(policy.roles[&Role::Targets].custody, Custody::Offline);
    let stable = &policy.roles[&"releases/stable".parse().unwrap()];
    assert_eq!((stable.custody, stable.approvals), (Custody::Attended, 2));
    assert_eq!((stable.approval_expiry_seconds, stable.max_pending), (7200, 7));
}

#[test]
fn the_message_limit_follows_from_the_largest_payload() {
    let message = |more: &str| good(&least_and(more)).limits.max_message_bytes;
    let role = |bytes: u32, more: &str| {
        format!("[[repository]]\nname = \"a\"\n{more}[repository.role.snapshot]\nmax_payload_bytes = {bytes}\n")
    };
    let large = message(&role(100 << 20, ""));
    assert!(large > 100 << 20 && large < 101 << 20, "{large}");
    assert!(message(&role(1, "")) >= 1 << 20, "roots and batches must fit too");
    let attached = message(&role(100 << 20, "require_snapshot_bytes = true\n"));
    assert!(attached > 200 << 20, "a timestamp brings the snapshot: {attached}");
}

#[test]
fn verbs_over_the_whole_daemon_need_no_repositories() {
    let configuration = good(&least_and("[[grant]]\ncallers = [\"unix:0\"]\nverbs = [\"audit\", \"status\"]\n"));
    let root = sealward::domain::caller::Caller::Unix { uid: 0, gids: vec![] };
    assert!(configuration.grants.allow_daemon(&root, Verb::Audit));
    assert!(!configuration.grants.allow_daemon(&root, Verb::Sign));
}

#[test]
fn an_exact_name_may_follow_a_pattern() {
    let configuration = good(&usual_with("[[repository]]", "[[repository]]\npattern = \"acme/*\"\n[[repository]]"));
    let policy = configuration.policies.find(&"acme/app".parse().unwrap()).unwrap();
    assert!(policy.repositories.is_exact());
}
