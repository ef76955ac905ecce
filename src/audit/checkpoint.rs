//! C2SP checkpoints: origin, size and root of the tree, as a signed note (<https://c2sp.org/tlog-checkpoint>).

use base64ct::{Base64, Encoding as _};

use super::merkle::Hash;
use super::note::{NoteError, NoteSigner, VerifierKey, open_note, sign_note};

/// What the log commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is also the name of its key.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Why a checkpoint was not believed. A retry with the same bytes does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note around it does not open.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is signed, but its text is no checkpoint: the key signs other things too, or the log is broken.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    WrongOrigin {
        /// The key's name.
        expected: String,
        /// The origin in the text, escaped.
        found: String,
    },
}

/// The signed checkpoint. The origin must be the name of the signer's key.
pub fn sign(checkpoint: &Checkpoint, signer: &dyn NoteSigner) -> Result<String, NoteError> {
    if checkpoint.origin != signer.name() {
        return Err(NoteError::Malformed("the checkpoint's origin is not the name of the log key"));
    }
    let Checkpoint { origin, size, root } = checkpoint;
    sign_note(&format!("{origin}\n{size}\n{}\n", Base64::encode_string(root)), signer)
}

/// Opens a signed checkpoint of the log that this key belongs to. Extension lines are allowed and ignored.
pub fn open(note: &str, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
    let text = open_note(note, key)?;
    let mut lines = text.split_terminator('\n');
    let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
        return Err(CheckpointError::Malformed("want an origin, a size and a root on three lines"));
    };
    if lines.any(str::is_empty) {
        return Err(CheckpointError::Malformed("an empty extension line"));
    }
    if origin != key.name() {
        return Err(CheckpointError::WrongOrigin {
            expected: key.name().to_owned(),
            found: origin.chars().take(80).flat_map(char::escape_debug).collect(),
        });
    }
    let parsed: u64 = size.parse().map_err(|_| CheckpointError::Malformed("the size is no number"))?;
    if parsed.to_string() != size {
        return Err(CheckpointError::Malformed("the size is not in its shortest form"));
    }
    let mut hash = [0; 32];
    if Base64::decode(root, &mut hash).map(<[u8]>::len) != Ok(32) {
        return Err(CheckpointError::Malformed("the root is not the base64 of 32 bytes"));
    }
    Ok(Checkpoint { origin: origin.to_owned(), size: parsed, root: hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::tests::TestSigner;

    #[test]
    fn a_checkpoint_opens_as_it_was_signed() {
        let signer = TestSigner::new("log.example/1");
        let key = VerifierKey::of(&signer).unwrap();
        for size in [0, 1, u64::MAX] {
            let checkpoint = Checkpoint { origin: "log.example/1".into(), size, root: [7; 32] };
            assert_eq!(open(&sign(&checkpoint, &signer).unwrap(), &key).unwrap(), checkpoint);
        }
        let strange = Checkpoint { origin: "other".into(), size: 0, root: [0; 32] };
        assert!(matches!(sign(&strange, &signer), Err(NoteError::Malformed(_))));
    }

    #[test]
    fn signed_nonsense_is_no_checkpoint() {
        let signer = TestSigner::new("log");
        let key = VerifierKey::of(&signer).unwrap();
        let root = Base64::encode_string(&[7; 32]);
        let open_text = |text: &str| open(&sign_note(text, &signer).unwrap(), &key);
        assert!(open_text(&format!("log\n5\n{root}\nextension\n")).is_ok());
        assert!(matches!(open_text(&format!("dog\n5\n{root}\n")), Err(CheckpointError::WrongOrigin { .. })));
        for bad in [
            "\n".to_owned(),
            "log\n".to_owned(),
            "log\n5\n".to_owned(),
            format!("log\n05\n{root}\n"),
            format!("log\n+5\n{root}\n"),
            format!("log\n-5\n{root}\n"),
            format!("log\n 5\n{root}\n"),
            format!("log\n18446744073709551616\n{root}\n"),
            format!("log\n5\n{}\n", Base64::encode_string(&[7; 31])),
            format!("log\n5\n{}\n", Base64::encode_string(&[7; 33])),
            format!("log\n5\n{root}=\n"),
            format!("log\n5\n{root}\n\nx\n"),
        ] {
            assert!(matches!(open_text(&bad), Err(CheckpointError::Malformed(_))), "{bad:?}");
        }
    }
}
