//! Named for their faults. The comparison with securesystemslib is `tests/canonical_json.rs`.

use proptest::prelude::*;

use super::*;
use crate::tuf::canonical::{encode, encode_json};

const LIMITS: Limits = Limits::of_bytes(1 << 20);

fn strict(text: impl AsRef<[u8]>) -> Result<Value, Fault> {
    parse_canonical(text.as_ref(), LIMITS).map_err(|error| error.fault)
}

fn lenient(text: impl AsRef<[u8]>) -> Result<Value, Fault> {
    parse_lenient(text.as_ref(), LIMITS).map_err(|error| error.fault)
}

#[test]
fn what_both_readers_refuse() {
    use Fault::*;
    let cases: &[(&[u8], Fault)] = &[
        (b"", Truncated),
        (b"{", Truncated),
        (b"{\"a\"", Truncated),
        (b"{\"a\":", Truncated),
        (b"\"", Truncated),
        (b"\"\\", Truncated),
        (b"-", Truncated),
        (b"tru", Truncated),
        (b"{}{}", Trailing),
        (b"0\0", Trailing),
        (b"\xef\xbb\xbf{}", ByteOrderMark),
        (b"\"\xff\"", InvalidUtf8),
        (b"\"\xed\xa0\x80\"", InvalidUtf8),
        (b"\"\xc0\x80\"", InvalidUtf8),
        (b"\"\xf4\x90\x80\x80\"", InvalidUtf8),
        (b"\"\\x41\"", BadEscape),
        (b"{\"a\":1,\"a\":1}", DuplicateMember),
        (b"1.0", Float),
        (b"1e3", Float),
        (b"1E3", Float),
        (b"-0", NegativeZero),
        (b"-0.0", Float),
        (b"01", LeadingZero),
        (b"-01", LeadingZero),
        (b"00", LeadingZero),
        (b"9223372036854775808", IntegerRange),
        (b"-9223372036854775809", IntegerRange),
        (b"123456789012345678901", IntegerRange),
        (b"+1", Unexpected),
        (b".5", Unexpected),
        (b"NaN", Unexpected),
        (b"nul\0", Unexpected),
        (b"{a:1}", Unexpected),
        (b"{'a':1}", Unexpected),
        (b"[1,]", Unexpected),
        (b"{\"a\":1,}", Unexpected),
        (b"[1", Truncated),
        (b"{\"a\"=1}", Unexpected),
        (b"//", Unexpected),
        (b"\x00", Unexpected),
        (b"\xff", Unexpected),
    ];
    for (bytes, fault) in cases {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(strict(bytes), Err(*fault), "{shown}");
        assert_eq!(lenient(bytes), Err(*fault), "{shown}");
    }
}

#[test]
fn what_only_the_strict_reader_refuses() {
    use Fault::*;
    let cases = [
        (" {}", WhiteSpace),
        ("{}\n", WhiteSpace),
        ("[1, 2]", WhiteSpace),
        ("{\"a\": 1}", WhiteSpace),
        ("[ ]", WhiteSpace),
        ("\"\\n\"", UnnecessaryEscape),
        ("\"\\u0041\"", UnnecessaryEscape),
        ("\"\\/\"", UnnecessaryEscape),
        ("{\"b\":1,\"a\":1}", MemberOrder),
        ("{\"\u{1f600}\":1,\"\u{ffff}\":1}", MemberOrder), // sorted by UTF-16 units, as RFC 8785 sorts
    ];
    for (text, fault) in cases {
        assert_eq!(strict(text), Err(fault), "{text}");
        assert!(lenient(text).is_ok(), "{text}");
    }
}

