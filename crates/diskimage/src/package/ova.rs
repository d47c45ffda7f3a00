//! Writes an OVA: a tar archive in the order that every importer takes.
//!
//! ```text
//!  vm.ovf, padded │ vm.mf │ disk-0 │ disk-1 │ … │ two blocks of zeros, padding to 10240
//!  └── reserved, written at the end ──┘ └ written as they come; sizes patched at their ends
//! ```
//!
//! Descriptor and manifest come first, as importers want them, and say sizes and digests of what
//! comes behind them. So room is reserved: for the descriptor as much as the longest sizes take,
//! and blanks behind its end fill what is left; for the manifest exactly as much as it takes,
//! because digests have one length.
//!
//! A size from 8 GiB on is written as GNU's binary number, which stands in the header itself: the
//! other notation, PAX, takes a member of its own in front, for which there would have to be room
//! before anybody knows. GNU tar, Python and Go read both.
//!
//! **Invariant:** until [`OvaWriter::finish`] the first block is zero, and nobody takes the file for
//! an archive. [`OvaFile`] also keeps it under a temporary name.
//!
//! Deliberately absent: making disks; going on where a writer stopped.

mod file;

use std::io::{self, Seek, SeekFrom, Write};

pub use file::OvaFile;

use super::manifest::{Algorithm, Manifest};
use super::tar::{BLOCK_LEN, Header, Kind};
use super::verify::Digester;
use crate::number::{clip, u64_from};
use crate::{Error, Result};

/// The algorithm of the digests; others are refused by one importer or another.
const ALGORITHM: Algorithm = Algorithm::Sha256;
/// What tar pads an archive to.
const RECORD_LEN: u64 = 10240;
/// How much padding is written at a time.
const ZEROS_LEN: usize = 64 << 10;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvaOptions {
    /// The name of descriptor and manifest, without `.ovf` and `.mf`.
    pub stem: String,
    /// The names of the other members, in the order of the descriptor's references.
    pub data: Vec<String>,
    /// What is reserved for the descriptor; see [`super::ovf::longest_bytes`].
    pub descriptor_bytes: usize,
    /// The time of all members, in seconds since 1970.
    pub mtime_s: u64,
}

/// A member that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvaMember {
    /// Its name.
    pub name: String,
    /// Where its header is.
    pub header_offset: u64,
    /// The length of its data.
    pub size_bytes: u64,
    /// The digest of its data, in hexadecimal digits.
    pub sha256_hex: String,
}

/// A writer of an OVA.
#[derive(Debug)]
pub struct OvaWriter<W> {
    output: W,
    options: OvaOptions,
    /// How far the output was written.
    position: u64,
    manifest_bytes: usize,
    members: Vec<OvaMember>,
    /// Whether an error left the output in a state that nobody knows.
    is_broken: bool,
}

impl<W: Write + Seek> OvaWriter<W> {
    /// Starts an archive in an empty output, with room for descriptor and manifest.
    ///
    /// # Errors
    ///
    /// `Misuse` for names that are there twice, do not fit into a header of tar, or cannot be in a
    /// manifest; `Io` when writing fails.
    pub fn create(output: W, options: OvaOptions) -> Result<Self> {
        let manifest_bytes = check_names(&options)?;
        let mut writer = Self { output, options, position: 0, manifest_bytes, members: Vec::new(), is_broken: false };
        let reserved = [writer.options.descriptor_bytes, manifest_bytes].map(|len| padded(u64_from(len)));
        let blocks = 2 * u64_from(BLOCK_LEN);
        writer.write_zeros(blocks + reserved.iter().sum::<u64>())?;
        Ok(writer)
    }

