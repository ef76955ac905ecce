//! C2SP signed notes: a text, a blank line, and signature lines that anybody's tools verify.
//!
//! Only Ed25519 (type 0x01) is signed and verified here; lines of other types and other keys, such as the
//! cosignatures of witnesses, are kept out of the way. Stricter than <https://c2sp.org/signed-note> in one point: no
//! control character of Unicode is let through, where the specification names only those below U+0020.

use std::error::Error;
use std::fmt;

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};

use crate::domain::algorithm::Algorithm;
use crate::domain::public_key::PublicKey;
use crate::domain::signature::Signature;

/// The limits within which a note is read at all. Witnesses with post-quantum cosignatures stay far below them.
const MAX_NOTE_BYTES: usize = 1 << 20;
const MAX_SIGNATURES: usize = 100;

const ED25519: u8 = 0x01;

/// Signs notes with one Ed25519 key. The daemon implements it over the log key, which is never a TUF key.
pub trait NoteSigner: Send + Sync {
    /// The key's name: the log's origin. Not empty, without white space and `+`.
    fn name(&self) -> &str;

    /// The 32 bytes of the public key (RFC 8032).
    fn public_key(&self) -> [u8; 32];

    /// The Ed25519 signature over exactly this text.
    fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError>;
}

/// Why a note was not signed or not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not in the form of a signed note: cut, changed, or something else. A retry does not help.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The text does not have the form of a verifier key. Copy the whole line, `NAME+HEX+BASE64`.
    #[error("not a verifier key: {0}")]
    InvalidKey(&'static str),
    /// No signature line is by this key: the note is another log's, or the key is. A retry does not help.
    #[error("the note has no signature by {name}")]
    NotSigned {
        /// The key's name.
        name: String,
    },
    /// A line names this key, but its signature does not verify: the text or the signature was changed.
    #[error("the signature by {name} does not verify")]
    BadSignature {
        /// The key's name.
        name: String,
    },
    /// The signer could not sign; its own error says whether a retry helps.
    #[error("the log key could not sign")]
    Signer(#[source] Box<dyn Error + Send + Sync>),
}

impl NoteError {
    /// For implementations of [`NoteSigner`]. The error must hold no secret.
    pub fn signer(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Signer(cause.into())
    }
}

/// A key that notes are verified with: a name and an Ed25519 public key. Its text form is `NAME+HEX(id)+BASE64(01 || key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    bytes: [u8; 32],
    key: PublicKey,
}

impl VerifierKey {
    /// From a name and the 32 bytes of an Ed25519 public key.
    pub fn new(name: &str, bytes: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::InvalidKey("its name is empty or holds white space, control characters or `+`"));
        }
        let key = PublicKey::from_ed25519(&bytes).map_err(|_| NoteError::InvalidKey("no Ed25519 public key"))?;
        Ok(Self { name: name.to_owned(), bytes, key })
    }

    /// The key that verifies what this signer signs.
    pub fn of(signer: &dyn NoteSigner) -> Result<Self, NoteError> {
        Self::new(signer.name(), signer.public_key())
    }

    /// Reads the text form. White space around it, such as a last newline, is ignored.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        // The base64 part may hold `+` itself, so split from the left and only twice.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::InvalidKey("want NAME+HEX+BASE64"));
        };
        let mut buffer = [0; 33];
        let bytes = match Base64::decode(key, &mut buffer) {
            Ok([ED25519, bytes @ ..]) => bytes.try_into().ok(),
            Ok(_) => return Err(NoteError::InvalidKey("of a type other than Ed25519")),
            Err(_) => None,
        };
        let this = Self::new(name, bytes.ok_or(NoteError::InvalidKey("its base64 does not hold an Ed25519 key"))?)?;
        if hex::encode(this.id()) != id {
            return Err(NoteError::InvalidKey("its id does not belong to its name and key: a typing error?"));
        }
        Ok(this)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id in signature lines: the start of SHA-256 over name, newline, type and key.
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update(b"\n")
            .chain_update([ED25519])
            .chain_update(self.bytes)
            .finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        id
    }

    fn verify(&self, text: &str, signature: &[u8]) -> Result<(), NoteError> {
        Signature::from_fixed(Algorithm::Ed25519, signature.to_vec())
            .ok()
            .and_then(|signature| self.key.verify(text.as_bytes(), &signature).ok())
            .ok_or_else(|| NoteError::BadSignature { name: self.name.clone() })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.bytes);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), Base64::encode_string(&key))
    }
}

