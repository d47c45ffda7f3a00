//! Reads a descriptor.
//!
//! ```text
//! line   := blank | "#" anything | extent | key "=" value
//! extent := access sectors type [ '"' name '"' [ offset [ anything ] ] ]
//! value  := '"' text '"' | bare word
//! ```
//!
//! The text ends at the first NUL. Blanks may stand anywhere between words. A line that is none of
//! these is counted and skipped, but one that starts like an extent must be one: a lost extent is a shorter
//! disk.

use super::{Access, DESCRIPTOR_BYTES_MAX, Descriptor, EXTENTS_MAX, Extent, ExtentKind, LINE_BYTES_MAX, LINES_MAX};
use crate::number::u64_from;
use crate::{Error, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const DATABASE_PREFIX: &str = "ddb.";

impl Descriptor {
    /// Parses the text of a descriptor; offsets of errors count from its first byte.
    ///
    /// # Errors
    ///
    /// `Corrupt` for a malformed extent line, `Limit` for a text beyond the limits of
    /// [`crate::vmdk::descriptor`].
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        if text.len() > DESCRIPTOR_BYTES_MAX {
            return Err(Error::limit("a descriptor has at most 1 MiB").found(format!("{} bytes", text.len())));
        }
        let mut descriptor = Self::default();
        let mut offset = 0;
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if number >= LINES_MAX {
                return Err(Error::limit("a descriptor has at most 4096 lines").at(offset));
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(Error::limit("a line of a descriptor has at most 4 KiB").at(offset));
            }
            let content = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
            descriptor.take_line(String::from_utf8_lossy(content).trim()).map_err(|error| error.at(offset))?;
            offset += u64_from(line.len()) + 1;
        }
        Ok(descriptor)
    }

    fn take_line(&mut self, line: &str) -> Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with('#') {
            // No writer's comments have quotes; a line end that was damaged can hide an extent here.
            self.strange_lines += usize::from(line.contains('"'));
            return Ok(());
        }
        if let Some(extent) = parse_extent(line)? {
            if self.extents.len() >= EXTENTS_MAX {
                return Err(Error::limit("a descriptor has at most 2048 extents"));
            }
            self.extents.push(extent);
        } else if let Some((key, value)) = line.split_once('=') {
            self.take_key(&key.trim().to_ascii_lowercase(), unquoted(value.trim()));
        } else {
            self.strange_lines += 1;
        }
        Ok(())
    }

    fn take_key(&mut self, key: &str, value: &str) {
        let text = || Some(value.to_owned());
        match key {
            "version" => self.version = value.parse().ok(),
            "encoding" => self.encoding = text(),
            "cid" => self.cid = text(),
            "parentcid" => self.parent_cid = text(),
            "createtype" => self.create_type = text(),
            "parentfilenamehint" => self.parent_hint = text(),
            "changetrackpath" => self.change_track_path = text(),
            "encryptionkeys" => self.encrypted = true,
            _ => {
                if let Some(key) = key.strip_prefix(DATABASE_PREFIX) {
                    self.database.insert(key.to_owned(), value.to_owned());
                }
            }
        }
    }
}

/// Returns the text inside of quotes, or the text itself.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.split('"').next()).unwrap_or(value)
}

/// Parses an extent line; `None` when the line does not begin like one.
fn parse_extent(line: &str) -> Result<Option<Extent>> {
    let (word, rest) = split_word(line);
    let access = match word.to_ascii_uppercase().as_str() {
        "RW" => Access::ReadWrite,
        "RDONLY" => Access::ReadOnly,
        "NOACCESS" => Access::None,
        _ => return Ok(None),
    };
    let malformed = |what: &str| {
        Error::corrupt("an extent line has access, sectors, type, and name").found(format!("{what} in {line:?}"))
    };
    let (sectors, rest) = split_word(rest);
    let (kind, rest) = split_word(rest);
    let kind = match kind.to_ascii_uppercase().as_str() {
        "FLAT" => ExtentKind::Flat,
        "SPARSE" => ExtentKind::Sparse,
        "ZERO" => ExtentKind::Zero,
        "VMFS" => ExtentKind::Vmfs,
        "VMFSSPARSE" => ExtentKind::VmfsSparse,
        "SESPARSE" => ExtentKind::SeSparse,
        "VMFSRDM" => ExtentKind::VmfsRdm,
        "VMFSRAW" => ExtentKind::VmfsRaw,
        _ => return Err(malformed("unknown type")),
    };
    let (name, offset) = match rest.strip_prefix('"') {
        Some(rest) => {
            let (name, rest) = rest.split_once('"').ok_or_else(|| malformed("unclosed name"))?;
            (Some(name.to_owned()), split_word(rest.trim_start()).0)
        }
        None if rest.is_empty() => (None, ""),
        None => return Err(malformed("unquoted name")),
    };
    if name.is_none() && kind != ExtentKind::Zero {
        return Err(malformed("no name"));
    }
    Ok(Some(Extent {
        access,
        sectors: parse_sectors(sectors).ok_or_else(|| malformed("bad number of sectors"))?,
        kind,
        name,
        offset_sectors: match offset {
            "" => 0,
            offset => parse_sectors(offset).ok_or_else(|| malformed("bad offset"))?,
        },
    }))
}

