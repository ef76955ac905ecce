//! The audit log's key, as the audit room wants it.

use crate::audit::note::{NoteError, NoteSigner};
use crate::keystore::software::NoteKey;

pub(super) struct LogSigner(pub(super) NoteKey);

impl NoteSigner for LogSigner {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
        Ok(self.0.sign(text))
    }
}
