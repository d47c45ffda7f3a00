//! The zip archive, as far as a package needs it.
//!
//! Its directory is at its end and decides: a local header is only looked at to find the data
//! behind it. Members that are stored are used where they are; deflated ones are streamed. Both
//! sizes of 32 and of 64 bits are read.
//!
//! Deliberately absent: encryption, archives of several parts, other compressions, links: refused.
//! Writing.

mod directory;

use directory::{END_LEN, End, LOCAL_LEN};

use super::tar::{MEMBERS_MAX, PAX_BYTES_MAX};
use crate::image::ByteSource;
use crate::number::u64_from;
use crate::{Error, Result};

/// Longest directory that is read: a name of the longest kind and room for extra fields, for each
/// member.
pub const DIRECTORY_BYTES_MAX: u64 = 16 << 20;
/// Most that deflate makes of a byte.
const RATIO_MAX: u64 = 1032;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, which stays inside the package.
    pub name: String,
    /// Where its data begin.
    pub data_offset: u64,
    /// The length of its data in the archive.
    pub packed_bytes: u64,
    /// The length of its data.
    pub size_bytes: u64,
    /// Whether its data are deflated.
    pub is_deflated: bool,
    /// The checksum of its data.
    pub crc: u32,
}

/// Lists the members of an archive.
///
/// # Errors
///
/// `Truncated` when the end of the archive is missing; `Corrupt` when the directory contradicts
/// itself or the archive, or a name is there twice or leads out of the package; `Unsupported` for
/// what is not read here; `Limit` beyond the limits of [`self`]; `Io` when the source cannot be
/// read.
pub fn members(source: &dyn ByteSource) -> Result<Vec<Member>> {
    list(source).map_err(|error| error.in_file(source.name()))
}

fn list(source: &dyn ByteSource) -> Result<Vec<Member>> {
    let end = find_end(source)?;
    if end.members > u64_from(MEMBERS_MAX) {
        return Err(Error::limit("an archive has at most 10000 members").found(end.members.to_string()));
    }
    if end.directory_bytes > DIRECTORY_BYTES_MAX {
        let found = format!("{} bytes", end.directory_bytes);
        return Err(Error::limit("the directory of an archive has at most 16 MiB").found(found));
    }
    let length = usize::try_from(end.directory_bytes).expect("the limit fits into memory");
    let mut directory = vec![0; length];
    source.read_at(end.directory_offset, &mut directory)?;
    let mut members = directory::parse(&directory, &end)?;
    for member in &mut members {
        locate(source, &end, member).map_err(|error| error.or_at(member.data_offset))?;
    }
    check_overlaps(&members)?;
    Ok(members)
}

/// Finds the record at the end of an archive, behind which a comment may stand.
fn find_end(source: &dyn ByteSource) -> Result<End> {
    let len = source.len_bytes();
    let tail_len = len.min(u64_from(END_LEN) + u64_from(PAX_BYTES_MAX));
    let tail_offset = len - tail_len;
    let mut tail = vec![0; usize::try_from(tail_len).expect("a tail is short")];
    source.read_at(tail_offset, &mut tail)?;
    let (at, mut end) =
        directory::find_end(&tail).ok_or_else(|| Error::truncated("an archive has a directory at its end").at(len))?;
    let end_offset = tail_offset + u64_from(at);
    if end.needs_64_bits() {
        end = find_end_64(source, end_offset)?;
    }
    let directory_end = end.directory_offset.checked_add(end.directory_bytes);
    if directory_end.is_none_or(|directory_end| directory_end > end_offset) {
        return Err(Error::corrupt("the directory of an archive stands before its end").at(end_offset));
    }
    Ok(end)
}

fn find_end_64(source: &dyn ByteSource, end_offset: u64) -> Result<End> {
    let wrong = || Error::corrupt("an archive of 64 bits has its record in front of its end").at(end_offset);
    let mut locator = [0; directory::LOCATOR_LEN];
    let at = end_offset.checked_sub(u64_from(locator.len())).ok_or_else(wrong)?;
    source.read_at(at, &mut locator)?;
    let offset = directory::parse_locator(&locator).filter(|&offset| offset < at).ok_or_else(wrong)?;
    let mut record = [0; directory::END_64_LEN];
    source.read_at(offset, &mut record)?;
    directory::parse_end_64(&record).ok_or_else(wrong)
}

/// Follows a member to its local header and finds its data behind it.
fn locate(source: &dyn ByteSource, end: &End, member: &mut Member) -> Result<()> {
    let header_offset = member.data_offset;
    let mut header = [0; LOCAL_LEN];
    source.read_at(header_offset, &mut header)?;
    let behind = directory::local_len(&header).ok_or_else(|| {
        Error::corrupt("a member of an archive has a local header").found(format!("{:?}", member.name))
    })?;
    member.data_offset = header_offset + behind;
    let data_end = member.data_offset.checked_add(member.packed_bytes);
    if data_end.is_none_or(|data_end| data_end > end.directory_offset) {
        return Err(
            Error::corrupt("the members of an archive stand before its directory").found(format!("{:?}", member.name))
        );
    }
    let is_possible = if member.is_deflated {
        member.size_bytes <= member.packed_bytes.saturating_mul(RATIO_MAX)
    } else {
        member.size_bytes == member.packed_bytes
    };
    if !is_possible {
        return Err(Error::corrupt("the size of a member can come out of its data")
            .found(format!("{:?}: {} bytes out of {}", member.name, member.size_bytes, member.packed_bytes)));
    }
    Ok(())
}

/// Checks that no data serve two members, which is how small archives unpack to no end.
fn check_overlaps(members: &[Member]) -> Result<()> {
    let mut by_offset: Vec<_> = members.iter().collect();
    by_offset.sort_by_key(|member| member.data_offset);
    for pair in by_offset.windows(2) {
        let [first, second] = pair else { continue };
        if first.data_offset + first.packed_bytes > second.data_offset {
            return Err(Error::corrupt("the members of an archive do not overlap")
                .found(format!("{:?} and {:?}", first.name, second.name))
                .at(second.data_offset));
        }
    }
    Ok(())
}
