//! What a report says about a disk: its links, the files they are made of, and what is odd.

use std::ops::Range;

/// What is known about a disk without reading its data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Size of the guest's disk.
    pub capacity_bytes: u64,
    /// Bytes that are data in the newest link that has them.
    pub allocated_bytes: u64,
    /// The chain, the newest link first.
    pub links: Vec<LinkDescription>,
    /// What is odd without harm to the data.
    pub warnings: Vec<String>,
}

/// What is known about one link of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkDescription {
    /// The file that was opened.
    pub name: String,
    /// The format, as a word: `vmdk`, `qcow2`, `raw`.
    pub format: &'static str,
    /// The kind inside of the format, such as `streamOptimized`; empty when there is none.
    pub variant: String,
    /// Size of the guest's disk as this link says.
    pub capacity_bytes: u64,
    /// Bytes that are data in this link.
    pub allocated_bytes: u64,
    /// The files or parts of files that make up the link, in the order of the guest's disk.
    pub parts: Vec<PartDescription>,
    /// What the link says its parent is, as written.
    pub parent: Option<String>,
    /// What the link says identifies its content, as written; it identifies nothing.
    pub content_id: Option<String>,
    /// The content id that the parent had when this link was made, as written.
    pub parent_content_id: Option<String>,
    /// What is odd in this link.
    pub warnings: Vec<String>,
}

/// What is known about one part of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDescription {
    /// The file; empty for a part without one.
    pub name: String,
    /// How its bytes are stored, as a word: `flat`, `sparse`, `stream`, `cowd`,
    /// `sesparse`, `zero`, `none` (must not be read).
    pub kind: &'static str,
    /// Where it lies on the guest's disk, in bytes, half-open.
    pub guest: Range<u64>,
    /// Length of the file; 0 for a part without one.
    pub file_bytes: u64,
}
