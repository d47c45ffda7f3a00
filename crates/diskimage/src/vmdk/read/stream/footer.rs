//! Finds the footer of a stream, which says where its directory is.

use crate::image::ByteSource;
use crate::number::{clip, u64_from};
use crate::vmdk::grain::is_zero;
use crate::vmdk::layout::{DirectoryPlace, Header, Marker, SECTOR_BYTES, SECTOR_LEN};
use crate::{Error, Result};

/// Footer marker, footer, end marker.
const FOOTER_SECTORS: u64 = 3;

/// Zeros behind the end marker that are stepped over: some transfers pad to their block size.
const PADDING_BYTES_MAX: u64 = 64 << 10;

/// A footer that was found.
pub(in crate::vmdk::read) struct Footer {
    /// What it says.
    pub(in crate::vmdk::read) header: Header,
    /// Where the stream ends, behind its end marker.
    pub(in crate::vmdk::read) end_bytes: u64,
}

/// Returns the footer that belongs to `header`.
///
/// # Errors
///
/// `Truncated` when there is none at the end, `Corrupt` when it belongs to another disk.
pub(in crate::vmdk::read) fn find_footer(source: &dyn ByteSource, header: &Header) -> Result<Footer> {
    let len = source.len_bytes();
    let tail_len = len.min(PADDING_BYTES_MAX + FOOTER_SECTORS * SECTOR_BYTES);
    let mut tail = vec![0; clip(usize::MAX, tail_len)];
    source.read_at(len - tail_len, &mut tail)?;
    // Sectors count from the start of the file; what does not fill one is padding or damage.
    let skew = clip(usize::MAX, (len - tail_len) % SECTOR_BYTES);
    let skip = (SECTOR_LEN - skew) % SECTOR_LEN;
    let (sectors, rest) = tail.get(skip..).unwrap_or_default().as_chunks::<SECTOR_LEN>();
    let missing = || Error::truncated("a stream ends with its footer and an end marker").at(len).in_file(source.name());
    if !is_zero(rest) {
        return Err(missing());
    }
    let footer =
        sectors.iter().rposition(|sector| !is_zero(sector)).filter(|&footer| footer > 0).ok_or_else(missing)?;
    let announced = matches!(Marker::decode(&sectors[footer - 1]), Ok(Marker::Footer { sectors: 0 | 1 }));
    if !announced || footer + 1 == sectors.len() {
        return Err(missing());
    }
    let place = len - tail_len + u64_from(skip + footer * SECTOR_LEN);
    let in_place = |error: Error| error.or_at(place).in_file(source.name());
    let found = Header::parse(&sectors[footer]).map_err(in_place)?;
    if !header.agrees_with_footer(&found) || found.directory() == DirectoryPlace::Footer {
        return Err(in_place(Error::corrupt("the footer agrees with the header and knows the directory")));
    }
    Ok(Footer { header: found, end_bytes: place + 2 * SECTOR_BYTES })
}
