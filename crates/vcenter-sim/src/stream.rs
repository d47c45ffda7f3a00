//! Makes the bytes of one file of a lease, piece by piece, and hashes them when nobody has before.
//!
//! Synchronous and without I/O but for disks whose content is a file; [`crate::nfc`] calls it where
//! that does no harm, and damages and delays what comes out.

mod damage;
mod disk;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::content::{DiskContent, fill_random, mix};
use crate::faults::rule::VmdkDamage;
use damage::Damage;
use disk::{DiskStep, DiskStream};

/// Bytes of one step of a file that is no disk.
const BLOB_STEP_LEN: usize = 64 << 10;

/// Size and hashes of a complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) size: u64,
    pub(crate) sha1: String,
    pub(crate) sha256: String,
    /// Bytes of the disk that hold data, for a disk.
    pub(crate) populated: Option<u64>,
}

/// What one call has made.
#[derive(Debug)]
pub(crate) enum Made {
    /// The next bytes.
    Piece(Bytes),
    /// Nothing yet: a good moment to let others run.
    Nothing,
    /// All was made; the digests, if they were computed.
    End(Option<Digests>),
}

/// Makes one file.
#[derive(Debug)]
pub(crate) struct FileStream {
    source: Source,
    hasher: Option<Hasher>,
    damage: Option<Damage>,
}

#[derive(Debug)]
enum Source {
    Disk(Box<DiskStream>),
    Blob(Blob),
    Ended { populated: Option<u64> },
}

impl FileStream {
    /// Begins the stream-optimized VMDK of a disk.
    pub(crate) fn disk(content: Arc<DiskContent>, hashed: bool) -> io::Result<Self> {
        let disk = DiskStream::new(content)?;
        Ok(Self { source: Source::Disk(Box::new(disk)), hasher: hashed.then(Hasher::default), damage: None })
    }

    /// Begins a VMDK whose format is damaged; it is always hashed, because nobody knows it.
    pub(crate) fn damaged_disk(content: Arc<DiskContent>, damage: VmdkDamage) -> io::Result<Self> {
        Ok(Self { damage: Some(Damage::new(damage)), ..Self::disk(content, true)? })
    }

    /// Begins a file of noise: an nvram file or an ISO image.
    pub(crate) fn blob(blob: Blob, hashed: bool) -> Self {
        Self { source: Source::Blob(blob), hasher: hashed.then(Hasher::default), damage: None }
    }

    /// Makes the next bytes, in a step of bounded cost.
    pub(crate) fn make(&mut self) -> io::Result<Made> {
        let piece = match &mut self.source {
            Source::Disk(disk) => match disk.step()? {
                DiskStep::Piece(piece) => Some(piece),
                DiskStep::Nothing => return Ok(Made::Nothing),
                DiskStep::Last(piece, populated) => {
                    self.source = Source::Ended { populated: Some(populated) };
                    Some(piece)
                }
            },
            Source::Blob(blob) => blob.next(),
            Source::Ended { .. } => None,
        };
        let piece = piece.map(|piece| self.damaged(piece));
        let Some(piece) = piece else {
            let populated = match self.source {
                Source::Ended { populated } => populated,
                _ => None,
            };
            return Ok(Made::End(self.hasher.take().map(|hasher| hasher.finish(populated))));
        };
        if piece.is_empty() {
            return Ok(Made::Nothing);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        Ok(Made::Piece(piece))
    }

    /// Returns a piece as the damage leaves it.
    fn damaged(&mut self, piece: Bytes) -> Bytes {
        let Some(damage) = &mut self.damage else { return piece };
        let mut damaged = damage.feed(&piece);
        if matches!(self.source, Source::Ended { .. }) {
            let rest = damage.finish();
            damaged = [damaged, rest].concat().into();
        }
        damaged
    }

    /// Returns whether the bytes are being hashed.
    pub(crate) fn is_hashed(&self) -> bool {
        self.hasher.is_some()
    }

    /// Returns whether the bytes are those of nothing else.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }
}

#[derive(Debug, Default)]
struct Hasher {
    size: u64,
    sha1: Sha1,
    sha256: Sha256,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        self.size += u64::try_from(bytes.len()).expect("usize has at most 64 bits");
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }

    fn finish(self, populated: Option<u64>) -> Digests {
        Digests { size: self.size, sha1: hex(&self.sha1.finalize()), sha256: hex(&self.sha256.finalize()), populated }
    }
}

