//! `transfer::conformance::sink` over every writer, on a file in memory that loses what was not synced.

use std::sync::Arc;

use diskimage::image::{Disk, MemorySource, NoFiles};
use diskimage::output::MemoryOutput;
use diskimage::{qcow2, vmdk};
use migrate::sink::{Format, ImageTarget, Place};
use transfer::conformance::{self, SinkHarness, SinkOptions};
use transfer::{ErrorKind, Result, Sink, Target};

use super::{formats, seeds};

/// A file in memory, opened again and again.
#[derive(Clone, Default)]
struct Memory(MemoryOutput);

impl Place for Memory {
    type Output = MemoryOutput;

    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&self, _fresh: bool) -> Result<MemoryOutput> {
        Ok(self.0.clone())
    }
}

/// A target on a file in memory, with crashes that take what was not synced.
struct Harness {
    memory: Memory,
    target: ImageTarget<Memory>,
    format: Format,
    capacity: usize,
}

impl Harness {
    fn new(format: Format, capacity: usize) -> Self {
        let memory = Memory::default();
        let target = ImageTarget::new(memory.clone(), format, capacity as u64);
        Self { memory, target, format, capacity }
    }
}

impl SinkHarness for Harness {
    fn target(&self) -> &dyn Target {
        &self.target
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.capacity)
    }

    fn crash(&mut self, sink: Option<Box<dyn Sink>>, seed: u64) -> Result<()> {
        drop(sink);
        self.memory.0.crash(seed);
        Ok(())
    }

    fn read_back(&mut self) -> Result<Vec<u8>> {
        let bytes = self.memory.0.contents();
        if self.format == Format::Raw {
            return Ok(bytes);
        }
        let (source, mut content) = (Arc::new(MemorySource::new(bytes, "memory")), vec![0x5a; self.capacity]);
        let image = match self.format {
            Format::Qcow2 { .. } => qcow2::read::open(source, "memory", &NoFiles, qcow2::read::ReadOptions::default()),
            _ => vmdk::read::open(source, "memory", &NoFiles, vmdk::read::OpenOptions::default()),
        };
        let read = image.and_then(|image| image.read_at(0, &mut content));
        read.map_err(|error| transfer::Error::new(ErrorKind::Corrupt, "read the finished image").with_source(error))?;
        Ok(content)
    }
}

/// A cluster and a bit: unfinished units at the end of the disk, little to copy for the model.
const CAPACITY: usize = 65_536 + 4096;

#[test]
fn every_writer_keeps_the_contract_of_sinks_over_a_crash_at_every_call() {
    for (name, format) in formats() {
        // The number of crashes is that of the calls, the work its square.
        let options = SinkOptions { seeds: 0..seeds(2), content_bytes_max: CAPACITY, writes_max: 10 };
        conformance::sink(&mut Harness::new(format, CAPACITY), &options)
            .unwrap_or_else(|violation| panic!("{name}: {violation}"));
    }
}

#[test]
fn an_error_of_the_disk_below_is_final_and_a_refused_range_is_not() {
    for (name, format) in formats() {
        let harness = Harness::new(format, CAPACITY);
        let sink = harness.target.create().unwrap();
        let too_much = vec![1; CAPACITY + 1];
        assert_eq!(sink.write_at(0, &too_much).unwrap_err().kind(), ErrorKind::Bounds, "{name}");
        sink.write_at(0, &[1; 4096]).unwrap();
        let checkpoint = sink.commit().unwrap();
        harness.memory.0.fail_after(0);
        let failed = sink.write_at(4096, &[2; CAPACITY - 4096]).and_then(|()| sink.commit().map(drop)).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Sink, "{name}: {failed}");
        harness.memory.0.crash(7);
        // The disk is back, but nobody knows what of the failed write is on it.
        assert_eq!(sink.commit().unwrap_err().kind(), ErrorKind::Sink, "{name}");
        assert_eq!(sink.read_at(0, &mut [0]).unwrap_err().kind(), ErrorKind::Sink, "{name}");
        drop(sink);
        let sink = harness.target.reopen(&[checkpoint]).unwrap();
        let mut bytes = [0; 4096];
        sink.read_at(0, &mut bytes).unwrap();
        assert!(bytes == [1; 4096], "{name}");
    }
}

#[test]
fn a_disk_that_no_image_can_have_is_refused_before_anything_is_written() {
    for (name, format) in formats() {
        for capacity in [0, 511] {
            let harness = Harness::new(format, capacity);
            assert_eq!(harness.target.create().err().unwrap().kind(), ErrorKind::Bounds, "{name}, {capacity}");
            assert_eq!(harness.memory.0.calls().changes, 0, "{name}, {capacity}");
        }
    }
}
