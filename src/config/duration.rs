//! Lengths of time as the file writes them: a whole number and one unit, such as `"90s"`, `"12h"`, `"7d"`.

/// Seconds in the units that may stand after the number.
const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60), ('w', 7 * 24 * 60 * 60)];

/// A hundred years: beyond every use, and far from any overflow in later arithmetic.
const LONGEST: u64 = 36_500 * 24 * 60 * 60;

/// Whole seconds, at least one. The error says what the text should be, and does not repeat it.
pub(super) fn parse_seconds(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "a length of time is a whole number above 0 and one of s, m, h, d, w, such as \"12h\" or \"7d\"";
    let unit = text.chars().next_back().ok_or(FORM)?;
    let number = text.get(..text.len() - unit.len_utf8()).ok_or(FORM)?;
    let (_, seconds) = UNITS.iter().find(|(known, _)| *known == unit).ok_or(FORM)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FORM);
    }
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*seconds));
    match total {
        Some(0) => Err(FORM),
        Some(total) if total <= LONGEST => Ok(total),
        _ => Err("a length of time is at most 36500d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_one_unit() {
        let read: Vec<_> = ["1s", "2m", "12h", "7d", "1w", "36500d"].map(parse_seconds).into();
        assert_eq!(read, [Ok(1), Ok(120), Ok(43_200), Ok(604_800), Ok(604_800), Ok(LONGEST)]);
    }

    #[test]
    fn nothing_else_is_a_length_of_time() {
        for bad in [
            "",
            "7",
            "d",
            "7x",
            "-1d",
            "+1d",
            "1.5h",
            "7 d",
            " 7d",
            "7d ",
            "0s",
            "0d",
            "7D",
            "1d12h",
            "7é",
            "٧d",
            "36501d",
            "18446744073709551615w",
            "99999999999999999999999s",
        ] {
            assert!(parse_seconds(bad).is_err(), "{bad:?}");
        }
    }
}
