//! One header block.
//!
//! ```text
//!   0 name 100 │ 100 mode 8 │ 108 uid 8 │ 116 gid 8 │ 124 size 12 │ 136 mtime 12 │ 148 checksum 8
//! 156 type 1 │ 157 link 100 │ 257 magic 6 │ 263 version 2 │ 265 uname 32 │ 297 gname 32 │ 345 prefix 155
//! ```
//!
//! Numbers are octal text. GNU writes what does not fit into that as a big-endian binary number
//! behind a byte 0x80. The checksum is the sum of all bytes, with blanks in its own place.

use crate::number::u64_from;
use crate::{Error, Result};

/// Length of a block: headers are one, data are padded to whole ones.
pub const BLOCK_LEN: usize = 512;

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..265;
const UNAME: std::ops::Range<usize> = 265..297;
const GNAME: std::ops::Range<usize> = 297..329;
const PREFIX: std::ops::Range<usize> = 345..500;

/// USTAR's magic and version.
const USTAR: &[u8; 8] = b"ustar\x0000";
/// GNU's.
const GNU: &[u8; 8] = b"ustar  \0";
/// The first size that eleven octal digits do not hold.
pub(crate) const OCTAL_SIZE_END: u64 = 8 << 30;
/// Marks a binary number.
const BINARY: u8 = 0x80;

/// What a header introduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// PAX records for the next member.
    Pax,
    /// PAX records for all members that follow.
    PaxGlobal,
    /// The name of the next member, of any length.
    GnuLongName,
    /// The target of the next member, which is a link.
    GnuLongLink,
    /// A file of which only parts are there.
    Sparse,
    /// A hard or symbolic link.
    Link,
    /// A device or pipe.
    Device,
    /// A letter that is not known.
    Unknown(u8),
}

/// A header, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, prefix included; as written.
    pub name: String,
    /// The length of the data behind it.
    pub size_bytes: u64,
    /// What it introduces.
    pub kind: Kind,
}

impl Header {
    /// Parses a block; `None` for a block of zeros.
    ///
    /// # Errors
    ///
    /// `Corrupt` when the checksum is wrong or a number is none.
    pub fn parse(block: &[u8; BLOCK_LEN]) -> Result<Option<Self>> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        check_sum(block)?;
        let mut name = text(&block[NAME]);
        if &block[MAGIC] == USTAR && block[PREFIX.start] != 0 {
            name = format!("{}/{name}", text(&block[PREFIX]));
        }
        let kind = match block[TYPE] {
            // Before USTAR a folder was a file whose name ends in a slash.
            b'0' | 0 | b'7' if name.ends_with('/') => Kind::Folder,
            b'0' | 0 | b'7' => Kind::File,
            b'1' | b'2' => Kind::Link,
            b'3' | b'4' | b'6' => Kind::Device,
            b'5' => Kind::Folder,
            b'S' => Kind::Sparse,
            b'x' | b'X' => Kind::Pax,
            b'g' => Kind::PaxGlobal,
            b'L' => Kind::GnuLongName,
            b'K' => Kind::GnuLongLink,
            other => Kind::Unknown(other),
        };
        Ok(Some(Self { name, size_bytes: size(&block[SIZE])?, kind }))
    }

    /// Writes the header of a file: USTAR where the size fits, else GNU's binary number.
    ///
    /// `mtime_s` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// `Misuse` for a name that does not fit into a header, or a header that is not one of a file.
    pub fn encode(&self, mtime_s: u64) -> Result<[u8; BLOCK_LEN]> {
        if self.kind != Kind::File || self.name.is_empty() || self.name.len() > NAME.len() {
            return Err(Error::misuse("a written member is a file with a name of 1 to 100 bytes")
                .found(format!("{:?}", self.name)));
        }
        let mut block = [0; BLOCK_LEN];
        block[..self.name.len()].copy_from_slice(self.name.as_bytes());
        for (range, number) in [(MODE, 0o644), (UID, 0), (GID, 0), (MTIME, mtime_s.min(OCTAL_SIZE_END - 1))] {
            octal(&mut block[range], number);
        }
        let is_binary = self.size_bytes >= OCTAL_SIZE_END;
        if is_binary {
            block[SIZE.start] = BINARY;
            block[SIZE.end - 8..SIZE.end].copy_from_slice(&self.size_bytes.to_be_bytes());
        } else {
            octal(&mut block[SIZE], self.size_bytes);
        }
        block[TYPE] = b'0';
        block[MAGIC].copy_from_slice(if is_binary { GNU } else { USTAR });
        for range in [UNAME, GNAME] {
            block[range.start..range.start + 4].copy_from_slice(b"root");
        }
        let sum = sums(&block).0;
        octal(&mut block[CHECKSUM.start..CHECKSUM.end - 1], sum);
        block[CHECKSUM.end - 1] = b' ';
        Ok(block)
    }
}

/// Writes a number in octal digits, as many as there is room for in front of a final zero byte.
fn octal(field: &mut [u8], number: u64) {
    let width = field.len() - 1;
    let digits = format!("{number:0width$o}");
    field[..width].copy_from_slice(&digits.as_bytes()[digits.len() - width..]);
}

fn check_sum(block: &[u8; BLOCK_LEN]) -> Result<()> {
    let written = number(&block[CHECKSUM]);
    let (unsigned, signed) = sums(block);
    // Some old writers added up signed characters.
    if written.is_some_and(|written| written == unsigned || i64::try_from(written) == Ok(signed)) {
        return Ok(());
    }
    let written = text(&block[CHECKSUM]);
    Err(Error::corrupt("the checksum of a header is right").found(format!("{written:?} instead of {unsigned:o}")))
}

fn sums(block: &[u8; BLOCK_LEN]) -> (u64, i64) {
    let bytes = || block.iter().enumerate().map(|(at, &byte)| if CHECKSUM.contains(&at) { b' ' } else { byte });
    (bytes().map(u64::from).sum(), bytes().map(|byte| i64::from(byte.cast_signed())).sum())
}

/// Parses octal digits between blanks and zero bytes.
fn number(field: &[u8]) -> Option<u64> {
    let is_outer = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_outer(byte))?;
    let digits = &field[start..];
    let end = digits.iter().position(is_outer).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_outer) || !digits[..end].iter().all(u8::is_ascii_digit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(&digits[..end]).ok()?, 8).ok()
}

fn size(field: &[u8]) -> Result<u64> {
    let size = match field {
        [BINARY, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len() - 8);
            let low = low.first_chunk().map(|low| u64::from_be_bytes(*low));
            low.filter(|_| high.iter().all(|&byte| byte == 0))
        }
        _ if field.iter().all(|byte| matches!(byte, b' ' | 0)) => Some(0),
        _ => number(field),
    };
    size.filter(|&size| size <= u64::MAX - u64_from(BLOCK_LEN))
        .ok_or_else(|| Error::corrupt("a size is written in octal digits or as a binary number").found(text(field)))
}

/// Returns text up to the first zero byte.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
