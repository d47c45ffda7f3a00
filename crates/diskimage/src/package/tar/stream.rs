//! Going forward through an archive that can only be read once.

use std::io::{self, Read};

use super::header::BLOCK_LEN;
use super::walk::{Step, Walker};
use crate::number::{clip, u64_from};
use crate::{Error, Result};

/// How much is read at a time where data are thrown away.
const SKIP_LEN: usize = 64 << 10;

/// The members of an archive, one after the other.
#[derive(Debug)]
pub struct StreamMembers<R> {
    input: R,
    walker: Walker,
    /// How far the input was read.
    offset: u64,
    /// What is left of the member that was handed out, data and padding.
    data_left: u64,
    padding_left: u64,
    is_over: bool,
}

/// A member whose data are read from the archive.
#[derive(Debug)]
pub struct StreamMember<'s, R> {
    /// Its name, which stays inside the package.
    pub name: String,
    /// The length of its data.
    pub size_bytes: u64,
    stream: &'s mut StreamMembers<R>,
}

impl<R: Read> StreamMembers<R> {
    /// Starts at the beginning of an archive.
    pub fn new(input: R) -> Self {
        Self { input, walker: Walker::default(), offset: 0, data_left: 0, padding_left: 0, is_over: false }
    }

    /// Goes on to the next member, over what was not read of the one before; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`super::members`]. After an error there is nothing more.
    pub fn next_member(&mut self) -> Result<Option<StreamMember<'_, R>>> {
        if self.is_over {
            return Ok(None);
        }
        // Until a member is found, whatever happens is the end.
        self.is_over = true;
        self.skip()?;
        loop {
            let mut block = [0; BLOCK_LEN];
            let got = self.fill(&mut block)?;
            if got < BLOCK_LEN {
                self.walker.end_of_input(self.offset, u64_from(got))?;
                return Ok(None);
            }
            let at = self.offset - u64_from(BLOCK_LEN);
            match self.walker.take(at, &block).map_err(|error| error.or_at(at))? {
                Step::End => return Ok(None),
                Step::Zeros => {}
                Step::Skip { size_bytes } => {
                    self.begin(size_bytes);
                    self.skip()?;
                }
                Step::Extension { kind, size_bytes } => {
                    self.begin(u64_from(size_bytes));
                    let mut data = vec![0; size_bytes];
                    if self.fill(&mut data)? < size_bytes {
                        return Err(self.truncated("an extension"));
                    }
                    self.data_left = 0;
                    self.walker.take_extension(kind, &data).map_err(|error| error.or_at(at))?;
                    self.skip()?;
                }
                Step::Member { name, size_bytes } => {
                    self.begin(size_bytes);
                    self.is_over = false;
                    return Ok(Some(StreamMember { name, size_bytes, stream: self }));
                }
            }
        }
    }

    /// Returns what is odd about the archive, once it was read to its end.
    #[must_use]
    pub fn into_warnings(self) -> Vec<String> {
        self.walker.into_warnings()
    }

    /// Reads data of the member that was handed out last; nothing at their end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = clip(buffer.len(), self.data_left);
        if len == 0 {
            return Ok(0);
        }
        let got = self.input.read(&mut buffer[..len])?;
        self.offset += u64_from(got);
        self.data_left -= u64_from(got);
        if got == 0 {
            return Err(io::Error::other(self.truncated("a member")));
        }
        Ok(got)
    }

    fn begin(&mut self, size_bytes: u64) {
        self.data_left = size_bytes;
        self.padding_left = (u64_from(BLOCK_LEN) - size_bytes % u64_from(BLOCK_LEN)) % u64_from(BLOCK_LEN);
    }

    /// Reads over what is left of a member.
    fn skip(&mut self) -> Result<()> {
        let mut waste = vec![0; SKIP_LEN];
        while self.data_left > 0 {
            let len = clip(waste.len(), self.data_left);
            let got = self.fill(&mut waste[..len])?;
            self.data_left -= u64_from(got);
            if got < len {
                return Err(self.truncated("a member"));
            }
        }
        // The padding of the last member may be cut off; then no header follows either.
        let len = clip(waste.len(), self.padding_left);
        self.fill(&mut waste[..len])?;
        self.padding_left = 0;
        Ok(())
    }

    /// Fills a buffer as far as the input goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(crate::package::unpack::error_of(error)),
            }
        }
        self.offset += u64_from(filled);
        Ok(filled)
    }

    fn truncated(&self, what: &str) -> Error {
        Error::truncated("a member of an archive is as long as its header says")
            .found(format!("{what} lacks {} bytes", self.data_left))
            .at(self.offset)
    }
}

impl<R: Read> Read for StreamMember<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read_data(buffer)
    }
}
