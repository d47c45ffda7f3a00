//! Sinks and targets that fail on plan.

use super::plan::{Call, Fault, Hit};
use super::{Faulty, planned};
use crate::{Checkpoint, Digests, ErrorKind, Order, Result, Sink, Target};

impl<S: Sink> Faulty<S> {
    /// Runs a call over `len` bytes from `offset`: `part(n)` does its first n bytes, `spoilt(n)`
    /// does all of it with the byte at n changed.
    fn run(
        &self,
        call: Call,
        (offset, len): (u64, u64),
        part: &mut dyn FnMut(usize) -> Result<()>,
        spoilt: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        self.state.check(call)?;
        let whole = usize::try_from(len).unwrap_or(usize::MAX);
        let result = match self.faults.next(call, offset..offset.saturating_add(len)) {
            None => part(whole),
            Some(Hit { fault: Fault::Fail(kind), .. }) => Err(planned(kind, call)),
            Some(Hit { fault: Fault::Corrupt, .. }) if len == 0 => part(0),
            Some(Hit { fault: Fault::Corrupt, before }) => spoilt(before),
            Some(Hit { fault: Fault::Short, before }) => {
                let kind = if call == Call::ReadAt { ErrorKind::Short } else { ErrorKind::Full };
                part(before).and(Err(planned(kind, call)))
            }
            Some(Hit { fault: Fault::Reset, before }) => part(before).and(Err(planned(ErrorKind::Sink, call))),
        };
        result.map_err(|error| self.state.break_with(error))
    }
}

impl<S: Sink> Sink for Faulty<S> {
    fn order(&self) -> Order {
        self.inner.order()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut part = |len: usize| self.inner.write_at(offset, &bytes[..len]);
        let mut spoilt = |place| self.inner.write_at(offset, &with_changed_byte(bytes, place));
        self.run(Call::WriteAt, (offset, bytes.len() as u64), &mut part, &mut spoilt)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        let mut part = |len: usize| self.inner.write_zeroes(offset, len as u64);
        let mut spoilt = |place: usize| {
            // One byte is not zero; the rest is, without holding all of it in memory.
            let (head, tail) = (place as u64, len_bytes.saturating_sub(place as u64 + 1));
            self.inner.write_zeroes(offset, head)?;
            self.inner.write_at(offset + head, &[1])?;
            self.inner.write_zeroes(offset + head + 1, tail)
        };
        self.run(Call::WriteZeroes, (offset, len_bytes), &mut part, &mut spoilt)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = buf.len() as u64;
        let buf = std::cell::RefCell::new(buf);
        let mut part = |len: usize| self.inner.read_at(offset, &mut buf.borrow_mut()[..len]);
        let mut spoilt = |place: usize| {
            let mut buf = buf.borrow_mut();
            self.inner.read_at(offset, &mut buf)?;
            if let Some(byte) = buf.get_mut(place) {
                *byte ^= 1;
            }
            Ok(())
        };
        self.run(Call::ReadAt, (offset, len), &mut part, &mut spoilt)
    }

    fn commit(&self) -> Result<Checkpoint> {
        self.state.check(Call::Commit)?;
        let result = match self.faults.answer(Call::Commit, ErrorKind::Sink) {
            None => self.inner.commit(),
            Some((false, error)) => Err(error),
            Some((true, error)) => self.inner.commit().and(Err(error)),
        };
        result.map_err(|error| self.state.break_with(error))
    }

    fn finish(self: Box<Self>) -> Result<Digests> {
        self.state.check(Call::Finish)?;
        let Self { inner, faults, .. } = *self;
        match faults.answer(Call::Finish, ErrorKind::Sink) {
            None => Box::new(inner).finish(),
            Some((false, error)) => Err(error),
            Some((true, error)) => Box::new(inner).finish().and(Err(error)),
        }
    }
}

impl<T: Target> Target for Faulty<T> {
    fn create(&self) -> Result<Box<dyn Sink>> {
        match self.faults.answer(Call::Create, ErrorKind::Sink) {
            None => Ok(self.wrap(self.inner.create()?)),
            Some((false, error)) => Err(error),
            Some((true, error)) => self.inner.create().and(Err(error)),
        }
    }

    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        match self.faults.answer(Call::Reopen, ErrorKind::Sink) {
            None => Ok(self.wrap(self.inner.reopen(checkpoints)?)),
            Some((false, error)) => Err(error),
            Some((true, error)) => self.inner.reopen(checkpoints).and(Err(error)),
        }
    }
}

impl<T: Target> Faulty<T> {
    fn wrap(&self, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        Box::new(Faulty::new(sink, self.faults.clone()))
    }
}

fn with_changed_byte(bytes: &[u8], place: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= 1;
    }
    changed
}
