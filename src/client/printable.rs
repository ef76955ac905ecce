//! Text from the network, made safe for a terminal and a log line.

use std::borrow::Cow;

/// The text with every control, format and bidirectional character escaped as `\u{...}` (line feeds as `\n`), so that
/// no server, caller or file can move the cursor, colour the screen, forge a line or turn text around.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if is_printable(character) {
            out.push(character)
        } else {
            out.extend(character.escape_default())
        }
        out
    });
    Cow::Owned(escaped)
}

/// `escape_debug` knows what has no shape of its own; quotes and backslashes, which it escapes for Rust, do no harm.
fn is_printable(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped_and_what_people_write_is_not() {
        assert_eq!(printable("it's \"fine\" C:\\ żółć 東京"), "it's \"fine\" C:\\ żółć 東京");
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\nb\r\t\0\u{7f}"), "a\\nb\\r\\t\\u{0}\\u{7f}");
        for hidden in ['\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2028}', '\u{e0041}'] {
            let shown = printable(&hidden.to_string()).into_owned();
            assert!(shown.is_ascii() && shown.starts_with("\\u{"), "{shown}");
        }
    }
}
