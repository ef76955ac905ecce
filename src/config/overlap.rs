//! Whether two patterns can mean the same name: for warnings only, so it may give up.

use crate::domain::name::Pattern;

/// How many steps all comparisons of one file may take together: well under a second.
pub(super) struct Budget(usize);

/// The budget is used up.
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn new() -> Self {
        Self(20_000_000)
    }

    /// Whether some text matches both patterns.
    pub(super) fn meet(&mut self, left: &Pattern, right: &Pattern) -> Result<bool, Exhausted> {
        let (left, right) = (tokens(left.as_str()), tokens(right.as_str()));
        let width = right.len() + 1;
        let states = (left.len() + 1) * width;
        self.0 = self.0.checked_sub(states).ok_or(Exhausted)?;
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
    fn comparisons_end() {
        let pattern = Pattern::new(&"*a".repeat(120)).unwrap();
        let mut budget = Budget::new();
        let rounds = (0..100_000).take_while(|_| budget.meet(&pattern, &pattern).is_ok()).count();
        assert!(rounds > 100 && rounds < 100_000, "{rounds}");
    }
}
