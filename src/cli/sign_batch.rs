//! `sealward sign-batch`: several payloads of one repository in one request, decided in order.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::adapters::Payload;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use super::{DONE, json, sign};
use crate::client::messages::sign_batch_result::Result as Item;
use crate::client::{BATCH_LIMIT, ClientError, Refused, messages};
use crate::domain::name::{RepositoryName, Role};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward sign-batch --repository acme/app --out signed targets=targets.json snapshot=snapshot.json \\
      timestamp=timestamp.json";

#[derive(Debug, Args)]
pub(super) struct SignBatch {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// Where the signed files go, under the names that they have; made when absent
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Write ECDSA signatures as r || s instead of DER
    #[arg(long)]
    raw: bool,
    /// What to sign, in this order: an earlier item counts as released for later ones
    #[arg(value_name = "ROLE=FILE", required = true)]
    items: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    role: Role,
    file: PathBuf,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (role, file) = text.split_once('=').ok_or("write ROLE=FILE")?;
        let role = role.parse().map_err(|error: crate::domain::name::InvalidName| error.to_string())?;
        if file.is_empty() {
            return Err("write ROLE=FILE".to_owned());
        }
        Ok(Self { role, file: file.into() })
    }
}

impl SignBatch {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, out, raw, items } = self;
        let names = distinct_names(&items)?;
        let payloads = items.iter().map(|item| Payload::read(&item.file)).collect::<Result<Vec<_>, CliError>>()?;
        let requests = items.iter().zip(&payloads).map(|(item, payload)| messages::SignRequest {
            repository: repository.clone().into(),
            role: item.role.clone().into(),
            payload: payload.signed.clone().into(),
            encoding: sign::encoding(raw),
            ..Default::default()
        });
        let request = messages::SignBatchRequest { items: requests.collect() };
        let messages::SignBatchResponse { results } = session.client().await?.sign_batch(request).await?;
        if results.len() != items.len() {
            return Err(ClientError::Incomplete("result per item").into());
        }
        fs::create_dir_all(&out).map_err(unwritable(&out))?;

        let (mut code, mut rows, mut objects) = (DONE, Vec::new(), Vec::new());
        for (((item, payload), name), result) in items.iter().zip(&payloads).zip(&names).zip(results) {
            let target = out.join(name);
            let (row, object) = match result.result.ok_or(ClientError::Incomplete("result per item"))? {
                Item::Response(response) => {
                    sign::check(&response, payload)?;
                    write_whole(&target, &payload.with_signatures(&response.signatures)?)
                        .map_err(unwritable(&target))?;
                    signed(&target, &response, payload)?
                }
                Item::Refusal(refusal) => {
                    // The first refusal is the cause; those after it may only follow from it.
                    if code == DONE {
                        code = ClientError::Refused(Box::new(Refused::from(refusal.clone()))).exit_code();
                    }
                    refused(&refusal)
                }
            };
            rows.push([item.role.to_string(), row.0, row.1]);
            objects.push(json!({ "role": item.role.to_string(), "result": object }));
        }
        if output.is_json() {
            output.json(&json!({ "v": 1, "items": objects, "exit_code": code }))?;
        } else {
            output.table(["ROLE", "VERSION", "FILE OR REFUSAL"], &rows)?;
        }
        Ok(code)
    }
}

/// Version and the rest of a row.
type Row = (String, String);

fn signed(target: &Path, response: &messages::SignResponse, payload: &Payload) -> Result<(Row, Value), CliError> {
    let mut object = sign::signed_json(response, payload)?;
    if let Some(members) = object.as_object_mut() {
        // The file was written; one version stands for the whole answer.
        members.remove("v");
        members.insert("file".to_owned(), target.display().to_string().into());
    }
    Ok(((response.version.to_string(), target.display().to_string()), object))
}

fn refused(refusal: &messages::Refusal) -> (Row, Value) {
    let messages::Refusal { reason, outcome, detail, advice, approval } = refusal;
    if !approval.is_empty() {
        let row = format!("pending: {reason}: {detail} (sealward approve show {approval})");
        return ((String::new(), row), json!({ "refusal": json::refusal(refusal) }));
    }
    ((String::new(), format!("{outcome}: {reason}: {detail} ({advice})")), json!({ "refusal": json::refusal(refusal) }))
}

fn distinct_names(items: &[Pair]) -> Result<Vec<OsString>, CliError> {
    if items.len() > BATCH_LIMIT {
        return Err(CliError::Usage(format!("{} items are more than the {BATCH_LIMIT} of a batch", items.len())));
    }
    let mut seen = BTreeSet::new();
    items
        .iter()
        .map(|item| {
            let shown = item.file.display();
            let name = item.file.file_name().ok_or_else(|| CliError::Usage(format!("{shown} names no file")))?;
            if !seen.insert(name) {
                return Err(CliError::Usage(format!("two files are named {}", name.display())));
            }
            Ok(name.to_owned())
        })
        .collect()
}

/// Never half a file under the final name, because a web server may be looking.
fn write_whole(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name().unwrap_or_default());
    hidden.push(format!(".sealward-{}", std::process::id()));
    let staging = target.with_file_name(hidden);
    let written = File::create(&staging)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&staging, target));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&staging);
    }
    written
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    move |source| CliError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_name_a_role_and_a_file() {
        let pair: Pair = "timestamp=a=b.json".parse().unwrap();
        assert_eq!((pair.role.as_str(), pair.file.to_str()), ("timestamp", Some("a=b.json")));
        for bad in ["", "timestamp", "timestamp=", "=f", "Root=f", "a b=f"] {
            assert!(bad.parse::<Pair>().is_err(), "{bad}");
        }
    }

    #[test]
    fn two_files_of_one_name_would_overwrite_each_other() {
        let pairs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Pair>>();
        assert!(distinct_names(&pairs(&["targets=a/x.json", "snapshot=b/y.json"])).is_ok());
        assert!(distinct_names(&pairs(&["targets=a/x.json", "snapshot=b/x.json"])).is_err());
        assert!(distinct_names(&pairs(&["targets=.."])).is_err());
        assert!(distinct_names(&vec![pairs(&["targets=x"])[0].clone(); BATCH_LIMIT + 1]).is_err());
    }

    #[test]
    fn a_file_appears_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("t.json");
        write_whole(&target, b"one").unwrap();
        write_whole(&target, b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(write_whole(&dir.path().join("d"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
