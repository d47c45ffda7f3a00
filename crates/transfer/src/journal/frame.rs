//! Frames: the one shape of everything behind a journal's first eight bytes.
//!
//! ```text
//!   0  u32 LE   length of the payload in bytes
//!   4  u8       kind: 1 header, 2 commit
//!   5  [u8; 3]  zero
//!   8  …        payload
//!   …  [u8; 16] first half of BLAKE3(checksum before ‖ the bytes above)
//! ```

use crate::{Error, ErrorKind, Result};

/// First bytes of a journal, and its version: a reader of version 1 reads nothing else.
pub(super) const MAGIC: [u8; 8] = *b"h2kvmjn1";

/// The longest payload: a commit with all the entries it may have, and its checkpoint, fits; what
/// claims more is damage and allocates nothing.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4 << 20;

const HEAD_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 16;

/// What a frame has beside its payload.
pub(super) const OVERHEAD_BYTES: usize = HEAD_BYTES + CHECKSUM_BYTES;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Commit,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Commit => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Header, Self::Commit].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// The checksum of the last frame, which the next one continues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain([u8; CHECKSUM_BYTES]);

/// A frame that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    /// Bytes of the whole frame.
    pub(super) len_bytes: usize,
}

impl Chain {
    /// Stands before the first frame.
    pub(super) fn begin() -> Self {
        Self([0; CHECKSUM_BYTES])
    }

    /// Appends a frame to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Bounds`] for a payload that is too long; nothing is appended then.
    pub(super) fn append(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES_MAX);
        let len = len.ok_or_else(|| {
            let context = format!("add {} bytes to a journal: the most is {PAYLOAD_BYTES_MAX}", payload.len());
            Error::new(ErrorKind::Bounds, context)
        })?;
        let start = out.len();
        out.extend(len.to_le_bytes());
        out.extend([kind.byte(), 0, 0, 0]);
        out.extend(payload);
        let checksum = self.checksum(&out[start..]);
        out.extend(checksum);
        self.0 = checksum;
        Ok(())
    }

    /// Reads the frame at the start of `bytes`; `None`, with nothing changed, when it is not there whole.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<Frame<'a>> {
        let len = usize::try_from(u32::from_le_bytes(*bytes.first_chunk::<4>()?)).ok()?;
        if len > PAYLOAD_BYTES_MAX {
            return None;
        }
        let (body, rest) = bytes.split_at_checked(HEAD_BYTES + len)?;
        let checksum = *rest.first_chunk::<CHECKSUM_BYTES>()?;
        if self.checksum(body) != checksum {
            return None;
        }
        let kind = Kind::from_byte(body[4])?;
        self.0 = checksum;
        Some(Frame { kind, payload: &body[HEAD_BYTES..], len_bytes: len + OVERHEAD_BYTES })
    }

    fn checksum(&self, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(body);
        let mut half = [0; CHECKSUM_BYTES];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_in_their_order_and_in_no_other() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut chain = Chain::begin();
        chain.append(Kind::Header, b"one", &mut first).unwrap();
        chain.append(Kind::Commit, b"two", &mut second).unwrap();
        let mut reader = Chain::begin();
        assert!(reader.next(&second).is_none(), "the second comes first");
        assert_eq!(reader.next(&first).unwrap().payload, b"one");
        assert!(reader.next(&first).is_none(), "the first comes twice");
        assert_eq!(reader.next(&second).unwrap().payload, b"two");
    }

    #[test]
    fn a_payload_that_is_too_long_is_refused_by_writer_and_reader() {
        let mut out = Vec::new();
        let error = Chain::begin().append(Kind::Commit, &vec![0; PAYLOAD_BYTES_MAX + 1], &mut out).unwrap_err();
        assert_eq!((error.kind(), out.len()), (ErrorKind::Bounds, 0));
        let mut claim = u32::MAX.to_le_bytes().to_vec();
        claim.extend([2, 0, 0, 0]);
        assert!(Chain::begin().next(&claim).is_none());
    }
}
