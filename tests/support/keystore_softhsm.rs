//! A SoftHSM2 of one's own: configuration and tokens in a directory that goes away with the test.

use std::path::PathBuf;
use std::process::Command;

use sealward::keystore::settings::{Pkcs11Settings, SecretSource};
use tempfile::TempDir;

/// Where Debian installs the module.
pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Every token's user PIN.
pub(crate) const PIN: &str = "7319-user-pin";

pub(crate) struct SoftHsm {
    pub(crate) directory: TempDir,
}

impl SoftHsm {
    /// Without a token yet.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = Self { directory };
        std::fs::create_dir(world.tokens()).unwrap();
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            world.tokens().display()
        );
        std::fs::write(world.configuration(), settings).unwrap();
        world.write_pin(PIN);
        world
    }

    /// With one token of this label.
    pub(crate) fn with_token(label: &str) -> Self {
        let world = Self::empty();
        world.add_token(label);
        world
    }

    pub(crate) fn add_token(&self, label: &str) {
        self.run("softhsm2-util", &["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]);
    }

    /// Runs pkcs11-tool on the token, logged in.
    pub(crate) fn tool(&self, label: &str, arguments: &[&str]) -> String {
        let login = ["--module", MODULE, "--token-label", label, "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&login[..], arguments].concat())
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.pin(), format!("{pin}\n")).unwrap();
        std::fs::set_permissions(self.pin(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn settings(&self, label: &str) -> Pkcs11Settings {
        let configuration = self.configuration().to_str().unwrap().to_owned();
        Pkcs11Settings {
            module: MODULE.into(),
            token_label: label.into(),
            token_serial: None,
            pin: SecretSource::File(self.pin()),
            environment: vec![("SOFTHSM2_CONF".into(), configuration)],
            worker: Some(env!("CARGO_BIN_EXE_sealward-token").into()),
            sessions: 4,
        }
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("softhsm2.conf")
    }

    fn pin(&self) -> PathBuf {
        self.directory.path().join("pin")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SOFTHSM2_CONF", self.configuration()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}
