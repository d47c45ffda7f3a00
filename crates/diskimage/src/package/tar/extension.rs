//! What stands in front of a member because its header has no room: PAX records and long names.

use crate::{Error, Result};

/// What extensions say about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) path: Option<String>,
    pub(super) size_bytes: Option<u64>,
    pub(super) is_sparse: bool,
}

impl Extensions {
    /// Returns these extensions, and where they say nothing the others.
    pub(super) fn or(self, others: &Self) -> Self {
        Self {
            path: self.path.or_else(|| others.path.clone()),
            size_bytes: self.size_bytes.or(others.size_bytes),
            is_sparse: self.is_sparse || others.is_sparse,
        }
    }

    /// Takes PAX records, each `LENGTH KEY=VALUE` and a line end; the length counts all of it.
    pub(super) fn take_pax(&mut self, mut records: &[u8]) -> Result<()> {
        // Some writers pad the last block inside of the size.
        while !records.iter().all(|&byte| byte == 0) {
            let (record, rest) = split_record(records).ok_or_else(|| {
                Error::corrupt("a PAX record is as long as it says").found(shown(&records[..records.len().min(40)]))
            })?;
            let (key, value) = record;
            match key {
                b"path" => self.path = Some(String::from_utf8_lossy(value).into_owned()),
                b"size" => self.size_bytes = Some(parse_size(value)?),
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
            records = rest;
        }
        Ok(())
    }

    /// Takes a long name of GNU's, which ends with a zero byte.
    pub(super) fn take_long_name(&mut self, name: &[u8]) {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        self.path = Some(String::from_utf8_lossy(&name[..end]).into_owned());
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = records.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
    let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some(((&record[..equals], &record[equals + 1..]), &records[length..]))
}

fn parse_size(value: &[u8]) -> Result<u64> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Error::corrupt("the size in a PAX record is a number of 64 bits").found(shown(value)))
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
