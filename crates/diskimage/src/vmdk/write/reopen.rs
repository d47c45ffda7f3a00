//! Goes on after a crash.
//!
//! Nothing is changed before everything that the checkpoints name was found. Then, durably, the
//! tail is in a slot and the header is gone (a crash may have come after `finish`), and what lies
//! behind the last whole grain is cut off.

use super::checkpoint::{Chain, Checkpoint, refused};
use super::tail::{Slots, Tail, find_in_grain, read_sector};
use super::{Front, GRAIN_BYTES, Options, VmdkWriter, bytes_of, cannot_read, cannot_write, plan};
use crate::Result;
use crate::number::{clip, u64_from};
use crate::output::{Output, is_zero};
use crate::vmdk::grain::is_zlib_header;
use crate::vmdk::layout::{GRAIN_MARKER_BYTES, GRAIN_SECTORS, Marker, SECTOR_LEN, Sector, TABLE_ENTRIES};
use crate::vmdk::stream_write::{GRAIN_LEN, Parts};

impl VmdkWriter {
    /// Goes on with a disk from the checkpoints that its commits returned, oldest first: all of
    /// them, or a prefix. An empty list is a start anew. [`VmdkWriter::next_offset`] says where.
    ///
    /// # Errors
    /// `Checkpoint` when they are not of this disk, not a prefix, or name what is not there; the
    /// file is then as it was. Else as [`Self::create`].
    pub fn reopen<C: AsRef<[u8]>>(output: impl Output + 'static, options: &Options, checkpoints: &[C]) -> Result<Self> {
        let mut parts = plan(options)?;
        let head_checksum = libdeflater::crc32(&parts.head());
        let mut chain = Chain::default();
        let mut last = None;
        for bytes in checkpoints {
            last = Some(Checkpoint::decode(bytes.as_ref(), head_checksum, &mut chain)?);
        }
        let Some(last) = last else {
            return Self::create(output, options);
        };
        walk(&output, &mut parts, last)?;
        let mut slots = Slots::new(&parts);
        let open = recover_tail(&output, &parts, &mut slots, last)?;
        close_to_readers(&output)?;
        output.set_len_bytes(bytes_of(last.position.0)).map_err(cannot_write)?;
        let front = Front { next: last.next, open, slots, back: None };
        Ok(Self::assemble(Box::new(output), options, parts, front, chain))
    }
}

/// Follows the markers up to where the file goes on.
fn walk(output: &dyn Output, parts: &mut Parts, last: Checkpoint) -> Result<()> {
    let len_bytes = output.len_bytes().map_err(cannot_read)?;
    let inside = last.next <= parts.header().capacity_bytes()
        && last.position >= parts.header().overhead()
        && last.position.bytes().is_some_and(|end| end <= len_bytes);
    if !inside {
        let found = format!("{} and {len_bytes} bytes of file", last.position);
        return Err(refused("what a checkpoint names lies inside the file").found(found));
    }
    // The coverage whose table came last: nothing more of it may come.
    let mut ended = None;
    while parts.position() < last.position {
        let at = parts.position();
        let wrong = |rule| refused(rule).at(bytes_of(at.0));
        let sector = read_sector(output, at)?.ok_or_else(|| wrong("the file is as long as it was"))?;
        match Marker::decode(&sector) {
            Ok(Marker::Grain { lba, size_bytes }) => {
                let index = whole_grain(lba, last).ok_or_else(|| wrong("a grain is one that was written"))?;
                parts.check_turn(index).map_err(|error| wrong("grains ascend").caused_by(error))?;
                let coverage = index / u64::from(TABLE_ENTRIES);
                if parts.ends_coverage(index) || ended == Some(coverage) {
                    return Err(wrong("a table comes behind the grains that it lists"));
                }
                if !is_zlib_header(sector[GRAIN_MARKER_BYTES], sector[GRAIN_MARKER_BYTES + 1]) {
                    return Err(wrong("a compressed grain is a zlib stream"));
                }
                let len = clip(usize::MAX, size_bytes.into());
                parts.place(index, len).map_err(|error| wrong("a grain has a possible length").caused_by(error))?;
            }
            Ok(Marker::GrainTable { .. }) => {
                ended = parts.open_coverage();
                let table = parts.end_coverage()?.ok_or_else(|| wrong("a table comes behind grains"))?;
                let mut found = vec![0; table.len()];
                if parts.position() <= last.position {
                    output.read_exact_at(&mut found, bytes_of(at.0)).map_err(cannot_read)?;
                }
                if found != table {
                    return Err(wrong("a table lists the grains that came before it"));
                }
            }
            _ => return Err(wrong("grains and tables stand behind each other")),
        }
    }
    if parts.position() != last.position || parts.trail() != last.trail {
        return Err(refused("the grains in the file are those that were written").at(bytes_of(last.position.0)));
    }
    Ok(())
}

/// Returns the index of a grain, if it is one that the checkpoint covers as a whole.
fn whole_grain(lba: Sector, last: Checkpoint) -> Option<u64> {
    let end = lba.bytes()?.checked_add(GRAIN_BYTES)?;
    let is_last = |capacity: u64| last.next == capacity && end > capacity;
    let covered = end <= last.next || is_last(last.next);
    (lba.0.is_multiple_of(GRAIN_SECTORS) && covered).then_some(lba.0 / GRAIN_SECTORS)
}

/// Returns what the checkpoint covers of the grain that is not complete, durable in a slot.
fn recover_tail(output: &dyn Output, parts: &Parts, slots: &mut Slots, last: Checkpoint) -> Result<Vec<u8>> {
    let at_end = last.next == parts.header().capacity_bytes();
    let len = if at_end { 0 } else { clip(GRAIN_LEN, last.next % GRAIN_BYTES) };
    let Tail::Stored(checksum) = last.tail else {
        return Ok(vec![0; len]);
    };
    if let Some(tail) = slots.find(output, len, checksum)? {
        return Ok(tail);
    }
    let index = last.next / GRAIN_BYTES;
    let tail = find_in_grain(output, last.position, index, len, checksum)?
        .ok_or_else(|| refused("the bytes of the unfinished grain are there"))?;
    slots.keep(output, &tail)?;
    output.sync().map_err(cannot_write)?;
    Ok(tail)
}

/// Takes the header away, durably, before anything is overwritten that it leads to.
fn close_to_readers(output: &dyn Output) -> Result<()> {
    let header = read_sector(output, Sector(0))?.ok_or_else(|| refused("the file has a first sector"))?;
    if is_zero(&header) {
        return Ok(());
    }
    output.zero(0, u64_from(SECTOR_LEN)).map_err(cannot_write)?;
    output.sync().map_err(cannot_write)
}
