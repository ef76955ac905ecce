//! The signing daemon.

fn main() -> std::process::ExitCode {
    sealward::daemon::main()
}