/// Parses digits alone: the sign that `u64::from_str` takes is not part of the grammar.
fn parse_sectors(digits: &str) -> Option<u64> {
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| digits_only)
}

/// Splits off the first word and the blanks behind it.
fn split_word(text: &str) -> (&str, &str) {
    text.split_once([' ', '\t']).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Descriptor {
        Descriptor::parse(text.as_bytes()).unwrap()
    }

    fn error_kind(text: &str) -> ErrorKind {
        Descriptor::parse(text.as_bytes()).unwrap_err().kind()
    }

    #[test]
    fn a_stream_of_vmware_tools_is_understood() {
        let text = "# Disk DescriptorFile\nversion=1\nCID=69f46643\nparentCID=ffffffff\n\
            createType=\"streamOptimized\"\n\n# Extent description\n\
            RDONLY 81920 SPARSE \"call-me-stream.vmdk\"\n\n# The Disk Data Base\n#DDB\n\n\
            ddb.adapterType = \"lsilogic\"\nddb.geometry.heads = \"16\"\n\0\0garbage=1";
        let descriptor = parse(text);
        assert_eq!(descriptor.version, Some(1));
        assert_eq!(descriptor.cid.as_deref(), Some("69f46643"));
        assert_eq!(descriptor.create_type.as_deref(), Some("streamOptimized"));
        assert_eq!(descriptor.capacity_sectors(), Some(81920));
        assert_eq!(descriptor.extents[0].access, Access::ReadOnly);
        assert_eq!(descriptor.database["adaptertype"], "lsilogic");
        assert!(!descriptor.has_parent());
        assert!(!descriptor.encrypted);
    }

    #[test]
    fn odd_writing_is_taken() {
        let text = "\u{feff}CREATETYPE = streamOptimized\r\n  CID=1777777777\r\n\
            rw\t63 flat \"a b=ü.vmdk\" 7 0f-uuid device\r\nnoaccess 1 ZERO\r\nnonsense\r\n\
            ParentFileNameHint=\"/vmfs/volumes/x/y.vmdk\"\r\nparentCID=12345678\r\n";
        let descriptor = parse(text);
        assert_eq!(descriptor.create_type.as_deref(), Some("streamOptimized"));
        assert_eq!(descriptor.cid.as_deref(), Some("1777777777"));
        let extent = Extent {
            access: Access::ReadWrite,
            sectors: 63,
            kind: ExtentKind::Flat,
            name: Some("a b=ü.vmdk".into()),
            offset_sectors: 7,
        };
        assert_eq!(descriptor.extents[0], extent);
        assert_eq!(descriptor.extents[1].kind, ExtentKind::Zero);
        assert_eq!((descriptor.capacity_sectors(), descriptor.strange_lines), (Some(64), 1));
        assert!(descriptor.has_parent());
    }

    #[test]
    fn a_line_that_starts_like_an_extent_must_be_one() {
        for line in [
            "RW",
            "RW 100",
            "RW -1 FLAT \"x\"",
            "RW +1 FLAT \"x\"",
            "RW 99999999999999999999 FLAT \"x\"",
            "RW 1 FLOPPY \"x\"",
            "RW 1 FLAT",
            "RW 1 FLAT x",
            "RW 1 FLAT \"x",
            "RW 1 FLAT \"x\" y",
        ] {
            assert_eq!(error_kind(line), ErrorKind::Corrupt, "{line}");
        }
    }

    #[test]
    fn an_extent_that_a_comment_swallowed_is_noticed() {
        assert_eq!(parse("# Extent description*RW 8 FLAT \"a\" 0\nRW 8 FLAT \"b\"").strange_lines, 1);
        assert_eq!(parse("# Disk DescriptorFile\n#DDB\n").strange_lines, 0);
    }

    #[test]
    fn an_error_names_the_byte_of_its_line() {
        let error = Descriptor::parse(b"version=1\nRW 1\n").unwrap_err();
        assert_eq!(error.offset(), Some(10));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(error_kind(&"x\n".repeat(LINES_MAX + 1)), ErrorKind::Limit);
        assert_eq!(error_kind(&"x".repeat(LINE_BYTES_MAX + 1)), ErrorKind::Limit);
        let extents = "RW 1 ZERO\n".repeat(EXTENTS_MAX + 1);
        assert_eq!(error_kind(&extents), ErrorKind::Limit);
        let long = "\n".repeat(DESCRIPTOR_BYTES_MAX + 1);
        assert_eq!(error_kind(&long), ErrorKind::Limit);
    }

    #[test]
    fn capacities_beyond_64_bits_are_none() {
        let text = format!("RW {} ZERO\nRW 1 ZERO\n", u64::MAX);
        assert_eq!(parse(&text).capacity_sectors(), None);
    }

    #[test]
    fn an_encrypted_disk_is_known() {
        assert!(parse("encryptionKeys=\"vmware:key/list/…\"").encrypted);
    }
}
