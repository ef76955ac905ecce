//! Instants, as TUF writes them. Seconds are all that TUF metadata can say.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Seconds since 1970-01-01T00:00:00Z. Never negative in anything that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

const TUF: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

impl Instant {
    /// From seconds since the Unix epoch.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    /// This instant moved by some seconds, saturating.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this instant; negative when `earlier` is later.
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Exactly `YYYY-MM-DDTHH:MM:SSZ` (TUF specification 1.0.34, section 4.2.1), nothing else: python-tuf cannot read
    /// fractions or offsets, so what we sign must not have them.
    pub fn parse_tuf(text: &str) -> Option<Self> {
        if text.len() != 20 || !text.is_ascii() {
            return None;
        }
        let parsed = PrimitiveDateTime::parse(text, TUF).ok()?;
        Some(Self(parsed.assume_utc().unix_timestamp()))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0).ok().and_then(|t| t.format(TUF).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_read() {
        assert_eq!(Instant::parse_tuf("1970-01-01T00:00:00Z"), Some(Instant(0)));
        assert_eq!(
            Instant::parse_tuf("2030-02-28T23:59:59Z").map(|i| i.to_string()).as_deref(),
            Some("2030-02-28T23:59:59Z")
        );
        for wrong in [
            "2030-02-30T00:00:00Z",
            "2030-01-01T00:00:00.5Z",
            "2030-01-01T00:00:00+00:00",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:60Z",
            "",
            "+030-01-01T00:00:00Z",
            "2030-1-001T00:00:00Z",
        ] {
            assert_eq!(Instant::parse_tuf(wrong), None, "{wrong}");
        }
    }
}
