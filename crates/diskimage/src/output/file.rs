//! A file or a block device as an [`Output`].

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::behind::Behind;
use super::{BLOCK_BYTES, Output};
use crate::lock::lock;
use crate::number::{clip, u64_from};

/// What is written where zeros are needed and the system has no cheaper way.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The most that the system is asked to zero in one call.
const ZERO_AT_ONCE_BYTES_MAX: u64 = 1 << 30;

/// A regular file or a block device.
#[derive(Debug)]
pub struct FileOutput {
    file: File,
    is_device: bool,
    /// Cleared by the first refusal, so that a file system without holes is asked once.
    punches: AtomicBool,
    /// The same for zeroing without giving back, the second best way of a block device.
    zeroes_range: AtomicBool,
    /// Held while a regular file is written: the system lets one writer in at a time, and those
    /// that wait there spin, which took a sixth of all CPU time of two threads that write a lot.
    writing: Mutex<()>,
    behind: Behind,
}

impl FileOutput {
    /// Wraps a file that is open for reading and writing.
    ///
    /// # Errors
    /// When the system does not tell what it is, or it is neither a file nor a block device.
    pub fn new(file: File) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a block device"));
        }
        let is_device = kind.is_block_device();
        Ok(Self {
            file,
            is_device,
            punches: AtomicBool::new(true),
            zeroes_range: AtomicBool::new(is_device),
            writing: Mutex::new(()),
            behind: Behind::default(),
        })
    }

    /// Lets the system zero whole blocks. Returns whether it did.
    fn zero_by_system(&self, offset: u64, len_bytes: u64) -> io::Result<bool> {
        // For a block device both are a zeroing of the blocks by the device (since Linux 4.9); the
        // first one only where the device promises that discarded blocks read as zero.
        let ways = [
            (&self.punches, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE),
            (&self.zeroes_range, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE),
        ];
        for (works, flags) in ways {
            if !works.load(Ordering::Relaxed) {
                continue;
            }
            match rustix::fs::fallocate(&self.file, flags, offset, len_bytes) {
                Ok(()) => return Ok(true),
                // EINVAL: blocks of the device that are larger than ours.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => works.store(false, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    fn write_zeros(&self, mut offset: u64, mut len_bytes: u64) -> io::Result<()> {
        while len_bytes > 0 {
            let piece = &ZEROS[..clip(ZEROS.len(), len_bytes)];
            self.file.write_all_at(piece, offset)?;
            offset += u64_from(piece.len());
            len_bytes -= u64_from(piece.len());
        }
        Ok(())
    }
}

impl Output for FileOutput {
    fn len_bytes(&self) -> io::Result<u64> {
        if self.is_device {
            // Metadata give 0 for a device. The position is used by nobody.
            return (&self.file).seek(SeekFrom::End(0));
        }
        Ok(self.file.metadata()?.len())
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let turn = (!self.is_device).then(|| lock(&self.writing));
        self.file.write_all_at(bytes, offset)?;
        drop(turn);
        self.behind.wrote(&self.file, offset..offset + u64_from(bytes.len()));
        Ok(())
    }

    fn zero(&self, offset: u64, len_bytes: u64) -> io::Result<()> {
        let end = offset + len_bytes;
        let (first, last) = (offset.next_multiple_of(BLOCK_BYTES), end - end % BLOCK_BYTES);
        if first >= last {
            return self.write_zeros(offset, len_bytes);
        }
        self.write_zeros(offset, first - offset)?;
        let mut at = first;
        while at < last {
            // A device may take seconds for a large range, and nothing can interrupt it there.
            let piece = (last - at).min(ZERO_AT_ONCE_BYTES_MAX);
            if !self.zero_by_system(at, piece)? {
                self.write_zeros(at, piece)?;
            }
            at += piece;
        }
        self.write_zeros(last, end - last)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn starts_as_zero(&self) -> bool {
        !self.is_device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zeroed_range_reads_as_zero_and_nothing_beside_it_does() {
        for punches in [true, false] {
            let output = FileOutput::new(tempfile::tempfile().unwrap()).unwrap();
            output.punches.store(punches, Ordering::Relaxed);
            output.write_all_at(&[7; 40_000], 0).unwrap();
            for (offset, len_bytes) in [(5, 9), (100, 9000), (12_288, 8192), (39_999, 1)] {
                output.zero(offset, len_bytes).unwrap();
            }
            let mut found = vec![1; 40_000];
            output.read_exact_at(&mut found, 0).unwrap();
            let zeroed = |at: usize| matches!(at, 5..14 | 100..9100 | 12_288..20_480 | 39_999);
            for (at, byte) in found.iter().enumerate() {
                assert_eq!(*byte, if zeroed(at) { 0 } else { 7 }, "byte {at}, holes {punches}");
            }
            assert_eq!(output.len_bytes().unwrap(), 40_000);
        }
    }

    #[test]
    fn what_is_neither_file_nor_device_is_refused() {
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        assert_eq!(FileOutput::new(null).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
