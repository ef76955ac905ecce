//! One daemon in one directory, from outside: configured once, started and killed many times.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealward::client::messages::StatusRequest;
use sealward::client::{Client, ClientError, Server, TlsFiles};
use tokio::time::{Instant, sleep, timeout};

use crate::disk::LoopDisk;
use crate::journal::{Clock, Journal, What};

/// How long a daemon may take from its start to its first answer, and an answer at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon and everything around it that outlives it.
pub(crate) struct World {
    home: tempfile::TempDir,
    /// Where the daemon's files are: below `home`, or on a disk of their own.
    directory: PathBuf,
    binary: PathBuf,
    mutation: Option<&'static str>,
    daemon: Option<Child>,
    /// Dropped after the daemon was ended, and before its mount point goes with `home`.
    disk: Option<LoopDisk>,
    clock: Clock,
    journal: Journal,
}

impl World {
    /// A configured daemon that was not started yet.
    pub(crate) fn new(binary: &Path, on_disk: bool) -> Self {
        let private = fs::Permissions::from_mode(0o700);
        let home = tempfile::Builder::new().prefix("sealward-crash-").permissions(private).tempdir().unwrap();
        let disk = on_disk.then(|| LoopDisk::new(home.path()));
        let directory = disk.as_ref().map_or(home.path(), LoopDisk::mount_point).join("world");
        fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
        fs::create_dir(home.path().join("journals")).unwrap();
        let clock = Clock::start();
        let journal = Journal::open(&home.path().join("journals"), "killer", &clock);
        let world =
            Self { home, directory, binary: binary.to_owned(), mutation: None, daemon: None, disk, clock, journal };
        fs::write(world.directory.join("sealward.toml"), configuration(&world.directory)).unwrap();
        if let Some(disk) = &world.disk {
            disk.sync(); // of our own file; what the daemon writes is its own to sync
        }
        world
    }

    /// Another writer's log of the same run.
    pub(crate) fn journal(&self, who: &str) -> Journal {
        Journal::open(&self.journals(), who, &self.clock)
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.home.path().join("journals")
    }

    /// A path beside the daemon's files, never on their disk.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn server(&self) -> Server {
        format!("unix:{}", self.directory.join("sealward.sock").display()).parse().unwrap()
    }

    /// Starts the process, and no more.
    pub(crate) fn spawn(&mut self) {
        assert!(self.daemon.is_none(), "started twice");
        let log = OpenOptions::new().create(true).append(true).open(self.beside("daemon.log")).unwrap();
        let mut command = Command::new(&self.binary);
        command.arg("--dev").arg("--dir").arg(&self.directory);
        command.env_remove("SEALWARD_MUTATION").envs(self.mutation.map(|name| ("SEALWARD_MUTATION", name)));
        // Set where a service manager runs the tests; --dev refuses to be a service.
        command.env_remove("INVOCATION_ID").env_remove("NOTIFY_SOCKET");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.daemon = Some(spawned.unwrap());
    }

    /// Starts it and waits for its first answer. False when it ended instead, which is written down.
    pub(crate) async fn start(&mut self) -> bool {
        let began = self.clock.now();
        self.spawn();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.daemon.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.daemon = None;
                self.write_ended(began);
                return false;
            }
            if self.answers().await.is_ok() {
                self.journal.write(began, self.clock.now(), What::Serving);
                return true;
            }
            if Instant::now() > deadline {
                self.write_ended(began);
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGKILL; and when its files are on a disk of their own, the power goes with it.
    pub(crate) fn crash(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let began = self.clock.now();
        // It cannot be gone by itself and be reaped: nobody else waits for it.
        daemon.kill().unwrap();
        let status = daemon.wait().unwrap();
        if std::os::unix::process::ExitStatusExt::signal(&status) != Some(9) {
            self.write_ended(began);
        }
        if let Some(disk) = &mut self.disk {
            disk.cut_power();
        }
        self.journal.write(began, self.clock.now(), What::Killed { power_cut: self.disk.is_some() });
    }

    /// Nothing is removed in the end.
    pub(crate) fn keep(&mut self) -> &Path {
        self.home.disable_cleanup(true);
        self.home.path()
    }

    /// SIGTERM; the next life has a defect.
    pub(crate) fn stop_and_mutate(&mut self, mutation: &'static str) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let began = self.clock.now();
        let pid = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(daemon.wait().unwrap().success(), "{}", self.log());
        self.journal.write(began, self.clock.now(), What::Stopped);
        self.mutation = Some(mutation);
    }

    /// What the daemon logged over all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.beside("daemon.log")).unwrap_or_default()
    }

    async fn answers(&self) -> Result<(), ClientError> {
        let client = Client::connect(&self.server(), &TlsFiles::default(), PATIENCE).await?;
        // A daemon that dies while it starts leaves the connection in its backlog, which ends with it.
        let answer = timeout(PATIENCE, client.status(StatusRequest {})).await;
        answer.unwrap_or(Err(ClientError::Deadline { timeout: PATIENCE })).map(drop)
    }

    fn write_ended(&mut self, began: u64) {
        let log = self.log();
        let tail: Vec<_> = log.lines().rev().filter(|line| !line.contains(" refused ")).take(3).collect();
        self.journal.write(
            began,
            self.clock.now(),
            What::Ended { log: tail.into_iter().rev().collect::<Vec<_>>().join(" | ") },
        );
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
        drop(self.disk.take());
    }
}

/// As `--dev` would write it, with release rates that no client reaches.
fn configuration(directory: &Path) -> String {
    let role = |name: &str| {
        format!(
            "\n[repository.role.{name}]\ncustody = \"online\"\nkeystore = \"software\"\nalgorithms = [\"ed25519\", \"ecdsa-p256\"]\n\
             release_rate = {{ per_hour = {most}, burst = {most} }}\n",
            most = u32::MAX
        )
    };
    format!(
        r#"version = 1

[ledger]
directory = "{directory}/ledger"

[log_key]
path = "{directory}/log-key"
unseal = {{ identity = {{ file = "{directory}/identity" }} }}

[[listener]]
name = "local"
kind = "unix"
path = "{directory}/sealward.sock"
mode = "0600"

[[keystore]]
name = "software"
kind = "software"
directory = "{directory}/keys"
unseal = {{ identity = {{ file = "{directory}/identity" }} }}

[[repository]]
pattern = "**"
{roles}
[[grant]]
callers = ["unix:{uid}"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots", "audit", "status"]
repositories = ["**"]
roles = ["**"]
"#,
        directory = directory.display(),
        roles = ["timestamp", "snapshot", "targets"].map(role).concat(),
        uid = rustix::process::geteuid().as_raw(),
    )
}
