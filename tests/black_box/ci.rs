//! Each way into the daemon that docs/ci.md describes, typed as it stands there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::issuer::{Pages, Signer, github, gitlab, jwks, kubernetes};
use crate::support::pki::{Authority, dns};
use crate::support::{PATIENCE, World, bounded, snapshot, targets, timestamp, tomorrow};

/// The daemon of the documents; its audience is what they say.
const AUDIENCE: &str = "https://signer.example:7443";
const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands under a heading of docs/ci.md, up to the next one.
fn section(heading: &str) -> String {
    let text = fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let (_, rest) = text.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap().to_owned()
}

/// The block of a language in a text.
fn block(text: &str, language: &str) -> String {
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no {language} block"));
    rest.split("```").next().unwrap().to_owned()
}

/// `hsm-config/ci.toml` in a directory of ours, with an issuer on this machine.
struct Scene {
    world: World,
    pages: Pages,
    key: Signer,
}

impl Scene {
    fn prepared() -> (Self, String) {
        let world = World::empty();
        let directory = world.path("");
        let authority = Authority::new(&directory, "signer-ca");
        fs::create_dir(world.path("tls")).unwrap();
        authority.sign(&world.path("tls"), "server", vec![dns("localhost")]);
        fs::copy(world.path("signer-ca.pem"), world.path("tls/internal-ca.pem")).unwrap();
        let pages = Pages::start(&directory, &authority);
        let key = Signer::rsa("key-1");
        pages.publish(&[&key]);
        fs::write(world.path("cluster-keys.json"), jwks(&[&key]).to_string()).unwrap();
        let text = fs::read_to_string(root().join("hsm-config/ci.toml")).unwrap();
        let keys = format!("jwks_url = \"{}/keys\"\nca = \"{{dir}}/signer-ca.pem\"", pages.address());
        let text = text
            .replace("/etc/sealward", "{dir}")
            .replace("/var/lib/sealward", "{dir}")
            .replace("/run/sealward", "{dir}")
            .replace("0.0.0.0:7443", "127.0.0.1:0")
            .replacen("discovery = true", &keys, 1)
            .replace("https://gitlab.example/oauth/discovery/keys", &format!("{}/keys", pages.address()))
            .replace("unix:0", "unix:{uid}");
        (Self { world, pages, key }, text)
    }

    fn new() -> Self {
        let (mut scene, text) = Self::prepared();
        scene.world = scene.world.init_and_start(&text);
        scene.publish();
        scene
    }

    /// A repository whose timestamp is to be signed next.
    fn publish(&self) {
        let (world, expires) = (&self.world, tomorrow());
        for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
            world.key("demo", role, new);
        }
        world.sign("demo", "targets", &targets(1, &expires)).unwrap();
        world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
        fs::write(world.path("timestamp.json"), timestamp(1, 1, &expires)).unwrap();
    }

    fn port(&self) -> u16 {
        self.world.wait_for_log("listening listener=ci address=127.0.0.1:", |rest| {
            rest.split_whitespace().next().and_then(|port| port.parse().ok())
        })
    }

    /// Types lines of the documents as a job would, with nothing in the environment but what its CI service put there.
    fn job(&self, lines: &str, environment: &[(&str, String)]) -> Output {
        let lines = lines.replace(AUDIENCE, &format!("https://localhost:{}", self.port()));
        let programs = Path::new(env!("CARGO_BIN_EXE_sealward")).parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell
            .env_clear()
            .env("PATH", format!("{}:{programs}:/usr/bin:/bin", self.world.path("bin").display()))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.world.path(""));
        bounded(shell.args(["-euc", &lines]))
    }

    /// Types what signs, and says whom the daemon took it for.
    fn signs(&self, lines: &str, environment: &[(&str, String)], caller: &str) {
        let done = self.job(lines, environment);
        assert!(done.status.success(), "{lines}: {}", String::from_utf8_lossy(&done.stderr));
        let signed = fs::read(self.world.path("signed.json")).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
        let leaves = String::from_utf8(self.world.sealward(&["--json", "audit", "list"]).stdout).unwrap();
        assert!(leaves.lines().last().unwrap().contains(&format!("\"{caller}\"")), "{caller}: {leaves}");
    }
}

fn script_of(yaml: &str, key: &str) -> String {
    let (_, line) = yaml.split_once(key).unwrap_or_else(|| panic!("no {key:?} in {yaml}"));
    line.lines().next().unwrap().trim().to_owned()
}

#[test]
fn a_github_job_as_documented() {
    let scene = Scene::new();
    let yaml = block(&section("GitHub Actions"), "yaml");
    assert!(yaml.contains("id-token: write"));
    let claims = github(AUDIENCE);
    scene.pages.put_json("/token", &json!({ "count": 1, "value": scene.key.token(&claims) }));
    let environment = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", scene.pages.address())),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner".to_owned()),
        ("SSL_CERT_FILE", scene.world.path("signer-ca.pem").display().to_string()),
    ];
    let script = script_of(&yaml, "- run: ");
    scene.signs(&script, &environment, &format!("oidc:github:{}", claims["sub"].as_str().unwrap()));
}

