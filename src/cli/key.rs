//! `sealward key`: make, list, show, rotate, export. How a key ends stands beside.

use base64ct::{Base64, Encoding as _};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::error::CliError;
use super::key_end::{Destroy, Retire};
use super::output::Output;
use super::session::Session;
use super::{DONE, json};
use crate::client::{ClientError, messages};
use crate::domain::algorithm::Algorithm;
use crate::domain::name::{KeystoreName, RepositoryName, Role};
use crate::domain::public_key::{KeyId, PublicKey};
use crate::tuf::key_id::{default_form, forms};

pub(super) const EXAMPLES: &str = "\
Examples:
  sealward key generate --repository acme/app --role timestamp --role snapshot --new-repository
  sealward key generate --repository acme/app --role targets
  sealward key list --repository acme/app";

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key in a keystore and bind it to one repository and its roles
    Generate(Generate),
    /// List the keys of one repository, or of all that you may read
    List(List),
    /// Show one key record
    Show(Show),
    /// Make a pending successor of a role's key, and show what the next roots must change
    Rotate(Rotate),
    /// Let a key that no root lists sign no more, for ever
    Retire(Retire),
    /// Have the private half of a retired or pending key destroyed, after a delay
    Destroy(Destroy),
    /// Print the public half of a key
    Export(Export),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key generate --repository acme/app --role targets --new-repository
  sealward key generate --repository acme/app --role timestamp --keystore hsm --algorithm ecdsa-p256")]
pub(super) struct Generate {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role; twice for timestamp and snapshot, which may share a key
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    /// The keystore [default: the policy's]
    #[arg(long, value_name = "KEYSTORE")]
    keystore: Option<KeystoreName>,
    /// ed25519, ecdsa-p256, ecdsa-p384, rsa-pss-2048, rsa-pss-3072 or rsa-pss-4096 [default: the policy's]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<Algorithm>,
    /// Begin a new repository, with its first key: versions start at 1. Without it nothing is signed before `guard seed`
    #[arg(long)]
    new_repository: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key list
  sealward --json key list --repository acme/app | jq -r '.keys[].public_key.key'")]
pub(super) struct List {
    /// Only this repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: Option<RepositoryName>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sealward key show 1f0c...9a")]
pub(super) struct Show {
    /// The key: 64 hexadecimal digits, as `key list` shows them
    key: KeyId,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key rotate --repository acme/app --role timestamp
  sealward key rotate --repository acme/app --role targets --keystore hsm --algorithm ecdsa-p384")]
pub(super) struct Rotate {
    /// The repository
    #[arg(long, value_name = "REPOSITORY")]
    repository: RepositoryName,
    /// The role whose key gets a successor
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The successor's keystore [default: that of the newest key of the role]
    #[arg(long, value_name = "KEYSTORE")]
    keystore: Option<KeystoreName>,
    /// The successor's algorithm [default: that of the newest key of the role]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<Algorithm>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward key export 1f0c...9a --format pem > timestamp.pem
  sealward key export 1f0c...9a --format tuf | jq .keyval.public
  sealward key export 1f0c...9a --format key-ids")]
pub(super) struct Export {
    /// The key: 64 hexadecimal digits, as `key list` shows them
    key: KeyId,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// SubjectPublicKeyInfo as PEM
    Pem,
    /// The key object of TUF metadata, as JSON
    Tuf,
    /// SubjectPublicKeyInfo as DER in base64
    DerBase64,
    /// Every key id that TUF clients compute for it, by form
    KeyIds,
}

impl Key {
    pub(super) async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        match self {
            Self::Generate(verb) => verb.run(session, output).await,
            Self::List(verb) => verb.run(session, output).await,
            Self::Show(verb) => verb.run(session, output).await,
            Self::Rotate(verb) => verb.run(session, output).await,
            Self::Retire(verb) => verb.run(session, output).await,
            Self::Destroy(verb) => verb.run(session, output).await,
            Self::Export(verb) => verb.run(session, output).await,
        }
    }
}

impl Generate {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, roles, keystore, algorithm, new_repository } = self;
        let request = messages::GenerateKeyRequest {
            repository: repository.into(),
            roles: roles.into_iter().map(Role::into).collect(),
            keystore: keystore.map(String::from).unwrap_or_default(),
            algorithm: algorithm.map(String::from).unwrap_or_default(),
            new_repository,
        };
        let messages::GenerateKeyResponse { key, unseeded } = session.client().await?.generate_key(request).await?;
        let key = key.ok_or(ClientError::Incomplete("key"))?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "key": json::key(&key), "unseeded": unseeded }))?;
            return Ok(DONE);
        }
        print_key_fields(&key, output)?;
        if !unseeded.is_empty() {
            let (roles, repository) = (unseeded.join(" and "), &key.repository);
            output.note(&format!(
                "nothing can be signed for {roles} of {repository} yet, because no version is known to begin at:"
            ));
            output.note(&format!("  a new repository: sealward guard seed --repository {repository} --new-repository"));
            output.note(&format!(
                "  one that is published: sealward guard seed --repository {repository} --role {} FILE",
                unseeded.first().map_or("ROLE", String::as_str)
            ));
        }
        Ok(DONE)
    }
}

