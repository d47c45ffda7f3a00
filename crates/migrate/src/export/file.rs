//! A file that takes a stream as it comes: the sink of the lease road.
//!
//! The stream is written verbatim, front to back, and hashed on the way. A checkpoint is the number
//! of bytes that are durable; a reopen cuts the file there and hashes again what it keeps, because a
//! hash in progress cannot be stored.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use transfer::{Checkpoint, Digests, Error, ErrorKind, Order, Result, Sha256Digest, Sink, Target};

/// Read when a reopened file is hashed again.
const REHASH_BYTES: usize = 1 << 20;

/// Zeros that are written at a time: a stream has few, so nothing is gained by a hole.
const ZEROES: [u8; 4096] = [0; 4096];

/// A path that streams are written to, under its temporary name.
#[derive(Debug)]
pub(super) struct StreamFile {
    path: PathBuf,
}

impl StreamFile {
    /// Names the file; nothing is opened yet.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn open(&self, fresh: bool) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        if fresh {
            options.create(true).truncate(true);
        }
        options.open(&self.path).map_err(|error| failed("open", &self.path, error))
    }
}

impl Target for StreamFile {
    fn create(&self) -> Result<Box<dyn Sink>> {
        let file = self.open(true)?;
        Ok(Box::new(StreamSink::new(file, &self.path)))
    }

    fn reopen(&self, checkpoints: &[Checkpoint]) -> Result<Box<dyn Sink>> {
        let Some(newest) = checkpoints.last() else { return self.create() };
        let mut kept = 0;
        for checkpoint in checkpoints {
            let bytes: [u8; 8] = checkpoint.as_bytes().try_into().map_err(|_| self.foreign("is no length"))?;
            let length = u64::from_le_bytes(bytes);
            if length < kept {
                return Err(self.foreign("goes back"));
            }
            kept = length;
        }
        debug_assert_eq!(newest.as_bytes(), kept.to_le_bytes());
        let file = self.open(false)?;
        let length = file.metadata().map_err(|error| failed("look at", &self.path, error))?.len();
        if length < kept {
            return Err(self.foreign("covers more than the file has"));
        }
        let mut sink = StreamSink::new(file, &self.path);
        sink.rehash(kept)?;
        Ok(Box::new(sink))
    }
}

impl StreamFile {
    fn foreign(&self, what: &str) -> Error {
        Error::new(ErrorKind::Checkpoint, format!("reopen {}: a checkpoint {what}", self.path.display()))
    }
}

struct StreamSink {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    next: u64,
    sha256: Sha256,
    /// Set by the first error, which is final.
    failed: bool,
}

impl StreamSink {
    fn new(file: File, path: &Path) -> Self {
        let state = State { next: 0, sha256: Sha256::new(), failed: false };
        Self { file, path: path.to_owned(), state: Mutex::new(state) }
    }

    /// Takes over the first `kept` bytes and cuts the file behind them.
    fn rehash(&mut self, kept: u64) -> Result<()> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = vec![0; REHASH_BYTES];
        while state.next < kept {
            let length = usize::try_from(kept - state.next).unwrap_or(usize::MAX).min(REHASH_BYTES);
            let part = &mut buffer[..length];
            self.file.read_exact_at(part, state.next).map_err(|error| failed("read", &self.path, error))?;
            state.sha256.update(&*part);
            state.next += length as u64;
        }
        self.file.set_len(kept).map_err(|error| failed("cut", &self.path, error))
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed {
            let context = format!("write {}: an earlier error was final", self.path.display());
            return Err(Error::new(ErrorKind::Sink, context));
        }
        Ok(state)
    }

    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.at(offset)?;
        if let Err(error) = self.file.write_all_at(bytes, offset) {
            state.failed = true;
            return Err(failed("write", &self.path, error));
        }
        state.sha256.update(bytes);
        state.next += bytes.len() as u64;
        Ok(())
    }

    /// Returns the state if the next byte is the one at `offset`.
    fn at(&self, offset: u64) -> Result<MutexGuard<'_, State>> {
        let state = self.state()?;
        if offset != state.next {
            let context = format!("write {} at {offset}: the next byte is {}", self.path.display(), state.next);
            return Err(Error::new(ErrorKind::Order, context));
        }
        Ok(state)
    }
}

