//! The rules of an archive, without reading: blocks in, steps out.

use std::collections::HashSet;

use super::extension::Extensions;
use super::header::{BLOCK_LEN, Header, Kind};
use super::{MEMBERS_MAX, NAME_BYTES_MAX, PAX_BYTES_MAX};
use crate::number::u64_from;
use crate::package::href::safe_href;
use crate::{Error, Result};

/// What a header block means for the reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The archive ends.
    End,
    /// A block of zeros, which only ends the archive together with another one.
    Zeros,
    /// Data that belong to no member.
    Skip { size_bytes: u64 },
    /// Data for [`Walker::take_extension`].
    Extension { kind: Kind, size_bytes: usize },
    /// A member, with its data behind.
    Member { name: String, size_bytes: u64 },
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Walker {
    next: Extensions,
    global: Extensions,
    saw_zeros: bool,
    headers: usize,
    names: HashSet<String>,
    warnings: Vec<String>,
}

impl Walker {
    /// Takes the header block at `offset`.
    pub(super) fn take(&mut self, offset: u64, block: &[u8; BLOCK_LEN]) -> Result<Step> {
        let Some(header) = Header::parse(block)? else {
            if self.saw_zeros {
                return Ok(Step::End);
            }
            if self.headers == 0 {
                return Err(Error::corrupt("an archive begins with a member"));
            }
            self.saw_zeros = true;
            return Ok(Step::Zeros);
        };
        if self.saw_zeros {
            // Some readers end at one block of zeros, others go on: they would see other members.
            return Err(Error::corrupt("an archive ends with two blocks of zeros").found("one, and a header behind it"));
        }
        self.headers += 1;
        if self.headers > MEMBERS_MAX {
            return Err(Error::limit("an archive has at most 10000 members"));
        }
        match header.kind {
            Kind::Pax | Kind::PaxGlobal | Kind::GnuLongName | Kind::GnuLongLink => extension(&header),
            Kind::Folder => {
                let extensions = std::mem::take(&mut self.next).or(&self.global);
                Ok(Step::Skip { size_bytes: extensions.size_bytes.unwrap_or(header.size_bytes) })
            }
            Kind::File => self.member(offset, &header),
            Kind::Sparse => Err(sparse(&header.name)),
            Kind::Link => refuse(&header, "a package has no links"),
            Kind::Device => refuse(&header, "a package has no devices"),
            Kind::Unknown(_) => refuse(&header, "a package has members of known kinds"),
        }
    }

    /// Takes the data of an extension.
    pub(super) fn take_extension(&mut self, kind: Kind, data: &[u8]) -> Result<()> {
        match kind {
            Kind::Pax => self.next.take_pax(data),
            Kind::PaxGlobal => self.global.take_pax(data),
            Kind::GnuLongName => {
                self.next.take_long_name(data);
                Ok(())
            }
            // The target of a link; the link itself is refused.
            _ => Ok(()),
        }
    }

    /// Takes the end of the input, `left` bytes behind the last block.
    pub(super) fn end_of_input(&mut self, offset: u64, left: u64) -> Result<()> {
        if left > 0 && !self.saw_zeros {
            return Err(Error::truncated("an archive consists of whole blocks")
                .found(format!("{left} bytes"))
                .at(offset));
        }
        if self.headers == 0 {
            return Err(Error::truncated("an archive has a member").at(offset));
        }
        if self.next != Extensions::default() {
            return Err(Error::truncated("an extension of a header stands in front of a member").at(offset));
        }
        self.warnings.push("the archive ends without two blocks of zeros: its tail may be missing".to_owned());
        Ok(())
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    fn member(&mut self, offset: u64, header: &Header) -> Result<Step> {
        let extensions = std::mem::take(&mut self.next).or(&self.global);
        let written = extensions.path.unwrap_or_else(|| header.name.clone());
        if extensions.is_sparse {
            return Err(sparse(&written));
        }
        let size_bytes = extensions.size_bytes.unwrap_or(header.size_bytes);
        if size_bytes > u64::MAX - offset.saturating_add(2 * u64_from(BLOCK_LEN)) {
            return Err(Error::limit("an archive is shorter than 2^64 bytes").found(format!("{written:?}")));
        }
        let name = member_name(&written)?;
        if is_apple_double(&name) {
            return Ok(Step::Skip { size_bytes });
        }
        if !self.names.insert(name.clone()) {
            return Err(Error::corrupt("a name is in an archive once").found(format!("{name:?}")));
        }
        Ok(Step::Member { name, size_bytes })
    }
}

/// Returns a name without `./` in front, if it stays inside the package.
pub(crate) fn member_name(written: &str) -> Result<String> {
    let mut name = written;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.trim_start_matches('/');
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::limit("a name in an archive has at most 1024 bytes").found(format!("{} bytes", name.len())));
    }
    Ok(safe_href(name)?.literal().to_owned())
}

/// Returns whether a name is that of macOS's companion of a file.
pub(crate) fn is_apple_double(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|base| base.starts_with("._")) || name.starts_with("__MACOSX/")
}

fn extension(header: &Header) -> Result<Step> {
    let is_name = matches!(header.kind, Kind::GnuLongName | Kind::GnuLongLink);
    // A long name ends with a zero byte.
    let most = if is_name { NAME_BYTES_MAX + 1 } else { PAX_BYTES_MAX };
    match usize::try_from(header.size_bytes) {
        Ok(size_bytes) if size_bytes <= most => Ok(Step::Extension { kind: header.kind, size_bytes }),
        _ if is_name => {
            Err(Error::limit("a name in an archive has at most 1024 bytes")
                .found(format!("{} bytes", header.size_bytes)))
        }
        _ => Err(Error::limit("PAX records have at most 64 KiB").found(format!("{} bytes", header.size_bytes))),
    }
}

fn sparse(name: &str) -> Error {
    Error::unsupported("a file in an archive is not sparse").found(format!("{name:?}; pack it without --sparse"))
}

fn refuse<T>(header: &Header, rule: &'static str) -> Result<T> {
    Err(Error::unsupported(rule).found(format!("{:?}", header.name)))
}
