//! Where secrets are, and what opens age files.

use std::path::Path;

use crate::config::error::Code;
use crate::config::report::Report;
use crate::config::schema;
use crate::config::table::Node;
use crate::keystore::settings::{SecretSource, UnsealSettings};

use super::place;

/// log2 of scrypt's N for new files: about a second of one core.
const WORK_FACTOR: u64 = 18;

/// `{ file = "/path" }` or `{ credential = "name" }`.
pub(in crate::config) fn source(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<SecretSource> {
    let section = node.section(schema::SECRET, report)?;
    match (section.find("file"), section.find("credential")) {
        (Some(file), None) => place::path(&file, base, report).map(SecretSource::File),
        (None, Some(credential)) => {
            let name = credential.parsed(Code::InvalidName, credential_name, report);
            name.map(|name| SecretSource::Credential(name.to_owned()))
        }
        (None, None) => {
            report.error(Code::MissingKey, section.at, "a secret's source needs the key `file` or `credential`");
            None
        }
        (Some(_), Some(credential)) => {
            credential.report(Code::Conflict, "a secret has one source, `file` or `credential`", report);
            None
        }
    }
}

/// `{ identity = SOURCE }` or `{ passphrase = SOURCE, work_factor = 18 }`.
pub(in crate::config) fn unseal(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<UnsealSettings> {
    let section = node.section(schema::UNSEAL, report)?;
    let work_factor = section.find("work_factor");
    match (section.find("identity"), section.find("passphrase")) {
        (Some(identity), None) => {
            if let Some(work_factor) = work_factor {
                work_factor.report(Code::Conflict, "an identity has no work factor; passphrases have", report);
            }
            secret(&identity, base, report).map(UnsealSettings::Identity)
        }
        (None, Some(passphrase)) => {
            let factor = work_factor.and_then(|node| node.number(10..=20, report)).unwrap_or(WORK_FACTOR);
            let source = secret(&passphrase, base, report)?;
            Some(UnsealSettings::Passphrase { source, work_factor: u8::try_from(factor).ok()? })
        }
        (None, None) => {
            report.error(Code::MissingKey, section.at, "unseal needs the key `identity` or `passphrase`");
            None
        }
        (Some(_), Some(passphrase)) => {
            passphrase.report(Code::Conflict, "keys open with an `identity` or a `passphrase`, not both", report);
            None
        }
    }
}

/// A source after a key that names a secret: what is no table there was reported as a secret when the table opened.
pub(in crate::config) fn secret(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<SecretSource> {
    if node.is_table() { source(node, base, report) } else { None }
}

/// What systemd takes as a credential's name and we can join to a directory (systemd.exec(5), `LoadCredential=`).
fn credential_name(text: &str) -> Result<&str, &'static str> {
    let good = (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && text != "."
        && text != "..";
    good.then_some(text).ok_or("a credential's name has 1 to 255 characters out of a-z A-Z 0-9 . _ - and is no `..`")
}
