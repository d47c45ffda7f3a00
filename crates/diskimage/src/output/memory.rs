//! A file in memory that forgets what was not synced, and fails on demand.
//!
//! A power cut is two steps: [`MemoryOutput::fail_after`] lets every call beyond a number fail, as
//! a disk that is gone does, and [`MemoryOutput::crash`] then keeps some of what was not synced:
//! each sector either survives, or is what it was, or (behind the durable end) is garbage.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BLOCK_LEN, Output};

/// What survives a crash as a whole: the sector, as disks promise it.
const SECTOR_LEN: usize = 512;

/// What a block of a file may hold that was made longer and never synced.
const GARBAGE: u8 = 0xa5;

/// How often a file in memory was asked to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputCalls {
    /// Calls that change something or make it durable, of any kind.
    pub changes: u64,
    /// Calls that write bytes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Whole blocks of zeros among them.
    pub written_zero_blocks: u64,
    /// Calls that zero a range.
    pub zeroes: u64,
    /// Syncs.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct State {
    visible: Vec<u8>,
    durable: Vec<u8>,
    calls: OutputCalls,
    fail_after: Option<u64>,
}

/// A file in memory; clones are the same file.
#[derive(Clone, Debug, Default)]
pub struct MemoryOutput(Arc<Mutex<State>>);

impl MemoryOutput {
    /// Makes a file that holds `bytes`, durably.
    #[must_use]
    pub fn holding(bytes: Vec<u8>) -> Self {
        let state = State { durable: bytes.clone(), visible: bytes, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns what a reader sees now, durable or not.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.state().visible.clone()
    }

    /// Returns what was called so far.
    #[must_use]
    pub fn calls(&self) -> OutputCalls {
        self.state().calls
    }

    /// Lets `changes` more calls change something, and fails each one after them.
    pub fn fail_after(&self, changes: u64) {
        let mut state = self.state();
        state.fail_after = Some(state.calls.changes + changes);
    }

    /// Keeps what is durable and, by `seed`, some of the rest; failures end.
    pub fn crash(&self, seed: u64) {
        let mut state = self.state();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % limit
        };
        let keeps_length = below(2) == 0;
        let len = if keeps_length { state.visible.len() } else { state.durable.len() };
        let mut left = std::mem::take(&mut state.durable);
        let durable_len = left.len();
        left.resize(len, 0);
        for start in (0..len.min(state.visible.len())).step_by(SECTOR_LEN) {
            let end = (start + SECTOR_LEN).min(len).min(state.visible.len());
            match below(3) {
                0 => {}
                1 if start >= durable_len => left[start..end].fill(GARBAGE),
                _ => left[start..end].copy_from_slice(&state.visible[start..end]),
            }
        }
        state.visible = left.clone();
        state.durable = left;
        state.fail_after = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that changes something.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.fail_after.is_some_and(|last| state.calls.changes >= last) {
            return Err(io::Error::other("the power is cut"));
        }
        state.calls.changes += 1;
        Ok(state)
    }
}

impl Output for MemoryOutput {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(crate::number::u64_from(self.state().visible.len()))
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change()?.visible.resize(len, 0);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let found = state.visible.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + bytes.len();
        if state.visible.len() < end {
            state.visible.resize(end, 0);
        }
        state.visible[start..end].copy_from_slice(bytes);
        let into_block = (BLOCK_LEN - start % BLOCK_LEN) % BLOCK_LEN;
        let blocks = bytes.get(into_block..).unwrap_or_default().chunks_exact(BLOCK_LEN);
        let zero_blocks = blocks.filter(|block| super::is_zero(block)).count();
        state.calls.writes += 1;
        state.calls.written_bytes += crate::number::u64_from(bytes.len());
        state.calls.written_zero_blocks += crate::number::u64_from(zero_blocks);
        Ok(())
    }

    fn zero(&self, offset: u64, len_bytes: u64) -> io::Result<()> {
        let mut state = self.change()?;
        state.calls.zeroes += 1;
        let len = crate::number::u64_from(state.visible.len());
        let start = offset.min(len);
        let end = (start + len_bytes.min(len - start)).min(len);
        let place = |at| usize::try_from(at).expect("an offset inside of memory");
        state.visible[place(start)..place(end)].fill(0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.calls.syncs += 1;
        state.durable = state.visible.clone();
        Ok(())
    }

    fn starts_as_zero(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_of_the_rest() {
        let output = MemoryOutput::default();
        output.write_all_at(&[1; 4096], 0).unwrap();
        output.sync().unwrap();
        output.write_all_at(&[2; 4096], 0).unwrap();
        output.crash(3);
        let contents = output.contents();
        let new = contents.chunks(512).filter(|sector| **sector == [2; 512]).count();
        let old = contents.chunks(512).filter(|sector| **sector == [1; 512]).count();
        assert!(new > 0 && old > 0 && new + old == 8, "{new} new, {old} old");
    }

    #[test]
    fn calls_beyond_a_power_cut_fail_and_change_nothing() {
        let output = MemoryOutput::default();
        output.fail_after(1);
        output.write_all_at(&[1; 10], 0).unwrap();
        assert!(output.write_all_at(&[2; 10], 0).is_err());
        assert!(output.sync().is_err());
        assert_eq!(output.contents(), [1; 10]);
        output.crash(0);
        output.sync().unwrap();
    }
}
