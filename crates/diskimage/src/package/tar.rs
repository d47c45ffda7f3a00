//! The tar archive, as far as an OVA needs it.
//!
//! ```text
//!  header │ data, padded to 512 │ header │ data │ … │ two blocks of zeros │ padding
//! ```
//!
//! * [`members`] lists the members of a source, with the place of their data: they are used where
//!   they are, without unpacking.
//! * [`StreamMembers`] goes forward through an archive that can only be read once, because it is
//!   compressed.
//! * [`Header`] is one block; [`Header::encode`] writes the plain kind.
//!
//! USTAR, GNU and PAX are read: long names, and sizes from 8 GiB on in either notation. Directories
//! and the `._` files of macOS are no members. Links, devices and sparse files are refused.
//!
//! Deliberately absent: times, owners and modes; writing whole archives ([`super::ova`]).

mod extension;
mod header;
mod stream;
mod walk;

pub use header::{BLOCK_LEN, Header, Kind};
pub use stream::{StreamMember, StreamMembers};

use walk::{Step, Walker};
pub(super) use walk::{is_apple_double, member_name};

use crate::image::ByteSource;
use crate::number::u64_from;
use crate::{Error, Result};

/// Most members that are listed.
pub const MEMBERS_MAX: usize = 10_000;
/// Longest name of a member, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Longest block of PAX records, in bytes.
pub const PAX_BYTES_MAX: usize = 64 << 10;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, which stays inside the package.
    pub name: String,
    /// Where its data begin.
    pub data_offset: u64,
    /// The length of its data.
    pub size_bytes: u64,
}

/// The members of an archive, and what is odd about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The members, in the order of the archive.
    pub members: Vec<Member>,
    /// What is odd.
    pub warnings: Vec<String>,
}

/// Lists the members of an archive by reading their headers only.
///
/// # Errors
///
/// `Truncated` when a member is not all there; `Corrupt` when a header is damaged, a name leads out
/// of the package or is there twice; `Unsupported` for links, devices and sparse files; `Limit`
/// beyond the limits of [`self`]; `Io` when the source cannot be read.
pub fn members(source: &dyn ByteSource) -> Result<Listing> {
    list(source).map_err(|error| error.in_file(source.name()))
}

fn list(source: &dyn ByteSource) -> Result<Listing> {
    let len = source.len_bytes();
    let mut walker = Walker::default();
    let mut listing = Listing::default();
    let mut offset = 0;
    loop {
        let mut block = [0; BLOCK_LEN];
        let left = len.saturating_sub(offset);
        if left < u64_from(BLOCK_LEN) {
            walker.end_of_input(offset, left)?;
            break;
        }
        source.read_at(offset, &mut block)?;
        let step = walker.take(offset, &block).map_err(|error| error.or_at(offset))?;
        offset += u64_from(BLOCK_LEN);
        match step {
            Step::End => break,
            Step::Zeros => {}
            Step::Skip { size_bytes } => offset = data_end(offset, size_bytes, len, "a folder")?,
            Step::Extension { kind, size_bytes } => {
                let mut data = vec![0; size_bytes];
                let end = data_end(offset, u64_from(size_bytes), len, "an extension")?;
                source.read_at(offset, &mut data)?;
                walker.take_extension(kind, &data).map_err(|error| error.or_at(offset))?;
                offset = end;
            }
            Step::Member { name, size_bytes } => {
                let end = data_end(offset, size_bytes, len, &name)?;
                listing.members.push(Member { name, data_offset: offset, size_bytes });
                offset = end;
            }
        }
    }
    listing.warnings = walker.into_warnings();
    Ok(listing)
}

/// Returns where the padding behind data ends. The padding of the last member may be cut off.
fn data_end(offset: u64, size_bytes: u64, len: u64, name: &str) -> Result<u64> {
    let end = offset.checked_add(size_bytes).filter(|&end| end <= len).ok_or_else(|| {
        Error::truncated("a member of an archive is as long as its header says")
            .found(format!("{name:?} has {} of {size_bytes} bytes", len.saturating_sub(offset)))
            .at(offset)
    })?;
    Ok(end.checked_next_multiple_of(u64_from(BLOCK_LEN)).unwrap_or(len).min(len))
}
