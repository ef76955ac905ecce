//! What is wrong with a configuration: every mistake at once, each with its place and a stable code.

use std::fmt;

macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident $name:literal; )*) => {
        /// The kind of a mistake. None goes away by trying again: the file must change, except where a variant says so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code { $( $(#[$doc])* $variant, )* }

        impl Code {
            /// Every code, in the order of the reference.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The stable name, as it stands in brackets.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

codes! {
    /// No such file. Check the path; `sealwardd` never makes one.
    Missing "missing";
    /// The file is there and this user may not read it, or the disk failed (then a retry may help).
    Unreadable "unreadable";
    /// A directory, a pipe or a device stands where the file should be.
    NotAFile "not-a-file";
    /// Everybody on this machine may write the file, and so decide what is signed.
    WorldWritable "world-writable";
    /// More than 1 MiB: no configuration, or the wrong file.
    TooLarge "too-large";
    /// Not UTF-8, which TOML demands.
    NotUtf8 "not-utf8";
    /// Not TOML. Errors of other kinds near it may go away with it.
    Syntax "syntax";
    /// A key that the table does not have; often a typing error.
    UnknownKey "unknown-key";
    /// A key that the table must have.
    MissingKey "missing-key";
    /// A value of another type than the key takes.
    WrongType "wrong-type";
    /// A value of the right type that means nothing here.
    InvalidValue "invalid-value";
    /// A number below or above what the key takes.
    OutOfRange "out-of-range";
    /// A length of time that is no number with a unit, or too long.
    InvalidDuration "invalid-duration";
    /// A name or pattern with characters or parts that no name has.
    InvalidName "invalid-name";
    /// Two keys of which only one may stand.
    Conflict "conflict";
    /// A name that stands twice, or one place that two entries would share.
    Duplicate "duplicate";
    /// A name of a keystore or listener that the file does not define.
    UnknownReference "unknown-reference";
    /// A secret in the file, which backups, editors and version control copy. Treat it as known to others.
    SecretInFile "secret-in-file";
    /// A key or keystore for root, or for a role that is declared offline.
    OfflineRole "offline-role";
    /// Metrics on an address that other machines reach.
    NotLoopback "not-loopback";
    /// A version of the file's form that this program does not read.
    UnsupportedVersion "unsupported-version";
}

/// A place in the file, as editors count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// One mistake. Its text holds no secret: values are shown only where they are names, and then shortened and escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Its kind.
    pub code: Code,
    /// Where it is; `None` when it is about the file as a whole.
    pub position: Option<Position>,
    /// What is wrong and what to do.
    pub detail: String,
}

/// Everything that is wrong with a file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.file, .errors))]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// `EX_CONFIG` of sysexits.h. systemd does not restart a daemon that ends with it.
    pub const EXIT_CODE: u8 = 78;

    pub(super) fn new(file: &str, errors: Vec<ConfigError>) -> Self {
        Self { file: file.to_owned(), errors }
    }

    pub(super) fn of_file(file: &str, code: Code, detail: impl Into<String>) -> Self {
        Self::new(file, vec![ConfigError { code, position: None, detail: detail.into() }])
    }

    /// The name of the file, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }
}

/// Beyond this many, a person wants to see the first ones.
const LISTED: usize = 100;

fn listed(file: &str, errors: &[ConfigError]) -> String {
    let mut lines: Vec<String> = errors.iter().take(LISTED).map(|error| line(file, error)).collect();
    if let Some(more) = errors.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("{}: and {more} more", shown(file)));
    }
    lines.join("\n")
}

fn line(file: &str, error: &ConfigError) -> String {
    format!("{}: [{}] {}", place(file, error.position), error.code, error.detail)
}

/// `FILE:LINE:COLUMN`, which editors and terminals make a link of.
pub(super) fn place(file: &str, position: Option<Position>) -> String {
    match position {
        Some(Position { line, column }) => format!("{}:{line}:{column}", shown(file)),
        None => shown(file),
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// At most 80 characters, control characters escaped: what stands in a file ends in logs and terminals.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out: String = text.chars().take(LONGEST).flat_map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// As `escape_debug`, but quotes and backslashes stay as the person wrote them.
fn escape(character: char) -> impl Iterator<Item = char> {
    let escaped = !matches!(character, '\'' | '"' | '\\');
    let (kept, changed) = if escaped { (None, Some(character.escape_debug())) } else { (Some(character), None) };
    kept.into_iter().chain(changed.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_names_are_unique() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn what_is_shown_drives_no_terminal() {
        assert_eq!(shown("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown("it's \"é\""), "it's \"é\"");
        assert!(shown(&"x".repeat(500)).chars().count() <= 81);
    }

    #[test]
    fn a_flood_of_mistakes_is_cut() {
        let one = ConfigError { code: Code::Syntax, position: None, detail: "x".into() };
        let text = ConfigErrors::new("f", vec![one; 250]).to_string();
        assert_eq!(text.lines().count(), 101);
        assert!(text.ends_with("f: and 150 more"));
    }
}
