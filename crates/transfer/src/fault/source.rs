//! Sources that fail on plan.

use std::ops::Range;

use bytes::Bytes;

use super::plan::{Call, Fault, Hit};
use super::{Faulty, planned};
use crate::{ErrorKind, Extent, RangeSource, Result, StreamSource};

impl<S: RangeSource> RangeSource for Faulty<S> {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }

    fn extents(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        match self.faults.answer(Call::Extents, ErrorKind::Source) {
            Some((_, error)) => Err(error),
            None => self.inner.extents(range),
        }
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(buf.len() as u64);
        let Some(Hit { fault, before }) = self.faults.next(Call::ReadRange, range) else {
            return self.inner.read_range(offset, buf);
        };
        let kind = match fault {
            Fault::Fail(kind) => return Err(planned(kind, Call::ReadRange)),
            Fault::Corrupt => {
                self.inner.read_range(offset, buf)?;
                if let Some(byte) = buf.get_mut(before) {
                    *byte ^= 1;
                }
                return Ok(());
            }
            Fault::Short => ErrorKind::Short,
            Fault::Reset => ErrorKind::Source,
        };
        self.inner.read_range(offset, &mut buf[..before])?;
        Err(planned(kind, Call::ReadRange))
    }
}

impl<S: StreamSource> StreamSource for Faulty<S> {
    fn restart(&mut self) -> Result<()> {
        if let Some((worked, error)) = self.faults.answer(Call::Restart, ErrorKind::Source) {
            if worked {
                self.inner.restart()?;
            }
            return Err(self.state.break_with(error));
        }
        self.inner.restart()?;
        self.state.mend();
        Ok(())
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        self.state.check(Call::NextBytes)?;
        if self.state.ended {
            return Ok(None);
        }
        let piece = self.inner.next_bytes().map_err(|error| self.state.break_with(error))?.unwrap_or_default();
        let start = self.state.position;
        self.state.position += piece.len() as u64;
        let Some(Hit { fault, before }) = self.faults.next(Call::NextBytes, start..self.state.position) else {
            return Ok(some_unless_empty(piece));
        };
        match fault {
            Fault::Fail(kind) => Err(self.state.break_with(planned(kind, Call::NextBytes))),
            Fault::Corrupt => {
                let mut bytes = piece.to_vec();
                if let Some(byte) = bytes.get_mut(before) {
                    *byte ^= 1;
                }
                Ok(some_unless_empty(Bytes::from(bytes)))
            }
            Fault::Short => {
                self.state.ended = true;
                Ok(some_unless_empty(piece.slice(..before)))
            }
            Fault::Reset => {
                let error = self.state.break_with(planned(ErrorKind::Source, Call::NextBytes));
                if before == 0 { Err(error) } else { Ok(Some(piece.slice(..before))) }
            }
        }
    }
}

/// Returns what a stream says when these are its next bytes.
fn some_unless_empty(piece: Bytes) -> Option<Bytes> {
    if piece.is_empty() { None } else { Some(piece) }
}
