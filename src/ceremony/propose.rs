//! `sealward-ceremony propose`: the next root, unsigned, with a manifest of who must sign it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::domain::name::Role;
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;

use super::arguments::{Before, named};
use super::build::{Changes, next_root};
use super::case::{Case, read_chain};
use super::error::{CeremonyError, Refusal};
use super::holder::HolderName;
use super::output::Output;
use super::proposal::Proposal;
use super::public_key::ListedKey;
use super::tally::Tally;
use super::{file, review, rules};

/// A hundred years.
const LONGEST_DAYS: i64 = 36_525;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony propose --out proposal.json --first --expires-in 365d \\
    --root-key alice.pub.json bob.pub.json carol.pub.json --root-threshold 2 \\
    --key targets=targets.pem --key snapshot=snapshot.pem --key timestamp=timestamp.pem
  sealward-ceremony propose --out proposal.json --previous 1.root.json --expires 2030-06-30 \\
    --remove-key carol.pub.json --root-key dave.pub.json")]
pub(super) struct Propose {
    /// Where the proposal goes [default: proposal.json in --state]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    before: Before,
    /// When the root expires: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ
    #[arg(long, value_name = "DATE", value_parser = parse_date, required_unless_present = "expires_in")]
    expires: Option<Instant>,
    /// In how many days it expires, such as 365d
    #[arg(long, value_name = "DAYS", value_parser = parse_days, conflicts_with = "expires")]
    expires_in: Option<i64>,
    /// Public keys of further holders of root; a key that is listed already only gets its holder's name
    #[arg(long = "root-key", value_name = "FILE", num_args = 1..)]
    root_keys: Vec<PathBuf>,
    /// How many holders must sign [default: as before]
    #[arg(long, value_name = "N", value_parser = parse_threshold)]
    root_threshold: Option<u64>,
    /// Further keys of targets, snapshot or timestamp: what keygen or `sealward key export|show` writes, or PEM
    #[arg(long = "key", value_name = "ROLE=FILE", num_args = 1.., value_parser = parse_key)]
    keys: Vec<(Role, PathBuf)>,
    /// How many keys of targets, snapshot or timestamp must sign [default: as before, or 1]
    #[arg(long = "threshold", value_name = "ROLE=N", num_args = 1.., value_parser = parse_role_threshold)]
    thresholds: Vec<(Role, u64)>,
    /// Keys that no role lists any more, by TUF key id or public key
    #[arg(long, value_name = "KEYID", num_args = 1..)]
    remove: Vec<String>,
    /// The same, by files of their public keys
    #[arg(long, value_name = "FILE", num_args = 1..)]
    remove_key: Vec<PathBuf>,
}

impl Propose {
    pub(super) fn run(self, state: Option<&Path>, now: Instant, output: &mut Output) -> Result<(), CeremonyError> {
        let Self { out, before, expires, expires_in, root_keys, root_threshold, keys, thresholds, remove, remove_key } =
            self;
        let out = named(out, "--out", state, "proposal.json")?;
        let Some(expires) = expires.or(expires_in.map(|days| now.plus_seconds(days * 24 * 60 * 60))) else {
            return Err(CeremonyError::Usage("give --expires or --expires-in".to_owned()));
        };
        if before.first && root_threshold.is_none() {
            return Err(CeremonyError::Usage("a first root needs --root-threshold".to_owned()));
        }
        let root_keys = root_keys.into_iter().map(|path| (Role::Root, path));
        let add = root_keys.chain(keys).map(|(role, path)| Ok((role, ListedKey::read(&path)?)));
        let add = add.collect::<Result<Vec<_>, CeremonyError>>()?;
        let names = names(&add)?;
        let removed = remove_key.iter().map(|path| Ok(ListedKey::read(path)?.key.id().to_string()));
        let remove = remove.into_iter().map(Ok).chain(removed).collect::<Result<Vec<_>, CeremonyError>>()?;
        let thresholds = root_threshold.map(|threshold| (Role::Root, threshold)).into_iter().chain(thresholds);
        let changes = Changes { expires, add, thresholds: thresholds.collect(), remove };

        let previous = read_chain(&before.previous)?.pop();
        let root = next_root(previous.as_ref(), &changes)?;
        rules::check(&root, now)?;
        let proposal = Proposal::of(root, previous.as_ref(), &names);
        file::write_new(&out, &proposal.to_file())?;

        let case = Case { proposal, previous };
        let tally = Tally::of(&case.proposal, case.previous.as_ref(), Vec::new());
        for line in review::lines(&case, &tally, now) {
            output.note(&line);
        }
        let mut answer = review::json(&case, &tally, now);
        if let Some(members) = answer.as_object_mut() {
            members.insert("file".to_owned(), out.display().to_string().into());
        }
        output.answer(&answer, &[case.proposal.root.root().signed_digest.to_string()])
    }
}

