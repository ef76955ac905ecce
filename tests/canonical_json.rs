//! Our canonical JSON against securesystemslib's `encode_canonical`, over documents that are mostly traps.
//!
//! Where both accept, they agree byte for byte. Where only we refuse, it is one of four deliberate refusals. Nothing that
//! the reference refuses is accepted by us.

// A test and its helpers may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeMap;

use sealward::tuf::canonical::{Fault, Limits, encode, parse_canonical, parse_lenient};
use serde_json::{Value, json};

#[path = "support/python/peer.rs"]
mod peer;

const DOCUMENTS: usize = 12_000;
const MUTANTS: usize = 12_000;
const LIMITS: Limits = Limits::of_bytes(1 << 20);

/// What securesystemslib writes and we refuse, because another TUF implementation reads or writes it differently
/// (`-0`, integers beyond 64 bits, duplicates) or because nobody needs it (depth).
const DELIBERATE: [Fault; 4] = [Fault::DuplicateMember, Fault::NegativeZero, Fault::IntegerRange, Fault::TooDeep];

#[test]
fn files_canonicalise_as_securesystemslib_does_it() {
    let mut random = Random(0x5ea1_3a2d);
    let texts: Vec<Vec<u8>> = (0..DOCUMENTS).map(|_| random.document()).collect();
    let mut agreed = 0;
    let mut refused: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (text, Reference { canonical: theirs, twice }) in texts.iter().zip(reference(&texts)) {
        let shown = String::from_utf8_lossy(text);
        match (parse_lenient(text, LIMITS), theirs) {
            (Ok(value), Some(theirs)) => {
                assert_eq!(String::from_utf8_lossy(&encode(&value)), String::from_utf8_lossy(&theirs), "{shown}");
                assert_eq!(parse_canonical(&theirs, LIMITS), Ok(value), "{shown}");
                agreed += 1;
            }
            (Err(error), theirs) => {
                // In the first of two equal members, which the reference drops, it sees no fault at all.
                let ours_alone = twice || DELIBERATE.contains(&error.fault);
                assert!(theirs.is_none() || ours_alone, "only we refuse, {error}: {shown}");
                let counts = refused.entry(format!("{:?}", error.fault)).or_default();
                *if theirs.is_some() { &mut counts.0 } else { &mut counts.1 } += 1;
            }
            (Ok(_), None) => panic!("only securesystemslib refuses: {shown}"),
        }
    }
    println!("{agreed} agreed; refused by us alone and by both: {refused:?}");
    assert!(agreed > 10_000, "{agreed}");
    for fault in DELIBERATE {
        let alone = refused.get(&format!("{fault:?}")).map_or(0, |counts| counts.0);
        assert!(alone > 20, "{fault:?} was refused by us alone {alone} times");
    }
    for fault in [Fault::Float, Fault::LoneSurrogate, Fault::InvalidUtf8, Fault::Truncated] {
        let both = refused.get(&format!("{fault:?}")).map_or(0, |counts| counts.1);
        assert!(both > 20, "{fault:?} was refused by both {both} times");
    }
}