#[test]
fn a_gitlab_job_as_documented() {
    let scene = Scene::new();
    let yaml = block(&section("GitLab"), "yaml");
    let variable =
        yaml.lines().find(|line| line.trim() == "SEALWARD_ID_TOKEN:").map(|line| line.trim().trim_end_matches(':'));
    let claims = gitlab("https://gitlab.example", AUDIENCE);
    let environment = [(variable.unwrap(), scene.key.token(&claims))];
    let script = script_of(yaml.split_once("script:").unwrap().1, "- ");
    scene.signs(&script, &environment, &format!("oidc:gitlab:{}", claims["sub"].as_str().unwrap()));
}

#[test]
fn a_pod_as_documented() {
    let scene = Scene::new();
    let text = section("Kubernetes");
    let yaml = block(&text, "yaml");
    // The pod finds its token at a path of its own, which this machine lends to nobody; the file is named instead.
    assert!(yaml.contains("mountPath: /var/run/secrets/sealward") && yaml.contains("path: token,"));
    assert_eq!(sealward::client::PROJECTED_TOKEN, "/var/run/secrets/sealward/token");
    fs::write(scene.world.path("projected"), scene.key.token(&kubernetes(CLUSTER, AUDIENCE))).unwrap();
    let environment = [("SEALWARD_TOKEN_FILE", "projected".to_owned())];
    scene.signs(block(&text, "sh").trim(), &environment, "oidc:cluster:system:serviceaccount:release:signer");
}

#[test]
fn a_job_through_a_port_that_systemd_bound() {
    let (mut scene, text) = Scene::prepared();
    let documented = block(&section("systemd socket activation"), "toml");
    for line in ["kind = \"tcp-token\"", "activation = \"remote\""] {
        assert!(documented.contains(line), "{line}");
    }
    let unit = fs::read_to_string(root().join("systemd/sealward-tcp.socket")).unwrap();
    assert!(unit.contains("FileDescriptorName=remote"));
    let text = text.replace("address = \"127.0.0.1:0\"", "activation = \"remote\"");
    scene.world.configure(&text);
    let config = scene.world.path("sealward.toml");
    let init = scene.world.sealwardd(&["init", "--config", config.to_str().unwrap()]);
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    scene.world.start_activated_tcp("remote");
    scene.publish();
    fs::write(scene.world.path("projected"), scene.key.token(&kubernetes(CLUSTER, AUDIENCE))).unwrap();
    let environment = [("SEALWARD_TOKEN_FILE", "projected".to_owned())];
    let script = block(&section("Kubernetes"), "sh");
    scene.signs(script.trim(), &environment, "oidc:cluster:system:serviceaccount:release:signer");
}

/// An sshd on loopback that lets one account in, as whoever runs it. As root it is `nobody`, so that the caller is another
/// user than the daemon's.
struct Sshd {
    directory: tempfile::TempDir,
    server: Child,
    account: &'static str,
    uid: u32,
    port: u16,
}

