//! Canonical JSON as the One Laptop per Child project defined it and TUF uses it (TUF specification 1.0.34, section 4.1;
//! securesystemslib's `encode_canonical` is the reference): members sorted by the code points of their decoded keys, no
//! white space, integers only, and in strings only `"` and `\` escaped. Control characters stand raw, line feeds of PEM
//! keys among them, so canonical bytes are **not** JSON and no JSON library reads them back.
//!
//! We refuse more than the reference does, and repair nothing: duplicate members, `-0`, integers outside 64 bits, lone
//! surrogates. Each of them is read differently by two TUF implementations, or is written by one and not by another.

mod read;
mod value;
mod write;

pub use read::{parse_canonical, parse_lenient};
pub use value::{Object, Value};
pub use write::{encode, encode_json};

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 64;

/// Bounds that hold before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub bytes: usize,
    /// How deep arrays and objects may nest.
    pub depth: usize,
    /// How many values there may be: `[0,0,0...` costs fifteen times its length in memory.
    pub values: usize,
}

impl Limits {
    /// The limits of a text of at most so many bytes: depth [`MAX_DEPTH`], and 65,536 values and one more for every 16
    /// bytes. An entry of a real targets file takes more than 30 bytes per value.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, depth: MAX_DEPTH, values: 65_536 + bytes / 16 }
    }
}

/// Why bytes were refused, and where. The same bytes are always refused again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {fault}")]
pub struct Error {
    /// Offset of the first byte that may not stand where it does; of the second of two members.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with bytes. No fault goes away by a retry: the sender must write other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Longer than the limit. Not read at all.
    #[error("the text is longer than the limit")]
    TooLarge,
    /// Arrays and objects nest deeper than the limit; nobody's metadata does.
    #[error("arrays and objects nest too deeply")]
    TooDeep,
    /// More values than the limit allows for a text of this length.
    #[error("too many values for the length of the text")]
    TooManyValues,
    /// The text ends within a value: it was cut off.
    #[error("the text ends within a value")]
    Truncated,
    /// Something follows the value: two texts were joined, or a line feed was added.
    #[error("something follows the value")]
    Trailing,
    /// A UTF-8 byte order mark: an editor added it.
    #[error("a byte order mark")]
    ByteOrderMark,
    /// Not UTF-8 inside a string.
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    /// White space between tokens of a canonical text: pretty-printed JSON was sent instead.
    #[error("white space between tokens")]
    WhiteSpace,
    /// An escape that canonical JSON does not write: the sender used a JSON library.
    #[error("an escape other than \\\" and \\\\")]
    UnnecessaryEscape,
    /// No escape of JSON.
    #[error("an escape that JSON does not have")]
    BadEscape,
    /// Half of a surrogate pair, which no UTF-8 text can hold.
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    /// Members are not sorted by the code points of their keys.
    #[error("members are not sorted by code point")]
    MemberOrder,
    /// Members are sorted, but as the crate `olpc-cjson` (used by tough) sorts them: by escaped key with the closing
    /// quote. Other TUF clients would compute other bytes.
    #[error(
        "members are sorted as olpc-cjson (tough) sorts them, by escaped key with its closing quote; other TUF clients \
         sort by code point of the decoded key"
    )]
    MemberOrderOlpcCjson,
    /// Two members of one name: readers differ in which one they see.
    #[error("a member stands twice")]
    DuplicateMember,
    /// A fraction or an exponent: canonical JSON has integers only.
    #[error("a number with a fraction or an exponent")]
    Float,
    /// `-0`, which implementations write in three ways.
    #[error("negative zero")]
    NegativeZero,
    /// A number that begins with a needless zero.
    #[error("a number with a leading zero")]
    LeadingZero,
    /// An integer that 64 bits with a sign do not hold.
    #[error("an integer outside 64 bits")]
    IntegerRange,
    /// A byte that no value has here.
    #[error("an unexpected byte")]
    Unexpected,
}
