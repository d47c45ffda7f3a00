//! What the tests of this folder share: random contents, random calls, and a byte-vector model.

use std::ops::Range;

use diskimage::Result;
use diskimage::qcow2::write::{Compression, Options, Qcow2Writer};

/// A generator that gives the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap() % limit
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    /// Makes bytes in runs of text, noise and zeros, so that clusters of every kind come about.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let run = 1 + self.below(100_000);
            let end = len.min(bytes.len() + run);
            match self.below(3) {
                0 => bytes.resize(end, 0),
                1 => bytes.extend((bytes.len()..end).map(|at| b'a' + u8::try_from(at / 50 % 26).unwrap())),
                _ => bytes.extend(std::iter::repeat_with(|| self.next().to_be_bytes()[1]).take(end - bytes.len())),
            }
        }
        bytes
    }
}

/// One call to a writer.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Write { offset: usize, bytes: Vec<u8> },
    Zeroes { range: Range<usize> },
    Commit,
}

impl Call {
    pub(crate) fn random(random: &mut Random, capacity: usize) -> Self {
        let offset = random.below(capacity);
        let longest = [5000, 70_000, 300_000][random.below(3)];
        let mut range = offset..capacity.min(offset + 1 + random.below(longest));
        if random.one_in(3) {
            // Whole clusters.
            range.start -= range.start % 65536;
            range.end = capacity.min(range.end.next_multiple_of(65536));
        }
        match random.below(8) {
            0 | 1 => Self::Commit,
            2 => Self::Zeroes { range },
            _ => Self::Write { offset: range.start, bytes: random.bytes(range.len()) },
        }
    }
}

/// What a reader must find, as far as anything is promised.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) values: Vec<u8>,
    /// Whether a byte has a defined value.
    pub(crate) known: Vec<bool>,
    /// What each checkpoint covers.
    pub(crate) checkpoints: Vec<(Vec<u8>, Vec<u8>, Vec<bool>)>,
}

impl Model {
    /// A new disk: all zeros, which this writer promises though its seam does not.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { values: vec![0; capacity], known: vec![true; capacity], checkpoints: Vec::new() }
    }

    /// Makes a call and notes what it does. A failed call leaves its bytes undefined.
    pub(crate) fn apply(&mut self, writer: &Qcow2Writer, call: &Call) -> Result<()> {
        let (range, outcome) = match call {
            Call::Commit => {
                let checkpoint = writer.commit()?;
                self.checkpoints.push((checkpoint, self.values.clone(), self.known.clone()));
                return Ok(());
            }
            Call::Write { offset, bytes } => {
                let range = *offset..offset + bytes.len();
                self.values[range.clone()].copy_from_slice(bytes);
                (range, writer.write_at(u64::try_from(*offset).unwrap(), bytes))
            }
            Call::Zeroes { range } => {
                self.values[range.clone()].fill(0);
                let len = u64::try_from(range.len()).unwrap();
                (range.clone(), writer.write_zeroes(u64::try_from(range.start).unwrap(), len))
            }
        };
        // What is written again is no longer promised by an earlier checkpoint.
        for (_, _, known) in &mut self.checkpoints {
            known[range.clone()].fill(false);
        }
        self.known[range].fill(outcome.is_ok());
        outcome
    }

    /// Forgets what a crash took, but for `kept` checkpoints.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.checkpoints.truncate(kept);
        let capacity = self.values.len();
        (self.values, self.known) = match self.checkpoints.last() {
            Some((_, values, known)) => (values.clone(), known.clone()),
            None => (vec![0; capacity], vec![true; capacity]),
        };
    }

    pub(crate) fn list(&self) -> Vec<Vec<u8>> {
        self.checkpoints.iter().map(|(checkpoint, _, _)| checkpoint.clone()).collect()
    }

    /// Writes what has no defined value, so that all of it has one.
    pub(crate) fn complete(&mut self, writer: &Qcow2Writer, random: &mut Random) -> Result<()> {
        let unknown: Vec<Range<usize>> = {
            let mut start = 0;
            let runs = self.known.chunk_by(|left, right| left == right).map(|run| {
                start += run.len();
                (start - run.len()..start, run[0])
            });
            runs.filter(|(_, known)| !known).map(|(range, _)| range).collect()
        };
        for range in unknown {
            let bytes = random.bytes(range.len());
            self.apply(writer, &Call::Write { offset: range.start, bytes })?;
        }
        Ok(())
    }

    /// Compares what is known with `found`, and says where it differs.
    pub(crate) fn check(&self, found: &[u8], what: &str) {
        assert_eq!(found.len(), self.values.len(), "{what}");
        for (start, chunk) in (0..).step_by(4096).zip(found.chunks(4096)) {
            let (values, known) = (&self.values[start..start + chunk.len()], &self.known[start..start + chunk.len()]);
            if chunk == values {
                continue;
            }
            if let Some(at) = (0..chunk.len()).find(|at| known[*at] && chunk[*at] != values[*at]) {
                let (is, should) = (chunk[at], values[at]);
                let at = start + at;
                panic!("{what}: byte {at} (cluster {}) is {is} and should be {should}", at / 65536);
            }
        }
    }

    /// Reads all through the writer and compares.
    pub(crate) fn check_writer(&self, writer: &Qcow2Writer, what: &str) {
        let mut found = vec![0x5a; self.values.len()];
        writer.read_at(0, &mut found).unwrap();
        self.check(&found, what);
    }
}

/// The variants of an image that differ in how they are written.
pub(crate) const COMPRESSIONS: [Option<Compression>; 4] =
    [None, Some(Compression::Deflate), Some(Compression::Deflate12), Some(Compression::Zstd)];

pub(crate) fn options(capacity: usize, compression: Option<Compression>) -> Options {
    Options { compression, ..Options::new(u64::try_from(capacity).unwrap()) }
}
