//! Names of files inside a package, which are not to be trusted.
//!
//! A reference is relative to the folder of the descriptor. Nothing else may pass, because the next
//! thing a caller does is to open it.

use percent_encoding::percent_decode_str;

use crate::{Error, Result};

/// Longest reference that is taken, in bytes: what Linux allows for a path.
pub const HREF_BYTES_MAX: usize = 4096;

/// A reference that stays inside the folder of its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeHref {
    literal: String,
    decoded: Option<String>,
}

impl SafeHref {
    /// Returns the reference as it was written: the file name to try first.
    #[must_use]
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// Returns the reference with `%20` and the like decoded once, when that differs: the file
    /// name to try second. By the standard a reference is a URI, but not all writers know.
    #[must_use]
    pub fn decoded(&self) -> Option<&str> {
        self.decoded.as_deref()
    }
}

/// Checks that a reference names a file in the folder of its descriptor or below.
///
/// Both readings are checked, the literal and the percent-decoded one.
///
/// # Errors
///
/// `Corrupt` for an absolute path, a parent folder, an empty or `.` component, a backslash, a
/// control character; `Unsupported` for a URL; `Limit` for more than 4096 bytes.
pub fn safe_href(href: &str) -> Result<SafeHref> {
    check(href)?;
    let decoded = match percent_decode_str(href).decode_utf8() {
        Ok(decoded) if decoded != href => {
            check(&decoded)?;
            Some(decoded.into_owned())
        }
        _ => None,
    };
    Ok(SafeHref { literal: href.to_owned(), decoded })
}

fn check(name: &str) -> Result<()> {
    let refuse = |rule| Err(Error::corrupt(rule).found(format!("{name:?}")));
    if name.len() > HREF_BYTES_MAX {
        return Err(Error::limit("a file reference has at most 4096 bytes"));
    }
    if has_scheme(name) {
        return Err(
            Error::unsupported("a file reference names a file of the package, not a URL").found(format!("{name:?}"))
        );
    }
    if name.contains(['\\', '\0']) || name.contains(char::is_control) {
        return refuse("a file reference has no backslashes and no control characters");
    }
    if name.starts_with('/') {
        return refuse("a file reference is relative");
    }
    if name.split('/').any(|part| part == "..") {
        return refuse("a file reference stays inside the package");
    }
    if name.split('/').any(|part| part.is_empty() || part == ".") {
        return refuse("each part of a file reference has a name");
    }
    Ok(())
}

/// Returns whether the text begins like a URL (`http://…`, `file:…`) or a drive (`C:…`).
fn has_scheme(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // A colon is also an ordinary character of a file name: `db: backup.vmdk` is no URL.
    is_scheme && (rest.starts_with('/') || scheme.len() == 1 || scheme.eq_ignore_ascii_case("file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn ordinary_names_pass_unchanged() {
        for name in [
            "disk-0.vmdk",
            "sub/folder/disk.vmdk",
            "a b=(1).vmdk",
            "磁盘.vmdk",
            "..disk..vmdk",
            "db: backup.vmdk",
            "100%.vmdk",
        ] {
            let href = safe_href(name).unwrap();
            assert_eq!((href.literal(), href.decoded()), (name, None));
        }
    }

    #[test]
    fn percent_signs_are_decoded_once() {
        let href = safe_href("my%20disk%2520.vmdk").unwrap();
        assert_eq!(href.literal(), "my%20disk%2520.vmdk");
        assert_eq!(href.decoded(), Some("my disk%20.vmdk"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "./x",
            "a//x",
            "a/",
            "a\\b",
            "a\0b",
            "a\nb",
            "%2e%2e%2fx",
            "%2Fetc/passwd",
            "a%00b",
            "a%5cb",
        ] {
            let error = safe_href(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name:?}");
        }
    }

    #[test]
    fn urls_and_drives_are_refused() {
        for name in ["http://host/x", "HTTPS://h/x", "file:x", "file:///x", "C:x", "c:/x"] {
            let error = safe_href(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_refused() {
        let error = safe_href(&"x".repeat(HREF_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
