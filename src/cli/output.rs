//! Data on stdout, talk on stderr.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use super::DONE;
use super::error::CliError;
use crate::client::printable;

pub(super) struct Output {
    stdout: io::BufWriter<Box<dyn Write>>,
    json: bool,
}

impl Output {
    pub(super) fn new(stdout: Box<dyn Write>, json: bool) -> Self {
        Self { stdout: io::BufWriter::new(stdout), json }
    }

    /// Whether the caller wants objects instead of text.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Bytes as they are: files that were asked for, and nothing else.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.stdout.write_all(bytes).map_err(CliError::Stdout)
    }

    /// Our own text, which holds nothing from the network.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.bytes(text.as_bytes())
    }

    /// A line whose hidden characters are escaped.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.stdout, "{}", printable(line)).map_err(CliError::Stdout)
    }

    /// One object on one line.
    pub(super) fn json(&mut self, object: &Value) -> Result<(), CliError> {
        self.json_text(&object.to_string())
    }

    /// JSON that is text already. Only inside of strings can JSON hold hidden characters, so that escaping all of them
    /// changes how it looks and not what it says.
    pub(super) fn json_text(&mut self, json: &str) -> Result<(), CliError> {
        writeln!(self.stdout, "{}", escaped_json(json)).map_err(CliError::Stdout)
    }

    /// Aligned columns under their names; nothing at all without rows.
    pub(super) fn table<const N: usize>(&mut self, names: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| cell_text(cell))).collect();
        let mut widths = names.map(|name| name.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.row(&names.map(str::to_owned), &widths)?;
        rows.iter().try_for_each(|row| self.row(row, &widths))
    }

    /// Talk. What was printed before stands before it, also on a terminal.
    pub(super) fn note(&mut self, text: &str) {
        // Whoever prints next is told of a broken standard output.
        let _ = self.stdout.flush();
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "{}", printable(text));
    }

    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.stdout.flush().map_err(CliError::Stdout)
    }

    /// Tells the error, and returns its exit code.
    pub(super) fn error(&mut self, error: &CliError) -> u8 {
        if error.is_broken_pipe() {
            return DONE;
        }
        let told = if self.json { self.json(&error.json()).and_then(|()| self.flush()) } else { Ok(()) };
        if !self.json || told.is_err() {
            // What was printed before belongs before it on a terminal.
            let _ = self.flush();
            for line in error.lines() {
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
        error.exit_code()
    }

    fn row<const N: usize>(&mut self, cells: &[String; N], widths: &[usize; N]) -> Result<(), CliError> {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        writeln!(self.stdout, "{}", line.trim_end()).map_err(CliError::Stdout)
    }
}

/// An empty cell would look like a shifted row.
fn cell_text(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text).into_owned() }
}

fn escaped_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, character| {
        if printable(character.encode_utf8(&mut [0; 4])).len() == character.len_utf8() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(print: impl FnOnce(&mut Output) -> Result<(), CliError>) -> String {
        let shared = Shared::default();
        let mut output = Output::new(Box::new(shared.clone()), false);
        print(&mut output).unwrap();
        output.flush().unwrap();
        String::from_utf8(shared.0.take()).unwrap()
    }

    #[test]
    fn columns_line_up_and_hide_nothing() {
        let rows = [["a".to_owned(), String::new()], ["long\u{1b}[1m".to_owned(), "x\ny".to_owned()]];
        let table = printed(|output| output.table(["KEY", "STATE"], &rows));
        assert_eq!(table, "KEY            STATE\na              -\nlong\\u{1b}[1m  x\\ny\n");
        assert_eq!(printed(|output| output.table(["KEY"], &[])), "");
    }

    #[test]
    fn json_says_the_same_without_hidden_characters() {
        let object = json!({"v": 1, "text": "\u{1b}[31m\u{9b}\u{202e}\u{e0041} żółć \"\\\n"});
        let line = printed(|output| output.json(&object));
        assert!(!line.trim_end().contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{e0041}', '\n']), "{line:?}");
        assert!(line.contains("żółć"));
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), object);
    }
}