impl Sink for StreamSink {
    fn order(&self) -> Order {
        Order::Ascending { next: self.state.lock().unwrap_or_else(PoisonError::into_inner).next }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.append(offset, bytes)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        drop(self.at(offset)?);
        let too_many = || Error::new(ErrorKind::Bounds, format!("write {len_bytes} zeros at {offset}: too many"));
        let end = offset.checked_add(len_bytes).ok_or_else(too_many)?;
        let mut at = offset;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROES.len());
            self.append(at, &ZEROES[..length])?;
            at += length as u64;
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let next = self.state()?.next;
        let inside = offset.checked_add(buf.len() as u64).is_some_and(|end| end <= next);
        if !inside {
            let context = format!("read {} at {offset}: only {next} bytes are there", self.path.display());
            return Err(Error::new(ErrorKind::Bounds, context));
        }
        self.file.read_exact_at(buf, offset).map_err(|error| failed("read", &self.path, error))
    }

    fn commit(&self) -> Result<Checkpoint> {
        // Taken before the sync: writes that run beside it may not be covered.
        let next = self.state()?.next;
        if let Err(error) = self.file.sync_data() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
            return Err(failed("sync", &self.path, error));
        }
        Checkpoint::new(next.to_le_bytes().to_vec())
    }

    fn finish(self: Box<Self>) -> Result<Digests> {
        drop(self.state()?);
        self.file.sync_all().map_err(|error| failed("sync", &self.path, error))?;
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Digests::of_file(Sha256Digest(state.sha256.finalize().into())))
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::sink_io(format!("{doing} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use transfer::conformance::{self, SinkHarness, SinkOptions};

    use super::*;

    /// A crash is played by putting garbage behind what the sink wrote last.
    struct Harness {
        folder: tempfile::TempDir,
        target: StreamFile,
    }

    impl Harness {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let target = StreamFile::new(folder.path().join("stream"));
            Self { folder, target }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("stream")
        }
    }

    impl SinkHarness for Harness {
        fn target(&self) -> &dyn Target {
            &self.target
        }

        fn capacity_bytes(&self) -> Option<usize> {
            None
        }

        fn crash(&mut self, sink: Option<Box<dyn Sink>>, seed: u64) -> Result<()> {
            let Some(Order::Ascending { next: written }) = sink.as_ref().map(|sink| sink.order()) else {
                return Ok(());
            };
            drop(sink);
            let file = OpenOptions::new().write(true).open(self.path()).unwrap();
            let garbage = vec![0xa5; usize::try_from(seed % 5000).unwrap()];
            file.write_all_at(&garbage, written).unwrap();
            Ok(())
        }

        fn read_back(&mut self) -> Result<Vec<u8>> {
            Ok(fs::read(self.path()).unwrap())
        }
    }

    #[test]
    fn a_stream_file_keeps_the_contract_of_sinks() {
        let options = SinkOptions { seeds: 0..1, content_bytes_max: 20_000, writes_max: 12 };
        conformance::sink(&mut Harness::new(), &options).unwrap();
    }

    #[test]
    fn a_reopened_file_has_the_hash_of_the_whole() {
        let harness = Harness::new();
        let sink = harness.target.create().unwrap();
        sink.write_at(0, b"kept").unwrap();
        let checkpoint = sink.commit().unwrap();
        sink.write_at(4, b"lost").unwrap();
        drop(sink);
        let sink = harness.target.reopen(&[checkpoint]).unwrap();
        assert_eq!(sink.order(), Order::Ascending { next: 4 });
        sink.write_at(4, b" and new").unwrap();
        let digests = sink.finish().unwrap();
        assert_eq!(digests.file_sha256, Some(Sha256Digest(Sha256::digest(b"kept and new").into())));
        assert_eq!(fs::read(harness.path()).unwrap(), b"kept and new");
    }
}
