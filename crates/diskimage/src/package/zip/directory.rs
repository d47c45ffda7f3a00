//! The records of a zip archive, without reading. All numbers are little-endian.
//!
//! ```text
//! member   "PK\1\2": 8 flags 2 │ 10 method 2 │ 16 crc 4 │ 20 packed 4 │ 24 size 4 │ 28 name 2 │ 30 extra 2
//!                    │ 32 comment 2 │ 34 disk 2 │ 38 attributes 4 │ 42 local header 4 │ 46 name, extra, comment
//! local    "PK\3\4": 26 name 2 │ 28 extra 2 │ 30 name, extra, data
//! end      "PK\5\6": 4 disk 2 │ 10 members 2 │ 12 length 4 │ 16 offset 4 │ 20 comment 2
//! end 64   "PK\6\6": 16 disk 4 │ 32 members 8 │ 40 length 8 │ 48 offset 8      locator "PK\6\7": 8 end 64 8
//! ```

use std::collections::HashSet;

use super::Member;
use crate::number::u64_from;
use crate::package::tar::{is_apple_double, member_name};
use crate::{Error, Result};

pub(super) const END_LEN: usize = 22;
pub(super) const END_64_LEN: usize = 56;
pub(super) const LOCATOR_LEN: usize = 20;
pub(super) const LOCAL_LEN: usize = 30;
const MEMBER_LEN: usize = 46;

/// The method of data as they are, and of deflated ones.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The flags of encrypted members.
const ENCRYPTED: u16 = 0x2041;
/// The field of 64-bit sizes.
const EXTRA_64: u16 = 1;
/// The mask and value of a symbolic link among the attributes, where the maker was a Unix.
const MODE_MASK: u32 = 0xf000_0000;
const MODE_LINK: u32 = 0xa000_0000;

/// Where the directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) members: u64,
    pub(super) directory_bytes: u64,
    pub(super) directory_offset: u64,
}

impl End {
    /// Returns whether a number did not fit, so that it stands in the longer record.
    pub(super) fn needs_64_bits(&self) -> bool {
        self.members == u64::from(u16::MAX)
            || self.directory_bytes == u64::from(u32::MAX)
            || self.directory_offset == u64::from(u32::MAX)
    }
}

/// Finds the record that ends an archive in its last bytes, and where it begins.
pub(super) fn find_end(tail: &[u8]) -> Option<(usize, End)> {
    let last = tail.len().checked_sub(END_LEN)?;
    (0..=last).rev().find_map(|at| {
        let record = &tail[at..];
        let comment = usize::from(u16_at(record, 20)?);
        let is_end = record.starts_with(b"PK\x05\x06") && record.len() == END_LEN + comment && u16_at(record, 4)? == 0;
        let end = End {
            members: u64::from(u16_at(record, 10)?),
            directory_bytes: u64::from(u32_at(record, 12)?),
            directory_offset: u64::from(u32_at(record, 16)?),
        };
        is_end.then_some((at, end))
    })
}

pub(super) fn parse_locator(record: &[u8; LOCATOR_LEN]) -> Option<u64> {
    record.starts_with(b"PK\x06\x07").then(|| u64_at(record, 8))?
}

pub(super) fn parse_end_64(record: &[u8; END_64_LEN]) -> Option<End> {
    let is_end = record.starts_with(b"PK\x06\x06") && u32_at(record, 16)? == 0;
    is_end.then_some(End {
        members: u64_at(record, 32)?,
        directory_bytes: u64_at(record, 40)?,
        directory_offset: u64_at(record, 48)?,
    })
}

/// Returns how long a local header is, name and extra fields included.
pub(super) fn local_len(header: &[u8; LOCAL_LEN]) -> Option<u64> {
    let variable = u64::from(u16_at(header, 26)?) + u64::from(u16_at(header, 28)?);
    header.starts_with(b"PK\x03\x04").then_some(u64_from(LOCAL_LEN) + variable)
}

/// Parses a directory. The data offset of a member is that of its local header as yet.
pub(super) fn parse(directory: &[u8], end: &End) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut names = HashSet::new();
    let mut rest = directory;
    for _ in 0..end.members {
        let at = end.directory_offset + u64_from(directory.len() - rest.len());
        let (member, behind) = parse_member(rest).map_err(|error| error.or_at(at))?;
        rest = behind;
        if let Some(member) = member {
            if !names.insert(member.name.clone()) {
                let error = Error::corrupt("a name is in an archive once").found(format!("{:?}", member.name));
                return Err(error.at(at));
            }
            members.push(member);
        }
    }
    Ok(members)
}

/// Parses an entry; `None` for a folder and for macOS's companions.
fn parse_member(record: &[u8]) -> Result<(Option<Member>, &[u8])> {
    let fields = Fields::parse(record)
        .ok_or_else(|| Error::corrupt("the directory of an archive has an entry for every member"))?;
    let written = String::from_utf8_lossy(fields.name).into_owned();
    if written.ends_with('/') || is_apple_double(&written) {
        return Ok((None, fields.behind));
    }
    let refuse = |rule| Err(Error::unsupported(rule).found(format!("{written:?}")));
    if fields.flags & ENCRYPTED != 0 {
        return refuse("the members of an archive are not encrypted");
    }
    if !matches!(fields.method, STORED | DEFLATED) {
        return refuse("the members of a zip archive are stored or deflated");
    }
    if fields.attributes & MODE_MASK == MODE_LINK {
        return refuse("a package has no links");
    }
    let mut member = Member {
        name: member_name(&written)?,
        data_offset: u64::from(fields.local_offset),
        packed_bytes: u64::from(fields.packed),
        size_bytes: u64::from(fields.size),
        is_deflated: fields.method == DEFLATED,
        crc: fields.crc,
    };
    widen(&mut member, fields.extra).ok_or_else(|| {
        Error::corrupt("a number that does not fit is in the field of 64 bits").found(format!("{written:?}"))
    })?;
    Ok((Some(member), fields.behind))
}

struct Fields<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    size: u32,
    attributes: u32,
    local_offset: u32,
    name: &'a [u8],
    extra: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Fields<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        if !record.starts_with(b"PK\x01\x02") || u16_at(record, 34)? != 0 {
            return None;
        }
        let length = |at| u16_at(record, at).map(usize::from);
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let variable = record.get(MEMBER_LEN..)?;
        Some(Self {
            flags: u16_at(record, 8)?,
            method: u16_at(record, 10)?,
            crc: u32_at(record, 16)?,
            packed: u32_at(record, 20)?,
            size: u32_at(record, 24)?,
            attributes: u32_at(record, 38)?,
            local_offset: u32_at(record, 42)?,
            name: variable.get(..name)?,
            extra: variable.get(name..name + extra)?,
            behind: variable.get(name + extra + comment..)?,
        })
    }
}

/// Takes the numbers that did not fit out of the extra field; in this order, only those.
fn widen(member: &mut Member, extra: &[u8]) -> Option<()> {
    let wide = [&mut member.size_bytes, &mut member.packed_bytes, &mut member.data_offset];
    let wide: Vec<_> = wide.into_iter().filter(|number| **number == u64::from(u32::MAX)).collect();
    if wide.is_empty() {
        return Some(());
    }
    let mut rest = extra;
    let field = loop {
        let length = usize::from(u16_at(rest, 2)?);
        let field = rest.get(4..4 + length)?;
        if u16_at(rest, 0)? == EXTRA_64 {
            break field;
        }
        rest = &rest[4 + length..];
    };
    for (index, number) in wide.into_iter().enumerate() {
        *number = u64_at(field, index * 8)?;
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
