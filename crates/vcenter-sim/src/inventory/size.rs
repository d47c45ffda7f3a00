//! Sizes as people write them: `512`, `"3 MiB"`, `"1TiB"`.

use serde::Deserialize;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "SizeText")]
pub struct Size(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Number(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(text: SizeText) -> Result<Self, String> {
        let text = match text {
            SizeText::Number(bytes) => return Ok(Self(bytes)),
            SizeText::Text(text) => text,
        };
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            unit => return Err(format!("`{unit}` is no unit of size: use KiB, MiB, GiB or TiB")),
        };
        let number: u64 = digits.trim().parse().map_err(|_| format!("`{text}` is no size"))?;
        number
            .checked_shl(shift)
            .filter(|bytes| bytes >> shift == number)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Result<u64, String> {
        #[derive(Deserialize)]
        struct Table {
            size: Size,
        }
        toml::from_str::<Table>(&format!("size = {text}")).map(|table| table.size.0).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_numbers_or_have_binary_units() {
        for (text, bytes) in [
            ("1954", 1954),
            ("\"1954\"", 1954),
            ("\"512 B\"", 512),
            ("\"3KiB\"", 3072),
            ("\"96 MiB\"", 96 << 20),
            ("\"20 GiB\"", 20 << 30),
            ("\"1TiB\"", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        for (text, word) in [
            ("\"3 GB\"", "`GB` is no unit"),
            ("\"x\"", "`x` is no unit"),
            ("\"MiB\"", "is no size"),
            ("\"99999999 TiB\"", "too large"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