impl Sshd {
    /// `run/sealward.sock` in its directory is where the documents have `/run/sealward/sealward.sock`.
    fn start() -> Self {
        let root = rustix::process::geteuid().is_root();
        let output = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program} {arguments:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let account: &'static str = if root { "nobody" } else { output("id", &["-un"]).leak() };
        let uid: u32 = output("id", &["-u", account]).parse().unwrap();
        let group = output("id", &["-g", account]);
        let public = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("sealward-sshd-").permissions(public).tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        for key in ["host", "job"] {
            output("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        }
        let key = fs::read_to_string(path("job.pub")).unwrap();
        assert!(section("The unix socket through ssh").contains("`restrict,port-forwarding ssh-ed25519 "));
        fs::write(path("authorized_keys"), format!("restrict,port-forwarding {key}")).unwrap();
        if root {
            output("chown", &[account, &path("host")]);
        }
        // A port that was free a moment ago; sshd takes no socket from us.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let documented = block(&section("The unix socket through ssh"), "")
            .replace("ci-acme", account)
            .replace("/run/sealward/", &format!("{}/", path("run")));
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\n{documented}",
            path("host"),
            path("authorized_keys")
        );
        fs::write(path("sshd_config"), config).unwrap();
        let (program, libraries) = Self::program(directory.path());
        let mut command = if root {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={uid}"), &format!("--regid={group}"), "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let log = fs::File::create(path("log")).unwrap();
        let server = command
            .args(["-D", "-e", "-f", &path("sshd_config")])
            .env("LD_LIBRARY_PATH", libraries)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let sshd = Self { server, account, uid, port, directory };
        let begun = Instant::now();
        while !sshd.log().contains("Server listening") {
            assert!(begun.elapsed() < PATIENCE, "{}", sshd.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        sshd
    }

    /// The machine's own, or the one that scripts/sshd.sh unpacked, where the account may run it.
    fn program(directory: &Path) -> (PathBuf, PathBuf) {
        let own = Path::new("/usr/sbin/sshd");
        if own.exists() {
            return (own.to_owned(), PathBuf::new());
        }
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/sealward-tools");
        let tools = std::env::var_os("SEALWARD_TEST_TOOLS").map_or_else(home, PathBuf::from).join("sshd/usr");
        let program = tools.join("sbin/sshd");
        assert!(program.exists(), "{} is missing: `make test-tools` unpacks it", program.display());
        fs::copy(program, directory.join("sshd")).unwrap();
        let architecture = fs::read_dir(tools.join("lib")).unwrap().flatten().map(|entry| entry.path());
        let library = architecture.map(|path| path.join("libwrap.so.0")).find(|path| path.exists()).unwrap();
        fs::copy(library, directory.join("libwrap.so.0")).unwrap();
        (directory.join("sshd"), directory.to_owned())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// An `ssh` that knows where `signer.example` is, and its host key; what is typed stays as it stands.
    fn client(&self, directory: &Path) {
        let path = |name: &str| self.directory.path().join(name);
        let host = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("signer.example {host}")).unwrap();
        let config = format!(
            "Host signer.example\n  HostName 127.0.0.1\n  HostKeyAlias signer.example\n  Port {}\n  IdentityFile {}\n  \
             IdentitiesOnly yes\n  BatchMode yes\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {}\n",
            self.port,
            path("job").display(),
            path("known_hosts").display()
        );
        fs::write(path("config"), config).unwrap();
        fs::create_dir_all(directory).unwrap();
        let script = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path("config").display());
        fs::write(directory.join("ssh"), script).unwrap();
        fs::set_permissions(directory.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
        if std::thread::panicking() {
            eprintln!("--- sshd ---\n{}", self.log());
        }
    }
}

#[test]
fn a_job_through_ssh_is_the_account_that_logged_in() {
    let sshd = Sshd::start();
    let (mut scene, text) = Scene::prepared();
    // The socket stands where the account can reach it; the group that does this elsewhere is not ours to make here.
    let socket = sshd.directory.path().join("run");
    fs::create_dir(&socket).unwrap();
    let shared = format!("path = \"{}/sealward.sock\"\nmode = \"0666\"", socket.display());
    let text = text
        .replace("path = \"{dir}/sealward.sock\"\nmode = \"0660\"", &shared)
        .replace("unix:2001", &format!("unix:{}", sshd.uid));
    scene.world = scene.world.init_and_start(&text);
    // The world's own client goes to the same socket.
    std::os::unix::fs::symlink(socket.join("sealward.sock"), scene.world.path("sealward.sock")).unwrap();
    scene.publish();
    fs::remove_file(scene.world.path("sealward.sock")).unwrap();
    sshd.client(&scene.world.path("bin"));
    let typed = |lines: &str| {
        let lines = lines.replace("ci-acme@", &format!("{}@", sshd.account));
        let lines = lines.replace("/run/sealward/", &format!("{}/", socket.display()));
        scene.job(&lines, &[])
    };
    let lines = block(&section("The unix socket through ssh"), "sh");
    let done = typed(&lines);
    assert!(done.status.success(), "{lines}: {}", String::from_utf8_lossy(&done.stderr));
    let signed: Value = serde_json::from_slice(&fs::read(scene.world.path("signed.json")).unwrap()).unwrap();
    assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
    let server = format!("unix:{}", socket.join("sealward.sock").display());
    let leaves = scene.world.sealward(&["--server", &server, "--json", "audit", "list"]).stdout;
    let leaves = String::from_utf8(leaves).unwrap();
    assert!(leaves.lines().last().unwrap().contains(&format!("\"unix:{}\"", sshd.uid)), "{leaves}");
    // The key of the job opens nothing else: no command, no port, no other socket.
    let command = typed("ssh ci-acme@signer.example id");
    assert!(!String::from_utf8_lossy(&command.stdout).contains("uid="), "{command:?}");
    assert!(!command.status.success(), "{command:?}");
    let port = scene.port();
    let other = sshd.directory.path().join("other.sock");
    let listening = std::os::unix::net::UnixListener::bind(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o666)).unwrap();
    listening.set_nonblocking(true).unwrap();
    let elsewhere = lines.replace("/run/sealward/sealward.sock", other.to_str().unwrap());
    let elsewhere = elsewhere.replace("sealward.sock", "elsewhere.sock").replace("ci.ctl", "elsewhere.ctl");
    assert!(!typed(&elsewhere).status.success());
    assert!(listening.accept().is_err(), "nobody was let through");
    typed("ssh -S elsewhere.ctl -O exit ci-acme@signer.example");
    let direct = typed(&format!("ssh -W 127.0.0.1:{port} ci-acme@signer.example"));
    assert!(!direct.status.success(), "{direct:?}");
    assert!(String::from_utf8_lossy(&direct.stderr).contains("administratively prohibited"), "{direct:?}");
}