/// The note over a text, which must end in a newline. The signature is verified before it is returned.
pub fn sign_note(text: &str, signer: &dyn NoteSigner) -> Result<String, NoteError> {
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("its text does not end in a newline"));
    }
    let key = VerifierKey::of(signer)?;
    let signature = signer.sign(text.as_bytes())?;
    key.verify(text, &signature)?;
    let mut line = key.id().to_vec();
    line.extend_from_slice(&signature);
    Ok(format!("{text}\n— {} {}\n", key.name, Base64::encode_string(&line)))
}

/// The text of a note that this key signed. Signatures of other keys are ignored; a bad one of this key is an error even
/// beside a good one.
pub fn open_note(note: &str, key: &VerifierKey) -> Result<String, NoteError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(NoteError::Malformed("too long"));
    }
    check_characters(note)?;
    let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed("no blank line before signatures"))?;
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("does not end in a newline"))?;
    let text = format!("{text}\n");
    let mut verified = false;
    for (count, line) in lines.split('\n').enumerate() {
        if count >= MAX_SIGNATURES {
            return Err(NoteError::Malformed("too many signatures"));
        }
        let (name, id, signature) = signature_line(line)?;
        if name == key.name && id == key.id() {
            key.verify(&text, &signature)?;
            verified = true;
        }
    }
    if verified { Ok(text) } else { Err(NoteError::NotSigned { name: key.name.clone() }) }
}

