//! The daemon of a build that can have a deliberate defect. An example to cargo, so that it is built with the same
//! dependencies as the tests and never takes the place of the real `sealwardd`.

/// As `src/bin/sealwardd.rs`.
fn main() -> std::process::ExitCode {
    sealward::daemon::main()
}
