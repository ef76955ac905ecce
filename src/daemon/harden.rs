//! Before the first secret is read: no core dump, no debugger, no new privileges.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Best effort each, and said when it fails: a container may forbid some of it.
pub(super) fn harden() {
    let mut failures = Vec::new();
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        failures.push(format!("PR_SET_DUMPABLE: {error}"));
    }
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, no_core) {
        failures.push(format!("RLIMIT_CORE: {error}"));
    }
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        failures.push(format!("PR_SET_NO_NEW_PRIVS: {error}"));
    }
    for failure in failures {
        super::say(&format!("sealwardd: warning: {failure}"));
    }
}
