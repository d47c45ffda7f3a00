//! The one error type of this crate.
//!
//! An error names the rule that was broken, what was found instead, and where. The kind is what a
//! caller may match on; the rule and the detail are for people.

use std::fmt;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ends before it is complete. Fetching it again may help.
    Truncated,
    /// The input contradicts its format or itself.
    Corrupt,
    /// The input is well-formed, but uses something that is not read here.
    Unsupported,
    /// The input is larger than this crate is willing to handle.
    Limit,
    /// The writer underneath failed; the source of the error says how.
    Io,
    /// There is no room for what has to be written.
    Full,
    /// The checkpoints that a writer was to go on from are not those of what is there.
    Checkpoint,
    /// The caller broke the contract of a function, such as the order of its calls.
    Misuse,
    /// The disk is encrypted; its content cannot be read without the keys of the other side.
    Encrypted,
    /// A name inside of the input leads out of what the caller allowed to be read.
    Outside,
}

/// A broken rule: which, what was found, and at which byte.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    rule: &'static str,
    detail: String,
    offset: Option<u64>,
    file: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, rule: &'static str) -> Self {
        Self { kind, rule, detail: String::new(), offset: None, file: None, source: None }
    }

    pub(crate) fn truncated(rule: &'static str) -> Self {
        Self::new(ErrorKind::Truncated, rule)
    }

    pub(crate) fn corrupt(rule: &'static str) -> Self {
        Self::new(ErrorKind::Corrupt, rule)
    }

    pub(crate) fn unsupported(rule: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, rule)
    }

    pub(crate) fn limit(rule: &'static str) -> Self {
        Self::new(ErrorKind::Limit, rule)
    }

    pub(crate) fn misuse(rule: &'static str) -> Self {
        Self::new(ErrorKind::Misuse, rule)
    }

    pub(crate) fn outside(rule: &'static str) -> Self {
        Self::new(ErrorKind::Outside, rule)
    }

    pub(crate) fn io(rule: &'static str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, rule).caused_by(source)
    }

    /// Returns the error for a failed write to a disk, told apart by whether there was no room.
    pub(crate) fn write(rule: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull);
        Self::new(if full { ErrorKind::Full } else { ErrorKind::Io }, rule).caused_by(source)
    }

    /// Returns the error with which a caller ends work that asks it to go on, such as
    /// [`crate::package::Package::verify`].
    #[must_use]
    pub fn stopped() -> Self {
        Self::io("the work was stopped", std::io::ErrorKind::Interrupted.into())
    }

    /// Adds what was found.
    pub(crate) fn found(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Sets the byte of the input at which the rule is broken.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets the byte of the input, unless a closer look set it before.
    pub(crate) fn or_at(mut self, offset: u64) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    /// Sets the file that is to blame, unless a closer look set it before.
    pub(crate) fn in_file(mut self, name: &str) -> Self {
        self.file.get_or_insert_with(|| name.into());
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns what is below, for errors that say all the rest in their own words.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        self.source
    }

    /// Returns what a caller can act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the rule that was broken, in words that do not change with the input.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// Returns the byte of the input (counted from its start) at which the rule was broken.
    ///
    /// For a sector-based format this is the start of the sector. `None` where no input is
    /// involved or no single place is to blame.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// Returns the file in which the rule was broken, where it is known.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        match (self.offset, &self.file) {
            (Some(offset), Some(file)) => write!(f, " (at byte {offset} of {file})"),
            (Some(offset), None) => write!(f, " (at byte {offset})"),
            (None, Some(file)) => write!(f, " (in {file})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_rule_detail_and_place_but_not_its_source() {
        let error = Error::io("cannot write the stream", std::io::Error::other("disk full")).found("marker").at(512);
        assert_eq!(error.to_string(), "cannot write the stream: marker (at byte 512)");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "disk full");
    }

    #[test]
    fn an_error_says_the_file_that_was_named_first() {
        let error = Error::corrupt("a rule").in_file("disk.vmdk").in_file("package.ova");
        assert_eq!((error.to_string().as_str(), error.file()), ("a rule (in disk.vmdk)", Some("disk.vmdk")));
        assert_eq!(error.at(7).to_string(), "a rule (at byte 7 of disk.vmdk)");
    }
}
