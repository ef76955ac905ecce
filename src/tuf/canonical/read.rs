//! The reader: one pass, one grammar, two degrees of strictness.

use super::value::{Object, Value};
use super::{Error, Fault, Limits};

/// Reads bytes that are exactly what [`encode`](super::encode) writes for the value that they say, and refuses at the
/// first byte that is not.
pub fn parse_canonical(bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    parse(bytes, limits, Mode::Canonical)
}

/// Reads a *file*: JSON (RFC 8259) with white space, escapes and members in any order, and besides raw control
/// characters in strings. What differs between implementations stays refused: duplicate members, fractions, exponents,
/// `-0`, lone surrogates, integers outside 64 bits.
pub fn parse_lenient(bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    parse(bytes, limits, Mode::Lenient)
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Canonical,
    Lenient,
}

fn parse(bytes: &[u8], limits: Limits, mode: Mode) -> Result<Value, Error> {
    let mut reader = Reader { bytes, at: 0, mode, limits, values: 0 };
    if bytes.len() > limits.bytes {
        return reader.refuse_at(limits.bytes, Fault::TooLarge);
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return reader.refuse(Fault::ByteOrderMark);
    }
    reader.skip_white_space()?;
    let value = reader.value(0)?;
    reader.skip_white_space()?;
    if reader.peek().is_some() {
        return reader.refuse(Fault::Trailing);
    }
    Ok(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    mode: Mode,
    limits: Limits,
    values: usize,
}

impl Reader<'_> {
    fn refuse<T>(&self, fault: Fault) -> Result<T, Error> {
        self.refuse_at(self.at, fault)
    }

    fn refuse_at<T>(&self, offset: usize, fault: Fault) -> Result<T, Error> {
        Err(Error { offset, fault })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The byte here, which some value still needs.
    fn needed(&self) -> Result<u8, Error> {
        self.peek().map_or_else(|| self.refuse(Fault::Truncated), Ok)
    }

    fn skip_white_space(&mut self) -> Result<(), Error> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            if self.mode == Mode::Canonical {
                return self.refuse(Fault::WhiteSpace);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.values += 1;
        if self.values > self.limits.values {
            return self.refuse(Fault::TooManyValues);
        }
        match self.needed()? {
            b'{' | b'[' if depth >= self.limits.depth => self.refuse(Fault::TooDeep),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.integer().map(Value::Integer),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            _ => self.refuse(Fault::Unexpected),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Error> {
        for &byte in word {
            if self.needed()? != byte {
                return self.refuse(Fault::Unexpected);
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        let mut values = Vec::new();
        if self.opens_empty(b']')? {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.closes(b']')? {
                return Ok(Value::Array(values));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        let mut members: Vec<Member> = Vec::new();
        if self.opens_empty(b'}')? {
            return Ok(Value::Object(Object::default()));
        }
        loop {
            let offset = self.at;
            if self.needed()? != b'"' {
                return self.refuse(Fault::Unexpected);
            }
            let name = self.string()?;
            if self.mode == Mode::Canonical
                && let Some(fault) = order_fault(&members, &name)
            {
                return self.refuse_at(offset, fault);
            }
            self.skip_white_space()?;
            if self.needed()? != b':' {
                return self.refuse(Fault::Unexpected);
            }
            self.at += 1;
            self.skip_white_space()?;
            let value = self.value(depth)?;
            members.push(Member { name, value, offset });
            if self.closes(b'}')? {
                return self.sorted(members);
            }
        }
    }

    fn sorted(&self, mut members: Vec<Member>) -> Result<Value, Error> {
        if self.mode == Mode::Lenient {
            // Stable, so that of two equal names the second one is reported.
            members.sort_by(|a, b| a.name.cmp(&b.name));
            let twice = members.windows(2).find_map(|pair| match pair {
                [a, b] if a.name == b.name => Some(b.offset),
                _ => None,
            });
            if let Some(offset) = twice {
                return self.refuse_at(offset, Fault::DuplicateMember);
            }
        }
        Ok(Value::Object(Object::from_sorted(members.into_iter().map(|m| (m.name, m.value)).collect())))
    }

    /// Steps over an opening bracket, and over the closing one when nothing is between them.
    fn opens_empty(&mut self, close: u8) -> Result<bool, Error> {
        self.at += 1;
        self.skip_white_space()?;
        let empty = self.needed()? == close;
        self.at += usize::from(empty);
        Ok(empty)
    }

    /// After an element: steps over the closing bracket (true) or over a comma (false).
    fn closes(&mut self, close: u8) -> Result<bool, Error> {
        self.skip_white_space()?;
        let byte = self.needed()?;
        if byte != close && byte != b',' {
            return self.refuse(Fault::Unexpected);
        }
        self.at += 1;
        if byte == b',' {
            self.skip_white_space()?;
        }
        Ok(byte == close)
    }

    fn string(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while !matches!(self.needed()?, b'"' | b'\\') {
                self.at += 1;
            }
            let run = self.bytes.get(start..self.at).unwrap_or_default();
            match std::str::from_utf8(run) {
                Ok(run) => text.push_str(run),
                Err(error) => return self.refuse_at(start + error.valid_up_to(), Fault::InvalidUtf8),
            }
            let end = self.peek() == Some(b'"');
            if end {
                self.at += 1;
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// From a backslash on.
    fn escape(&mut self) -> Result<char, Error> {
        let offset = self.at;
        self.at += 1;
        let character = match (self.needed()?, self.mode) {
            (byte @ (b'"' | b'\\'), _) => char::from(byte),
            (b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u', Mode::Canonical) => {
                return self.refuse_at(offset, Fault::UnnecessaryEscape);
            }
            (b'/', _) => '/',
            (b'b', _) => '\u{8}',
            (b'f', _) => '\u{c}',
            (b'n', _) => '\n',
            (b'r', _) => '\r',
            (b't', _) => '\t',
            (b'u', _) => return self.unicode_escape(offset),
            _ => return self.refuse_at(offset, Fault::BadEscape),
        };
        self.at += 1;
        Ok(character)
    }

    /// From the `u` on: one unit, or a pair of surrogates.
    fn unicode_escape(&mut self, offset: usize) -> Result<char, Error> {
        self.at += 1;
        let first = self.four_hex_digits(offset)?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).map_or_else(|| self.refuse_at(offset, Fault::BadEscape), Ok);
        }
        let followed = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u"));
        if first >= 0xdc00 || !followed {
            return self.refuse_at(offset, Fault::LoneSurrogate);
        }
        self.at += 2;
        let second = self.four_hex_digits(offset)?;
        if !(0xdc00..0xe000).contains(&second) {
            return self.refuse_at(offset, Fault::LoneSurrogate);
        }
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).map_or_else(|| self.refuse_at(offset, Fault::LoneSurrogate), Ok)
    }

    fn four_hex_digits(&mut self, offset: usize) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.needed()?).to_digit(16) else {
                return self.refuse_at(offset, Fault::BadEscape);
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        if !self.needed()?.is_ascii_digit() {
            return self.refuse(Fault::Unexpected);
        }
        let mut number: Option<i64> = Some(0);
        let first_digit = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let digit = i64::from(digit - b'0');
            let digit = if negative { -digit } else { digit };
            number = number.and_then(|n| n.checked_mul(10)?.checked_add(digit));
            self.at += 1;
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.refuse(Fault::Float);
        }
        let digits = self.at - first_digit;
        match number {
            _ if digits > 1 && self.bytes.get(first_digit) == Some(&b'0') => self.refuse_at(start, Fault::LeadingZero),
            Some(0) if negative => self.refuse_at(start, Fault::NegativeZero),
            Some(number) => Ok(number),
            None => self.refuse_at(start, Fault::IntegerRange),
        }
    }
}

struct Member {
    name: String,
    value: Value,
    offset: usize,
}

/// What is wrong with a member that follows these, which are in canonical order.
fn order_fault(members: &[Member], name: &str) -> Option<Fault> {
    let last = members.last()?;
    if last.name.as_str() < name {
        return None;
    }
    if members.binary_search_by(|member| member.name.as_str().cmp(name)).is_ok() {
        return Some(Fault::DuplicateMember);
    }
    let keys: Vec<_> = members.iter().map(|member| member.name.as_str()).chain([name]).map(olpc_cjson_key).collect();
    Some(if keys.is_sorted() { Fault::MemberOrderOlpcCjson } else { Fault::MemberOrder })
}

/// What the crate `olpc-cjson` compares: the escaped key with its closing quote, which is greater than a space and `!`.
fn olpc_cjson_key(name: &str) -> String {
    let mut key = name.replace('\\', "\\\\").replace('"', "\\\"");
    key.push('"');
    key
}

#[cfg(test)]
mod tests;
