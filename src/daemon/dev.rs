//! `--dev`: a throw-away daemon that marks everything it makes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{DaemonError, init, open, run, say};

/// The configuration of a throw-away daemon, as a file that a newcomer can read and copy from.
fn configuration(directory: &Path, uid: u32) -> String {
    format!(
        r#"# A throw-away daemon, made by `sealwardd --dev`. Everything in {directory} is for trying out.
version = 1

[ledger]
directory = "{directory}/ledger"

[log_key]
path = "{directory}/log-key"
unseal = {{ identity = {{ file = "{directory}/identity" }} }}

# Throw-away daemons run in containers too, which often have no machine id.
[machine]
check = false

[[listener]]
name = "local"
kind = "unix"
path = "{directory}/sealward.sock"
mode = "0600"

[observe]
path = "{directory}/metrics.sock"

[[keystore]]
name = "software"
kind = "software"
directory = "{directory}/keys"
unseal = {{ identity = {{ file = "{directory}/identity" }} }}

# Every repository: timestamp, snapshot and targets sign by themselves. A real one keeps targets away from here.
[[repository]]
pattern = "**"

[repository.role.timestamp]
keystore = "software"
algorithm = "ed25519"

[repository.role.snapshot]
keystore = "software"
algorithm = "ed25519"

[repository.role.targets]
custody = "online"
keystore = "software"
algorithm = "ed25519"

# You may do everything.
[[grant]]
callers = ["unix:{uid}"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots", "freeze", "operate", "audit", "status"]
repositories = ["**"]
roles = ["**"]
"#,
        directory = directory.display(),
    )
}

pub(super) fn run(directory: Option<PathBuf>) -> Result<(), DaemonError> {
    // INVOCATION_ID says nothing: terminals and CI runners that systemd started hand it down.
    let own_pid = std::process::id().to_string();
    let is_service = std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == own_pid);
    if is_service || std::env::var_os("NOTIFY_SOCKET").is_some() {
        return Err(DaemonError::DevRefused("--dev is for a person at a terminal and refuses to run under systemd"));
    }
    let uid = rustix::process::geteuid().as_raw();
    let directory = directory.unwrap_or_else(|| std::env::temp_dir().join(format!("sealward-dev-{uid}")));
    let failed = |error: std::io::Error| DaemonError::File { path: directory.clone(), what: error.to_string() };
    let directory = std::path::absolute(&directory).map_err(failed)?;
    if directory.to_string_lossy().contains(['"', '\\', '\n']) {
        return Err(DaemonError::DevRefused("--dir: a path with quotes, backslashes or line ends does not work here"));
    }
    open::private_directory(&directory)?;
    let metadata = fs::metadata(&directory).map_err(failed)?;
    if metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        let what = "must belong to you alone (mode 0700); name another with --dir".to_owned();
        return Err(DaemonError::File { path: directory, what });
    }
    let file = directory.join("sealward.toml");
    if !file.exists() {
        let written = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file);
        written.and_then(|mut file| file.write_all(configuration(&directory, uid).as_bytes())).map_err(failed)?;
    }
    let configuration = super::load(&file)?;
    if !configuration.ledger.directory.join("ledger.sqlite3").exists() {
        init::init(&configuration, None, &format!("unix:{uid}"), true)?;
    }
    say(&format!("throw-away daemon in {}", directory.display()));
    say(&format!("  export SEALWARD_SERVER=unix:{}/sealward.sock", directory.display()));
    run::run(configuration, &file, true)
}
