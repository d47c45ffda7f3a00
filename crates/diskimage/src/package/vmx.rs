//! The configuration of a machine as VMware keeps it beside its disks: `.vmx`.
//!
//! * [`Vmx`] holds the lines; [`Vmx::parse`] reads what is in the wild.
//! * [`machine`] makes the neutral [`Machine`](super::machine::Machine) of them.
//! * [`snapshots`] reads the list of snapshots, `.vmsd`, which has the same grammar.
//!
//! ```text
//! .encoding = "UTF-8"
//! displayName = "web |2201|22"
//! scsi0:0.fileName = "web01-000002.vmdk"
//! ```
//!
//! Deliberately absent: writing, and resolving file names, which may be absolute paths of a
//! datastore.

mod machine;
mod snapshots;

use std::collections::{HashMap, HashSet};

pub use machine::{generation_id, machine};
pub use snapshots::{SNAPSHOTS_MAX, Snapshot, SnapshotDisk, SnapshotList, snapshots};

use crate::{Error, Result};

/// Longest file that is read.
pub const VMX_BYTES_MAX: usize = 1 << 20;

/// Longest key that is kept: looking whether a key is absent takes the square of its length.
pub const KEY_BYTES_MAX: usize = 256;

/// First bytes of disks, which are handed over by mistake.
const DISK_STARTS: [&[u8]; 4] = [b"KDMV", b"COWD", b"VMDK", b"# Disk DescriptorFile"];

/// The lines of a `.vmx` or `.vmsd` file: values by key, without regard to the case of keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Vmx {
    values: HashMap<String, String>,
    /// What `NAME.present = "FALSE"` takes away.
    absent: HashSet<String>,
    warnings: Vec<String>,
}

/// Without the values: keys of encryption and passwords of consoles are among them.
impl std::fmt::Debug for Vmx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vmx").field("keys", &self.values.len()).finish_non_exhaustive()
    }
}

impl Vmx {
    /// Parses a file.
    ///
    /// # Errors
    ///
    /// `Limit` beyond [`VMX_BYTES_MAX`]; `Corrupt` for an empty file and for one without any line
    /// `key = "value"`; `Unsupported` for a disk.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > VMX_BYTES_MAX {
            return Err(Error::limit("a VMX file has at most 1 MiB").found(format!("{} bytes", bytes.len())));
        }
        if DISK_STARTS.iter().any(|start| bytes.starts_with(start)) {
            return Err(Error::unsupported("a VMX file describes a machine, this one is a disk").at(0));
        }
        let mut vmx = Self::default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            vmx.take_line(index + 1, line.trim_ascii());
        }
        if vmx.values.is_empty() {
            return Err(Error::corrupt("a VMX file has lines with a key and a value"));
        }
        let absent = vmx.values.iter().filter(|(_, value)| value.eq_ignore_ascii_case("false"));
        vmx.absent = absent.filter_map(|(key, _)| key.strip_suffix(".present").map(str::to_owned)).collect();
        Ok(vmx)
    }

    /// Returns a value, unless what it belongs to is declared absent. Keys are in lower case.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let value = self.values.get(key)?;
        let is_absent = key.match_indices('.').any(|(end, _)| self.absent.contains(&key[..end]));
        (!is_absent).then_some(value.as_str())
    }

    /// Returns a value that is not empty.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Returns a truth value; `None` when it is not there or neither.
    #[must_use]
    pub fn truth(&self, key: &str) -> Option<bool> {
        let value = self.text(key)?;
        ["true", "false"].iter().position(|word| value.eq_ignore_ascii_case(word)).map(|position| position == 0)
    }

    /// Iterates over the keys, in lower case and no order, of what is not absent.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str).filter(|key| self.get(key).is_some())
    }

    /// Returns what is odd, one sentence per line of the file.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn take_line(&mut self, number: usize, line: &[u8]) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
            self.warnings.push(format!("line {number} has no key and value: {:?}", String::from_utf8_lossy(line)));
            return;
        };
        let key = String::from_utf8_lossy(line[..equals].trim_ascii()).to_ascii_lowercase();
        if key.len() > KEY_BYTES_MAX {
            self.warnings.push(format!("line {number} has a key of {} bytes and is left out", key.len()));
            return;
        }
        let value = line[equals + 1..].trim_ascii();
        let inside = match value {
            [b'"', inside @ ..] => inside.iter().position(|&byte| byte == b'"').map(|end| &inside[..end]),
            [b'\'', inside @ .., b'\''] => Some(inside),
            _ => None,
        };
        if inside.is_none_or(|inside| inside.len() + 2 != value.len()) || value.starts_with(b"'") {
            self.warnings.push(format!("line {number}: the value of {key} is not in double quotes"));
        }
        match String::from_utf8(unescape(inside.unwrap_or(value))) {
            Ok(value) => self.insert(number, key, value),
            Err(error) => {
                self.warnings.push(format!("line {number}: the value of {key} is not UTF-8"));
                let value = String::from_utf8_lossy(error.as_bytes()).into_owned();
                self.insert(number, key, value);
            }
        }
    }

    fn insert(&mut self, number: usize, key: String, value: String) {
        match self.values.get(&key) {
            None => {
                self.values.insert(key, value);
            }
            Some(known) if *known == value => {}
            Some(_) => self.warnings.push(format!("line {number}: {key} has a value already; the first one counts")),
        }
    }
}

/// Resolves `|XX`, a byte in hexadecimal digits; a `|` before anything else stays.
fn unescape(value: &[u8]) -> Vec<u8> {
    let digit = |at: usize| value.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let escaped = match (byte, digit(at + 1), digit(at + 2)) {
            (b'|', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    bytes
}

#[cfg(test)]
mod tests;
