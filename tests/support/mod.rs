//! A world of its own for each black-box test: a directory, a configuration, a daemon, a client.
//!
//! Nothing here is shared between tests and nothing is a double: the daemon is the built `sealwardd`, the client the one
//! that we ship.
#![allow(dead_code, unreachable_pub)] // each test crate uses a part, and none is a library

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealward::client::messages::{GenerateKeyRequest, Key, SignRequest, SignResponse};
use sealward::client::{Client, ClientError, Server, TlsFiles};

pub mod faults;
pub mod frames;
pub mod issuer;
pub mod ngclient;
pub mod pki;
mod raw;
pub mod roots;

/// A daemon with software keys and one unix socket, for [`World::configured`]. The user may do everything.
pub const SOFTWARE: &str = r#"
version = 1

[ledger]
directory = "{dir}/ledger"

[log_key]
unseal = { identity = { file = "{dir}/identity" } }

[observe]
path = "{dir}/metrics.sock"

[[listener]]
name = "local"
kind = "unix"
path = "{dir}/sealward.sock"
mode = "0600"

[[keystore]]
name = "software"
kind = "software"
directory = "{dir}/keys"
unseal = { identity = { file = "{dir}/identity" } }

[[repository]]
name = "demo"

[repository.role.timestamp]
keystore = "software"
algorithm = "ed25519"

[repository.role.snapshot]
keystore = "software"
algorithm = "ecdsa-p256"

[repository.role.targets]
custody = "online"
keystore = "software"
algorithm = "ecdsa-p384"

