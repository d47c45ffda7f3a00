//! Units of capacity: products such as `byte * 2^30`.
//!
//! A product of integers, powers and unit words (DSP0004 calls it a programmatic unit). For disks
//! kilo, mega and giga are powers of 1000, as govmomi reads them; kibi, mebi and gibi of 1024. For
//! memory all are powers of 1024: nobody ever meant 256,000,000 bytes by 256 `MegaBytes`.

use crate::{Error, Result};

/// What kilo stands for where the words leave it open.
#[derive(Clone, Copy, Debug)]
enum Kilo {
    Decimal,
    Binary,
}

/// Returns how many bytes one unit of a disk is; nothing but blanks means `byte`.
pub(super) fn bytes_per_unit(units: &str) -> Result<u64> {
    product(units, Kilo::Decimal)
}

/// Returns how many bytes one unit of memory is.
pub(super) fn memory_bytes_per_unit(units: &str) -> Result<u64> {
    product(units, Kilo::Binary)
}

fn product(units: &str, kilo: Kilo) -> Result<u64> {
    let unknown = || {
        Error::unsupported("a capacity unit is a product of numbers, powers and byte words").found(format!("{units:?}"))
    };
    if units.trim().is_empty() {
        return Ok(1);
    }
    units
        .split('*')
        .try_fold(1_u64, |product, factor| {
            factor_value(&factor.trim().to_ascii_lowercase(), kilo).and_then(|value| product.checked_mul(value))
        })
        .filter(|&product| product > 0)
        .ok_or_else(unknown)
}

fn factor_value(factor: &str, kilo: Kilo) -> Option<u64> {
    if let Some((base, exponent)) = factor.split_once('^') {
        let exponent = exponent.trim().parse().ok()?;
        return base.trim().parse::<u64>().ok()?.checked_pow(exponent);
    }
    let word = if factor.len() > 2 { factor.strip_suffix('s').unwrap_or(factor) } else { factor };
    let kilo = match kilo {
        Kilo::Decimal => 1000_u64,
        Kilo::Binary => 1024,
    };
    match word {
        "byte" | "b" => Some(1),
        "kilobyte" | "kb" => Some(kilo),
        "megabyte" | "mb" => Some(kilo.pow(2)),
        "gigabyte" | "gb" => Some(kilo.pow(3)),
        "terabyte" | "tb" => Some(kilo.pow(4)),
        "kibibyte" | "kib" => Some(1 << 10),
        "mebibyte" | "mib" => Some(1 << 20),
        "gibibyte" | "gib" => Some(1 << 30),
        "tebibyte" | "tib" => Some(1 << 40),
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
            ("GB", 1_000_000_000),
            ("2 * TiB", 2 << 40),
        ] {
            assert_eq!(bytes_per_unit(units).unwrap(), expected, "{units:?}");
        }
    }

    #[test]
    fn for_memory_every_word_is_binary() {
        for (units, expected) in [
            ("MegaBytes", 1 << 20),
            ("GB", 1 << 30),
            ("byte * 2^30", 1 << 30),
            ("KiB", 1 << 10),
            ("byte * 10^6", 1_000_000),
        ] {
            assert_eq!(memory_bytes_per_unit(units).unwrap(), expected, "{units:?}");
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
