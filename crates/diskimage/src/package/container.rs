//! What holds the files of a package: a folder, or an archive of one of several kinds.
//!
//! | container | members are |
//! |---|---|
//! | folder, bare `.ovf` | files |
//! | tar (`.ova`) | used where they are |
//! | zip | stored ones used where they are, deflated ones streamed |
//! | tar in gzip or xz | streamed: each use reads the archive from its start |
//!
//! Deliberately absent: what the files mean.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::folder::PackageFolder;
use super::tar::{self, StreamMembers};
use super::unpack::{Bounded, Packing, SourceReader, Unpacked, error_of};
use super::zip;
use crate::image::{ByteSource, FileSource, Window};
use crate::number::clip;
use crate::{Error, Result};

/// How much of a file is looked at to find out what it is: tar has its magic at 257.
const START_LEN: u64 = 512;

/// What a container is, as a word for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// A folder, or the one that a bare descriptor lies in.
    Folder,
    /// A tar archive.
    Tar,
    /// A tar archive that is compressed as a whole.
    PackedTar(Packing),
    /// A zip archive.
    Zip,
}

impl ContainerKind {
    /// Returns the word for reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Tar => "tar",
            Self::PackedTar(Packing::Gzip) => "tar.gz",
            Self::PackedTar(Packing::Xz) => "tar.xz",
            Self::PackedTar(Packing::Deflate) => "tar.deflate",
            Self::Zip => "zip",
        }
    }
}

/// A container whose members are known.
pub(super) struct Container {
    store: Store,
    members: Vec<Member>,
    by_name: HashMap<String, usize>,
    pub(super) warnings: Vec<String>,
}

enum Store {
    Folder(PackageFolder),
    Archive { source: Arc<dyn ByteSource>, kind: ContainerKind },
}

/// A member, and how to come to its data.
struct Member {
    name: String,
    size_bytes: u64,
    place: MemberPlace,
}

enum MemberPlace {
    /// In the archive, as they are.
    Window { offset: u64 },
    /// In the archive, deflated.
    Deflated { offset: u64, packed_bytes: u64, crc: u32 },
    /// In the unpacked stream.
    Stream,
}

