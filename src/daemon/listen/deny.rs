//! The deny-list: keys and certificates that are turned away, whoever signed them.

mod forms;

use std::collections::BTreeSet;
use std::path::Path;

pub(super) use self::forms::fingerprints;
use crate::daemon::file;
use crate::domain::name::Sha256Digest;

/// Digests, as `docs/configuration.md` describes the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DenyList {
    keys: BTreeSet<[u8; 32]>,
    certificates: BTreeSet<[u8; 32]>,
}

impl DenyList {
    /// Reads a file whole, or not at all: an entry that is misread would let somebody in.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = String::from_utf8(file::read(path)?).map_err(|_| format!("{}: is no UTF-8", path.display()))?;
        Self::parse(&text).map_err(|(line, what)| format!("{}:{line}: {what}", path.display()))
    }

    /// The error has the line, from 1.
    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
            if entry.is_empty() {
                continue;
            }
            let wrong = |what| (index + 1, what);
            let (kind, digest) = entry.split_once(char::is_whitespace).ok_or(wrong(RULE))?;
            let digest = digest_of(digest.trim()).ok_or(wrong(RULE))?;
            match kind {
                "key" => list.keys.insert(digest),
                "certificate" => list.certificates.insert(digest),
                _ => return Err(wrong(RULE)),
            };
        }
        Ok(list)
    }

    /// Whether the key (DER of its SubjectPublicKeyInfo) is on it, or any of the certificate's [`fingerprints`].
    pub(super) fn holds(&self, key: Sha256Digest, certificate: &[Sha256Digest]) -> bool {
        self.keys.contains(key.as_bytes()) || certificate.iter().any(|form| self.certificates.contains(form.as_bytes()))
    }
}

const RULE: &str = "an entry is `key` or `certificate`, then a SHA-256 in hexadecimal digits";

/// With or without the colons that openssl writes.
fn digest_of(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    hex::decode(digits).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_openssl_writes_them_and_nothing_is_skipped() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        let list = DenyList::parse(&format!("# why\n\nkey {plain} # stolen\ncertificate\t{colons}\r\n")).unwrap();
        let (known, other) = (Sha256Digest::from_bytes([0xab; 32]), Sha256Digest::from_bytes([0; 32]));
        assert!(list.holds(known, &[other]) && list.holds(other, &[other, known]) && !list.holds(other, &[other]));
        assert_eq!(DenyList::parse(""), Ok(DenyList::default()));
        for bad in ["key", "key 12", "keys ab", &plain, &format!("key {plain}ab"), &format!("KEY {plain}")] {
            assert_eq!(DenyList::parse(&format!("\n{bad}\n")), Err((2, RULE)), "{bad}");
        }
    }
}
