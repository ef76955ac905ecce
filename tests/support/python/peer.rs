//! A Python process with python-tuf and securesystemslib, asked line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

pub(crate) struct Peer {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it. A test that cannot compare fails; it never passes silently.
    pub(crate) fn start() -> Self {
        let python = environment().join("bin/python");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/python/peer.py");
        let mut command = Command::new(&python);
        let spawned = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("{} does not start ({error}): run `make test-tools`", python.display());
        });
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, answers }
    }

    /// One request, one answer. The process reads a whole line before it answers, so that neither side waits for ever.
    pub(crate) fn ask(&mut self, request: Value) -> Value {
        let mut line = request.to_string();
        line.push('\n');
        let requests = self.requests.as_mut().unwrap();
        requests.write_all(line.as_bytes()).and_then(|()| requests.flush()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(
            !answer.is_empty(),
            "the Python process ended (its error is above); are the tools there? `make test-tools`"
        );
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

pub(crate) fn environment() -> PathBuf {
    if let Some(path) = std::env::var_os("SEALWARD_TEST_VENV") {
        return PathBuf::from(path);
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    PathBuf::from(home).join(".cache/sealward-venv")
}
