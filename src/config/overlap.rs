//! Whether two patterns can mean the same name, and whether one means all that another does: for warnings and tables
//! only, so it may give up.

use std::collections::BTreeSet;

use crate::domain::name::Pattern;

/// How many steps all comparisons of one file may take together: well under a second.
pub(super) struct Budget(usize);

/// The budget is used up.
#[derive(Debug)]
pub(super) struct Exhausted;

/// Characters that stand for all those that neither pattern names: no pattern holds them.
const OTHER: u8 = 0;

impl Budget {
    pub(super) fn new() -> Self {
        Self(20_000_000)
    }

    /// Whether some text matches both patterns.
    pub(super) fn meet(&mut self, left: &Pattern, right: &Pattern) -> Result<bool, Exhausted> {
        let (begins, other) = (literal_start(left), literal_start(right));
        self.spend(1 + begins.len().min(other.len()))?;
        if !begins.starts_with(other) && !other.starts_with(begins) {
            return Ok(false);
        }
        let (left, right) = (tokens(left.as_str()), tokens(right.as_str()));
        let width = right.len() + 1;
        let states = (left.len() + 1) * width;
        self.spend(states)?;
        // A state is how much of each pattern one and the same text has matched.
        let mut seen = vec![false; states];
        let mut open = vec![(0, 0)];
        while let Some((l, r)) = open.pop() {
            let Some(slot) = seen.get_mut(l * width + r).filter(|slot| !**slot) else { continue };
            *slot = true;
            match (left.get(l), right.get(r)) {
                (None, None) => return Ok(true),
                (Some(one), None) if one.may_be_empty() => open.push((l + 1, r)),
                (None, Some(other)) if other.may_be_empty() => open.push((l, r + 1)),
                (Some(one), Some(other)) => {
                    if one.may_be_empty() {
                        open.push((l + 1, r));
                    }
                    if other.may_be_empty() {
                        open.push((l, r + 1));
                    }
                    match (one, other) {
                        (Token::Byte(a), Token::Byte(b)) if a == b => open.push((l + 1, r + 1)),
                        (Token::Byte(a), star) if star.takes(*a) => open.push((l + 1, r)),
                        (star, Token::Byte(b)) if star.takes(*b) => open.push((l, r + 1)),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Whether every text that matches `narrow` matches `wide` too.
    pub(super) fn covers(&mut self, wide: &Pattern, narrow: &Pattern) -> Result<bool, Exhausted> {
        self.spend(1)?;
        if wide == narrow || wide.as_str() == "**" {
            return Ok(true);
        }
        if narrow.is_exact() || wide.is_exact() {
            self.spend(wide.as_str().len() * narrow.as_str().len())?;
            return Ok(narrow.is_exact() && wide.matches(narrow.as_str()));
        }
        if !literal_start(narrow).starts_with(literal_start(wide)) {
            return Ok(false);
        }
        // What follows allocates for each of them.
        self.spend(8 * (wide.as_str().len() + narrow.as_str().len()))?;
        let mut alphabet: BTreeSet<u8> = wide.as_str().bytes().chain(narrow.as_str().bytes()).collect();
        alphabet.remove(&b'*');
        alphabet.extend([b'/', OTHER]);
        let (wide, narrow) = (tokens(wide.as_str()), tokens(narrow.as_str()));
        // A state is one way to read a text by `narrow`, and every way to read the same text by `wide`.
        let mut seen = BTreeSet::new();
        let mut open = vec![(0, closed(&wide, BTreeSet::from([0])))];
        while let Some((at, ways)) = open.pop() {
            self.spend(alphabet.len() + ways.len())?;
            if !seen.insert((at, ways.clone())) {
                continue;
            }
            let Some(token) = narrow.get(at) else {
                if ways.contains(&wide.len()) {
                    continue;
                }
                return Ok(false);
            };
            if token.may_be_empty() {
                open.push((at + 1, ways.clone()));
            }
            for &byte in alphabet.iter().filter(|byte| token.reads(**byte)) {
                self.spend(ways.len() + 1)?;
                let step = |way: &usize| match wide.get(*way)? {
                    Token::Byte(wanted) => (*wanted == byte).then_some(way + 1),
                    star => star.takes(byte).then_some(*way),
                };
                let after = closed(&wide, ways.iter().filter_map(step).collect());
                if after.is_empty() {
                    return Ok(false);
                }
                open.push((if token.may_be_empty() { at } else { at + 1 }, after));
            }
        }
        Ok(true)
    }

    /// Takes some steps from what is left.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }
}

/// What every text that matches begins with.
fn literal_start(pattern: &Pattern) -> &str {
    pattern.as_str().split('*').next().unwrap_or_default()
}

/// Positions together with those behind wildcards that stand for nothing.
fn closed(tokens: &[Token], mut positions: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut open: Vec<usize> = positions.iter().copied().collect();
    while let Some(at) = open.pop() {
        if tokens.get(at).is_some_and(Token::may_be_empty) && positions.insert(at + 1) {
            open.push(at + 1);
        }
    }
    positions
}

enum Token {
    Byte(u8),
    Segment,
    Anything,
}

impl Token {
    fn may_be_empty(&self) -> bool {
        !matches!(self, Self::Byte(_))
    }

    /// Whether this wildcard stands for a text with the byte in it.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(_) => false,
            Self::Segment => byte != b'/',
            Self::Anything => true,
        }
    }

    /// Whether this token can read the byte.
    fn reads(&self, byte: u8) -> bool {
        matches!(self, Self::Byte(own) if *own == byte) || self.takes(byte)
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut bytes = pattern.bytes().peekable();
    while let Some(byte) = bytes.next() {
        tokens.push(match byte {
            b'*' if bytes.next_if_eq(&b'*').is_some() => Token::Anything,
            b'*' => Token::Segment,
            byte => Token::Byte(byte),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(left: &str, right: &str) -> bool {
        let pattern = |text| Pattern::new(text).unwrap();
        let one = Budget::new().meet(&pattern(left), &pattern(right)).ok().unwrap();
        let other = Budget::new().meet(&pattern(right), &pattern(left)).ok().unwrap();
        assert_eq!(one, other, "{left} {right}");
        one
    }

    #[test]
    fn patterns_meet_where_a_name_matches_both() {
        for (left, right) in [
            ("a", "a"),
            ("**", "x/y"),
            ("acme/*", "*/app"),
            ("a*c", "ab*"),
            ("**/app", "acme/**"),
            ("*", "**"),
            ("a**", "a"),
        ] {
            assert!(meet(left, right), "{left} {right}");
        }
        for (left, right) in [("a", "b"), ("acme/*", "acme/x/y"), ("a*", "b*"), ("*", "a/b"), ("*x", "*y"), ("a", "aa")]
        {
            assert!(!meet(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_pattern_covers_another_when_it_means_all_of_it() {
        let covers = |wide: &str, narrow: &str| {
            let pattern = |text| Pattern::new(text).unwrap();
            Budget::new().covers(&pattern(wide), &pattern(narrow)).unwrap()
        };
        for (wide, narrow) in [
            ("a", "a"),
            ("**", "*/x"),
            ("acme/*", "acme/app"),
            ("acme/**", "acme/*"),
            ("a*", "ab*"),
            ("*", "*a*b*"),
            ("**/app", "acme/**/app"),
            ("*a*", "*ba*"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("a", "*"),
            ("*", "**"),
            ("acme/*", "acme/**"),
            ("ab*", "a*"),
            ("*/app", "acme/**/app"),
            ("*ba*", "*a*"),
            ("acme/*", "*"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    /// Against every short text, for many pairs of small patterns.
    #[test]
    fn what_covers_and_what_meets_is_what_matches() {
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<String> =
                texts.iter().flat_map(|text| ["a", "b", "/"].map(|letter| format!("{text}{letter}"))).collect();
            texts.extend(longer);
            texts.sort();
            texts.dedup();
        }
        let patterns: Vec<Pattern> = ["a", "*", "**", "a*", "*a", "*/*", "a/**", "**/b", "*a*b", "a*b", "**a", "*b*"]
            .map(|text| Pattern::new(text).unwrap())
            .into();
        for one in &patterns {
            for other in &patterns {
                let matching = |pattern: &Pattern, text: &&String| pattern.matches(text.as_str());
                let both = texts.iter().any(|text| matching(one, &text) && matching(other, &text));
                let all = texts.iter().filter(|text| matching(other, text)).all(|text| matching(one, &text));
                assert_eq!(Budget::new().meet(one, other).unwrap(), both, "{one} {other}");
                assert_eq!(Budget::new().covers(one, other).unwrap(), all, "{one} {other}");
            }
        }
    }

    #[test]
    fn comparisons_end() {
        let pattern = Pattern::new(&"*a".repeat(120)).unwrap();
        let mut budget = Budget::new();
        let rounds = (0..100_000).take_while(|_| budget.meet(&pattern, &pattern).is_ok()).count();
        assert!(rounds > 100 && rounds < 100_000, "{rounds}");
        let other = Pattern::new(&"*b".repeat(120)).unwrap();
        let mut budget = Budget::new();
        let rounds = (0..10_000_000).take_while(|_| budget.covers(&pattern, &other).is_ok()).count();
        assert!(rounds < 10_000_000, "{rounds}");
        let nasty = Pattern::new(&"**a*".repeat(60)).unwrap();
        let mut budget = Budget::new();
        let rounds = (0..1_000_000).take_while(|_| budget.covers(&nasty, &pattern).is_ok()).count();
        assert!(rounds < 1_000_000, "{rounds}");
    }
}