impl Container {
    /// Opens what a user named: an archive, a folder, or a descriptor in a folder.
    ///
    /// The second value is the name of the descriptor, when the user named that.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<String>)> {
        if path.is_dir() {
            return Ok((Self::in_folder(PackageFolder::open(path)?), None));
        }
        let source = FileSource::open(path)?;
        if is_descriptor(&source)? {
            let (container, name) = Self::beside(path)?;
            return Ok((container, Some(name)));
        }
        Ok((Self::archive(Arc::new(source))?, None))
    }

    /// Opens the folder of a file that a user named, and returns the file's name in it.
    pub(super) fn beside(path: &Path) -> Result<(Self, String)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            Error::unsupported("the name of a descriptor or a manifest is UTF-8").in_file(&path.display().to_string())
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        Ok((Self::in_folder(PackageFolder::open(parent)?), name.to_owned()))
    }

    fn in_folder(folder: PackageFolder) -> Self {
        Self { store: Store::Folder(folder), members: Vec::new(), by_name: HashMap::new(), warnings: Vec::new() }
    }

    /// Opens an archive by its magic, whatever its name.
    pub(super) fn archive(source: Arc<dyn ByteSource>) -> Result<Self> {
        let start = start_of(source.as_ref())?;
        let mut container = Self {
            store: Store::Archive { source: Arc::clone(&source), kind: ContainerKind::Tar },
            members: Vec::new(),
            by_name: HashMap::new(),
            warnings: Vec::new(),
        };
        let kind = if let Some(packing) = Packing::of_start(&start) {
            container.list_stream(&source, packing)?;
            ContainerKind::PackedTar(packing)
        } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            container.members = zip::members(source.as_ref())?.into_iter().map(zip_member).collect();
            ContainerKind::Zip
        } else if looks_like_tar(&start) {
            let listing = tar::members(source.as_ref())?;
            container.warnings = listing.warnings;
            container.members = listing.members.into_iter().map(tar_member).collect();
            ContainerKind::Tar
        } else {
            let rule = "a package is a folder, a descriptor, or an archive of tar or zip";
            return Err(Error::unsupported(rule).at(0).in_file(source.name()));
        };
        container.store = Store::Archive { source, kind };
        let names = container.members.iter().enumerate();
        container.by_name = names.map(|(index, member)| (member.name.clone(), index)).collect();
        Ok(container)
    }

    fn list_stream(&mut self, source: &Arc<dyn ByteSource>, packing: Packing) -> Result<()> {
        let in_file = |error: Error| error.in_file(source.name());
        let mut stream = StreamMembers::new(Unpacked::new(Arc::clone(source), packing));
        while let Some(member) = stream.next_member().map_err(in_file)? {
            let (name, size_bytes) = (member.name.clone(), member.size_bytes);
            self.members.push(Member { name, size_bytes, place: MemberPlace::Stream });
        }
        self.warnings = stream.into_warnings();
        Ok(())
    }

    /// Returns what it is.
    pub(super) fn kind(&self) -> ContainerKind {
        match &self.store {
            Store::Folder(_) => ContainerKind::Folder,
            Store::Archive { kind, .. } => *kind,
        }
    }

    /// Returns the names of all members.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        match &self.store {
            Store::Folder(folder) => folder.names(),
            Store::Archive { .. } => Ok(self.members.iter().map(|member| member.name.clone()).collect()),
        }
    }

    /// Returns the length of a member; `None` when there is no such member.
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>> {
        match &self.store {
            Store::Folder(folder) => Ok(folder.file(name)?.map(|file| file.len_bytes())),
            Store::Archive { .. } => Ok(self.member(name).map(|member| member.size_bytes)),
        }
    }

    /// Returns a member for random access; `None` when it can only be streamed.
    pub(super) fn source(&self, name: &str) -> Result<Option<Arc<dyn ByteSource>>> {
        match &self.store {
            Store::Folder(folder) => folder.file(name)?.ok_or_else(|| missing(name)).map(Some),
            Store::Archive { source, .. } => {
                let member = self.member(name).ok_or_else(|| missing(name))?;
                let MemberPlace::Window { offset } = member.place else { return Ok(None) };
                let window = Window::new(Arc::clone(source), offset..offset + member.size_bytes, name)?;
                Ok(Some(Arc::new(window)))
            }
        }
    }

    /// Returns members for reading, one behind the other.
    ///
    /// Out of a stream they come in one pass, if they stand in it in this order.
    pub(super) fn reader(&self, names: &[&str]) -> Result<Box<dyn Read + Send>> {
        if let Store::Archive { source, kind: ContainerKind::PackedTar(packing) } = &self.store {
            let stream = StreamMembers::new(Unpacked::new(Arc::clone(source), *packing));
            let left = names.iter().map(|name| (*name).to_owned()).collect();
            return Ok(Box::new(InOrder { stream, left }));
        }
        let empty: Box<dyn Read + Send> = Box::new(std::io::empty());
        names.iter().try_fold(empty, |joined, name| Ok(Box::new(joined.chain(self.reader_of_one(name)?)) as _))
    }

    fn reader_of_one(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        if let Some(source) = self.source(name)? {
            return Ok(Box::new(SourceReader::new(source)));
        }
        let member = self.member(name).ok_or_else(|| missing(name))?;
        let (Store::Archive { source, .. }, MemberPlace::Deflated { offset, packed_bytes, crc }) =
            (&self.store, &member.place)
        else {
            return Err(missing(name));
        };
        let window = Window::new(Arc::clone(source), *offset..offset + packed_bytes, name)?;
        let inner = Bounded::exactly(Unpacked::new(Arc::new(window), Packing::Deflate), member.size_bytes, name);
        Ok(Box::new(Checked { inner, sum: flate2::Crc::new(), expected: *crc, name: name.to_owned() }))
    }

    /// Reads those members of which `wanted` says so from start to end, in one pass where that
    /// costs least.
    pub(super) fn visit(
        &self,
        wanted: &[&str],
        visit: &mut dyn FnMut(&str, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        if let Store::Archive { source, kind: ContainerKind::PackedTar(packing) } = &self.store {
            let mut stream = StreamMembers::new(Unpacked::new(Arc::clone(source), *packing));
            let mut left: std::collections::HashSet<&str> = wanted.iter().copied().collect();
            while !left.is_empty()
                && let Some(mut member) = stream.next_member()?
            {
                let name = member.name.clone();
                if left.remove(name.as_str()) {
                    visit(&name, &mut member)?;
                }
            }
            return Ok(());
        }
        for name in wanted {
            visit(name, &mut self.reader_of_one(name)?)?;
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).map(|&index| &self.members[index])
    }
}

