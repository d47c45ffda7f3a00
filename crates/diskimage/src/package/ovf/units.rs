//! Units of capacity: products such as `byte * 2^30`.
//!
//! A product of integers, powers and unit words (DSP0004 calls it a programmatic unit). For disks
//! kilo, mega and giga are powers of 1000, as govmomi reads them; kibi, mebi and gibi of 1024.

use crate::{Error, Result};

/// Returns how many bytes one unit is; nothing but blanks means `byte`.
pub(super) fn bytes_per_unit(units: &str) -> Result<u64> {
    let unknown = || {
        Error::unsupported("a capacity unit is a product of numbers, powers and byte words").found(format!("{units:?}"))
    };
    if units.trim().is_empty() {
        return Ok(1);
    }
    units
        .split('*')
        .try_fold(1_u64, |product, factor| {
            factor_value(&factor.trim().to_ascii_lowercase()).and_then(|value| product.checked_mul(value))
        })
        .filter(|&product| product > 0)
        .ok_or_else(unknown)
}

fn factor_value(factor: &str) -> Option<u64> {
    if let Some((base, exponent)) = factor.split_once('^') {
        let exponent = exponent.trim().parse().ok()?;
        return base.trim().parse::<u64>().ok()?.checked_pow(exponent);
    }
    let word = factor.strip_suffix('s').unwrap_or(factor);
    match word {
        "byte" => Some(1),
        "kilobyte" => Some(1000),
        "megabyte" => Some(1000 * 1000),
        "gigabyte" => Some(1000 * 1000 * 1000),
        "kibibyte" => Some(1 << 10),
        "mebibyte" => Some(1 << 20),
        "gibibyte" => Some(1 << 30),
        _ => factor.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn units_in_the_wild_have_their_value() {
        for (units, expected) in [
            ("", 1),
            ("byte", 1),
            ("Bytes", 1),
            ("byte * 2^30", 1 << 30),
            ("byte * 2 ^ 20", 1 << 20),
            ("2^10 * BYTE", 1 << 10),
            ("MegaBytes", 1_000_000),
            ("mebibyte", 1 << 20),
            ("1024 * 1024 * kilobyte", 1024 * 1024 * 1000),
            ("10^9", 1_000_000_000),
            ("512", 512),
        ] {
            assert_eq!(bytes_per_unit(units).unwrap(), expected, "{units:?}");
        }
    }

    #[test]
    fn what_is_not_a_product_is_unsupported() {
        for units in [
            "furlong",
            "byte *",
            "* byte",
            "2^",
            "^2",
            "2^64",
            "byte * 0",
            "1 + 1",
            "-1",
            "2^40 * 2^40",
            "hertz * 10^6",
        ] {
            let error = bytes_per_unit(units).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{units:?}");
        }
    }
}
