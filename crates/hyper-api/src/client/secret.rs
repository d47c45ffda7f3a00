//! What lets its holder in.

use std::fmt;

use http::HeaderValue;

use super::{Error, ErrorKind};

/// A token as a header carries it; never shown.
#[derive(Clone)]
pub struct Secret(HeaderValue);

impl Secret {
    /// Takes a token as it stands in a file: blanks around it are not part of it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it is empty or holds what no header can; it is not repeated.
    pub fn new(token: &str) -> Result<Self, Error> {
        let unusable = || Error::new(ErrorKind::Usage, "read the token: it is empty, or no printable text");
        let token = token.trim();
        if token.is_empty() {
            return Err(unusable());
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Returns the value of the header `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_carried_and_never_shown() {
        let secret = Secret::new(" h2k_abc\n").unwrap();
        assert_eq!(secret.header().to_str().unwrap(), "Bearer h2k_abc");
        assert!(!format!("{secret:?} {:?}", secret.header()).contains("abc"));
        for wrong in ["", " \n", "a\nb", "a\u{7f}"] {
            let error = Secret::new(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
    }
}
