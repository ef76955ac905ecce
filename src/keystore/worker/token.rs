//! One token: found by label and serial number, logged in once, with the handles of its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};
use secrecy::SecretString;

use super::mechanism;
use super::objects::{self, Held};
use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::keystore::lock;
use crate::keystore::protocol::{self, Failure};

/// The most skipped objects that a listing names; their text must fit a frame's header.
const MOST_SKIPPED: usize = 100;

/// A token that was found.
pub(super) struct Token {
    context: Pkcs11,
    slot: Slot,
    login_required: bool,
    most_sessions: Option<usize>,
    algorithms: Vec<Algorithm>,
    keys: RwLock<Keys>,
    /// Held while objects are listed or removed: a list that is older than a removal must not be believed after it.
    looking: Mutex<()>,
}

/// Keys by their handles, which are valid in every session until the login ends.
#[derive(Default)]
struct Keys {
    held: BTreeMap<KeyId, Held>,
    /// Every key that this process ever saw and did not remove.
    seen: BTreeSet<KeyId>,
}

impl Token {
    /// Loads a module and finds the token. Slots are asked one by one: one broken token must not hide the others.
    pub(super) fn attach(module: &str, label: &str, serial: Option<&str>) -> Result<(Self, protocol::Token), Failure> {
        let fault = |error: Error| Failure::Module { cause: describe(&error) };
        let context = Pkcs11::new(module).map_err(fault)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(fault)?;
        let mut seen = Vec::new();
        let mut matching = Vec::new();
        for slot in context.get_all_slots().map_err(|error| classify(&error))? {
            let Ok(info) = context.get_token_info(slot) else {
                continue;
            };
            if !info.token_initialized() {
                continue;
            }
            seen.push(named(&info));
            if info.label() == label && serial.is_none_or(|serial| info.serial_number() == serial) {
                matching.push((slot, info));
            }
        }
        let (slot, info) = match matching.pop() {
            None => return Err(Failure::TokenAbsent { seen }),
            Some(only) if matching.is_empty() => only,
            Some(last) => {
                matching.push(last);
                let matching = matching.iter().map(|(_, info)| named(info)).collect();
                return Err(Failure::TokenAmbiguous { matching });
            }
        };
        let algorithms = mechanism::offered(&context, slot).map_err(|error| classify(&error))?;
        let description = protocol::Token {
            serial: info.serial_number().to_owned(),
            algorithms: algorithms.clone(),
            login_required: info.login_required(),
            pin_count_low: info.user_pin_count_low(),
            pin_final_try: info.user_pin_final_try(),
            pin_locked: info.user_pin_locked(),
        };
        let most_sessions = match info.max_session_count() {
            Limit::Max(count) => usize::try_from(count).ok(),
            Limit::Unavailable | Limit::Infinite => None,
        };
        let login_required = info.login_required();
        let token = Self {
            context,
            slot,
            login_required,
            most_sessions,
            algorithms,
            keys: RwLock::default(),
            looking: Mutex::default(),
        };
        Ok((token, description))
    }

