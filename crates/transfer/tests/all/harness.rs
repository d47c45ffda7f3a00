//! A harness over a target in memory, bare or wrapped.

use transfer::conformance::SinkHarness;
use transfer::memory::{MemoryTarget, Survivors};
use transfer::{Result, Sink, Target};

/// Tests `target`, which writes to `disk`.
#[derive(Debug)]
pub(crate) struct MemoryHarness<T> {
    pub(crate) disk: MemoryTarget,
    pub(crate) target: T,
}

impl<T: Target> SinkHarness for MemoryHarness<T> {
    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.disk.capacity_bytes()
    }

    fn crash(&mut self, sink: Option<Box<dyn Sink>>, seed: u64) -> Result<()> {
        self.disk.crash(match seed % 3 {
            0 => Survivors::Nothing,
            1 => Survivors::Everything,
            _ => Survivors::Sectors { seed },
        });
        drop(sink);
        Ok(())
    }

    fn read_back(&mut self) -> Result<Vec<u8>> {
        Ok(self.disk.contents())
    }
}

/// Content of `len` bytes, a third of it zeros in runs that cross blocks of 4 KiB.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let byte = |place: usize| if place / 5000 % 3 == 1 { 0 } else { u8::try_from(place % 251).unwrap_or(0) };
    (0..len).map(byte).collect()
}
