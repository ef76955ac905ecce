//! Data on stdout, talk on stderr; nothing from a file reaches a terminal raw.

use std::io::{self, Write};

use serde_json::Value;

use super::error::CeremonyError;

pub(super) struct Output {
    stdout: io::BufWriter<Box<dyn Write>>,
    stderr: Box<dyn Write>,
    json: bool,
}

impl Output {
    pub(super) fn new(stdout: Box<dyn Write>, stderr: Box<dyn Write>, json: bool) -> Self {
        Self { stdout: io::BufWriter::new(stdout), stderr, json }
    }

    /// Our own text, which holds nothing from a file.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CeremonyError> {
        self.stdout.write_all(text.as_bytes()).map_err(CeremonyError::Stdout)
    }

    /// What the command tells: one object for programs, or lines for people.
    pub(super) fn answer(&mut self, object: &Value, lines: &[String]) -> Result<(), CeremonyError> {
        if self.json {
            return writeln!(self.stdout, "{object}").map_err(CeremonyError::Stdout);
        }
        lines.iter().try_for_each(|line| writeln!(self.stdout, "{}", printable(line)).map_err(CeremonyError::Stdout))
    }

    /// Talk.
    pub(super) fn note(&mut self, text: &str) {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(self.stderr, "{}", printable(text));
    }

    pub(super) fn flush(&mut self) -> Result<(), CeremonyError> {
        self.stdout.flush().map_err(CeremonyError::Stdout)
    }

    /// Tells the error, and returns its exit code.
    pub(super) fn error(&mut self, error: &CeremonyError) -> u8 {
        if error.is_broken_pipe() {
            return 0;
        }
        let told = if self.json { self.answer(&error.json(), &[]).and_then(|()| self.flush()) } else { Ok(()) };
        if !self.json || told.is_err() {
            // What was printed before belongs before it on a terminal.
            let _ = self.flush();
            error.lines().iter().for_each(|line| self.note(line));
        }
        error.exit_code()
    }
}

/// The text with every character escaped that could move a cursor, forge a line or turn text around.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        // `escape_debug` knows what has no shape of its own; quotes and backslashes do no harm.
        if matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1 {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped_and_what_people_write_is_not() {
        assert_eq!(printable("it's \"żółć\" C:\\"), "it's \"żółć\" C:\\");
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}"), "a\\u{1b}[2J\\nb\\u{202e}");
    }
}
