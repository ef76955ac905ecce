//! The walk over the parsed file: each value with its place, each mistake reported and stepped over, so that one run
//! finds all of them. Values that are read although something was reported never leave the room.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::duration::parse_seconds;
use super::error::{Code, shown};
use super::report::Report;
use super::schema::{self, TableKeys};

/// One value of the file, its name for people and its place.
pub(super) struct Node<'t> {
    value: &'t DeValue<'t>,
    /// Byte offset into the text.
    pub(super) at: usize,
    name: String,
}

/// A table whose keys are all known.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    /// Byte offset of its header, or of the inline table.
    pub(super) at: usize,
    keys: TableKeys,
}

impl<'t> Section<'t> {
    /// The file's top level.
    pub(super) fn root(table: &'t DeTable<'t>, report: &mut Report) -> Self {
        let section = Self { table, at: 0, keys: schema::ROOT };
        section.refuse_unknown_keys(report);
        section
    }

    /// The value of a key, if it stands there.
    pub(super) fn find(&self, key: &str) -> Option<Node<'t>> {
        debug_assert!(self.keys.keys.contains(&key), "{key} is missing in schema.rs");
        let value = self.table.get(key)?;
        Some(Node { value: value.get_ref(), at: value.span().start, name: format!("`{key}`") })
    }

    /// The value of a key that must stand there.
    pub(super) fn need(&self, key: &str, report: &mut Report) -> Option<Node<'t>> {
        let found = self.find(key);
        if found.is_none() {
            report.error(Code::MissingKey, self.at, format!("{} needs the key `{key}`", self.keys.table));
        }
        found
    }

    /// A whole number, or the default when the key is absent (or wrong, which is reported).
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>, default: u64, report: &mut Report) -> u64 {
        self.find(key).and_then(|node| node.number(range, report)).unwrap_or(default)
    }

    /// As [`Section::number`], for what counts things in memory.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<u64>, default: usize, report: &mut Report) -> usize {
        let number = self.find(key).and_then(|node| node.number(range, report));
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    }

    /// `true` or `false`, or the default.
    pub(super) fn flag(&self, key: &str, default: bool, report: &mut Report) -> bool {
        self.find(key).and_then(|node| node.flag(report)).unwrap_or(default)
    }

    fn refuse_unknown_keys(&self, report: &mut Report) {
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            let known = self.keys.keys.contains(&name);
            if schema::names_a_secret(name) && !holds_tables(value.get_ref()) {
                report.error(Code::SecretInFile, key.span().start, secret_advice(name));
            } else if !known {
                report.error(Code::UnknownKey, key.span().start, self.unknown(name));
            }
        }
    }

    fn unknown(&self, key: &str) -> String {
        let sentence = format!("{} has no key `{}`", self.keys.table, shown(key));
        if let Some(nearest) = schema::nearest(key, self.keys.keys.iter().copied()) {
            return format!("{sentence}; did you mean `{nearest}`?");
        }
        match schema::home_of(key) {
            Some(home) => format!("{sentence}; it is a key of {}", home.table),
            None => format!("{sentence}; it has {}", self.keys.keys.join(", ")),
        }
    }
}

