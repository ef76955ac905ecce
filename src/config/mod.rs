//! **The configuration file**, turned into each room's own settings.
//!
//! One TOML file, `version = 1`. Every mistake is found in one run, with line and column; unknown keys are refused with
//! the nearest known one; secrets never stand in the file. Check and start use the same [`load`]. The reference
//! of every key is `docs/configuration.md`, held against [`TABLES`] by a test.

mod duration;
mod error;
mod file;
mod overlap;
mod read;
mod report;
mod rights;
mod schema;
pub mod settings;
mod table;
mod warnings;

use std::path::Path;

use toml::de::DeTable;

pub use error::{Code, ConfigError, ConfigErrors, Position};
pub use rights::{CallerRights, Right, UnknownCaller, Who};
pub use schema::{TABLES, TableKeys};

use crate::domain::grant::Grants;
use crate::domain::name::Sha256Digest;
use crate::domain::person::{Persons, TokenRules};
use crate::domain::policy::Policies;
use crate::keystore::settings::KeystoreSettings;
use crate::oidc::settings::{IdentitySettings, ProviderSettings};

use report::{Lines, Report};
use settings::{
    ClockSettings, LedgerSettings, LimitSettings, ListenerSettings, LogKeySettings, LogSettings, MachineSettings,
    ObserveSettings,
};
use table::Section;

/// All that one file says. Every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The version of the file's form; 1.
    pub version: u64,
    /// Where the ledger is.
    pub ledger: LedgerSettings,
    /// The key of the audit log.
    pub log_key: LogKeySettings,
    /// Where requests come in; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Where metrics are served, if anywhere.
    pub observe: Option<ObserveSettings>,
    /// Where private keys live.
    pub keystores: Vec<KeystoreSettings>,
    /// What each repository may sign.
    pub policies: Policies,
    /// Whose tokens count.
    pub oidc: Vec<ProviderSettings>,
    /// Who may ask.
    pub grants: Grants,
    /// What requests may take.
    pub limits: LimitSettings,
    /// How the daemon talks.
    pub log: LogSettings,
    /// How far the clock may stray.
    pub clock: ClockSettings,
    /// How a copy of the ledger is noticed.
    pub machine: MachineSettings,
    /// SHA-256 of the text.
    pub digest: Sha256Digest,
    /// Where the rules stand in the file.
    pub places: Places,
    /// What is legal and probably not meant, `FILE:LINE:COLUMN: [name] detail`.
    pub warnings: Vec<String>,
}

/// Where the rules stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Of each grant, in the order of [`Grants::iter`].
    pub grants: Vec<Position>,
}

/// Reads a file. Refused besides what [`parse`] refuses: a file that is missing, unreadable, no regular file, larger
/// than 1 MiB, or writable by everybody.
pub fn load(path: &Path) -> Result<Configuration, ConfigErrors> {
    let name = path.display().to_string();
    let text = file::read(path, &name)?;
    assemble(&text, &name, &base_of(path))
}

/// Reads a text that came from the named file. Relative paths in it are relative to the file's directory.
pub fn parse(text: &str, file_name: &str) -> Result<Configuration, ConfigErrors> {
    assemble(text, file_name, &base_of(Path::new(file_name)))
}

/// The absolute directory of the file. Without a working directory nothing relative can be meant.
fn base_of(path: &Path) -> std::path::PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map(Path::to_owned).unwrap_or_default()
}

fn assemble(text: &str, file: &str, base: &Path) -> Result<Configuration, ConfigErrors> {
    file::check_size(text.len() as u64, file)?;
    let mut report = Report::default();
    let (document, mistakes) = DeTable::parse_recoverable(text);
    let headers = if mistakes.is_empty() { Vec::new() } else { single_headers(text) };
    for (at, name) in &headers {
        let detail = format!("`[{name}]` is one of several: write `[[{name}]]`, as for each other `{name}`");
        report.error(Code::Syntax, *at, detail);
    }
    // A table that stands twice has each key twice, and the header is the whole mistake.
    let of_a_header = |mistake: &toml::de::Error| !headers.is_empty() && mistake.message().starts_with("duplicate key");
    for mistake in mistakes.iter().filter(|mistake| !of_a_header(mistake)) {
        report.error(Code::Syntax, mistake.span().map_or(text.len(), |span| span.start), mistake.message());
    }
    let lines = Lines::of(text);
    let configuration = sections(document.get_ref(), &lines, base, &mut report);
    match configuration.filter(|_| report.is_clean()) {
        Some(configuration) => {
            let digest = Sha256Digest::of(text.as_bytes());
            Ok(Configuration { digest, warnings: report.into_warnings(&lines, file), ..configuration })
        }
        None => Err(report.into_errors(&lines, file)),
    }
}

