//! Disks for the tests of conversions, and the judge of what became of them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use diskimage::image::{Disk, Extent, FileSource};
use migrate::convert::Source;

/// A generator that gives the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
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

    /// Makes bytes in runs of text and noise.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let end = len.min(bytes.len() + 1 + self.below(100_000));
            if self.one_in(2) {
                bytes.extend((bytes.len()..end).map(|at| b'a' + u8::try_from(at / 50 % 26).unwrap()));
            } else {
                bytes.extend(std::iter::repeat_with(|| self.next().to_be_bytes()[1]).take(end - bytes.len()));
            }
        }
        bytes
    }
}

/// Makes a raw disk that is half holes; returns how many bytes of data it has.
pub(crate) fn sparse_raw(path: &Path, capacity_bytes: u64, seed: u64) -> u64 {
    let file = File::create(path).unwrap();
    file.set_len(capacity_bytes).unwrap();
    let mut random = Random::new(seed);
    let (mut at, mut data_bytes) = (0, 0);
    while at < capacity_bytes {
        let len = (4096 * (1 + random.below(700)) as u64).min(capacity_bytes - at);
        if random.one_in(2) {
            file.write_all_at(&random.bytes(usize::try_from(len).unwrap()), at).unwrap();
            data_bytes += len;
        }
        at += len;
    }
    data_bytes
}

/// A disk that tells when it is read, and how much.
pub(crate) struct Watched<W> {
    disk: Source,
    watch: W,
}

impl<W: Fn(u64) + Send + Sync + 'static> Watched<W> {
    /// Returns the raw disk at `path` as [`Source::open`] does, but for the telling.
    pub(crate) fn open(path: &Path, watch: W) -> Source {
        let disk = Source::open(path).unwrap();
        let file = Arc::new(FileSource::open(path).unwrap());
        Source::new(disk.name().to_owned(), Self { disk, watch }, vec![file])
    }
}

impl<W: Fn(u64) + Send + Sync> Disk for Watched<W> {
    fn capacity_bytes(&self) -> u64 {
        self.disk.disk().capacity_bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> diskimage::Result<()> {
        (self.watch)(buf.len() as u64);
        self.disk.disk().read_at(offset, buf)
    }

    fn extents(&self, range: std::ops::Range<u64>) -> diskimage::Result<Vec<Extent>> {
        self.disk.disk().extents(range)
    }
}

/// Lets qemu-img compare the guest's disks.
pub(crate) fn compare(test: &str, raw: &Path, image: &Path, format: &str) {
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let output =
        Command::new(qemu_img).args(["compare", "-f", "raw", "-F", format]).args([raw, image]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Lets qemu-img check tables and counts, where the format has them.
pub(crate) fn check_clean(test: &str, image: &Path, format: &str) {
    if format == "raw" {
        return;
    }
    let Some(qemu_img) = judges::qemu_img(test) else { return };
    let output = Command::new(qemu_img).args(["check", "-f", format]).arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("No errors were found"), "{said}");
}
