//! The mark of this machine: by it a ledger that was copied elsewhere is noticed.

use std::path::Path;

use aws_lc_rs::hmac;

use super::DaemonError;
use crate::config::settings::MachineSettings;
use crate::domain::name::Sha256Digest;

/// Keyed with the machine's id, so that the id itself (machine-id(5): confidential) is never stored, and bound to the
/// ledger, so that two ledgers of one machine do not tell that they are neighbours. As sd_id128_get_machine_app_specific(3).
const LABEL: &[u8] = b"sealward-machine-v1\0";

/// The mark for a ledger; `None` where the check is switched off.
pub(super) fn mark(settings: &MachineSettings, ledger_id: &str) -> Result<Option<Sha256Digest>, DaemonError> {
    if !settings.check {
        return Ok(None);
    }
    let id = read_id(&settings.id_file)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, id.as_bytes());
    let tag = hmac::sign(&key, &[LABEL, ledger_id.as_bytes()].concat());
    // A digest of it says as much, and is of the type that records have.
    Ok(Some(Sha256Digest::of(tag.as_ref())))
}

/// 32 hexadecimal digits and a line end (machine-id(5)); another file may hold any line of 16 to 255 printable characters.
fn read_id(path: &Path) -> Result<String, DaemonError> {
    let refused = |what: &str| DaemonError::File {
        path: path.to_owned(),
        what: format!(
            "{what}. It tells this machine from a copy of it; name a file that stays with the machine in [machine] \
             id_file, or knowingly switch the check off with [machine] check = false"
        ),
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(&error.to_string()))?;
    let id = text.trim_end();
    if id.is_empty() || id == "uninitialized" {
        return Err(refused("this machine has no id yet"));
    }
    let printable = id.bytes().all(|byte| byte.is_ascii_graphic());
    if !(16..=255).contains(&id.len()) || !printable || id.bytes().all(|byte| byte == b'0') {
        return Err(refused("this is no machine's id"));
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> (tempfile::TempDir, MachineSettings) {
        let directory = tempfile::tempdir().unwrap();
        let id_file = directory.path().join("machine-id");
        std::fs::write(&id_file, text).unwrap();
        (directory, MachineSettings { check: true, id_file })
    }

    #[test]
    fn a_mark_tells_machines_and_ledgers_apart_and_holds_no_id() {
        let (_one, here) = settings("0123456789abcdef0123456789abcdef\n");
        let (_two, there) = settings("0123456789abcdef0123456789abcdee\n");
        let of = |settings: &MachineSettings, ledger| mark(settings, ledger).unwrap().unwrap();
        assert_eq!(of(&here, "a"), of(&here, "a"));
        assert_ne!(of(&here, "a"), of(&there, "a"));
        assert_ne!(of(&here, "a"), of(&here, "b"));
        assert!(!of(&here, "a").to_string().contains("0123456789abcdef"));
        assert_eq!(mark(&MachineSettings { check: false, ..here }, "a").unwrap(), None);
    }

    #[test]
    fn what_is_no_id_is_refused_and_the_way_out_is_named() {
        for text in
            ["", "\n", "uninitialized\n", "0123\n", &"0".repeat(32), "0123456789abcdef 0123456789abcdef", "\u{7f}"]
        {
            let said = mark(&settings(text).1, "a").unwrap_err().to_string();
            assert!(said.contains("check = false") && said.contains("id_file"), "{text:?}: {said}");
        }
        let absent = MachineSettings { check: true, id_file: "/nonexistent/machine-id".into() };
        assert!(mark(&absent, "a").is_err());
    }
}