#[test]
fn surrogates_come_in_pairs() {
    assert_eq!(lenient(r#""\ud83d\ude00""#), Ok(Value::from("\u{1f600}")));
    assert_eq!(lenient(r#""\u00e9\u0000""#), Ok(Value::from("é\0")));
    for lone in
        [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\n""#, r#""\ud83d\ud83d""#, r#""\ude00\ud83d""#]
    {
        assert_eq!(lenient(lone), Err(Fault::LoneSurrogate), "{lone}");
    }
    for bad in [r#""\u12""#, r#""\u+123""#, r#""\uzzzz""#, r#""\ud83d\u12""#] {
        assert_eq!(lenient(bad), Err(Fault::BadEscape), "{bad}");
    }
}

#[test]
fn control_characters_stand_raw_in_canonical_strings() {
    for low in 0..0x20_u8 {
        let text = [b'"', low, b'"'];
        assert_eq!(strict(text), Ok(Value::String(char::from(low).to_string())));
        assert_eq!(lenient(text), strict(text));
    }
}

#[test]
fn the_order_of_olpc_cjson_is_named_and_only_where_it_explains_everything() {
    assert_eq!(strict(r#"{"a b":2,"a":1}"#), Err(Fault::MemberOrderOlpcCjson));
    assert_eq!(strict(r#"{"a!":2,"a":1}"#), Err(Fault::MemberOrderOlpcCjson));
    assert_eq!(strict(r#"{"q#":1,"q\"x":2,"z":1}"#), Err(Fault::MemberOrderOlpcCjson));
    assert_eq!(strict(r#"{"x":0,"x y":1,"a":1}"#), Err(Fault::MemberOrder));
    assert!(strict(r#"{"a":1,"a b":2}"#).is_ok());
}

#[test]
fn the_offset_is_that_of_the_byte_at_fault() {
    let at = |text: &str| parse_canonical(text.as_bytes(), LIMITS).unwrap_err().offset;
    assert_eq!(at("{\"b\":1,\"a\":1}"), 7);
    assert_eq!(at("{\"b\":1, \"c\":1}"), 7);
    assert_eq!(at("[1,2.5]"), 4);
    assert_eq!(at("[1,-0]"), 3);
    assert_eq!(parse_lenient(b"{\"b\":1,\"a\":2,\"b\":3}", LIMITS).unwrap_err().offset, 13);
    assert_eq!(parse_canonical(b"[\"ab\xff\"]", LIMITS).unwrap_err().offset, 4);
}

#[test]
fn depth_is_bounded_exactly_and_a_bomb_is_cheap() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(strict(nested(64)).is_ok());
    assert_eq!(strict(nested(65)), Err(Fault::TooDeep));
    assert_eq!(strict("[".repeat(1 << 20)), Err(Fault::TooDeep));
    assert_eq!(lenient("{\"a\":".repeat(1 << 16)), Err(Fault::TooDeep));
}

#[test]
fn length_and_number_of_values_are_bounded() {
    let limits = Limits::of_bytes(1 << 20);
    let long = vec![b' '; (1 << 20) + 1];
    assert_eq!(parse_lenient(&long, limits), Err(Error { offset: 1 << 20, fault: Fault::TooLarge }));
    let many = format!("[{}0]", "0,".repeat(500_000));
    assert_eq!(strict(many), Err(Fault::TooManyValues));
    let real = format!("[{}0]", "\"0123456789abcdef\",".repeat(50_000));
    assert!(strict(real).is_ok());
}

#[test]
fn every_prefix_of_a_text_is_refused() {
    let text = "{\"a\":[1,-2,null,true,{\"\":\"é\\\"\n\"}],\"b\":false}";
    assert!(strict(text).is_ok());
    for end in 0..text.len() {
        assert!(strict(&text.as_bytes()[..end]).is_err(), "{end}");
        assert!(lenient(&text.as_bytes()[..end]).is_err(), "{end}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![any::<String>(), "[a-c !\"\\\\#\n\u{0}]{0,4}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((text.clone(), inner), 0..8).prop_map(|m| Value::Object(Object::of(m))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in values()) {
        prop_assert_eq!(strict(encode(&value)), Ok(value.clone()));
        prop_assert_eq!(lenient(encode(&value)), Ok(value.clone()));
        prop_assert_eq!(lenient(encode_json(&value)), Ok(value));
    }

    #[test]
    fn what_is_accepted_is_what_would_be_written(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = strict(&bytes) {
            prop_assert_eq!(encode(&read), bytes);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = strict(&bytes);
        let _ = lenient(&bytes);
    }
}
