//! What the tests of all writers share: random contents, random calls, a byte-vector model, and a
//! crash at every change of the file.

use std::ops::Range;

use diskimage::Result;
use diskimage::image::{Disk, ExtentKind, extents};
use diskimage::output::MemoryOutput;
use diskimage::qcow2::write::Qcow2Writer;
use diskimage::raw::write::RawWriter;

/// What all writers can do.
pub(crate) trait Writer: Send + Sync {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()>;
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;
    fn commit(&self) -> Result<Vec<u8>>;
    fn finish(self: Box<Self>) -> Result<()>;
}

macro_rules! writer {
    ($writer:ty) => {
        impl Writer for $writer {
            fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
                self.write_at(offset, bytes)
            }

            fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<()> {
                self.write_zeroes(offset, len_bytes)
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                self.read_at(offset, buf)
            }

            fn commit(&self) -> Result<Vec<u8>> {
                self.commit()
            }

            fn finish(self: Box<Self>) -> Result<()> {
                (*self).finish().map(drop)
            }
        }
    };
}

writer!(Qcow2Writer);
writer!(RawWriter);

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
    pub(crate) fn apply(&mut self, writer: &dyn Writer, call: &Call) -> Result<()> {
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
    pub(crate) fn complete(&mut self, writer: &dyn Writer, random: &mut Random) -> Result<()> {
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
    pub(crate) fn check_writer(&self, writer: &dyn Writer, what: &str) {
        let mut found = vec![0x5a; self.values.len()];
        writer.read_at(0, &mut found).unwrap();
        self.check(&found, what);
    }
}

/// Makes a writer from nothing or, where there are any, from checkpoints.
pub(crate) type Open<'a> = dyn Fn(MemoryOutput, &[Vec<u8>]) -> Result<Box<dyn Writer>> + 'a;

/// A writer under test, as the crash runs need it.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    pub(crate) capacity: usize,
    pub(crate) open: &'a Open<'a>,
    /// Reads a finished disk by other means than the writer's.
    pub(crate) read_back: &'a dyn Fn(Vec<u8>) -> Vec<u8>,
    /// Looks at the file of a writer that was reopened.
    pub(crate) look: &'a dyn Fn(Vec<u8>),
}

impl Subject<'_> {
    /// Runs a script with a power cut after `changes` changes of the file, goes on over two more
    /// crashes, completes, and returns whether the cut came before the end.
    pub(crate) fn crash_run(&self, seed: u64, changes: u64) -> bool {
        let what = format!("{}, seed {seed}, power cut after {changes}", self.name);
        let output = MemoryOutput::default();
        let mut random = Random::new(seed);
        let mut model = Model::new(self.capacity);
        let mut life = (self.open)(output.clone(), &[]).unwrap();
        output.fail_after(changes);
        let calls: Vec<Call> = (0..14).map(|_| Call::random(&mut random, self.capacity)).collect();
        let mut cut = calls.iter().any(|call| model.apply(&*life, call).is_err());
        if cut {
            assert!(life.write_at(0, &[1]).is_err(), "{what}: a failed writer refuses");
            drop(life);
        } else {
            cut = life.finish().is_err();
        }
        let mut random = Random::new(seed ^ changes << 8);
        let mut stored = 0;
        for round in 0..2 {
            stored += random.below(model.checkpoints.len() - stored + 1);
            life = self.crash_and_reopen(&output, &mut model, stored, &mut random);
            model.check_writer(&*life, &format!("{what}, reopened {round}"));
            for _ in 0..3 {
                model.apply(&*life, &Call::random(&mut random, self.capacity)).unwrap();
            }
            drop(life);
        }
        let all = model.checkpoints.len();
        life = self.crash_and_reopen(&output, &mut model, all, &mut random);
        // After its end, the list still counts; so this is done twice.
        for round in 0..2 {
            model.complete(&*life, &mut random).unwrap();
            model.check_writer(&*life, &format!("{what}, completed {round}"));
            life.finish().unwrap();
            model.check(&(self.read_back)(output.contents()), &format!("{what}, finished {round}"));
            life = self.crash_and_reopen(&output, &mut model, all, &mut random);
            model.check_writer(&*life, &format!("{what}, reopened after end {round}"));
        }
        cut
    }

    fn crash_and_reopen(
        &self,
        output: &MemoryOutput,
        model: &mut Model,
        kept: usize,
        random: &mut Random,
    ) -> Box<dyn Writer> {
        output.crash(random.next());
        model.crash(kept);
        let life = (self.open)(output.clone(), &model.list()).unwrap();
        (self.look)(output.contents());
        life
    }

    /// Crashes at every change of the file, or at some, in scripts of several seeds.
    pub(crate) fn crash_runs(&self, seeds: Range<u64>) {
        for seed in seeds {
            let mut random = Random::new(seed);
            let (mut changes, mut runs) = (0, 0);
            while self.crash_run(seed, changes) {
                // The first seeds are the thorough ones.
                changes += if seed < 2 { 1 } else { 1 + u64::try_from(random.below(24)).unwrap() };
                runs += 1;
            }
            assert!(runs > 0, "{}: a script changes the file", self.name);
        }
    }
}

/// How many seeds a crash test runs: `HYPER2KVM_SEEDS`, or 25.
pub(crate) fn seeds() -> u64 {
    std::env::var("HYPER2KVM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// Reads a whole disk in pieces of odd lengths, and checks its map against what is there.
pub(crate) fn whole(disk: &dyn Disk) -> Vec<u8> {
    let mut found = vec![0x5a; usize::try_from(disk.capacity_bytes()).unwrap()];
    let mut start = 0;
    for (number, len) in [1, 511, 65_536, 131_072, 70_000, 300_000].iter().cycle().enumerate() {
        let end = found.len().min(start + len);
        disk.read_at(u64::try_from(start).unwrap(), &mut found[start..end]).unwrap();
        start = end;
        if start == found.len() || number > 1_000_000 {
            break;
        }
    }
    let mut end = 0;
    for extent in extents(disk, 0..disk.capacity_bytes()) {
        let extent = extent.unwrap();
        assert_eq!(extent.range.start, end, "the map has no gap");
        end = extent.range.end;
        let range = usize::try_from(extent.range.start).unwrap()..usize::try_from(end).unwrap();
        if extent.kind != ExtentKind::Data {
            assert!(found[range].chunks(65536).all(|chunk| *chunk == [0; 65536][..chunk.len()]), "{extent:?} is zero");
        }
    }
    assert_eq!(end, disk.capacity_bytes());
    found
}
