//! `sealward-ceremony keygen`: a holder's key on the holder's medium.

use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::PublicKey;
use crate::keystore::Keystore as _;
use crate::keystore::software::{self, Software};

use super::arguments::Opener;
use super::error::{CeremonyError, Refusal};
use super::holder::HolderName;
use super::medium::Medium;
use super::output::Output;
use super::public_key::ListedKey;
use super::{file, passphrase};

/// log2 of scrypt's N: a guess costs 256 MiB and about a second.
pub(super) const WORK_FACTOR: u8 = 18;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony keygen --state /media/alice --name alice
  sealward-ceremony keygen --state /media/bob --name bob --algorithm ed25519 --passphrase-file bob.passphrase")]
pub(super) struct Keygen {
    /// Who holds the key; part of file names
    #[arg(long, value_name = "HOLDER")]
    name: HolderName,
    /// ed25519, ecdsa-p256, ecdsa-p384, rsa-pss-2048, rsa-pss-3072 or rsa-pss-4096
    #[arg(long, value_name = "ALGORITHM", default_value_t = Algorithm::EcdsaP256)]
    algorithm: Algorithm,
    #[command(flatten)]
    opener: Opener,
    /// log2 of scrypt's N, which makes guessing a passphrase costly: 10 to 20, and below 18 only for rehearsals
    #[arg(long, value_name = "N", default_value_t = WORK_FACTOR, value_parser = clap::value_parser!(u8).range(10..=20))]
    work_factor: u8,
}

impl Keygen {
    pub(super) fn run(self, state: Option<&Path>, output: &mut Output) -> Result<(), CeremonyError> {
        let Self { name, algorithm, opener, work_factor } = self;
        let medium = Medium::open_or_make(state)?;
        let path = medium.public_key(&name);
        if path.exists() {
            let cause = format!("{name} has a key on this medium already");
            return Err(CeremonyError::Output { path, cause });
        }
        if opener.identity.is_none() && work_factor < WORK_FACTOR {
            output.note("warning: a work factor below 18 is for rehearsals: the passphrase is cheap to guess");
        }
        let unseal = passphrase::of_new_key(&opener, work_factor, &name)?;
        if passphrase::is_short(&unseal) {
            output.note("warning: the passphrase is short: whoever copies the medium can guess it. Four random words are longer");
        }
        let directory = medium.keys(&name);
        if !directory.exists() {
            software::create(&directory, &unseal)?;
        }
        let keystore = open(&directory, &unseal)?;
        let key = match keystore.public_keys()?.as_slice() {
            [] => keystore.generate(algorithm)?,
            // An earlier keygen made the key, and ended before it told anybody.
            [key] if key.algorithm() == algorithm => key.clone(),
            _ => {
                let detail = format!("{} holds a key that was not made by this command", directory.display());
                return Err(CeremonyError::refused(Refusal::OtherKey, detail));
            }
        };
        let listed = ListedKey::of(key, Some(name.clone()));
        file::write_new(&path, &listed.to_file())?;
        tell(&listed, &name, &path, output)
    }
}

/// Opens the directory of one holder's key.
pub(super) fn open(directory: &Path, unseal: &software::Unseal) -> Result<Software, CeremonyError> {
    if !directory.is_dir() {
        return Err(CeremonyError::input(directory, "the private key is not here: another medium, or a damaged one"));
    }
    let name = "ceremony".parse().map_err(|error| CeremonyError::Usage(format!("{error}")))?;
    Ok(Software::open(name, directory, unseal, false)?)
}

/// The key on a medium, as its public file tells it.
pub(super) fn public_key(medium: &Medium, name: &HolderName) -> Result<PublicKey, CeremonyError> {
    let path = medium.public_key(name);
    let listed = ListedKey::read(&path)?;
    if listed.name.as_ref() == Some(name) {
        return Ok(listed.key);
    }
    Err(CeremonyError::input(&path, format!("it is not of {name}")))
}

fn tell(listed: &ListedKey, name: &HolderName, path: &Path, output: &mut Output) -> Result<(), CeremonyError> {
    let path = path.display().to_string();
    output.note(&format!("{name} has a {} key with TUF key id {}", listed.key.algorithm(), listed.key_id));
    output.note(&format!("take {path} to the coordinator; nothing in it is secret"));
    output.note(&format!("{name}.keys never leaves this medium; keep a second copy of the medium at another place"));
    let answer = json!({
        "v": 1,
        "name": name.as_str(),
        "algorithm": listed.key.algorithm().name(),
        "key": listed.key.id().to_string(),
        "key_id": listed.key_id,
        "file": path,
    });
    output.answer(&answer, &[path])
}