    /// Logs in once. The session that comes back keeps the login alive: it ends with the last session.
    pub(super) fn log_in(&self, pin: &SecretString) -> Result<Session, Failure> {
        let session = self.session()?;
        if self.login_required {
            match session.login(UserType::User, Some(pin)) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => return Err(classify(&error)),
            }
        }
        Ok(session)
    }

    /// How many sessions may sign at once: as many as wished, less what the token allows; one is the keeper's.
    pub(super) fn session_count(&self, wished: usize) -> usize {
        // One for the keeper and one for making and removing keys.
        let allowed = self.most_sessions.map_or(usize::MAX, |most| most.saturating_sub(2));
        wished.min(allowed).clamp(1, 64)
    }

    /// A read-only session: enough to sign and list.
    pub(super) fn session(&self) -> Result<Session, Failure> {
        self.context.open_ro_session(self.slot).map_err(|error| classify(&error))
    }

    /// A session that may make and remove keys.
    pub(super) fn writing_session(&self) -> Result<Session, Failure> {
        self.context.open_rw_session(self.slot).map_err(|error| classify(&error))
    }

    pub(super) fn offers(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the token answers.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        self.context.get_token_info(self.slot).map(drop).map_err(|error| {
            // Whatever it is, a token that cannot describe itself is not there.
            Failure::Device { cause: describe(&error) }
        })
    }

    /// The keys, read afresh, and what could not be used.
    pub(super) fn list(&self) -> Result<(Vec<PublicKey>, Vec<String>), Failure> {
        let mut skipped = self.refresh(&self.session()?, &lock(&self.looking))?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if skipped.len() > MOST_SKIPPED {
            let more = skipped.len() - MOST_SKIPPED;
            skipped.truncate(MOST_SKIPPED);
            skipped.push(format!("and {more} more"));
        }
        Ok((keys.held.values().map(|held| held.public.clone()).collect(), skipped))
    }

    /// The handles of a key: those that are known, or else after looking again.
    pub(super) fn held(&self, session: &Session, key: &KeyId) -> Result<Held, Failure> {
        if let Some(held) = self.known(key) {
            return Ok(held);
        }
        self.refresh(session, &lock(&self.looking))?;
        self.known(key).ok_or(Failure::KeyMissing)
    }

    /// Forgets a handle that the token no longer takes.
    pub(super) fn forget_handle(&self, key: &KeyId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).held.remove(key);
    }

    /// Takes note of a key that was just made.
    pub(super) fn note(&self, held: Held) {
        let _looking = lock(&self.looking);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let id = held.public.id();
        keys.seen.insert(id);
        keys.held.insert(id, held);
    }

    /// Removes both halves of a key, the private one first.
    pub(super) fn destroy(&self, key: &KeyId) -> Result<(), Failure> {
        let session = self.writing_session()?;
        let looking = lock(&self.looking);
        self.refresh(&session, &looking)?; // removing the wrong object cannot be undone: look again
        let held = self.known(key).ok_or(Failure::KeyMissing)?;
        session.destroy_object(held.private_handle).map_err(|error| classify(&error))?;
        {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            keys.held.remove(key);
            keys.seen.remove(key);
        }
        session.destroy_object(held.public_handle).map_err(|error| classify(&error))
    }

    fn known(&self, key: &KeyId) -> Option<Held> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).held.get(key).cloned()
    }

    /// Reads all keys. A key that was here and is gone without our doing means that the module lost its token: some
    /// (SoftHSM) then show an empty one for ever, and only a new process sees the keys again.
    fn refresh(&self, session: &Session, _looking: &MutexGuard<'_, ()>) -> Result<Vec<String>, Failure> {
        let (held, skipped) = objects::list(session).map_err(|error| classify(&error))?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.held = held.into_iter().map(|held| (held.public.id(), held)).collect();
        let Keys { held, seen } = &mut *keys;
        if let Some(gone) = seen.iter().find(|key| !held.contains_key(key)) {
            return Err(Failure::Device { cause: format!("key {gone} was in the token and is gone") });
        }
        seen.extend(held.keys());
        Ok(skipped)
    }
}

/// What a failure means for the daemon.
pub(super) fn classify(error: &Error) -> Failure {
    use RvError as Rv;
    let cause = describe(error);
    let Error::Pkcs11(value, _) = error else {
        return Failure::Refused { cause };
    };
    match value {
        Rv::PinIncorrect | Rv::PinInvalid | Rv::PinLenRange | Rv::PinExpired | Rv::PinLocked => Failure::Pin { cause },
        Rv::TokenNotPresent
        | Rv::TokenNotRecognized
        | Rv::DeviceRemoved
        | Rv::DeviceError
        | Rv::GeneralError
        | Rv::HostMemory
        | Rv::SlotIdInvalid
        | Rv::CryptokiNotInitialized
        | Rv::UserNotLoggedIn => Failure::Device { cause },
        _ => Failure::Refused { cause },
    }
}

/// Whether another session, or looking for the key again, may help.
pub(super) fn is_stale(error: &Error) -> bool {
    use RvError as Rv;
    let Error::Pkcs11(value, _) = error else {
        return false;
    };
    matches!(
        value,
        Rv::SessionHandleInvalid
            | Rv::SessionClosed
            | Rv::OperationActive
            | Rv::ObjectHandleInvalid
            | Rv::KeyHandleInvalid
    )
}

/// Short, for logs: the crate's own texts are paragraphs of the specification.
fn describe(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("{function:?}: {value:?}"),
        other => other.to_string(),
    }
}

fn named(info: &TokenInfo) -> String {
    format!("`{}` with serial number {}", info.label(), info.serial_number())
}
