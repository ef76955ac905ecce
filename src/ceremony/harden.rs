//! Before the first secret is read: no core dump, no debugger, no new privileges.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::output::Output;

/// Best effort each, and said when it fails: a container may forbid some of it.
pub(super) fn harden(output: &mut Output) {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    for (what, result) in [
        ("PR_SET_DUMPABLE", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("RLIMIT_CORE", rustix::process::setrlimit(Resource::Core, no_core)),
        ("PR_SET_NO_NEW_PRIVS", rustix::thread::set_no_new_privs(true)),
    ] {
        if let Err(error) = result {
            output.note(&format!("warning: {what}: {error}"));
        }
    }
}
