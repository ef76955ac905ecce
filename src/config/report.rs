//! Collects mistakes and warnings while the file is read, and gives each its place at the end.

use super::error::{Code, ConfigError, ConfigErrors, Position, place};

/// What was found so far. Places are byte offsets into the text.
#[derive(Default)]
pub(super) struct Report {
    errors: Vec<(Code, usize, String)>,
    warnings: Vec<(&'static str, usize, String)>,
}

impl Report {
    /// Records a mistake.
    pub(super) fn error(&mut self, code: Code, at: usize, detail: impl Into<String>) {
        self.errors.push((code, at, detail.into()));
    }

    /// Records what is legal and probably not meant.
    pub(super) fn warning(&mut self, name: &'static str, at: usize, detail: impl Into<String>) {
        self.warnings.push((name, at, detail.into()));
    }

    /// Whether no mistake was found.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The warnings, `FILE:LINE:COLUMN: [name] detail`, in the order of the file.
    pub(super) fn into_warnings(mut self, lines: &Lines<'_>, file: &str) -> Vec<String> {
        self.warnings.sort_by_key(|(_, at, _)| *at);
        let line = |(name, at, detail)| format!("{}: [{name}] {detail}", place(file, Some(lines.position(at))));
        self.warnings.into_iter().map(line).collect()
    }

    /// The mistakes in the order of the file. After a syntax error the table is only what the parser could save, so
    /// what else is wrong on the same line, or is missing, is left out: correcting the syntax may give it.
    pub(super) fn into_errors(mut self, lines: &Lines<'_>, file: &str) -> ConfigErrors {
        self.errors.sort_by_key(|(_, at, _)| *at);
        let broken: Vec<usize> = self
            .errors
            .iter()
            .filter(|(code, ..)| *code == Code::Syntax)
            .map(|(_, at, _)| lines.position(*at).line)
            .collect();
        if !broken.is_empty() {
            self.errors.retain(|(code, at, _)| match code {
                Code::Syntax => true,
                Code::MissingKey | Code::UnknownReference => false,
                _ => broken.binary_search(&lines.position(*at).line).is_err(),
            });
        }
        self.errors.dedup();
        let place = |(code, at, detail)| ConfigError { code, position: Some(lines.position(at)), detail };
        ConfigErrors::new(file, self.errors.into_iter().map(place).collect())
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The place of a byte offset.
    pub(super) fn position(&self, at: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..at).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }
}

/// The place of a byte offset in bytes that are no text: columns count bytes there.
pub(super) fn position_in_bytes(bytes: &[u8], at: usize) -> Position {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Position { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let lines = Lines::of("é = 1\nab\n");
        let at = |offset| (lines.position(offset).line, lines.position(offset).column);
        assert_eq!([at(0), at(2), at(7), at(8), at(10), at(99)], [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 1)]);
        assert_eq!(position_in_bytes(b"a\nb\xff", 3), Position { line: 2, column: 2 });
    }
}
