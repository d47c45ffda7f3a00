//! What a plain scalar of YAML 1.1 is taken for.

use serde_json::{Number, Value};

/// Returns the boolean that a scalar is where one belongs.
pub(super) fn flag(text: &str) -> Option<bool> {
    const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"];
    const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"];
    if TRUE.contains(&text) {
        return Some(true);
    }
    FALSE.contains(&text).then_some(false)
}

/// Returns the integer that a scalar is where one belongs: `4`, `+4`, `0x8`, `0b1000`, `0o10`, `010` (octal),
/// `1_000`, and a float without a fraction. None when it is no integer or does not fit 64 bits.
pub(super) fn integer(text: &str) -> Option<i64> {
    let digits = without_underscores(text);
    radix_integer(&digits).or_else(|| whole_float(&digits))
}

/// Returns true for the spellings of no value.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Returns the value that a scalar is where anything may stand. Only the words `true` and `false` are booleans
/// there; what JSON cannot carry (`.nan`, `.inf`) and times stay text.
pub(super) fn inferred(text: &str) -> Value {
    if let "true" | "True" | "TRUE" | "false" | "False" | "FALSE" = text {
        return Value::Bool(text.starts_with(['t', 'T']));
    }
    let digits = without_underscores(text);
    if let Some(integer) = radix_integer(&digits) {
        return Value::from(integer);
    }
    let number = is_float(&digits).then(|| digits.parse().ok()).flatten().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// Drops the underscores of a number. One that begins with an underscore is no number.
fn without_underscores(text: &str) -> String {
    if text.starts_with('_') { text.to_owned() } else { text.replace('_', "") }
}

fn radix_integer(text: &str) -> Option<i64> {
    let (sign, magnitude) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &magnitude[2..]),
        [b'0', b'b' | b'B', ..] => (2, &magnitude[2..]),
        [b'0', b'o' | b'O', ..] => (8, &magnitude[2..]),
        [b'0', _, ..] => (8, &magnitude[1..]),
        _ => (10, magnitude),
    };
    // `from_str_radix` would take a second sign.
    let plain = digits.starts_with(|c: char| c.is_digit(radix));
    plain.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten()
}

/// Returns a float such as `4.0` or `1e3` as the integer that it is.
fn whole_float(text: &str) -> Option<i64> {
    /// From here on a float skips integers.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value: f64 = is_float(text).then(|| text.parse().ok()).flatten()?;
    let whole = value.fract() == 0.0 && value.abs() <= EXACT_MAX;
    whole.then(|| format!("{value:.0}").parse().ok()).flatten()
}

/// Returns true when `text` is formed like a float of YAML: digits, at most one dot, at most one exponent.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    has_digits && all_digits(whole) && all_digits(fraction) && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn booleans_are_those_of_yaml_1_1_in_three_spellings() {
        for text in ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        for text in ["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        for text in ["oN", "yES", "1", "0", "", "t"] {
            assert_eq!(flag(text), None, "{text}");
        }
    }

    #[test]
    fn integers_have_all_the_forms_of_yaml_1_1() {
        for (text, expected) in [
            ("4", 4),
            ("-4", -4),
            ("+4", 4),
            ("0", 0),
            ("0x8", 8),
            ("0X1f", 31),
            ("-0b101", -5),
            ("010", 8),
            ("0o17", 15),
            ("1_0", 10),
            ("4.0", 4),
            ("4.", 4),
            ("1e3", 1000),
            ("08", 8),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(integer(text), Some(expected), "{text}");
        }
        for text in
            ["", "4.5", "x", "--4", "+-4", "0x", "0x-4", "_1", "9223372036854775808", "1e300", "nan", "inf", "1:30"]
        {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn where_anything_may_stand_a_scalar_is_what_it_looks_like() {
        for (text, expected) in [
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("5", json!(5)),
            ("0x10", json!(16)),
            ("1.5", json!(1.5)),
            (".nan", json!(".nan")),
            ("1e999", json!("1e999")),
            ("2024-01-01", json!("2024-01-01")),
            ("1.2.3", json!("1.2.3")),
            ("a b", json!("a b")),
        ] {
            assert_eq!(inferred(text), expected, "{text}");
        }
    }
}
