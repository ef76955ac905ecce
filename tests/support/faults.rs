//! Disks that are full, read-only or broken: mounts and injected errors, always undone.
#![allow(dead_code, unreachable_pub)] // each test crate uses a part

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Something mounted over a directory, until dropped. Declare it after the [`super::World`] in whose directory it is.
pub struct Mount(PathBuf);

impl Mount {
    /// A file system in memory of this many KiB, for the user alone. `None` where mounting is not allowed, which `CI=true`
    /// does not accept.
    pub fn small(directory: &Path, kibibytes: u32) -> Option<Self> {
        fs::create_dir_all(directory).unwrap();
        let options = format!("size={kibibytes}k,mode=0700");
        Self::at(&["-t", "tmpfs", "-o", &options, "none"], directory)
    }

    /// What is there already, read-only.
    pub fn read_only(directory: &Path) -> Option<Self> {
        let mount = Self::at(&["--bind", directory.to_str().unwrap()], directory)?;
        let remounted = run("mount", &["-o", "remount,ro,bind", directory.to_str().unwrap()]);
        assert!(remounted.status.success(), "{}", text(&remounted.stderr));
        Some(mount)
    }

    fn at(arguments: &[&str], directory: &Path) -> Option<Self> {
        let mounted = run("mount", &[arguments, &[directory.to_str().unwrap()]].concat());
        if mounted.status.success() {
            return Some(Self(directory.to_owned()));
        }
        skip("mount", &text(&mounted.stderr))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a daemon may still be in it, and is ended by its own world.
        drop(run("umount", &["-l", self.0.to_str().unwrap()]));
    }
}

/// Errors that a system call of a running process returns from now on, until dropped (strace fault injection).
pub struct Injection(Child);

impl Injection {
    /// `expression` is strace's, such as `fsync:error=EIO`; only calls on `file` are meant. Returns when every thread is
    /// caught. `None` where tracing is not allowed, which `CI=true` does not accept.
    pub fn into(pid: u32, file: &Path, expression: &str) -> Option<Self> {
        let calls = expression.split(':').next().unwrap();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string(), "-P", file.to_str().unwrap()])
            .args(["-e", &format!("trace={calls}"), "-e", &format!("inject={expression}")])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match strace {
            Ok(child) => child,
            Err(error) => return skip("strace", &error.to_string()),
        };
        let begun = Instant::now();
        while !is_traced(pid) {
            if child.try_wait().unwrap().is_some() {
                let output = child.wait_with_output().unwrap();
                return skip("strace", &text(&output.stderr));
            }
            assert!(begun.elapsed() < super::PATIENCE, "strace does not attach");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self(child))
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // SIGINT makes it let go of the process first.
        let strace = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(strace, rustix::process::Signal::INT);
        drop(self.0.wait());
    }
}

/// Whether a tracer has every thread of the process.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

/// What this machine does not allow is said, and in CI refused.
pub fn skip<T>(what: &str, why: &str) -> Option<T> {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{what} is needed in CI: {why}");
    eprintln!("SKIPPED: {what} is not possible here: {}", why.trim());
    None
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Copies a directory's files, not its directories, over those of another.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Replaces a directory's files, not its directories, by those of another.
pub fn restore_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()) {
        fs::remove_file(entry.path()).unwrap();
    }
    copy_files(from, to);
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
