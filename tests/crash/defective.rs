//! The daemon with switchable defects, built once per process, from the same dependencies as the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The defects of `src/ledger/mutation.rs`.
pub(crate) const RELEASE_BEFORE_COMMIT: &str = "release-before-commit";
pub(crate) const SKIP_GUARD_UPDATE: &str = "skip-guard-update";
pub(crate) const SYNCHRONOUS_OFF: &str = "synchronous-off";

/// What the daemon says when one is switched on.
pub(crate) const CONFESSION: &str = "THIS DAEMON HAS A DELIBERATE DEFECT";

/// Where it is. An example to cargo: examples have the tests' dependencies, so that only our own crate is compiled
/// again, and a path of their own, so that the real `sealwardd` stays what it is. Cargo's own lock serialises builds.
pub(crate) fn daemon() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // TARGET/PROFILE/sealwardd
        let real = Path::new(env!("CARGO_BIN_EXE_sealwardd"));
        let profile = real.parent().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(env!("CARGO_MANIFEST_DIR")).arg("build").args(["--quiet", "--offline", "--locked"]);
        build.args(["--features", "mutations", "--example", "defective-sealwardd"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let output = build.output().unwrap();
        assert!(output.status.success(), "{build:?}: {}", String::from_utf8_lossy(&output.stderr));
        let daemon = profile.join("examples/defective-sealwardd");
        assert!(daemon.is_file(), "{} was not built", daemon.display());
        daemon
    })
}
