//! Completes a disk: tables behind the grains, then the header.

use super::{VmdkStats, VmdkWriter, bytes_of, cannot_write};
use crate::lock::lock;
use crate::vmdk::layout::SECTOR_LEN;
use crate::{Error, ErrorKind, Result};

impl VmdkWriter {
    /// Completes the disk and makes it durable; giving the file its name and syncing the directory
    /// are the caller's.
    ///
    /// A crash inside takes nothing: the file can be reopened with the same checkpoints.
    ///
    /// # Errors
    /// `Truncated` when the disk was not written to its end; else as [`Self::commit`].
    pub fn finish(self) -> Result<VmdkStats> {
        self.life.run(|| {
            let front = lock(&self.front);
            if front.next < self.capacity_bytes {
                let found = format!("{} bytes of {}", front.next, self.capacity_bytes);
                return Err(Error::new(ErrorKind::Truncated, "a disk is written to its end").found(found));
            }
            let output = self.line.output();
            let position = self.line.settle()?;
            let (head, end, stats) = self.line.with_parts(|parts| Ok((parts.head(), parts.end()?, parts.stats())))?;
            output.write_all_at(&end, bytes_of(position.0)).map_err(cannot_write)?;
            let (header, descriptor) = head.split_at(SECTOR_LEN);
            output.write_all_at(descriptor, bytes_of(1)).map_err(cannot_write)?;
            output.sync().map_err(cannot_write)?;
            // Only now is the grain durable that a tail belongs to.
            front.slots.clear(output)?;
            output.write_all_at(header, 0).map_err(cannot_write)?;
            output.sync().map_err(cannot_write)?;
            Ok(VmdkStats {
                file_bytes: stats.stream_bytes,
                grains: stats.grains,
                populated_bytes: stats.populated_bytes,
            })
        })
    }
}
