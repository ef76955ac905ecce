//! `sealward-ceremony sign`: one holder's signature over one proposal.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::domain::law::ceremony::{Proposal as Weighed, SignedBefore, permit_root};
use crate::domain::name::Sha256Digest;
use crate::domain::permit::{Ceremony, Permit};
use crate::domain::public_key::PublicKey;
use crate::domain::signature::{Encoding, Signature};
use crate::domain::time::Instant;
use crate::keystore::software::Unseal;
use crate::keystore::{Keystore as _, KeystoreError};
use crate::tuf::root::RootFile;

use super::arguments::{Before, Opener, named};
use super::case::Case;
use super::error::{CeremonyError, Refusal};
use super::holder::HolderName;
use super::medium::Medium;
use super::output::Output;
use super::signature::SignatureFile;
use super::tally::Tally;
use super::{file, keygen, passphrase, review, rules};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealward-ceremony sign --state /media/alice --name alice --proposal proposal.json --first
  sealward-ceremony sign --state /media/alice --name alice --proposal proposal.json \\
    --previous 1.root.json --digest \"8f3a 1c22 ...\"")]
pub(super) struct Sign {
    /// Who signs
    #[arg(long, value_name = "HOLDER")]
    name: HolderName,
    /// The proposal [default: proposal.json in --state]
    #[arg(long, value_name = "FILE")]
    proposal: Option<PathBuf>,
    #[command(flatten)]
    before: Before,
    /// The digest as it was read out: 64 hexadecimal digits; spaces do not matter [default: asked for at the terminal]
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    digest: Option<Sha256Digest>,
    #[command(flatten)]
    opener: Opener,
    /// Sign although this medium signed another root of this or a later version, which was discarded
    #[arg(long)]
    replace: bool,
}

impl Sign {
    pub(super) fn run(self, state: Option<&Path>, now: Instant, output: &mut Output) -> Result<(), CeremonyError> {
        let Self { name, proposal, before, digest, opener, replace } = self;
        let medium = Medium::open(state)?;
        let key = keygen::public_key(&medium, &name)?;
        let case = Case::read(&named(proposal, "--proposal", state, "proposal.json")?, &before)?;
        let tally = Tally::of(&case.proposal, case.previous.as_ref(), Vec::new());
        for line in review::lines(&case, &tally, now) {
            output.note(&line);
        }
        rules::check(&case.proposal.root, now)?;
        let signed_before = if replace { None } else { signed_before(&medium, &name)? };
        let permit = permit(&case, &key, signed_before, now)?;
        confirm(&case, digest)?;
        let unseal = passphrase::of_key(&opener, &name)?;
        let signed = &case.proposal.root.envelope().signed;
        let signature = sign(&medium.keys(&name), &unseal, permit, &key, signed)?;

        let path = medium.signature(&name);
        let file = signature_file(&case, name, &key, &signature);
        // What is kept must count, or the ceremony would find out when the holder has gone.
        let counted = Tally::of(&case.proposal, case.previous.as_ref(), vec![(path.clone(), file.clone())]);
        if let Some((_, why)) = counted.refused.first() {
            return Err(CeremonyError::refused(Refusal::OtherKey, why.clone()));
        }
        file::replace(&path, &file.to_file())?;
        tell(&file, &path, output)
    }
}

/// What this medium remembers to have signed.
fn signed_before(medium: &Medium, name: &HolderName) -> Result<Option<SignedBefore>, CeremonyError> {
    let path = medium.signature(name);
    if !path.exists() {
        return Ok(None);
    }
    // Damaged memory never means that nothing was signed.
    Ok(Some(SignatureFile::read(&path)?.signed_before()))
}

fn permit(
    case: &Case,
    key: &PublicKey,
    signed_before: Option<SignedBefore>,
    now: Instant,
) -> Result<Permit<Ceremony>, CeremonyError> {
    let root = case.proposal.root.root();
    let previous = case.previous.as_ref().map(RootFile::root);
    let digest = Sha256Digest::of(&case.proposal.root.envelope().signed);
    Ok(permit_root(Weighed { root, previous, signed_before }, digest, key, now)?)
}

/// The digest must come from the ears of the holder, not from the file that is being signed.
fn confirm(case: &Case, given: Option<Sha256Digest>) -> Result<(), CeremonyError> {
    let digest = case.proposal.root.root().signed_digest;
    let given = match given {
        Some(given) => given,
        None => ask_digest()?,
    };
    if given == digest {
        return Ok(());
    }
    let detail = format!("the proposal has digest {digest}, the one that was read out is {given}");
    Err(CeremonyError::refused(Refusal::DigestMismatch, detail))
}

fn ask_digest() -> Result<Sha256Digest, CeremonyError> {
    let usage = |text: String| CeremonyError::Usage(text);
    if !std::io::stdin().is_terminal() {
        return Err(usage("give --digest, or sign at a terminal".to_owned()));
    }
    let prompt = b"Type the digest that was read out, 16 groups of 4: ";
    let _ = std::io::stderr().write_all(prompt);
    let mut line = String::new();
    let limit: u64 = 4096;
    let stdin = std::io::stdin().lock();
    std::io::BufRead::read_line(&mut std::io::Read::take(stdin, limit), &mut line)
        .map_err(|error| usage(format!("no digest was typed: {error}")))?;
    parse_digest(line.trim()).map_err(usage)
}

fn sign(
    directory: &Path,
    unseal: &Unseal,
    permit: Permit<Ceremony>,
    key: &PublicKey,
    signed: &[u8],
) -> Result<Signature, CeremonyError> {
    let keystore = keygen::open(directory, unseal)?;
    let order = permit.redeem(signed).map_err(|error| KeystoreError::Internal { cause: error.to_string() })?;
    let signature = keystore.sign(&order)?;
    key.verify(signed, &signature).map_err(|_| KeystoreError::BadSignature { key: key.id() })?;
    Ok(signature)
}

fn signature_file(case: &Case, name: HolderName, key: &PublicKey, signature: &Signature) -> SignatureFile {
    let root = case.proposal.root.root();
    let signer = case.proposal.manifest.signers.get(&key.id());
    SignatureFile {
        name,
        key: key.id(),
        key_id: signer.map(|signer| signer.key_id.clone()).unwrap_or_default(),
        version: root.version,
        signed_digest: root.signed_digest,
        signature: signature.encode(Encoding::Der),
    }
}

fn tell(file: &SignatureFile, path: &Path, output: &mut Output) -> Result<(), CeremonyError> {
    let path = path.display().to_string();
    output.note(&format!("{} signed root {}; take a copy of {path} to the coordinator", file.name, file.version));
    let answer = json!({
        "v": 1,
        "name": file.name.as_str(),
        "key_id": file.key_id,
        "version": file.version.get(),
        "signed_sha256": file.signed_digest.to_string(),
        "file": path,
    });
    output.answer(&answer, &[path])
}

fn parse_digest(text: &str) -> Result<Sha256Digest, String> {
    let digits: String = text.chars().filter(|character| !matches!(character, ' ' | '\t' | ':' | '-')).collect();
    digits.parse().map_err(|_| "a digest has 64 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_people_write_it() {
        let digest = Sha256Digest::of(b"x");
        let groups = review::digest_lines(&digest).join("  ");
        for text in [digest.to_string(), groups.clone(), groups.to_uppercase(), groups.replace(' ', ":")] {
            assert_eq!(parse_digest(&text), Ok(digest), "{text}");
        }
        for text in ["", "12", &groups[5..], &format!("{digest}00"), &format!("{digest}x")] {
            assert!(parse_digest(text).is_err(), "{text}");
        }
    }
}
