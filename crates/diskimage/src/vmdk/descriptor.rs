//! The descriptor: a short text that says what a disk is made of.
//!
//! In a stream it is embedded behind the header, padded with NULs. [`Descriptor::parse`] is as
//! tolerant as the files in the wild demand: keys and words in any case, blanks around `=`, bare
//! values, CRLF, a byte order mark, unknown keys and unknown lines. [`StreamText`] writes the one
//! of a stream.
//!
//! Deliberately absent: opening what a descriptor names. In an embedded descriptor the name is
//! often stale and is to be ignored in favour of the file that was opened. Text in an encoding
//! other than UTF-8 is read with replacement characters, which harms names only.

mod parse;
mod write;

pub use write::{AdapterType, StreamText};

use std::collections::BTreeMap;

/// Longest descriptor that is read. Real ones have a few hundred bytes.
pub const DESCRIPTOR_BYTES_MAX: usize = 1 << 20;
/// Most lines of a descriptor.
pub const LINES_MAX: usize = 4096;
/// Longest line of a descriptor, in bytes.
pub const LINE_BYTES_MAX: usize = 4096;
/// Most extents of a descriptor: 64 TiB in files of 2 GiB would be 32 Ki, which nobody has.
pub const EXTENTS_MAX: usize = 2048;

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// `version`, 1 to 3; `None` when absent or not a number.
    pub version: Option<u32>,
    /// `encoding`, as written.
    pub encoding: Option<String>,
    /// `CID`, as written: eight hexadecimal digits, or up to ten decimal ones by Xen Orchestra.
    pub cid: Option<String>,
    /// `parentCID`, as written.
    pub parent_cid: Option<String>,
    /// `createType`: a label only. The extents and the files themselves decide.
    pub create_type: Option<String>,
    /// `parentFileNameHint`: where the parent was; not to be followed blindly.
    pub parent_hint: Option<String>,
    /// `changeTrackPath`: the change tracking file.
    pub change_track_path: Option<String>,
    /// Whether the disk is encrypted (`encryptionKeys` is there).
    pub encrypted: bool,
    /// The extents, in the order in which they make up the disk.
    pub extents: Vec<Extent>,
    /// How many lines are neither of these nor a plain comment; one may have been an extent.
    pub strange_lines: usize,
    /// The keys that start with `ddb.`, in lower case and without that start.
    pub database: BTreeMap<String, String>,
}

impl Descriptor {
    /// Returns the sum of the extents in sectors, or `None` beyond 64 bits.
    #[must_use]
    pub fn capacity_sectors(&self) -> Option<u64> {
        self.extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.sectors))
    }

    /// Returns whether the disk is a delta whose other data are in a parent.
    #[must_use]
    pub fn has_parent(&self) -> bool {
        const NONE: &str = "ffffffff";
        self.parent_cid.as_deref().is_some_and(|cid| !cid.eq_ignore_ascii_case(NONE))
    }
}

/// One extent: a stretch of the guest's disk and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Who may access it.
    pub access: Access,
    /// Its length on the guest's disk.
    pub sectors: u64,
    /// How its bytes are stored.
    pub kind: ExtentKind,
    /// The file, as written; not to be followed blindly.
    pub name: Option<String>,
    /// First sector in the file; 0 when absent.
    pub offset_sectors: u64,
}

/// The access word of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `RW`.
    ReadWrite,
    /// `RDONLY`.
    ReadOnly,
    /// `NOACCESS`.
    None,
}

/// The type word of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// `FLAT`: plain bytes.
    Flat,
    /// `SPARSE`: a hosted sparse extent or a stream.
    Sparse,
    /// `ZERO`: no file, all zeros.
    Zero,
    /// `VMFS`: plain bytes on a datastore.
    Vmfs,
    /// `VMFSSPARSE`: a snapshot delta with the letters COWD.
    VmfsSparse,
    /// `SESPARSE`: a snapshot delta of newer hosts.
    SeSparse,
    /// `VMFSRDM`: a raw device.
    VmfsRdm,
    /// `VMFSRAW`: a raw device.
    VmfsRaw,
}