    /// Starts the next member of [`OvaOptions::data`].
    ///
    /// # Errors
    ///
    /// `Misuse` when all are written or an earlier one was not finished; `Io` when writing fails.
    pub fn member(&mut self) -> Result<MemberWriter<'_, W>> {
        self.check_usable()?;
        let name = self.options.data.get(self.members.len());
        let name = name.ok_or_else(|| Error::misuse("an archive gets the members it was created for"))?.clone();
        let header_offset = self.position;
        // Until the member is finished, nobody can say what the archive holds.
        self.is_broken = true;
        self.write_zeros(u64_from(BLOCK_LEN))?;
        Ok(MemberWriter { name, header_offset, size_bytes: 0, digester: Digester::new(ALGORITHM), writer: self })
    }

    /// Returns the members that are finished.
    #[must_use]
    pub fn members(&self) -> &[OvaMember] {
        &self.members
    }

    /// Ends the archive with its descriptor, and returns the output and all members.
    ///
    /// # Errors
    ///
    /// `Misuse` when members are missing or the descriptor is longer than what was reserved; `Io`
    /// when writing fails.
    pub fn finish(mut self, descriptor: &str) -> Result<(W, Vec<OvaMember>)> {
        self.check_usable()?;
        if self.members.len() != self.options.data.len() {
            let found = format!("{} of {}", self.members.len(), self.options.data.len());
            return Err(Error::misuse("an archive gets the members it was created for").found(found));
        }
        let descriptor = pad_text(descriptor, self.options.descriptor_bytes)?;
        let end = self.position + 2 * u64_from(BLOCK_LEN);
        self.write_zeros(end.next_multiple_of(RECORD_LEN) - self.position)?;

        let descriptor = self.front_member("ovf", 0, descriptor.as_bytes());
        let manifest_offset = u64_from(BLOCK_LEN) + padded(descriptor.0.size_bytes);
        let manifest = self.manifest(&descriptor.0)?;
        assert_eq!(manifest.len(), self.manifest_bytes, "digests have one length");
        let manifest = self.front_member("mf", manifest_offset, manifest.as_bytes());

        // The first block comes last: with it the file becomes an archive.
        self.write_front(&manifest)?;
        self.flush()?;
        self.write_front(&descriptor)?;
        self.flush()?;
        let members = [descriptor.0, manifest.0].into_iter().chain(self.members).collect();
        Ok((self.output, members))
    }

    fn front_member(&self, extension: &str, header_offset: u64, text: &[u8]) -> (OvaMember, Vec<u8>) {
        let mut digester = Digester::new(ALGORITHM);
        digester.update(text);
        let member = OvaMember {
            name: format!("{}.{extension}", self.options.stem),
            header_offset,
            size_bytes: u64_from(text.len()),
            sha256_hex: digester.finish(),
        };
        (member, text.to_vec())
    }

    fn write_front(&mut self, (member, text): &(OvaMember, Vec<u8>)) -> Result<()> {
        // The header behind its data, for the same reason.
        self.write_at(member.header_offset + u64_from(BLOCK_LEN), text)?;
        self.write_header(member)
    }

    fn manifest(&self, descriptor: &OvaMember) -> Result<String> {
        let mut manifest = Manifest::default();
        for member in std::iter::once(descriptor).chain(&self.members) {
            manifest.add(ALGORITHM, &member.name, &member.sha256_hex)?;
        }
        Ok(manifest.to_string())
    }

    fn write_header(&mut self, member: &OvaMember) -> Result<()> {
        let header = Header { name: member.name.clone(), size_bytes: member.size_bytes, kind: Kind::File };
        let block = header.encode(self.options.mtime_s)?;
        self.write_at(member.header_offset, &block)
    }

    /// Writes into what was reserved, and returns to the end.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let failed = |error| Error::io("cannot write an archive", error).at(offset);
        self.output.seek(SeekFrom::Start(offset)).map_err(failed)?;
        self.output.write_all(data).map_err(failed)?;
        self.output.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        Ok(())
    }

    fn write_zeros(&mut self, mut len: u64) -> Result<()> {
        let zeros = [0; ZEROS_LEN];
        while len > 0 {
            let piece = clip(zeros.len(), len);
            let written = self.output.write_all(&zeros[..piece]);
            written.map_err(|error| Error::io("cannot write an archive", error).at(self.position))?;
            self.position += u64_from(piece);
            len -= u64_from(piece);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(|error| Error::io("cannot write an archive", error))
    }

    fn check_usable(&self) -> Result<()> {
        if self.is_broken {
            return Err(Error::misuse("an archive goes on after a member was finished"));
        }
        Ok(())
    }
}

/// Writes the data of one member.
#[derive(Debug)]
pub struct MemberWriter<'w, W> {
    name: String,
    header_offset: u64,
    size_bytes: u64,
    digester: Digester,
    writer: &'w mut OvaWriter<W>,
}

impl<W: Write + Seek> MemberWriter<'_, W> {
    /// Ends the member: pads it and writes its header.
    ///
    /// # Errors
    ///
    /// `Io` when writing fails.
    pub fn finish(self) -> Result<OvaMember> {
        let Self { name, header_offset, size_bytes, digester, writer } = self;
        let member = OvaMember { name, header_offset, size_bytes, sha256_hex: digester.finish() };
        writer.write_zeros(padded(size_bytes) - size_bytes)?;
        writer.write_header(&member)?;
        writer.members.push(member.clone());
        writer.is_broken = false;
        Ok(member)
    }
}

impl<W: Write + Seek> Write for MemberWriter<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.writer.output.write(data)?;
        self.digester.update(&data[..written]);
        self.size_bytes += u64_from(written);
        self.writer.position += u64_from(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.output.flush()
    }
}

/// Checks the names and returns the length of the manifest.
fn check_names(options: &OvaOptions) -> Result<usize> {
    let front = ["ovf", "mf"].map(|extension| format!("{}.{extension}", options.stem));
    let mut names = std::collections::HashSet::new();
    let mut manifest = Manifest::default();
    for name in front.iter().chain(&options.data) {
        if !names.insert(name) {
            return Err(Error::misuse("a name is in an archive once").found(format!("{name:?}")));
        }
        Header { name: name.clone(), size_bytes: 0, kind: Kind::File }.encode(0)?;
        if super::href::safe_href(name).is_err() {
            return Err(Error::misuse("a member of a package stays inside").found(format!("{name:?}")));
        }
        if *name != front[1] {
            manifest.add(ALGORITHM, name, &"0".repeat(2 * ALGORITHM.digest_bytes()))?;
        }
    }
    Ok(manifest.to_string().len())
}

/// Fills a descriptor up with blanks behind its end, which are no part of the document.
fn pad_text(text: &str, len: usize) -> Result<String> {
    if text.len() > len {
        return Err(Error::misuse("a descriptor is not longer than what was reserved")
            .found(format!("{} bytes instead of {len}", text.len())));
    }
    let mut padded = text.to_owned();
    padded.extend(std::iter::repeat_n(' ', len - text.len()));
    Ok(padded)
}

fn padded(len_bytes: u64) -> u64 {
    len_bytes.next_multiple_of(u64_from(BLOCK_LEN))
}
