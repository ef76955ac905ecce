//! What the daemon and a token worker say to each other over their socket pair.
//!
//! One side asks, the other answers each question once, in any order; `id` says which. Before anything else the daemon
//! asks [`Request::Attach`], then [`Request::Login`]. Bulk and secrets travel in a frame's body, never in its header.

mod frame;

use serde::{Deserialize, Serialize};

use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::KeyId;

pub use frame::{Body, FrameError, LARGEST_BODY, LARGEST_HEADER, read, write};

/// Counts changes of this protocol: daemon and worker are installed together, and this notices when they are not.
pub const VERSION: u32 = 1;

/// A request with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Unique on this socket.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// An answer with the number of its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The request's.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// What the daemon asks of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Load the module and find the token. Answer: [`Answer::Attached`].
    Attach {
        /// [`VERSION`].
        protocol: u32,
        /// Canonical path of the module.
        module: String,
        /// CK_TOKEN_INFO label.
        label: String,
        /// CK_TOKEN_INFO serialNumber, where configured.
        serial: Option<String>,
        /// How many sessions sign at once.
        sessions: usize,
    },
    /// Log in, where the token requires it. Body: the PIN. Answer: [`Answer::Done`].
    Login,
    /// List the keys. Answer: [`Answer::Keys`].
    List,
    /// Make a key. Answer: [`Answer::Done`], body: DER SubjectPublicKeyInfo.
    Generate {
        /// Of which kind.
        algorithm: Algorithm,
    },
    /// Sign the body. Answer: [`Answer::Done`], body: the signature in its fixed-length form.
    Sign {
        /// With this key.
        key: KeyId,
    },
    /// Remove both halves of a key. Answer: [`Answer::Done`].
    Destroy {
        /// This key.
        key: KeyId,
    },
    /// Ask the token whether it is there. Answer: [`Answer::Done`].
    Probe,
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The token was found.
    Attached(Token),
    /// It was done; what comes of it is in the body.
    Done,
    /// Body: a JSON array of the keys' SubjectPublicKeyInfo in hexadecimal.
    Keys {
        /// Objects that look like keys and cannot be used, with the reason.
        skipped: Vec<String>,
    },
    /// It was not done.
    Failed(Failure),
}

/// What a token says of itself before anybody logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// CK_TOKEN_INFO serialNumber.
    pub serial: String,
    /// What it makes and signs with, by its mechanism list and key sizes.
    pub algorithms: Vec<Algorithm>,
    /// CKF_LOGIN_REQUIRED.
    pub login_required: bool,
    /// CKF_USER_PIN_COUNT_LOW: a wrong PIN was entered since the last login.
    pub pin_count_low: bool,
    /// CKF_USER_PIN_FINAL_TRY.
    pub pin_final_try: bool,
    /// CKF_USER_PIN_LOCKED.
    pub pin_locked: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Failure {
    /// Daemon and worker are of different versions.
    Version {
        /// The worker's.
        worker: u32,
    },
    /// The module cannot be loaded or initialised.
    Module {
        /// Why.
        cause: String,
    },
    /// No token has this label and serial number.
    TokenAbsent {
        /// What is there, each as label and serial number.
        seen: Vec<String>,
    },
    /// More than one token has.
    TokenAmbiguous {
        /// Them.
        matching: Vec<String>,
    },
    /// The token refused the PIN.
    Pin {
        /// What it said.
        cause: String,
    },
    /// The token, or our connection with it, is broken. A new worker may help.
    Device {
        /// What it said.
        cause: String,
    },
    /// The token refused this operation and works otherwise.
    Refused {
        /// What it said.
        cause: String,
    },
    /// The key is not in the token.
    KeyMissing,
    /// The token does not make keys of this kind.
    AlgorithmUnsupported,
}