[[grant]]
callers = ["unix:{uid}"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots", "freeze", "operate", "audit", "status"]
repositories = ["**"]
roles = ["**"]
"#;

/// How long anything in a test may take before it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One daemon in one directory.
pub struct World {
    directory: tempfile::TempDir,
    daemon: Option<Child>,
    dev: bool,
    runtime: tokio::runtime::Runtime,
    environment: Vec<(String, String)>,
}

impl World {
    /// A started throw-away daemon (`--dev`).
    pub fn dev() -> Self {
        let mut world = Self::empty();
        world.dev = true;
        world.start();
        world
    }

    /// A directory without a daemon.
    pub fn empty() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Ours alone, whatever the umask: the daemon insists on it.
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("sealward-test-").permissions(private).tempdir().unwrap();
        Self { directory, daemon: None, dev: false, runtime, environment: Vec::new() }
    }

    /// A real (not throw-away) daemon over a configuration; `init` was run, and it is started. `{dir}` in the text stands
    /// for the world's directory, `{uid}` for the user.
    pub fn configured(text: &str) -> Self {
        Self::empty().init_and_start(text)
    }

    /// As [`World::configured`], in a directory that was prepared.
    pub fn init_and_start(mut self, text: &str) -> Self {
        self.configure(text);
        let init = self.sealwardd(&["init", "--config", self.path("sealward.toml").to_str().unwrap()]);
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        self.start();
        self
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let text = text.replace("{dir}", self.directory.path().to_str().unwrap()).replace("{uid}", &uid);
        fs::write(self.path("sealward.toml"), text).unwrap();
    }

    /// Adds to the daemon's environment from the next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A path in the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        if let Err(output) = self.try_start() {
            panic!("the daemon did not start: {output}");
        }
    }

    /// Starts the daemon; when it ends instead of serving, its exit code and log come back.
    pub fn try_start(&mut self) -> Result<(), String> {
        assert!(self.daemon.is_none(), "started twice");
        let logged = self.log().len();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwardd"));
        if self.dev {
            command.arg("--dev").arg("--dir").arg(self.directory.path());
        } else {
            command.arg("--config").arg(self.path("sealward.toml"));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(format!("exit {:?}\n{}", status.code(), self.log()));
            }
            // Not by connecting: sockets are bound before the ledger is looked at, and a refusal comes after.
            if self.log().get(logged..).is_some_and(|log| log.contains(" serving ")) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.daemon = Some(child);
        Ok(())
    }

    /// Starts the daemon as systemd would, with the socket handed in under a name.
    pub fn start_activated(&mut self, name: &str) {
        self.start_with("s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])", name);
    }

    /// As [`World::start_activated`], with a TCP socket on a free port of loopback.
    pub fn start_activated_tcp(&mut self, name: &str) {
        self.start_with("s=socket.socket(); s.bind(('127.0.0.1',0))", name);
    }

    fn start_with(&mut self, socket: &str, name: &str) {
        // The shell sets LISTEN_PID to its own number and becomes the daemon; Python hands the socket in as descriptor 3.
        let script = format!(
            "import os,socket,sys\n{socket}; s.listen(16)\n\
            os.dup2(s.fileno(),3); os.set_inheritable(3,True)\n\
            os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='1',LISTEN_FDNAMES=sys.argv[2])\n\
            os.execv(sys.argv[3],[sys.argv[3],'--config',sys.argv[4]])"
        );
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let child = Command::new("python3")
            .args(["-c", &script])
            .arg(self.path("sealward.sock"))
            .args([name, env!("CARGO_BIN_EXE_sealwardd")])
            .arg(self.path("sealward.toml"))
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
        self.wait_for_log("serving", |_| Some(()));
    }

    /// Waits for a line in the daemon's log and reads what follows a text in it.
    pub fn wait_for_log<T>(&self, text: &str, read: impl Fn(&str) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let log = self.log();
            if let Some(found) = log.lines().find_map(|line| line.split_once(text).and_then(|(_, rest)| read(rest))) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "no `{text}` in\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Replaces a text in the configuration, once or not at all; the daemon does not know yet.
    pub fn reconfigure(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("sealward.toml")).unwrap();
        assert!(text.contains(old), "no `{old}` in\n{text}");
        // As an editor does: nobody reads half a file.
        fs::write(self.path("sealward.toml.new"), text.replacen(old, new, 1)).unwrap();
        fs::rename(self.path("sealward.toml.new"), self.path("sealward.toml")).unwrap();
    }

    /// `sealward reload`: its exit code, and what it said.
    pub fn reload(&self) -> (i32, String) {
        let output = self.sealward(&["reload"]);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), text)
    }

    /// The port of a TCP listener of `127.0.0.1:0`.
    pub fn port(&self, listener: &str) -> u16 {
        self.wait_for_log(&format!("listening listener={listener} address=127.0.0.1:"), |rest| {
            rest.split_whitespace().next().and_then(|port| port.parse().ok())
        })
    }

    /// A client with a certificate of the world's directory, over connections that stay open.
    pub fn tls_client(&self, port: u16, who: &str) -> Result<Client, ClientError> {
        let server: Server = format!("https://localhost:{port}").parse().unwrap();
        let file = |name: String| Some(self.path(&name));
        let files = TlsFiles {
            ca: file("ca.pem".to_owned()),
            certificate: file(format!("{who}.pem")),
            key: file(format!("{who}.key")),
        };
        self.runtime.block_on(Client::connect(&server, &files, Duration::from_secs(5)))
    }

    /// Runs something to its end on the world's runtime.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.end(rustix::process::Signal::TERM)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.end(rustix::process::Signal::KILL);
    }

    fn end(&mut self, signal: rustix::process::Signal) -> Option<i32> {
        let mut child = self.daemon.take()?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("the daemon did not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// The address of the unix socket, as `--server` takes it.
    pub fn server(&self) -> String {
        format!("unix:{}", self.path("sealward.sock").display())
    }

    /// Runs `sealward` against this daemon.
    pub fn sealward(&self, arguments: &[&str]) -> Output {
        bounded(
            Command::new(env!("CARGO_BIN_EXE_sealward"))
                .env("SEALWARD_SERVER", self.server())
                .current_dir(self.directory.path())
                .args(arguments),
        )
    }

    /// Runs `sealwardd` with these arguments, to its end.
    pub fn sealwardd(&self, arguments: &[&str]) -> Output {
        bounded(
            Command::new(env!("CARGO_BIN_EXE_sealwardd"))
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(self.directory.path())
                .args(arguments),
        )
    }

    /// Runs something with a connected client.
    pub fn with_client<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        self.runtime.block_on(async {
            let server: Server = self.server().parse().unwrap();
            let client = Client::connect(&server, &TlsFiles::default(), PATIENCE).await.unwrap();
            work(&client).await
        })
    }

    /// Sends bytes as the body of a gRPC call, whatever they are. The status, or `None` when the connection broke.
    pub fn raw_grpc(&self, path: &str, body: &[u8]) -> Option<i32> {
        self.runtime.block_on(raw::call(self.path("sealward.sock"), path, body.to_vec()))
    }

    /// A connection that buffers little of what it is answered.
    pub fn narrow_channel(&self) -> impl Future<Output = tonic::transport::Channel> + use<> {
        raw::narrow_channel(self.path("sealward.sock"))
    }

    /// `grpc.health.v1`'s status of a service; `None` when it is not known.
    pub fn health(&self, service: &str) -> Option<i32> {
        self.runtime.block_on(raw::health(self.path("sealward.sock"), service))
    }

    /// What reflection lists.
    pub fn reflected_services(&self) -> Vec<String> {
        self.runtime.block_on(raw::reflected(self.path("sealward.sock")))
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(self.path("metrics.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Makes a key; with `new` the repository begins with it.
    pub fn key(&self, repository: &str, role: &str, new: bool) -> Key {
        self.try_key(repository, &[role], new).unwrap()
    }

    /// As [`World::key`], with its refusal.
    pub fn try_key(&self, repository: &str, roles: &[&str], new: bool) -> Result<Key, ClientError> {
        let request = GenerateKeyRequest {
            repository: repository.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            new_repository: new,
            ..GenerateKeyRequest::default()
        };
        self.with_client(async |client| client.generate_key(request).await.map(|answer| answer.key.unwrap()))
    }

    /// Signs with every eligible key of the role.
    pub fn sign(&self, repository: &str, role: &str, payload: &str) -> Result<SignResponse, ClientError> {
        self.with_client(async |client| client.sign(sign_request(repository, role, payload)).await)
    }

    /// The name of the rule that refuses a payload.
    pub fn refusal(&self, repository: &str, role: &str, payload: &str) -> String {
        self.sign(repository, role, payload).expect_err("it was signed").reason().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- daemon log ---\n{}", self.log());
        }
    }
}

/// Runs a program to its end. One that goes on, such as a daemon that should have refused to start, is a failure and not
/// a test that hangs.
pub fn bounded(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(!watch.join().unwrap(), "{command:?} did not end: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A request for every eligible key of a role.
pub fn sign_request(repository: &str, role: &str, payload: &str) -> SignRequest {
    SignRequest {
        repository: repository.to_owned(),
        role: role.to_owned(),
        payload: payload.to_owned().into(),
        ..SignRequest::default()
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`, some seconds from now.
pub fn in_seconds(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    sealward::domain::time::Instant::from_unix(i64::try_from(now).unwrap() + seconds).to_string()
}

/// Tomorrow.
pub fn tomorrow() -> String {
    in_seconds(24 * 60 * 60)
}

/// Canonical timestamp metadata.
pub fn timestamp(version: u64, snapshot: u64, expires: &str) -> String {
    format!(
        r#"{{"_type":"timestamp","expires":"{expires}","meta":{{"snapshot.json":{{"version":{snapshot}}}}},"spec_version":"1.0.31","version":{version}}}"#
    )
}

/// Canonical snapshot metadata that lists targets and further files such as `("releases.json", 3)`.
pub fn snapshot(version: u64, targets: u64, more: &[(&str, u64)], expires: &str) -> String {
    let mut entries: Vec<(&str, u64)> = vec![("targets.json", targets)];
    entries.extend_from_slice(more);
    entries.sort_unstable();
    let entries: Vec<_> =
        entries.iter().map(|(file, version)| format!(r#""{file}":{{"version":{version}}}"#)).collect();
    format!(
        r#"{{"_type":"snapshot","expires":"{expires}","meta":{{{}}},"spec_version":"1.0.31","version":{version}}}"#,
        entries.join(",")
    )
}

/// Canonical targets metadata without targets.
pub fn targets(version: u64, expires: &str) -> String {
    format!(r#"{{"_type":"targets","expires":"{expires}","spec_version":"1.0.31","targets":{{}},"version":{version}}}"#)
}

/// The Python of the test tools (`make test-tools`), with python-tuf and securesystemslib.
pub fn python() -> PathBuf {
    let venv = std::env::var_os("SEALWARD_TEST_VENV").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/sealward-venv"),
        PathBuf::from,
    );
    let python = venv.join("bin/python");
    assert!(python.exists(), "{} is missing: run `make test-tools`", python.display());
    python
}