#[test]
fn the_strict_reader_accepts_exactly_what_securesystemslib_would_write() {
    let mut random = Random(0x0b5e_55ed);
    let mut texts = Vec::new();
    while texts.len() < MUTANTS {
        // Canonical bytes; then the same with a byte changed, removed, doubled, or two members swapped.
        let Ok(value) = parse_lenient(&random.document(), LIMITS) else { continue };
        let canonical = encode(&value);
        for _ in 0..3 {
            texts.push(random.mutant(&canonical));
        }
        texts.push(canonical);
    }
    let (mut accepted, mut refused) = (0, 0);
    for (text, theirs) in texts.iter().zip(reference(&texts)) {
        let shown = String::from_utf8_lossy(text);
        let is_canonical = theirs.canonical.as_ref() == Some(text);
        match parse_canonical(text, LIMITS) {
            Ok(_) => {
                assert!(is_canonical, "we accept what securesystemslib would write otherwise: {shown}");
                accepted += 1;
            }
            Err(error) => {
                assert!(!is_canonical || DELIBERATE.contains(&error.fault), "{error}: {shown}");
                refused += 1;
            }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > MUTANTS / 4 && refused > MUTANTS / 4, "{accepted} accepted, {refused} refused");
}

#[test]
fn the_traps_by_name() {
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let agreed: &[(&str, &str)] = &[
        (r#"{"a b":2,"a":1}"#, r#"{"a":1,"a b":2}"#),
        (r#"{"a!":2,"a":1}"#, r#"{"a":1,"a!":2}"#),
        (r##"{"q#":2,"q\"x":1}"##, r##"{"q\"x":1,"q#":2}"##),
        ("{\"cafe\\u0301\":1}", "{\"cafe\u{301}\":1}"),
        (r#"{"\ud83d\ude00":1,"\uffff":2}"#, "{\"\u{ffff}\":2,\"\u{1f600}\":1}"),
        (r#""\u0000\u001f\u007f\/""#, "\"\u{0}\u{1f}\u{7f}/\""),
        ("\"\u{1}\n\"", "\"\u{1}\n\""),
        ("[ 9223372036854775807 , -9223372036854775808 ]", "[9223372036854775807,-9223372036854775808]"),
        ("{}", "{}"),
    ];
    let ours_alone: &[(&str, Fault)] = &[
        ("-0", Fault::NegativeZero),
        ("9223372036854775808", Fault::IntegerRange),
        ("123456789012345678901", Fault::IntegerRange),
        (r#"{"a":1,"\u0061":2}"#, Fault::DuplicateMember),
    ];
    let both: &[(&str, Fault)] = &[
        ("1.0", Fault::Float),
        ("1e2", Fault::Float),
        (r#""\ud800""#, Fault::LoneSurrogate),
        ("\u{feff}{}", Fault::ByteOrderMark),
        ("{} {}", Fault::Trailing),
        ("[01]", Fault::LeadingZero),
        ("NaN", Fault::Unexpected),
    ];
    let key = json!({ "public": pem }).to_string();
    let texts = agreed.iter().map(|(text, _)| *text).chain(ours_alone.iter().chain(both).map(|(text, _)| *text));
    let texts: Vec<_> = texts.chain([key.as_str()]).map(|text| text.as_bytes().to_vec()).collect();
    let mut theirs = reference(&texts).into_iter().map(|one| one.canonical);
    for (text, canonical) in agreed {
        assert_eq!(theirs.next().flatten().as_deref(), Some(canonical.as_bytes()), "{text}");
        assert_eq!(encode(&parse_lenient(text.as_bytes(), LIMITS).unwrap()), canonical.as_bytes(), "{text}");
    }
    for (text, fault) in ours_alone {
        assert!(theirs.next().flatten().is_some(), "securesystemslib refuses {text}");
        assert_eq!(parse_lenient(text.as_bytes(), LIMITS).unwrap_err().fault, *fault, "{text}");
    }
    for (text, fault) in both {
        assert_eq!(theirs.next().flatten(), None, "securesystemslib accepts {text}");
        assert_eq!(parse_lenient(text.as_bytes(), LIMITS).unwrap_err().fault, *fault, "{text}");
    }
    let written = theirs.next().flatten().unwrap();
    assert!(written.contains(&b'\n'), "the line feeds of a PEM key stand raw");
    assert_eq!(encode(&parse_canonical(&written, LIMITS).unwrap()), written);
}

/// What securesystemslib says to a text.
struct Reference {
    /// What it writes, `None` where it refuses.
    canonical: Option<Vec<u8>>,
    /// Whether a member stood twice in some object.
    twice: bool,
}

fn reference(texts: &[Vec<u8>]) -> Vec<Reference> {
    let texts: Vec<_> = texts.iter().map(hex::encode).collect();
    let answer = peer::Peer::start().ask(json!({ "op": "canonical", "texts": texts }));
    let Value::Array(answers) = answer else { panic!("no array") };
    assert_eq!(answers.len(), texts.len());
    let one = |answer: &Value| Reference {
        canonical: answer[0].as_str().map(|text| hex::decode(text).unwrap()),
        twice: answer[1] == true,
    };
    answers.iter().map(one).collect()
}

/// Bytes that mean something to a reader.
const TOKENS: &[u8] = b"\"\\,:{}[]0-9 eE.\n\x00\x7f\xc3u";

/// A small generator (xorshift64*): the documents are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn document(&mut self) -> Vec<u8> {
        let mut text = String::new();
        self.value(4, &mut text);
        let mut bytes = text.into_bytes();
        match self.below(40) {
            0 => bytes.truncate(self.below(bytes.len() + 1)),
            1 => {
                let at = self.below(bytes.len());
                bytes[at] = 0x80 | u8::try_from(self.below(128)).unwrap();
            }
            2 => {
                let depth = 60 + self.below(8);
                let nested = ["[".repeat(depth).into_bytes(), bytes, "]".repeat(depth).into_bytes()];
                bytes = nested.concat();
            }
            _ => {}
        }
        bytes
    }

    fn mutant(&mut self, canonical: &[u8]) -> Vec<u8> {
        let mut bytes = canonical.to_vec();
        let at = self.below(bytes.len());
        match self.below(5) {
            0 => bytes[at] = TOKENS[self.below(TOKENS.len())],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, bytes[at]),
            3 => bytes.insert(at, b" \\,0-\xff"[self.below(6)]),
            _ => {
                let other = self.below(bytes.len());
                bytes.swap(at, other);
            }
        }
        bytes
    }

    fn space(&mut self, out: &mut String) {
        if self.below(4) == 0 {
            out.push_str(self.pick(&[" ", "\n", "\t", "\r\n  "]));
        }
    }

    fn value(&mut self, depth: usize, out: &mut String) {
        self.space(out);
        match self.below(if depth == 0 { 6 } else { 10 }) {
            0 => out.push_str(self.pick(&["null", "true", "false"])),
            1 | 2 => self.number(out),
            3..6 => self.string(out),
            6 | 7 => {
                out.push('[');
                for i in 0..self.below(4) {
                    out.push_str(if i > 0 { "," } else { "" });
                    self.value(depth - 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for i in 0..self.below(6) {
                    out.push_str(if i > 0 { "," } else { "" });
                    self.space(out);
                    self.string(out);
                    self.space(out);
                    out.push(':');
                    self.value(depth - 1, out);
                }
                out.push('}');
            }
        }
        self.space(out);
    }

    fn number(&mut self, out: &mut String) {
        if self.below(25) == 0 {
            let traps =
                ["-0", "1.5", "1e3", "18446744073709551616", "-9223372036854775809", "01", "-", "Infinity", "9e999"];
            out.push_str(self.pick(&traps));
        } else if self.below(3) == 0 {
            out.push_str(self.pick(&["9223372036854775807", "-9223372036854775808", "9007199254740993", "0", "-1"]));
        } else {
            out.push_str(&self.below(1 << 20).to_string());
        }
    }

    fn string(&mut self, out: &mut String) {
        out.push('"');
        if self.below(3) == 0 {
            // Keys of which one is the beginning of another, as target paths are.
            out.push_str(self.pick(&["a", "a b", "a!", "a\\\"", "a#", "a\\\\", "a/b", "A", "", "é", "e\u{301}"]));
        } else {
            for _ in 0..self.below(8) {
                self.character(out);
            }
        }
        out.push('"');
    }

    fn character(&mut self, out: &mut String) {
        match self.below(16) {
            0 => out.push(char::from(u8::try_from(self.below(0x20)).unwrap())),
            1 => out.push_str(&format!("\\u{:04x}", self.below(0xd800))),
            2 => out.push_str(&format!("\\u{:04X}\\u{:04x}", 0xd800 + self.below(0x400), 0xdc00 + self.below(0x400))),
            3 => out.push_str(self.pick(&["\\n", "\\\"", "\\\\", "\\/", "\\t", "\\b", "\\f", "\\r"])),
            4 => out.push_str(self.pick(&[
                "\u{1f600}",
                "\u{ffff}",
                "e\u{301}",
                "\u{e9}",
                "\u{7f}",
                "\u{2028}",
                "\u{10ffff}",
            ])),
            5 if self.below(60) == 0 => out.push_str(self.pick(&["\\ud800", "\\udfff", "\\ud800x", "\\x", "\\u12"])),
            5 => out.push_str("-----BEGIN PUBLIC KEY-----\nMFkwEw==\n-----END PUBLIC KEY-----\n"),
            _ => match char::from(b' ' + u8::try_from(self.below(0x5f)).unwrap()) {
                '"' | '\\' => out.push('!'),
                plain => out.push(plain),
            },
        }
    }
}