/// Headers in single brackets of tables that are lists: where they stand, and their names.
fn single_headers(text: &str) -> Vec<(usize, &'static str)> {
    let header = |line: &str| {
        let name = line.trim_start().strip_prefix('[')?.split_once(']')?.0.trim();
        schema::LISTS.into_iter().find(|list| *list == name)
    };
    let mut at = 0;
    let mut found = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(name) = header(line) {
            found.push((at, name));
        }
        at += line.len();
    }
    found
}

fn rules_of(oidc: &[(usize, ProviderSettings)]) -> TokenRules {
    let of_one = |provider: &ProviderSettings| {
        let named =
            |identity: &IdentitySettings| ((provider.name.clone(), identity.name.clone()), provider.rule(identity));
        provider.identities.iter().map(named).collect::<Vec<_>>()
    };
    TokenRules::new(oidc.iter().flat_map(|(_, provider)| of_one(provider)))
}

/// Every table is read before the first `?`, so that one run tells every mistake.
fn sections(document: &DeTable<'_>, lines: &Lines<'_>, base: &Path, report: &mut Report) -> Option<Configuration> {
    let root = Section::root(document, report);
    let version = read::daemon::version(&root, report);
    let ledger = read::daemon::ledger(&root, base, report);
    let log_key = read::daemon::log_key(&root, ledger.as_ref(), base, report);
    let log = read::daemon::log(&root, report);
    let clock = read::daemon::clock(&root, report);
    let machine = read::daemon::machine(&root, base, report);
    let observe = read::daemon::observe(&root, base, report);
    let listeners = read::listener::listeners(&root, base, report);
    let oidc = read::oidc::providers(&root, base, report);
    // One with a mistake is there all the same.
    let configured = root.find("oidc").map_or(0, |node| node.tables(&mut Report::default()).len());
    read::listener::refuse_tokens_of_nobody(&root, configured, report);
    let keystores = read::keystore::keystores(&root, base, report);
    let repositories = read::repository::repositories(&root, &read::keystore::names(&root), report);
    let tokens = read::oidc::names(&root);
    let placed_persons = read::person::persons(&root, &tokens, report);
    let persons = Persons::new(placed_persons.iter().map(|(_, person)| person.clone()).collect());
    let persons = persons.with_tokens(rules_of(&oidc));
    let grants = read::grant::grants(&root, &persons, &tokens, report);
    if report.is_clean() {
        let roles = read::repository::role_places(&root);
        let file = warnings::File {
            repositories: &repositories,
            roles: &roles,
            grants: &grants,
            people: &placed_persons,
            persons: &persons,
            keystores: &keystores,
            listeners: &listeners,
            providers: &oidc,
            lines,
        };
        warnings::collect(&file, report);
    }
    let policies = Policies::new(repositories.into_iter().map(|(_, policy)| policy).collect());
    let limits = read::daemon::limits(&root, &policies, report);
    let places = Places { grants: grants.iter().map(|(at, _)| lines.position(*at)).collect() };
    Some(Configuration {
        version: version?,
        ledger: ledger?,
        log_key: log_key?,
        listeners,
        observe,
        keystores,
        policies,
        oidc: oidc.into_iter().map(|(_, provider)| provider).collect(),
        grants: Grants::new(grants.into_iter().map(|(_, grant)| grant).collect(), persons),
        limits,
        log,
        clock,
        machine,
        digest: Sha256Digest::of(&[]),
        places,
        warnings: Vec::new(),
    })
}
