//! Times as older callers read and write them.
//!
//! Out: the daemon's local zone with a numeric offset and exactly six digits of a second. Older clients
//! print the clock time as it is written, without converting it, and Python 3.10 refuses both `Z` and any
//! number of digits other than none, three or six.
//!
//! In: any RFC 3339 time; Go's zero time means that there is none.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Digits of a second that are read; RFC 3339 sets no limit, and nobody measures finer.
const FRACTION_DIGITS_MAX: usize = 9;

/// What Go writes for a time that was never set.
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// Returns `at` as it stands in replies.
pub fn write(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
}

/// Returns a time of `/api/v1` as it stands in replies here; `None` for what is no time.
pub fn from_native(text: &str, zone: &TimeZone) -> Option<String> {
    read(text)?.map(|at| write(at, zone))
}

/// Reads a time of a request. The outer `None` is no RFC 3339 time, the inner one stands for "no time".
pub fn read(text: &str) -> Option<Option<Timestamp>> {
    if text == GO_ZERO {
        return Some(None);
    }
    let (whole, rest) = split(text)?;
    let digits = rest.strip_prefix('.').map_or("", |rest| &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]);
    let offset = if digits.is_empty() { rest } else { &rest[1 + digits.len()..] };
    if !is_offset(offset) {
        return None;
    }
    let digits = &digits[..digits.len().min(FRACTION_DIGITS_MAX)];
    let plain = format!("{whole}{}{digits}{offset}", if digits.is_empty() { "" } else { "." });
    plain.parse().ok().map(Some)
}

/// Cuts `text` behind the seconds, when what is before is formed like `2026-02-03T02:00:00`.
fn split(text: &str) -> Option<(&str, &str)> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let whole = text.get(..FORM.len())?;
    let fits = whole.bytes().zip(FORM).all(|(byte, form)| match form {
        b'd' => byte.is_ascii_digit(),
        form => byte.eq_ignore_ascii_case(form),
    });
    fits.then(|| (whole, &text[FORM.len()..]))
}

/// Returns true for `Z`, `z` and `+hh:mm`.
fn is_offset(text: &str) -> bool {
    match text.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_local_with_a_numeric_offset_and_six_digits() {
        let utc = TimeZone::UTC;
        let east = TimeZone::fixed(Offset::constant(1));
        let west = TimeZone::fixed(Offset::from_seconds(-(3 * 3600 + 1800)).unwrap());
        for (time, zone, expected) in [
            ("2026-02-03T01:00:00Z", &east, "2026-02-03T02:00:00.000000+01:00"),
            ("2026-02-03T01:00:00.123456789Z", &utc, "2026-02-03T01:00:00.123456+00:00"),
            ("2026-02-03T01:00:00.5Z", &west, "2026-02-02T21:30:00.500000-03:30"),
        ] {
            assert_eq!(write(at(time), zone), expected);
        }
    }

    #[test]
    fn any_rfc_3339_time_is_read() {
        for (text, expected) in [
            ("2026-02-03T02:00:00+01:00", "2026-02-03T01:00:00Z"),
            ("2026-02-03T01:00:00Z", "2026-02-03T01:00:00Z"),
            ("2026-02-03t01:00:00z", "2026-02-03T01:00:00Z"),
            ("2026-02-03T01:00:00.25Z", "2026-02-03T01:00:00.25Z"),
            ("2026-02-03T01:00:00.123456789123Z", "2026-02-03T01:00:00.123456789Z"),
        ] {
            assert_eq!(read(text), Some(Some(at(expected))), "{text}");
        }
    }

    #[test]
    fn the_zero_time_of_go_is_no_time() {
        assert_eq!(read("0001-01-01T00:00:00Z"), Some(None));
        assert_eq!(from_native("0001-01-01T00:00:00Z", &TimeZone::UTC), None);
    }

    #[test]
    fn what_is_no_rfc_3339_time_is_told_apart() {
        for text in [
            "",
            "now",
            "2026-02-03",
            "2026-02-03T01:00:00",
            "2026-02-03 01:00:00Z",
            "2026-02-03T01:00:00.Z",
            "2026-02-03T01:00:00+0100",
            "2026-02-03T01:00:00Z[Europe/Berlin]",
            "2026-13-03T01:00:00Z",
            "2026-02-03T01:00:00\u{e9}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
