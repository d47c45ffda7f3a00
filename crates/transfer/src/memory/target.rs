//! A target in memory that models what a crash leaves; [`super::disk`] is the model.
//!
//! It is a model, not a format: the checkpoint carries a running number and the place where an
//! ascending sink goes on; content is never in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, Survivors};
use crate::source::bounded;
use crate::{Checkpoint, Digests, Error, ErrorKind, Order, Result, Sink, Target};

/// First bytes of a checkpoint; followed by two little-endian u64: running number from 0 at 8,
/// end of the covered content at 16.
const CHECKPOINT_MAGIC: [u8; 8] = *b"memsink1";

/// A [`Target`] in memory; clones are the same target.
#[derive(Clone, Debug)]
pub struct MemoryTarget(Arc<Mutex<Disk>>);

impl MemoryTarget {
    /// Makes a target of fixed capacity that takes writes in any order.
    pub fn any(capacity_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Disk::new(Some(capacity_bytes), false))))
    }

    /// Makes a target that grows with ascending writes, like a plain file.
    pub fn ascending() -> Self {
        Self(Arc::new(Mutex::new(Disk::new(None, true))))
    }

    /// Kills the living sink and drops what was not durable, but for the survivors.
    pub fn crash(&self, survivors: Survivors) {
        self.disk().crash(survivors);
    }

    /// Returns what a reader sees now, durable or not.
    pub fn contents(&self) -> Vec<u8> {
        self.disk().visible.clone()
    }

    /// Returns the capacity, where it is fixed.
    pub fn capacity_bytes(&self) -> Option<usize> {
        self.disk().capacity
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self, life: u64) -> Box<dyn Sink> {
        Box::new(MemorySink { target: self.clone(), life })
    }
}

impl Target for MemoryTarget {
    fn create(&self) -> Result<Box<dyn Sink>> {
        let mut disk = self.disk();
        disk.clear();
        Ok(self.sink(disk.life))
    }

    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        let mut covered = 0;
        for (number, checkpoint) in (0..).zip(checkpoints) {
            covered = covered_by(checkpoint, number)?;
        }
        let mut disk = self.disk();
        let there = disk.durable.len();
        if covered > there {
            return Err(refused(&format!("covers {covered} bytes, but {there} are there")));
        }
        disk.resume(checkpoints.len() as u64, covered);
        Ok(self.sink(disk.life))
    }
}

#[derive(Debug)]
struct MemorySink {
    target: MemoryTarget,
    life: u64,
}

impl MemorySink {
    fn living(&self) -> Result<MutexGuard<'_, Disk>> {
        let disk = self.target.disk();
        if disk.life != self.life {
            return Err(Error::new(ErrorKind::Sink, "use a sink that ended with a crash or a reopen"));
        }
        Ok(disk)
    }
}

impl Sink for MemorySink {
    fn order(&self) -> Order {
        self.target.disk().order()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut disk = self.living()?;
        if !bytes.is_empty() {
            let start = disk.admit("write", offset, bytes.len() as u64)?;
            disk.write(start, bytes.to_vec());
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        let mut disk = self.living()?;
        if len_bytes > 0 {
            let start = disk.admit("write zeros", offset, len_bytes)?;
            let len = usize::try_from(len_bytes).expect("a length below the limit is a usize");
            disk.write(start, vec![0; len]);
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let disk = self.living()?;
        let range = bounded("read back", offset, buf.len() as u64, disk.visible.len() as u64)?;
        let start = usize::try_from(range.start).expect("an offset inside of a slice is a usize");
        buf.copy_from_slice(&disk.visible[start..start + buf.len()]);
        Ok(())
    }

    fn commit(&self) -> Result<Checkpoint> {
        let mut disk = self.living()?;
        disk.make_durable();
        let covered = if disk.ascending { disk.next as u64 } else { 0 };
        let mut bytes = CHECKPOINT_MAGIC.to_vec();
        bytes.extend(disk.checkpoints.to_le_bytes());
        bytes.extend(covered.to_le_bytes());
        disk.checkpoints += 1;
        Checkpoint::new(bytes)
    }

    fn finish(self: Box<Self>) -> Result<Digests> {
        let mut disk = self.living()?;
        disk.make_durable();
        disk.life += 1;
        Ok(Digests::default())
    }
}

/// Returns the end of the content that checkpoint `number` covers.
fn covered_by(checkpoint: &Checkpoint, number: u64) -> Result<usize> {
    let bytes = checkpoint.as_bytes();
    let Some((head, covered)) = bytes.split_last_chunk::<8>() else {
        return Err(refused("is not of a sink in memory"));
    };
    let mut expected = CHECKPOINT_MAGIC.to_vec();
    expected.extend(number.to_le_bytes());
    if head != expected {
        return Err(refused(&format!("is not number {number} of a sink in memory")));
    }
    usize::try_from(u64::from_le_bytes(*covered)).map_err(|_| refused("covers more than memory has"))
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("reopen a target in memory: a checkpoint {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::STALE_BYTE;

    fn written_then_crashed(survivors: Survivors) -> Vec<u8> {
        let target = MemoryTarget::any(4096);
        let sink = target.create().unwrap();
        sink.write_at(0, &[1; 512]).unwrap();
        sink.commit().unwrap();
        sink.write_at(512, &[2; 3584]).unwrap();
        target.crash(survivors);
        assert_eq!(sink.write_at(0, &[3]).unwrap_err().kind(), ErrorKind::Sink, "the sink is dead");
        target.contents()
    }

    #[test]
    fn a_crash_takes_what_was_not_committed_and_nothing_else() {
        let contents = written_then_crashed(Survivors::Nothing);
        assert_eq!(contents[..512], [1; 512]);
        assert_eq!(contents[512..], [STALE_BYTE; 3584]);
    }

    #[test]
    fn a_crash_of_the_process_alone_takes_nothing() {
        let contents = written_then_crashed(Survivors::Everything);
        assert_eq!(contents[512..], [2; 3584]);
    }

    #[test]
    fn a_torn_crash_keeps_some_whole_sectors() {
        let contents = written_then_crashed(Survivors::Sectors { seed: 7 });
        let (kept, lost): (Vec<&[u8]>, Vec<&[u8]>) =
            contents[512..].chunks(512).partition(|sector| **sector == [2; 512]);
        assert!(!kept.is_empty() && !lost.is_empty());
        assert!(lost.iter().all(|sector| **sector == [STALE_BYTE; 512]));
        assert_eq!(contents[..512], [1; 512]);
    }
}
