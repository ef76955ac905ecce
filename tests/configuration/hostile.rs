//! Files that nobody writes by mistake: huge, deep, binary. Each ends in an error, soon, without a panic.

use std::time::{Duration, Instant};

use sealward::config::{Code, parse};

use super::{FILE, least_and, mistakes, usual};

/// Generous: the machine may be busy and the build without optimisation. Quadratic behaviour takes minutes.
const SOON: Duration = Duration::from_secs(20);

fn only_code(text: &str) -> Code {
    let errors = parse(text, FILE).unwrap_err();
    assert_eq!(errors.iter().count(), 1, "{errors}");
    errors.iter().next().unwrap().code
}

#[test]
fn huge_texts_are_refused_unread() {
    assert_eq!(only_code(&"# ".repeat(600_000)), Code::TooLarge);
}

#[test]
fn control_characters_are_refused_with_their_place() {
    for (text, place) in [("version = 1\n\0", "2:1 "), ("version = \"\0\"", "1:12 "), ("# \u{7f}", "1:3 ")] {
        let lines = mistakes(text);
        assert!(lines.iter().any(|line| line.starts_with(place) && line.contains("[syntax]")), "{text:?} {lines:#?}");
    }
}

#[test]
fn deep_nesting_ends_in_an_error() {
    let began = Instant::now();
    for text in [
        format!("a = {}{}", "[".repeat(400_000), "]".repeat(400_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        format!("{} = 1", vec!["a"; 300_000].join(".")),
        format!("[{}]", vec!["a"; 300_000].join(".")),
        "[".repeat(1_000_000),
        "\"".repeat(1_000_000),
    ] {
        assert!(parse(&text, FILE).is_err());
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn floods_of_entries_end_soon() {
    let began = Instant::now();
    let keys: String = (0..60_000).map(|number| format!("k{number} = {number}\n")).collect();
    assert!(parse(&least_and(&keys), FILE).unwrap_err().iter().count() >= 60_000);
    let mistakes = parse(&"= =\n".repeat(200_000), FILE).unwrap_err();
    assert!(mistakes.to_string().lines().count() <= 101);
    let repositories: String = (0..5_000)
        .map(|number| format!("[[repository]]\npattern = \"r{number}*a*a*a*a*a*a*a*a\"\nrole.timestamp = {{}}\n"))
        .collect();
    let grant = "[[grant]]\ncallers=[\"unix:1\"]\nverbs=[\"sign\"]\nroles=[\"timestamp\"]\n\
                 repositories=[\"*b*b*b*b*b*b*b*b\"]\n";
    let configuration = parse(&least_and(&format!("{repositories}{}", grant.repeat(3_000))), FILE).unwrap();
    assert!(configuration.warnings.iter().any(|line| line.contains("[checks-skipped]")));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_byte_order_mark_changes_nothing() {
    assert!(parse(&format!("\u{feff}{}", usual()), FILE).is_ok());
}

/// Every truncation, and thousands of cheap mutations, of a good file: an answer, never a panic, and every place given
/// lies within the file.
#[test]
fn damaged_files_are_answered() {
    let good = usual();
    let check = |text: &str| {
        if let Err(errors) = parse(text, FILE) {
            for error in errors.iter() {
                let at = error.position.expect("parse always knows the place");
                assert!(at.line >= 1 && at.line <= text.matches('\n').count() + 1 && at.column >= 1, "{error:?}");
            }
        }
    };
    for end in 0..good.len() {
        check(&good[..end]);
    }
    let pieces = [
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "\n",
        "#",
        "\\",
        "\0",
        "é",
        "1",
        "a",
        "[a]\n",
        "[[keystore]]\n",
        "[keystore.x]\n",
        "ledger.a = 1\n",
    ];
    // A small linear congruential generator: the same mutations in every run.
    let mut state: u64 = 1;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let letters: Vec<char> = good.chars().collect();
    for _ in 0..4_000 {
        let mut text = letters.clone();
        for _ in 0..=next(3) {
            let from = next(text.len());
            let to = (from + next(12)).min(text.len());
            text.splice(from..to, pieces[next(pieces.len())].chars());
        }
        check(&text.into_iter().collect::<String>());
    }
}