impl<'t> Node<'t> {
    /// A table; its unknown keys are reported.
    pub(super) fn section(&self, keys: TableKeys, report: &mut Report) -> Option<Section<'t>> {
        let Some(table) = self.value.as_table() else {
            self.refuse("a table", report);
            return None;
        };
        let section = Section { table, at: self.at, keys };
        section.refuse_unknown_keys(report);
        Some(section)
    }

    /// A table whose `kind` says which keys it has: the kind, and the table read with its keys.
    pub(super) fn section_by_kind<K: Copy>(
        &self,
        kinds: &[(&'static str, K, TableKeys)],
        report: &mut Report,
    ) -> Option<(K, Section<'t>)> {
        let Some(table) = self.value.as_table() else {
            self.refuse("a table", report);
            return None;
        };
        let names: Vec<&str> = kinds.iter().map(|(name, ..)| *name).collect();
        let Some(kind) = table.get("kind") else {
            let known = names.join(" or ");
            report.error(Code::MissingKey, self.at, format!("{} needs the key `kind`: {known}", self.name));
            return None;
        };
        let kind = Node { value: kind.get_ref(), at: kind.span().start, name: "`kind`".to_owned() };
        let chosen = kind.choice(kinds.iter().map(|(name, kind, keys)| (*name, (*kind, *keys))), report);
        let (kind, keys) = chosen?;
        Some((kind, self.section(keys, report)?))
    }

    /// The entries of a table whose keys are names of the writer's choice, each with its place, in the file's order.
    pub(super) fn named_entries(&self, report: &mut Report) -> Vec<(&'t str, usize, Node<'t>)> {
        let Some(table) = self.value.as_table() else {
            self.refuse("a table", report);
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name: &str = key.get_ref();
                let node = Node { value: value.get_ref(), at: value.span().start, name: format!("`{}`", shown(name)) };
                (name, key.span().start, node)
            })
            .collect();
        entries.sort_by_key(|(_, at, _)| *at);
        entries
    }

    /// The items of an array.
    pub(super) fn items(&self, report: &mut Report) -> Vec<Node<'t>> {
        let Some(array) = self.value.as_array() else {
            self.refuse("an array", report);
            return Vec::new();
        };
        let item = |value: &'t toml::Spanned<DeValue<'t>>| Node {
            value: value.get_ref(),
            at: value.span().start,
            name: self.name.clone(),
        };
        array.iter().map(item).collect()
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&self, report: &mut Report) -> Vec<Node<'t>> {
        match self.value {
            DeValue::Table(_) => {
                let detail = format!(
                    "{} is a list: write its header in double brackets, `[[{}]]`",
                    self.name,
                    self.name.trim_matches('`')
                );
                report.error(Code::WrongType, self.at, detail);
                Vec::new()
            }
            _ => self.items(report),
        }
    }

    /// A string. One that looks like a private key is reported and not shown.
    pub(super) fn text(&self, report: &mut Report) -> Option<&'t str> {
        let Some(text) = self.value.as_str() else {
            self.refuse("a string", report);
            return None;
        };
        if text.contains("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY-----") {
            report.error(Code::SecretInFile, self.at, secret_advice(self.name.trim_matches('`')));
            return None;
        }
        Some(text)
    }

    /// A string that parses; the error's text is shown after the key's name.
    pub(super) fn parsed<T, E: ToString>(
        &self,
        code: Code,
        parse: impl FnOnce(&'t str) -> Result<T, E>,
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(report)?;
        parse(text).map_err(|error| self.report(code, error.to_string(), report)).ok()
    }

    /// One of some words.
    pub(super) fn choice<T>(
        &self,
        choices: impl IntoIterator<Item = (&'static str, T)>,
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(report)?;
        let mut names = Vec::new();
        for (name, value) in choices {
            if name == text {
                return Some(value);
            }
            names.push(name);
        }
        let advice = match schema::nearest(text, names.iter().copied()) {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None => format!("known are \"{}\"", names.join("\", \"")),
        };
        self.report(Code::InvalidValue, format!("\"{}\" is unknown; {advice}", shown(text)), report);
        None
    }

    /// A length of time, in seconds.
    pub(super) fn seconds(&self, report: &mut Report) -> Option<u64> {
        self.parsed(Code::InvalidDuration, parse_seconds, report)
    }

    /// A whole number of 64 bits.
    pub(super) fn integer(&self, report: &mut Report) -> Option<i64> {
        let (digits, radix) = self.digits(report)?;
        let number = i64::from_str_radix(digits, radix).ok();
        if number.is_none() {
            self.report(Code::OutOfRange, "takes a whole number of 64 bits", report);
        }
        number
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let (digits, radix) = self.digits(report)?;
        let number = u64::from_str_radix(digits, radix).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.report(Code::OutOfRange, format!("takes {} to {}", range.start(), range.end()), report);
        }
        number
    }

    /// The digits of a whole number and their base, as written.
    pub(super) fn digits(&self, report: &mut Report) -> Option<(&'t str, u32)> {
        let integer = self.value.as_integer();
        if integer.is_none() {
            self.refuse("a whole number", report);
        }
        integer.map(|integer| (integer.as_str(), integer.radix()))
    }

    /// The string after a key of this table, if both are there; nothing is reported.
    pub(super) fn peek(&self, key: &str) -> Option<&'t str> {
        self.entry(key)?.value.as_str()
    }

    /// The value after a key of this table, if both are there; nothing is reported.
    pub(super) fn entry(&self, key: &str) -> Option<Node<'t>> {
        let value = self.value.as_table()?.get(key)?;
        Some(Node { value: value.get_ref(), at: value.span().start, name: format!("`{}`", shown(key)) })
    }

    /// The node itself, as the one item where a list may stand or one value.
    pub(super) fn same(&self) -> Self {
        Self { value: self.value, at: self.at, name: self.name.clone() }
    }

    /// Whether this is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether this is an array.
    pub(super) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// Whether this is `true` or `false`.
    pub(super) fn is_flag(&self) -> bool {
        self.value.is_bool()
    }

    /// Whether this is a whole number.
    pub(super) fn is_number(&self) -> bool {
        self.value.is_integer()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, report: &mut Report) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.refuse("true or false", report);
        }
        flag
    }

    /// Reports something about this value, after its name.
    pub(super) fn report(&self, code: Code, detail: impl AsRef<str>, report: &mut Report) {
        report.error(code, self.at, format!("{}: {}", self.name, detail.as_ref()));
    }

    fn refuse(&self, wanted: &str, report: &mut Report) {
        let article = |kind: &'static str| match kind {
            "integer" | "array" => format!("an {kind}"),
            _ => format!("a {kind}"),
        };
        self.report(Code::WrongType, format!("takes {wanted}, not {}", article(self.value.type_str())), report);
    }
}

/// A secret is text; what names its place is a table, and a list of tables is something else of the same name.
fn holds_tables(value: &DeValue<'_>) -> bool {
    match value.as_array() {
        Some(items) => !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()),
        None => value.is_table(),
    }
}

fn secret_advice(key: &str) -> String {
    format!(
        "`{}` must not hold a secret: this file is copied and read by others. Name where the secret is, with \
         {{ file = \"/path\" }} or {{ credential = \"name\" }}; if a real one stood here, replace it",
        shown(key)
    )
}