/// Reads members of a stream one behind the other.
struct InOrder {
    stream: StreamMembers<Unpacked>,
    /// What is still to be found.
    left: VecDeque<String>,
}

impl Read for InOrder {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let got = self.stream.read_data(buffer)?;
            let Some(name) = self.left.front().filter(|_| got == 0) else { return Ok(got) };
            match self.stream.next_member().map_err(std::io::Error::other)? {
                Some(member) if member.name == *name => drop(self.left.pop_front()),
                // Its data would be read with the others.
                Some(mut member) => drop(std::io::copy(&mut member, &mut std::io::sink())?),
                None => {
                    let error = Error::unsupported("the parts of a file stand in compressed archives in their order");
                    return Err(std::io::Error::other(error.in_file(name)));
                }
            }
        }
    }
}

/// Reads to the end and then compares a checksum.
struct Checked<R> {
    inner: R,
    sum: flate2::Crc,
    expected: u32,
    name: String,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.sum.update(&buffer[..got]);
        if got == 0 && !buffer.is_empty() && self.sum.sum() != self.expected {
            let error = Error::corrupt("data have the checksum that their archive says").found(format!(
                "{:08x} instead of {:08x}",
                self.sum.sum(),
                self.expected
            ));
            return Err(std::io::Error::other(error.in_file(&self.name)));
        }
        Ok(got)
    }
}

fn missing(name: &str) -> Error {
    Error::corrupt("a file is in the package").found("it is not there").in_file(name)
}

fn tar_member(member: tar::Member) -> Member {
    let place = MemberPlace::Window { offset: member.data_offset };
    Member { name: member.name, size_bytes: member.size_bytes, place }
}

fn zip_member(member: zip::Member) -> Member {
    let (offset, packed_bytes) = (member.data_offset, member.packed_bytes);
    let place = if member.is_deflated {
        MemberPlace::Deflated { offset, packed_bytes, crc: member.crc }
    } else {
        MemberPlace::Window { offset }
    };
    Member { name: member.name, size_bytes: member.size_bytes, place }
}

fn start_of(source: &dyn ByteSource) -> Result<Vec<u8>> {
    let mut start = vec![0; clip(usize::MAX, source.len_bytes().min(START_LEN))];
    source.read_at(0, &mut start)?;
    Ok(start)
}

/// Returns whether a block has the magic of tar, or, before there was one, at least its checksum.
fn looks_like_tar(start: &[u8]) -> bool {
    let Some(block) = start.first_chunk() else { return false };
    start[257..].starts_with(b"ustar") || matches!(tar::Header::parse(block), Ok(Some(_)))
}

/// Returns whether a file is text that begins like XML: with `<` behind a byte order mark and
/// blanks.
fn is_descriptor(source: &dyn ByteSource) -> Result<bool> {
    let start = start_of(source)?;
    let is_skipped = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff);
    Ok(start.iter().find(|byte| !is_skipped(byte)) == Some(&b'<'))
}

/// Reads a whole member that is text.
pub(super) fn read_member(container: &Container, name: &str, most: usize) -> Result<Vec<u8>> {
    let mut text = None;
    container.visit(&[name], &mut |name, input| {
        text = Some(super::unpack::read_text(input, most, name)?);
        Ok(())
    })?;
    text.ok_or_else(|| missing(name))
}

/// Reads a stream to its end in pieces.
pub(super) fn for_each_piece(input: &mut dyn Read, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    const PIECE_LEN: usize = 1 << 20;
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match input.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(got) => take(&piece[..got])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error_of(error)),
        }
    }
}
