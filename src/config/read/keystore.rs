//! `[[keystore]]`: where private keys live.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::error::{Code, shown};
use crate::config::report::Report;
use crate::config::schema::{self, TableKeys};
use crate::config::table::{Node, Section};
use crate::domain::name::KeystoreName;
use crate::keystore::settings::{KeystoreSettings, KindSettings, Pkcs11Settings, SoftwareSettings};

use super::{place, secret};

const QUEUE_LIMIT: usize = 256;
const SESSIONS: usize = 2;

/// Every keystore.
pub(in crate::config) fn keystores(root: &Section<'_>, base: &Path, report: &mut Report) -> Vec<KeystoreSettings> {
    let nodes = root.find("keystore").map(|node| node.tables(report)).unwrap_or_default();
    let read = nodes.into_iter().filter_map(|node| Some((node.at, keystore(&node, base, report)?)));
    let read: Vec<_> = read.collect();
    refuse_duplicates(&read, report);
    read.into_iter().map(|(_, keystore)| keystore).collect()
}

/// The names that stand in the file, also of keystores with mistakes: a role that names one of those is not wrong.
pub(in crate::config) fn names(root: &Section<'_>) -> Vec<String> {
    let nodes = root.find("keystore").map(|node| node.tables(&mut Report::default())).unwrap_or_default();
    nodes.iter().filter_map(|node| node.peek("name")).map(str::to_owned).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Software,
    Pkcs11,
}

const KINDS: [(&str, Kind, TableKeys); 2] =
    [("software", Kind::Software, schema::KEYSTORE_SOFTWARE), ("pkcs11", Kind::Pkcs11, schema::KEYSTORE_PKCS11)];

fn keystore(node: &Node<'_>, base: &Path, report: &mut Report) -> Option<KeystoreSettings> {
    let (kind, section) = node.section_by_kind(&KINDS, report)?;
    let name = section.need("name", report);
    let name = name.and_then(|node| node.parsed(Code::InvalidName, str::parse::<KeystoreName>, report));
    let queue_limit = section.count("queue_limit", 1..=65_536, QUEUE_LIMIT, report);
    let kind = match kind {
        Kind::Software => software(&section, base, report).map(KindSettings::Software),
        Kind::Pkcs11 => pkcs11(&section, base, report).map(KindSettings::Pkcs11),
    };
    Some(KeystoreSettings { name: name?, kind: kind?, queue_limit })
}

fn software(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<SoftwareSettings> {
    let directory = section.need("directory", report).and_then(|node| place::path(&node, base, report));
    let unseal = section.need("unseal", report).and_then(|node| secret::unseal(&node, base, report));
    Some(SoftwareSettings { directory: directory?, unseal: unseal? })
}

fn pkcs11(section: &Section<'_>, base: &Path, report: &mut Report) -> Option<Pkcs11Settings> {
    let module = section.need("module", report).and_then(|node| place::path(&node, base, report));
    let label = section.need("token_label", report).and_then(|node| token_text(&node, 32, report));
    let serial = section.find("token_serial").map(|node| token_text(&node, 16, report));
    let pin = section.need("pin", report).and_then(|node| secret::secret(&node, base, report));
    let environment = section.find("environment").map(|node| environment(&node, report)).unwrap_or_default();
    let worker = section.find("worker").map(|node| place::path(&node, base, report));
    let sessions = section.count("sessions", 1..=64, SESSIONS, report);
    Some(Pkcs11Settings {
        module: module?,
        token_label: label?,
        token_serial: serial.map_or(Some(None), |serial| serial.map(Some))?,
        pin: pin?,
        environment,
        worker: worker.map_or(Some(None), |worker| worker.map(Some))?,
        sessions,
    })
}

/// CK_TOKEN_INFO pads its fields with spaces, so that a text cannot end with one (PKCS#11 v2.40, section 3.2).
fn token_text(node: &Node<'_>, bytes: usize, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    if text.is_empty() || text.len() > bytes || text.ends_with(' ') || text.chars().any(char::is_control) {
        let rule = format!("a token has 1 to {bytes} bytes here, without control characters or spaces at the end");
        node.report(Code::InvalidValue, rule, report);
        return None;
    }
    Some(text.to_owned())
}

fn environment(node: &Node<'_>, report: &mut Report) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (name, at, value) in node.named_entries(report) {
        if !is_variable_name(name) {
            let detail =
                format!("`{}` is no name of an environment variable: a-z A-Z 0-9 _, no digit first", shown(name));
            report.error(Code::InvalidName, at, detail);
        }
        if ["PIN", "PASS", "SECRET"].iter().any(|word| name.to_ascii_uppercase().contains(word)) {
            let detail =
                format!("`{}` may hold a secret; this file is read by others, and an environment is too", shown(name));
            report.warning("secret-in-environment", at, detail);
        }
        let Some(text) = value.text(report) else { continue };
        if text.contains('\0') {
            value.report(Code::InvalidValue, "an environment variable holds no NUL", report);
        }
        variables.push((name.to_owned(), text.to_owned()));
    }
    variables
}

fn is_variable_name(name: &str) -> bool {
    let first_is_digit = name.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
    !first_is_digit && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Two keystores over one device or directory would be two owners of the same keys.
fn refuse_duplicates(keystores: &[(usize, KeystoreSettings)], report: &mut Report) {
    let mut names = BTreeMap::new();
    let mut devices = BTreeMap::new();
    for (at, keystore) in keystores {
        if names.insert(&keystore.name, at).is_some() {
            report.error(Code::Duplicate, *at, format!("two keystores are named `{}`", keystore.name));
        }
        let device = match &keystore.kind {
            KindSettings::Software(software) => (software.directory.clone(), None),
            KindSettings::Pkcs11(token) => (token.module.clone(), Some((&token.token_label, &token.token_serial))),
        };
        if let Some(first) = devices.insert(device, &keystore.name) {
            report.error(Code::Duplicate, *at, format!("keystore `{first}` has this token or directory already"));
        }
    }
}