/// Who holds which root key, as the files say. One name is one key.
fn names(add: &[(Role, ListedKey)]) -> Result<BTreeMap<KeyId, HolderName>, CeremonyError> {
    let mut names: BTreeMap<KeyId, HolderName> = BTreeMap::new();
    for (_, key) in add.iter().filter(|(role, _)| *role == Role::Root) {
        let Some(name) = &key.name else { continue };
        let id = key.key.id();
        if names.iter().any(|(other, known)| known == name && *other != id) {
            return Err(CeremonyError::refused(Refusal::SharedName, format!("two root keys are called {name}")));
        }
        names.insert(id, name.clone());
    }
    Ok(names)
}

fn parse_date(text: &str) -> Result<Instant, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Instant::parse_tuf(&whole).ok_or_else(|| "write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ".to_owned())
}

fn parse_days(text: &str) -> Result<i64, String> {
    let days = text.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let days = days.and_then(|digits| digits.parse().ok()).filter(|days| (1..=LONGEST_DAYS).contains(days));
    days.ok_or_else(|| format!("write a number of days such as 365d, from 1d to {LONGEST_DAYS}d"))
}

fn parse_threshold(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| "a threshold is a number from 1 to 1024".to_owned())
}

fn parse_key(text: &str) -> Result<(Role, PathBuf), String> {
    let (role, path) = role_and(text)?;
    if path.is_empty() { Err("no file after =".to_owned()) } else { Ok((role, path.into())) }
}

fn parse_role_threshold(text: &str) -> Result<(Role, u64), String> {
    let (role, number) = role_and(text)?;
    Ok((role, parse_threshold(number)?))
}

fn role_and(text: &str) -> Result<(Role, &str), String> {
    let (role, rest) = text.split_once('=').ok_or("write ROLE=VALUE")?;
    match role.parse() {
        Ok(role @ (Role::Targets | Role::Snapshot | Role::Timestamp)) => Ok((role, rest)),
        Ok(Role::Root) => Err("root has --root-key and --root-threshold".to_owned()),
        _ => Err("the roles of a root are targets, snapshot and timestamp".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::TestKey;

    #[test]
    fn arguments_are_read_in_their_forms_only() {
        assert_eq!(parse_date("2030-06-30").unwrap().to_string(), "2030-06-30T00:00:00Z");
        assert_eq!(parse_date("2030-06-30T01:02:03Z").unwrap().to_string(), "2030-06-30T01:02:03Z");
        for bad in ["2030-02-30", "2030-6-30", "tomorrow", "", "2030-06-30T01:02:03+01:00"] {
            assert!(parse_date(bad).is_err(), "{bad}");
        }
        assert_eq!((parse_days("1d"), parse_days("36525d")), (Ok(1), Ok(36_525)));
        for bad in ["0d", "36526d", "365", "-1d", "+1d", "d", "1.5d", "99999999999999999999d"] {
            assert!(parse_days(bad).is_err(), "{bad}");
        }
        for bad in ["0", "-1", "1025", "", "two"] {
            assert!(parse_threshold(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_key("targets=a=b").unwrap(), (Role::Targets, PathBuf::from("a=b")));
        for bad in ["root=a", "mirrors=a", "targets", "targets=", "=a", "Targets=a"] {
            assert!(parse_key(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_role_threshold("snapshot=2").unwrap(), (Role::Snapshot, 2));
        assert!(parse_role_threshold("snapshot=0").is_err());
    }

    #[test]
    fn a_name_is_one_holder() {
        let key = |number, name: &str| {
            (Role::Root, ListedKey::of(TestKey::new(number).public().clone(), Some(name.parse().unwrap())))
        };
        assert_eq!(names(&[key(1, "alice"), key(2, "bob"), key(1, "alice")]).unwrap().len(), 2);
        assert_eq!(names(&[key(1, "alice"), key(2, "alice")]).unwrap_err().exit_code(), 77);
    }
}
