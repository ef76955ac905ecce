//! The first administrator. Who may do what stands in the configuration and nowhere else, so that one file tells it:
//! `init` finds the first administrator there, or writes them there when told whom, and the log's first leaf names them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use super::{DaemonError, load, say};
use crate::config::{Configuration, Position, Who};
use crate::domain::caller::CallerPattern;
use crate::domain::grant::Verb;
use crate::domain::person::PersonName;

/// The name of the person that `init` writes unless told another.
const NAME: &str = "administrator";

/// Everything but what makes metadata: whoever signs or approves is named for that by hand.
const VERBS: [Verb; 8] = [
    Verb::Explain,
    Verb::Read,
    Verb::ManageKeys,
    Verb::ManageRoots,
    Verb::Freeze,
    Verb::Operate,
    Verb::Audit,
    Verb::Status,
];

/// The configuration with an administrator in it, and who that is. Without one in the file and without a wish nothing is
/// made: guessing who is to command a signer would be a grant that nobody wrote.
pub(super) fn ensure(
    path: &Path,
    configuration: Configuration,
    wish: Option<&str>,
) -> Result<(Configuration, String), DaemonError> {
    match (first(&configuration), wish) {
        (None, Some(wish)) => {
            write(path, &configuration, wish)?;
            let configuration = load(path)?;
            let Some((who, place)) = first(&configuration) else {
                let what = "does not hold the grant that was just written to it".to_owned();
                return Err(DaemonError::File { path: path.to_owned(), what });
            };
            say(&format!("first administrator: {who}, written to {}:{}", path.display(), place.line));
            Ok((configuration, who.to_string()))
        }
        (None, None) => Err(DaemonError::Usage(format!(
            "no grant of {} lets anybody make keys. Name the first administrator, such as --administrator {}; it is \
             written to the file as a [[person]] and a [[grant]], which you may write yourself instead",
            path.display(),
            invoking_user()
        ))),
        (Some((who, place)), None) => {
            say(&format!("first administrator: {who}, by {}:{}", path.display(), place.line));
            let who = who.to_string();
            Ok((configuration, who))
        }
        (Some((who, place)), Some(_)) => Err(DaemonError::Usage(format!(
            "--administrator: {who} may make keys already, by {}:{}. `init` makes the first administrator only; add \
             others to the file, or leave the option out",
            path.display(),
            place.line
        ))),
    }
}

/// Whoever the file lets make keys first, and by which line. Without keys nothing is ever signed.
fn first(configuration: &Configuration) -> Option<(Who, Position)> {
    let mut grants = configuration.grants.iter().zip(&configuration.places.grants);
    let (grant, place) = grants.find(|(grant, _)| grant.verbs.contains(&Verb::ManageKeys))?;
    Some((Who::named(grant.callers.first()?, configuration), *place))
}

/// Appends, so that owner, mode, links and every comment of the file stay.
fn write(path: &Path, configuration: &Configuration, wish: &str) -> Result<(), DaemonError> {
    let stanza = stanza(configuration, wish).map_err(|what| DaemonError::Usage(format!("--administrator: {what}")))?;
    let refused = |error: std::io::Error| DaemonError::File {
        path: path.to_owned(),
        what: format!(
            "cannot be written ({error}). Nothing was made. Add this to it, then run init without --administrator:\n{stanza}"
        ),
    };
    let unread = |error: std::io::Error| DaemonError::File { path: path.to_owned(), what: error.to_string() };
    let before = std::fs::read_to_string(path).map_err(unread)?;
    let gap = if before.ends_with('\n') { "\n" } else { "\n\n" };
    let added = format!("{gap}{stanza}");
    // Read as a whole before a byte of it is written: a bad file never replaces a good one.
    crate::config::parse(&format!("{before}{added}"), &path.display().to_string())?;
    let mut file = OpenOptions::new().append(true).open(path).map_err(refused)?;
    file.write_all(added.as_bytes()).and_then(|()| file.sync_all()).map_err(refused)
}

fn stanza(configuration: &Configuration, wish: &str) -> Result<String, String> {
    let (name, caller) = match wish.split_once('=') {
        Some((name, caller)) if !name.contains(':') => (Some(name), caller),
        _ => (None, wish),
    };
    let who = Who::parse(caller, configuration).map_err(|error| error.to_string())?;
    let identity = CallerPattern::parse(caller).map_err(|error| error.to_string())?;
    let is_wildcard = matches!(&identity, CallerPattern::Dns(p) | CallerPattern::Uri(p) if !p.is_exact());
    if is_wildcard || matches!(identity, CallerPattern::UnixGroup(_) | CallerPattern::Anonymous(_)) {
        return Err("the first administrator is one person: unix:UID, dns:NAME, uri:URI, oidc:PROVIDER/IDENTITY, or \
                    person:NAME of the file"
            .to_owned());
    }
    let (person, name) = match (who.person(), name) {
        (Some(known), None) => (String::new(), known.to_string()),
        (Some(known), Some(_)) => return Err(format!("{caller} is `{known}` already; leave the name out")),
        (None, name) => {
            let name: PersonName = name.unwrap_or(NAME).parse().map_err(|error| format!("{error}"))?;
            (format!("[[person]]\nname = \"{name}\"\nidentities = [\"{identity}\"]\n\n"), name.to_string())
        }
    };
    let verbs: Vec<String> = VERBS.iter().map(|verb| format!("\"{verb}\"")).collect();
    Ok(format!(
        "# The first administrator, written by `sealwardd init`. Narrow or remove it here; nothing else holds this right.\n\
         {person}[[grant]]\ncallers = [\"person:{name}\"]\nverbs = [{}]\nrepositories = [\"**\"]\nroles = [\"**\"]\n",
        verbs.join(", ")
    ))
}

/// Who probably runs this: whoever became root by sudo, else this process's user.
fn invoking_user() -> String {
    let by_sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok());
    format!("unix:{}", by_sudo.unwrap_or_else(|| rustix::process::geteuid().as_raw()))
}
