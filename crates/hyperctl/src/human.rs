//! Sizes, rates and times for people. Integer arithmetic; ASCII only.

/// Returns a size: `512 B`, `1.5 KiB`, `40.0 GiB`. Rounded down, so that 100 % is never shown early.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 5] = [("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// Returns a rate: `91.2 MiB/s`.
pub(crate) fn rate(bytes_per_s: u64) -> String {
    format!("{}/s", bytes(bytes_per_s))
}

/// Returns the mean rate of `bytes` in `ms` milliseconds; none for no time at all.
pub(crate) fn mean_rate(bytes: u64, ms: u64) -> Option<String> {
    let per_second = u128::from(bytes) * 1000;
    let per_second = per_second.checked_div(u128::from(ms))?;
    u64::try_from(per_second).ok().map(rate)
}

/// Returns a duration: `42 s`, `3 min 05 s`, `2 h 04 min`.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Returns a duration with a tenth below a minute: `1.5 s`.
pub(crate) fn milliseconds(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { seconds(ms / 1000) }
}

/// Returns the whole per cent of `part` in `whole`, rounded down; none when nothing is known of the whole.
pub(crate) fn percent(part: u64, whole: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    Some(u64::try_from(percent).unwrap_or(100).min(100))
}

/// Reads a size: digits, and K, M, G or T for powers of 1024, also as `KiB` and so on.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").unwrap_or(&unit) {
        "" if unit.is_empty() => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        "t" => Some(40),
        _ => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a size is a number with K, M, G or T behind it, such as 64K".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_in_their_unit() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (40 << 30, "40.0 GiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, size) in
            [("0", 0), ("65536", 65536), ("64K", 65536), ("64 KiB", 65536), ("2m", 2 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(parse_bytes(text), Ok(size), "{text}");
        }
        for text in ["", "K", "64KB", "64kk", "-1", "1.5K", "64ib", "99999999999T", "64K "] {
            parse_bytes(text).unwrap_err();
        }
    }

    #[test]
    fn times_and_rates_read_as_people_say_them() {
        assert_eq!(
            [0, 59, 60, 3599, 3600, 7470].map(seconds),
            ["0 s", "59 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 h 04 min"]
        );
        assert_eq!([0, 1549, 59_999, 60_000].map(milliseconds), ["0.0 s", "1.5 s", "59.9 s", "1 min 00 s"]);
        assert_eq!(mean_rate(3 << 20, 1500).as_deref(), Some("2.0 MiB/s"));
        assert_eq!(mean_rate(5, 0), None);
    }

    #[test]
    fn a_hundred_per_cent_is_never_early() {
        assert_eq!((percent(999, 1000), percent(1000, 1000), percent(5, 0)), (Some(99), Some(100), None));
    }
}
