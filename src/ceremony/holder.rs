//! The name of a person who holds a root key.

use std::fmt;
use std::str::FromStr;

/// A name that is also part of file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HolderName(String);

/// The text is no name of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a holder's name has 1 to 64 characters out of a-z A-Z 0-9 - _ and does not begin with -")]
pub(super) struct InvalidHolder;

impl HolderName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HolderName {
    type Err = InvalidHolder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = (1..=64).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidHolder) }
    }
}

impl fmt::Display for HolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path_or_a_flag() {
        for good in ["alice", "A-1_b"] {
            assert_eq!(good.parse::<HolderName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "-a", "a b", "é", "a.b", "a\0", &"x".repeat(65)] {
            assert_eq!(bad.parse::<HolderName>(), Err(InvalidHolder), "{bad}");
        }
    }
}
