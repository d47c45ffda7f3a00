//! Puts sectors together from chunks that are cut anywhere.

use crate::number::u64_from;
use crate::vmdk::layout::{SECTOR_LEN, SectorBytes};

/// Holds the beginning of a sector whose end has not come yet.
#[derive(Debug)]
pub(super) struct SectorCutter {
    pending: SectorBytes,
    len: usize,
}

impl Default for SectorCutter {
    fn default() -> Self {
        Self { pending: [0; SECTOR_LEN], len: 0 }
    }
}

impl SectorCutter {
    /// Takes the next sector off `bytes`; when it is not complete, keeps what there is.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<SectorBytes> {
        if self.len == 0
            && let Some((sector, rest)) = bytes.split_first_chunk::<SECTOR_LEN>()
        {
            *bytes = rest;
            return Some(*sector);
        }
        let wanted = (SECTOR_LEN - self.len).min(bytes.len());
        let (taken, rest) = bytes.split_at(wanted);
        self.pending[self.len..self.len + wanted].copy_from_slice(taken);
        self.len += wanted;
        *bytes = rest;
        (self.len == SECTOR_LEN).then(|| {
            self.len = 0;
            self.pending
        })
    }

    /// Returns how many bytes of an incomplete sector are held.
    pub(super) fn pending_bytes(&self) -> u64 {
        u64_from(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_come_out_whole_however_the_input_is_cut() {
        let input: Vec<u8> = (0..5 * SECTOR_LEN).map(|i| (i / 7).to_le_bytes()[0]).collect();
        for chunk in [1, 3, 511, 512, 513, 2000] {
            let mut cutter = SectorCutter::default();
            let mut output = Vec::new();
            for mut bytes in input.chunks(chunk) {
                while let Some(sector) = cutter.take(&mut bytes) {
                    output.extend_from_slice(&sector);
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(output, input, "chunks of {chunk}");
            assert_eq!(cutter.pending_bytes(), 0);
        }
    }
}