/// Name, key id and signature of a line `— NAME BASE64(id || signature)`.
fn signature_line(line: &str) -> Result<(&str, [u8; 4], Vec<u8>), NoteError> {
    let malformed = NoteError::Malformed("a signature line is not `— NAME BASE64`");
    let Some((name, base64)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')) else {
        return Err(malformed);
    };
    match Base64::decode_vec(base64).as_deref() {
        Ok([a, b, c, d, signature @ ..]) if is_name(name) && !signature.is_empty() => {
            Ok((name, [*a, *b, *c, *d], signature.to_vec()))
        }
        _ => Err(malformed),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteError::Malformed("it holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    pub(in crate::audit) struct TestSigner(pub(in crate::audit) &'static str, Ed25519KeyPair);

    impl TestSigner {
        pub(in crate::audit) fn new(name: &'static str) -> Self {
            Self(name, Ed25519KeyPair::generate().unwrap())
        }
    }

    impl NoteSigner for TestSigner {
        fn name(&self) -> &str {
            self.0
        }
        fn public_key(&self) -> [u8; 32] {
            self.1.public_key().as_ref().try_into().unwrap()
        }
        fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
            Ok(self.1.sign(text).as_ref().try_into().unwrap())
        }
    }

    /// The example of the Go package golang.org/x/mod/sumdb/note, from which the format grew.
    #[test]
    fn the_known_note_of_the_go_package_opens() {
        let key = VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(open_note(&format!("{text}\n{line}"), &key).unwrap(), text);
        assert_eq!(key.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    }

    #[test]
    fn a_note_opens_with_its_own_key_alone() {
        let (signer, other) = (TestSigner::new("log.example"), TestSigner::new("log.example"));
        let note = sign_note("a\n\nb\n", &signer).unwrap();
        assert_eq!(open_note(&note, &VerifierKey::of(&signer).unwrap()).unwrap(), "a\n\nb\n");
        let refused = open_note(&note, &VerifierKey::of(&other).unwrap());
        assert!(matches!(refused, Err(NoteError::NotSigned { .. })));
    }

    #[test]
    fn signatures_of_strangers_are_ignored_but_a_bad_one_of_ours_is_not() {
        let signer = TestSigner::new("log.example");
        let key = VerifierKey::of(&signer).unwrap();
        let mut note = sign_note("a\n", &signer).unwrap();
        for n in 0..98 {
            note.push_str(&format!("— witness{n} {}\n", Base64::encode_string(&[n; 76])));
        }
        assert!(open_note(&note, &key).is_ok());
        let mut forged = key.id().to_vec();
        forged.extend([9; 64]);
        let with_forged = format!("{note}— log.example {}\n", Base64::encode_string(&forged));
        assert!(matches!(open_note(&with_forged, &key), Err(NoteError::BadSignature { .. })));
        let mut crowded = note;
        crowded.push_str(&format!("— w {}\n", Base64::encode_string(&[1; 76])).repeat(2));
        assert!(matches!(open_note(&crowded, &key), Err(NoteError::Malformed("too many signatures"))));
    }

    #[test]
    fn hostile_notes_are_refused() {
        let signer = TestSigner::new("log.example");
        let key = VerifierKey::of(&signer).unwrap();
        let good = sign_note("text\n", &signer).unwrap();
        for (at, _) in good.char_indices() {
            assert!(open_note(&good[..at], &key).is_err(), "cut at {at}");
        }
        let huge = format!("{}{good}", "x".repeat(MAX_NOTE_BYTES));
        for bad in [
            huge,
            good.replace('\n', "\r\n"),
            good.replace("text", "te\u{0}xt"),
            good.replace("text", "te\u{9b}31mxt"),
            good.replace("text", "Text"),
            good.replace("— ", "- "),
            good.replacen("— log", "—  log", 1),
            format!("{good}\n"),
            format!("{good}trailer\n"),
            format!("{good}— log.example \n"),
            format!("{good}— log.example AAAA\n"),
        ] {
            assert!(open_note(&bad, &key).is_err(), "{bad:?}");
        }
        for bad in ["", "text", "te\txt\n", "te\u{7f}xt\n"] {
            assert!(matches!(sign_note(bad, &signer), Err(NoteError::Malformed(_))), "{bad:?}");
        }
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
            assert!(matches!(VerifierKey::new(name, signer.public_key()), Err(NoteError::InvalidKey(_))), "{name:?}");
        }
    }

    #[test]
    fn hostile_verifier_keys_are_refused() {
        let good = VerifierKey::of(&TestSigner::new("log.example")).unwrap().to_string();
        assert!(VerifierKey::parse(&format!("{good}\n")).is_ok());
        let id_from = "log.example+".len();
        let mut wrong_id = good.clone();
        wrong_id.replace_range(id_from..id_from + 8, "00000000");
        for bad in [
            "",
            "+",
            "++",
            "log.example",
            &wrong_id,
            &good.replacen("log", "dog", 1),
            &good[..good.len() - 4],
            &format!("{good}AAAA"),
            &good.replacen("+A", "+B", 1),
            &"+".repeat(1 << 20),
        ] {
            assert!(matches!(VerifierKey::parse(bad), Err(NoteError::InvalidKey(_))), "{bad:.100}");
        }
    }

    #[test]
    fn a_signer_that_lies_about_its_key_is_caught() {
        struct Liar(TestSigner);
        impl NoteSigner for Liar {
            fn name(&self) -> &str {
                "log.example"
            }
            fn public_key(&self) -> [u8; 32] {
                TestSigner::new("x").public_key()
            }
            fn sign(&self, text: &[u8]) -> Result<[u8; 64], NoteError> {
                self.0.sign(text)
            }
        }
        let signed = sign_note("a\n", &Liar(TestSigner::new("y")));
        assert!(matches!(signed, Err(NoteError::BadSignature { .. })));
    }
}
