//! What opens a holder's key, from a file or from the terminal.

use std::fs::File;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::keystore::secret::Secrets;
use crate::keystore::settings::{SecretSource, UnsealSettings};
use crate::keystore::software::Unseal;

use super::arguments::Opener;
use super::error::CeremonyError;
use super::holder::HolderName;

/// What a new key is to be opened with. At the terminal a passphrase is asked for twice.
pub(super) fn of_new_key(opener: &Opener, work_factor: u8, name: &HolderName) -> Result<Unseal, CeremonyError> {
    if let Some(unseal) = from_files(opener, work_factor)? {
        return Ok(unseal);
    }
    let _silence = Silence::at_the_terminal();
    let passphrase = ask(&format!("New passphrase for the root key of {name}: "))?;
    if passphrase.expose_secret().is_empty() {
        return Err(CeremonyError::Usage("an empty passphrase protects nothing".to_owned()));
    }
    if ask("The same again: ")?.expose_secret() != passphrase.expose_secret() {
        return Err(CeremonyError::Usage("the two passphrases differ; no key was made".to_owned()));
    }
    Ok(Unseal::Passphrase { passphrase, work_factor })
}

/// Characters. Four words of the usual lists are longer, and a single word is not.
const SHORT_PASSPHRASE: usize = 12;

/// Whether it is a passphrase that is found by trying. Told and not refused: a rehearsal may have any.
pub(super) fn is_short(unseal: &Unseal) -> bool {
    match unseal {
        Unseal::Passphrase { passphrase, .. } => passphrase.expose_secret().chars().count() < SHORT_PASSPHRASE,
        Unseal::Identity(_) => false,
    }
}

/// What opens a key that is there.
pub(super) fn of_key(opener: &Opener, name: &HolderName) -> Result<Unseal, CeremonyError> {
    // The work factor of an existing key stands in its file.
    let unused = super::keygen::WORK_FACTOR;
    match from_files(opener, unused)? {
        Some(unseal) => Ok(unseal),
        None => {
            let _silence = Silence::at_the_terminal();
            let passphrase = ask(&format!("Passphrase for the root key of {name}: "))?;
            Ok(Unseal::Passphrase { passphrase, work_factor: unused })
        }
    }
}

fn from_files(opener: &Opener, work_factor: u8) -> Result<Option<Unseal>, CeremonyError> {
    let Opener { passphrase_file, identity } = opener;
    let settings = match (passphrase_file, identity) {
        (Some(file), _) => UnsealSettings::Passphrase { source: SecretSource::File(file.clone()), work_factor },
        (None, Some(file)) => UnsealSettings::Identity(SecretSource::File(file.clone())),
        (None, None) => return Ok(None),
    };
    Ok(Some(Unseal::resolve(&settings, &Secrets::default())?))
}

fn ask(prompt: &str) -> Result<SecretString, CeremonyError> {
    let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
    let typed = typed.map_err(|error| {
        CeremonyError::Usage(format!("no terminal to ask at ({error}); give --passphrase-file or --identity"))
    })?;
    Ok(SecretString::from(typed.as_str()))
}

/// A terminal that shows nothing of what is typed, until this is dropped. `rpassword` turns the echo off only after it has
/// written its prompt, and on again after each answer: what a fast typist or a paste sends in between would be shown.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    /// None where there is no terminal: the question itself says so then.
    fn at_the_terminal() -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Now, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
