//! `docs/law.md` says which tests hold each rule: they exist, and no test of the law is left out.

// clippy.toml lets tests unwrap; their helpers down here are not inside a `#[test]` and need to be let by name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of the test functions below a directory.
fn tests_below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name =
                    line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                match name {
                    Some(name) if is_test => {
                        found.insert(name.to_owned());
                        is_test = false;
                    }
                    Some(_) => is_test = false,
                    None => is_test = is_test || line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}

/// Rules with the names that stand behind them.
fn rules() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/law.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule "));
    rows.map(|row| {
        let (rule, tests) = row.trim_matches('|').split_once(" | ").expect("a row has two cells");
        (rule.trim().to_owned(), tests.split('`').skip(1).step_by(2).map(str::to_owned).collect())
    })
    .collect()
}

#[test]
fn every_rule_of_the_page_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    tests_below(&root.join("tests"), &mut tests);
    tests_below(&root.join("src"), &mut tests);
    let rules = rules();
    assert!(rules.len() > 50);
    for (rule, names) in rules {
        assert!(!names.is_empty(), "no test holds: {rule}");
        for name in names {
            assert!(tests.contains(&name), "`{name}` is no test, and should hold: {rule}");
        }
    }
}

#[test]
fn every_test_of_the_law_stands_behind_a_rule() {
    let mut tests = BTreeSet::new();
    tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/law"), &mut tests);
    let named: BTreeSet<_> = rules().into_iter().flat_map(|(_, names)| names).collect();
    let left_out: Vec<_> = tests.difference(&named).collect();
    assert!(left_out.is_empty(), "docs/law.md does not name {left_out:?}");
}
