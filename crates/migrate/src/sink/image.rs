//! The writers as sinks: two that take any order, and one that takes ascending writes.

use diskimage::qcow2::write::Qcow2Writer;
use diskimage::raw::write::RawWriter;
use diskimage::vmdk::write::VmdkWriter;
use transfer::{Checkpoint, Digests, Error, ErrorKind, Order, Result, Sink};

use super::error::{of_finishing, of_writing};

/// Implements [`Sink`] for a writer, under a name of its own; `$order` and `$admit` are functions of the
/// writer, and of the writer and a range.
macro_rules! sink {
    ($(#[$documentation:meta])* $sink:ident, $writer:ty, $order:expr, $admit:expr) => {
        $(#[$documentation])*
        #[derive(Debug)]
        pub struct $sink {
            writer: $writer,
            name: String,
        }

        impl $sink {
            /// Wraps a writer; `name` says in errors what it writes.
            pub fn new(writer: $writer, name: impl Into<String>) -> Self {
                Self { writer, name: name.into() }
            }

            fn failed(&self, doing: &str, error: diskimage::Error) -> Error {
                of_writing(doing, &self.name, error)
            }
        }

        impl Sink for $sink {
            fn order(&self) -> Order {
                $order(&self.writer)
            }

            fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
                if bytes.is_empty() {
                    return Ok(());
                }
                $admit(&self.writer, offset)?;
                inside("write", offset, bytes.len() as u64, self.writer.capacity_bytes())?;
                self.writer.write_at(offset, bytes).map_err(|error| self.failed("write", error))
            }

            fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
                if len_bytes == 0 {
                    return Ok(());
                }
                $admit(&self.writer, offset)?;
                inside("zero", offset, len_bytes, self.writer.capacity_bytes())?;
                self.writer.write_zeroes(offset, len_bytes).map_err(|error| self.failed("write", error))
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                inside("read", offset, buf.len() as u64, self.writer.capacity_bytes())?;
                self.writer.read_at(offset, buf).map_err(|error| self.failed("read back", error))
            }

            fn commit(&self) -> Result<Checkpoint> {
                Checkpoint::new(self.writer.commit().map_err(|error| self.failed("sync", error))?)
            }

            fn finish(self: Box<Self>) -> Result<Digests> {
                let Self { writer, name } = *self;
                writer.finish().map_err(|error| of_finishing(&name, error))?;
                Ok(Digests::default())
            }
        }
    };
}

sink!(
    /// A raw disk, in a file or on a block device.
    RawSink,
    RawWriter,
    |_: &RawWriter| Order::Any,
    |_: &RawWriter, _| Ok(())
);

sink!(
    /// A qcow2 image.
    Qcow2Sink,
    Qcow2Writer,
    |_: &Qcow2Writer| Order::Any,
    |_: &Qcow2Writer, _| Ok(())
);

sink!(
    /// A streamOptimized VMDK, written from its start to its end.
    StreamSink,
    VmdkWriter,
    |writer: &VmdkWriter| Order::Ascending { next: writer.next_offset() },
    is_next
);

/// Refuses a write that leaves a gap or goes back.
fn is_next(writer: &VmdkWriter, offset: u64) -> Result<()> {
    let next = writer.next_offset();
    if offset == next {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Order, format!("write at offset {offset}: the next byte is {next}")))
}

/// Refuses a range outside of the disk before a writer sees it.
fn inside(doing: &str, offset: u64, len_bytes: u64, capacity_bytes: u64) -> Result<()> {
    if offset.checked_add(len_bytes).is_some_and(|end| end <= capacity_bytes) {
        return Ok(());
    }
    let context = format!("{doing} {len_bytes} bytes at offset {offset}: the disk ends at {capacity_bytes}");
    Err(Error::new(ErrorKind::Bounds, context))
}
