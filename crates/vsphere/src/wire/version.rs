//! API versions as they stand in SOAPAction: numbers between dots, compared number by number.

use std::fmt;

/// A vim25 API version, for example `8.0.3.0`. Missing parts count as zero, so `6.7` = `6.7.0.0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion([u16; 4]);

impl ApiVersion {
    /// Stands for the first version of the API, whatever its number.
    pub(crate) const FIRST: Self = Self([0; 4]);
    /// The oldest version that we speak; nothing in use was required later.
    pub const OLDEST: Self = Self([6, 0, 0, 0]);
    /// The newest version that the bindings know.
    pub const NEWEST: Self = Self([9, 1, 1, 0]);

    /// Reads `6.7` or `8.0.3.0`; `None` for anything else (internal names, `2.5u2`).
    pub const fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut parts = [0u16; 4];
        let (mut part, mut index, mut digits) = (0, 0, 0);
        while index < bytes.len() {
            match bytes[index] {
                digit @ b'0'..=b'9' => {
                    if digits == 4 {
                        return None;
                    }
                    parts[part] = parts[part] * 10 + (digit - b'0') as u16;
                    digits += 1;
                }
                b'.' if digits > 0 && part < 3 => {
                    part += 1;
                    digits = 0;
                }
                _ => return None,
            }
            index += 1;
        }
        if digits == 0 { None } else { Some(Self(parts)) }
    }

    /// Reads a version of the generated bindings; the empty text means "always there".
    pub(crate) const fn since(text: &str) -> Self {
        match Self::parse(text) {
            Some(version) => version,
            None => Self::FIRST,
        }
    }
}

impl fmt::Display for ApiVersion {
    /// Writes the form that servers list: two parts before 7.0, four from then on; 6.7.1 and the
    /// like keep three.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, third, fourth] = self.0;
        match (major, third) {
            (0..=6, 0) => write!(f, "{major}.{minor}"),
            (0..=6, _) => write!(f, "{major}.{minor}.{third}"),
            _ => write!(f, "{major}.{minor}.{third}.{fourth}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        let v = |text| ApiVersion::parse(text).unwrap();
        assert!(v("6.7") < v("6.7.1") && v("6.9.1") < v("7.0.0.0") && v("8.0.3.0") < v("9.1.1.0"));
        assert!(v("10.0") > v("9.9"));
    }

    #[test]
    fn the_printed_form_is_the_one_that_servers_list() {
        for text in ["6.0", "6.7", "6.7.3", "6.9.1", "7.0.0.0", "8.0.3.0"] {
            assert_eq!(ApiVersion::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn internal_and_old_names_are_no_versions() {
        for text in ["", "2.5u2", "m5CA1EF4D", "6..7", "6.", "1.2.3.4.5", "99999.0"] {
            assert_eq!(ApiVersion::parse(text), None, "{text}");
        }
    }
}
