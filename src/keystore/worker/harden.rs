//! Taking rights away before a module is loaded.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

/// No core dump, no debugger of the same user, no new privileges, and no life without the daemon.
pub(super) fn harden() -> Result<(), Errno> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    // Sent when the thread that started us ends. A daemon that died before this line is noticed by the closed socket.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
}