/// Returns lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// A file of noise.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    seed: u64,
    next_step: u64,
    left: u64,
}

impl Blob {
    pub(crate) fn new(seed: u64, len_bytes: u64) -> Self {
        Self { seed: mix(seed), next_step: 0, left: len_bytes }
    }

    /// Fills `buffer` with what the file of this seed has from `offset` on.
    pub(crate) fn read_range(seed: u64, offset: u64, buffer: &mut [u8]) {
        let mut step = vec![0; BLOB_STEP_LEN];
        let step_bytes = u64::try_from(BLOB_STEP_LEN).expect("64 KiB is small");
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let inner = usize::try_from(at % step_bytes).expect("a remainder of 64 KiB is small");
            let (now, later) = rest.split_at_mut((BLOB_STEP_LEN - inner).min(rest.len()));
            fill_random(mix(seed) ^ (at / step_bytes), &mut step[..inner + now.len()]);
            now.copy_from_slice(&step[inner..inner + now.len()]);
            at += u64::try_from(now.len()).expect("usize has at most 64 bits");
            rest = later;
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(BLOB_STEP_LEN);
        if len == 0 {
            return None;
        }
        let mut bytes = vec![0; len];
        fill_random(self.seed ^ self.next_step, &mut bytes);
        self.next_step += 1;
        self.left -= u64::try_from(len).expect("usize has at most 64 bits");
        Some(Bytes::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::disk::{GRAIN_ROOM, PIECE_LEN};
    use super::*;
    use crate::inventory::{Content, Disk};

    fn disk(size: u64, fill: f64) -> Arc<DiskContent> {
        let content = Content::Seeded { seed: 4, fill, compressibility: 0.5 };
        let disk = Disk::new(size, content);
        Arc::new(DiskContent::open(&disk).unwrap())
    }

    fn run(mut stream: FileStream) -> (Vec<u8>, Option<Digests>, usize) {
        let mut bytes = Vec::new();
        let mut longest = 0;
        loop {
            match stream.make().unwrap() {
                Made::Piece(piece) => {
                    longest = longest.max(piece.len());
                    bytes.extend_from_slice(&piece);
                }
                Made::Nothing => {}
                Made::End(digests) => return (bytes, digests, longest),
            }
        }
    }

    #[test]
    fn hashes_and_size_are_those_of_the_bytes() {
        let content = disk(65536 * 20 + 512, 1.0);
        let (bytes, digests, _) = run(FileStream::disk(Arc::clone(&content), true).unwrap());
        let digests = digests.unwrap();
        assert_eq!(digests.size, u64::try_from(bytes.len()).unwrap());
        assert_eq!(digests.sha1, hex(&Sha1::digest(&bytes)));
        assert_eq!(digests.sha256, hex(&Sha256::digest(&bytes)));
        assert_eq!(digests.populated, Some(content.populated_bytes().unwrap()));
        let (again, none, _) = run(FileStream::disk(content, false).unwrap());
        assert!(again == bytes);
        assert_eq!(none, None);
    }

    #[test]
    fn pieces_are_bounded_and_an_empty_terabyte_is_a_small_stream() {
        let (_, _, longest) = run(FileStream::disk(disk(65536 * 300, 1.0), false).unwrap());
        assert!(longest <= PIECE_LEN + GRAIN_ROOM, "{longest}");
        let (bytes, _, _) = run(FileStream::disk(disk(1 << 40, 0.0), false).unwrap());
        assert!(bytes.len() < 256 << 10, "{}", bytes.len());
    }

    #[test]
    fn a_blob_has_its_length_and_is_the_same_every_time() {
        for len in [0, 1, 8684, 200_000] {
            let (bytes, digests, _) = run(FileStream::blob(Blob::new(7, len), true));
            assert_eq!(u64::try_from(bytes.len()).unwrap(), len);
            let digests = digests.unwrap();
            assert_eq!((digests.size, digests.populated), (len, None));
            assert!(run(FileStream::blob(Blob::new(7, len), false)).0 == bytes);
            for start in [0, len / 3, len] {
                let mut part = vec![0; usize::try_from(len - start).unwrap()];
                Blob::read_range(7, start, &mut part);
                assert!(part == bytes[usize::try_from(start).unwrap()..]);
            }
        }
    }
}