impl List {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let repository = self.repository.map(String::from).unwrap_or_default();
        let request = messages::ListKeysRequest { repository };
        let messages::ListKeysResponse { keys } = session.client().await?.list_keys(request).await?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "keys": keys.iter().map(json::key).collect::<Vec<_>>() }))?;
        } else if keys.is_empty() {
            output.note("no keys yet, or none that you may read");
        } else {
            print_table(&keys, output)?;
        }
        Ok(DONE)
    }
}

impl Show {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let request = messages::GetKeyRequest { key: self.key.to_string() };
        let messages::GetKeyResponse { key } = session.client().await?.get_key(request).await?;
        print_key(&key.ok_or(ClientError::Incomplete("key"))?, output)
    }
}

impl Rotate {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let Self { repository, role, keystore, algorithm } = self;
        let request = messages::RotateRequest {
            repository: repository.into(),
            role: role.into(),
            keystore: keystore.map(String::from).unwrap_or_default(),
            algorithm: algorithm.map(String::from).unwrap_or_default(),
        };
        let messages::RotateResponse { key, root_change_json } = session.client().await?.rotate(request).await?;
        let key = key.ok_or(ClientError::Incomplete("key"))?;
        if output.is_json() {
            output.json(&json!({ "v": 1, "key": json::key(&key), "root_change_json": root_change_json }))?;
            return Ok(DONE);
        }
        output.note("the successor is pending until a staged root lists it:");
        print_table(std::slice::from_ref(&key), output)?;
        output.note("the next root adds it, the one after (`then`) takes the old key away:");
        output.json_text(&root_change_json)?;
        Ok(DONE)
    }
}

impl Export {
    async fn run(self, session: &Session, output: &mut Output) -> Result<u8, CliError> {
        let request = messages::GetPublicKeyRequest { key: self.key.to_string() };
        let messages::GetPublicKeyResponse { public_key } = session.client().await?.get_public_key(request).await?;
        let answer = public_key.ok_or(ClientError::Incomplete("public key"))?;
        // A key id is the digest of the key, so a wrong key cannot stand under the right name; and all text is made here.
        let key = PublicKey::from_spki_der(&answer.spki_der)
            .ok()
            .filter(|key| key.id() == self.key)
            .ok_or(ClientError::Incomplete("public key of that id"))?;
        if output.is_json() {
            let mut object = json::public_key(&answer);
            if let Some(members) = object.as_object_mut() {
                members.insert("v".to_owned(), 1.into());
            }
            output.json(&object)?;
            return Ok(DONE);
        }
        match self.format {
            Format::Pem => output.text(&key.to_pem())?,
            Format::DerBase64 => output.line(&Base64::encode_string(key.spki_der()))?,
            Format::Tuf => output.json_text(&default_form(&key).json)?,
            Format::KeyIds => {
                let rows: Vec<_> = forms(&key).into_iter().map(|form| [form.form.to_owned(), form.key_id]).collect();
                output.table(["FORM", "KEY ID"], &rows)?;
            }
        }
        Ok(DONE)
    }
}

fn print_key(key: &messages::Key, output: &mut Output) -> Result<u8, CliError> {
    if output.is_json() {
        output.json(&json!({ "v": 1, "key": json::key(key) }))?;
        return Ok(DONE);
    }
    print_key_fields(key, output)?;
    Ok(DONE)
}

/// A key record, a line per member.
pub(super) fn print_key_fields(key: &messages::Key, output: &mut Output) -> Result<(), CliError> {
    let messages::Key {
        public_key,
        repository,
        roles,
        keystore,
        state,
        kind,
        created,
        activated,
        retired,
        destroy_due,
        destroyed,
    } = key;
    let public_key = public_key.as_ref().ok_or(ClientError::Incomplete("public key"))?;
    for (name, value) in [
        ("key", public_key.key.as_str()),
        ("tuf key id", &public_key.tuf_key_id),
        ("algorithm", &public_key.algorithm),
        ("repository", repository),
        ("roles", &roles.join(", ")),
        ("keystore", keystore),
        ("state", state),
        ("kind", kind),
        ("created", created),
    ] {
        output.line(&format!("{name:<11} {value}"))?;
    }
    let happened =
        [("activated", activated), ("retired", retired), ("destroy due", destroy_due), ("destroyed", destroyed)];
    for (name, at) in happened.into_iter().filter(|(_, at)| !at.is_empty()) {
        output.line(&format!("{name:<11} {at}"))?;
    }
    Ok(())
}

/// Keys as rows, for every command that shows several.
pub(super) fn print_table(keys: &[messages::Key], output: &mut Output) -> Result<(), CliError> {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let public_key = key.public_key.clone().unwrap_or_default();
            [
                public_key.key,
                key.repository.clone(),
                key.roles.join(","),
                public_key.algorithm,
                key.state.clone(),
                key.keystore.clone(),
                key.created.clone(),
            ]
        })
        .collect();
    output.table(["KEY", "REPOSITORY", "ROLES", "ALGORITHM", "STATE", "KEYSTORE", "CREATED"], &rows)
}
