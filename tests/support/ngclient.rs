//! python-tuf's client, over a directory that a test publishes into.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A published repository, and clients of it.
pub struct Published {
    directory: PathBuf,
}

impl Published {
    /// An empty one below a directory.
    pub fn below(directory: &Path) -> Self {
        let directory = directory.join("published");
        fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// Puts a file out.
    pub fn put(&self, name: &str, file: &[u8]) {
        fs::write(self.directory.join(name), file).unwrap();
    }

    /// A client that began with a root file refreshes. The versions of root, timestamp, snapshot and targets that it trusts
    /// then, or its error.
    pub fn refresh(&self, client: &str, root: &str) -> Result<[u64; 4], String> {
        let home = self.directory.with_file_name(client);
        let mut command = Command::new(python());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/python/ngclient.py"));
        let output = super::bounded(command.arg(home).arg(&self.directory).arg(self.directory.join(root)));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "python-tuf does not run (`make test-tools`): {told}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        match answer.get("error") {
            Some(_) => Err(answer.to_string()),
            None => Ok(["root", "timestamp", "snapshot", "targets"].map(|role| answer[role].as_u64().unwrap())),
        }
    }
}

fn python() -> PathBuf {
    let venv = std::env::var_os("SEALWARD_TEST_VENV").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/sealward-venv");
    venv.unwrap_or_else(home).join("bin/python")
}
