//! Values in the query of a URL.

use percent_encoding::percent_decode_str;

/// Returns the first value of this name, decoded.
pub(super) fn value(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_the_first_of_a_name_counts() {
        let query = Some("vm=DC0%2Fvm%2Fa%20b&disk=1&disk=2&flag");
        assert_eq!(value(query, "vm").as_deref(), Some("DC0/vm/a b"));
        assert_eq!(value(query, "disk").as_deref(), Some("1"));
        assert_eq!((value(query, "flag"), value(None, "vm")), (None, None));
    }
}
