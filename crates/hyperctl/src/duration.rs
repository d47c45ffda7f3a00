//! Times on a command line, as Go writes them: `300s`, `5m`, `1h30m`; a bare number counts seconds.

/// Units with their seconds.
const UNITS: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

/// Reads a time in whole seconds.
///
/// # Errors
/// A reason that fits behind the value.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number of seconds, or like 300s, 5m or 1h30m".to_owned();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| wrong());
    }
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit)).ok_or_else(wrong)?;
        total = number.checked_mul(*factor).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = &behind[unit.len()..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, expected) in [("300s", 300), ("5m", 300), ("1h30m", 5400), ("90", 90), ("0s", 0), ("1h0m1s", 3601)] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "5 m", "-1s", "1.5h", "300ms", "soon", "99999999999999999999", "99999999999999999h"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
