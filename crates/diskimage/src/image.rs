//! What every disk format looks like to those who read it.
//!
//! ```text
//!  Image            what the guest sees: a chain of links, the newest first
//!   └─ Link         one disk of the chain: a reader and what is known about it
//!       └─ Disk     guest bytes at any offset, and a map of what is stored
//!           └─ ByteSource    the bytes of a file, of a member of an archive, of memory
//! ```
//!
//! * [`disk`]: the trait that each reader implements, and the map of a disk.
//! * [`chain`]: links on top of each other.
//! * [`source`]: where the bytes of a format come from.
//! * [`files`]: names inside of a file, and which of them may be opened.
//! * [`describe`]: what a report says about a disk.
//! * [`probe`]: what a file is, by its first bytes.
//!
//! Deliberately absent: writing, and anything asynchronous. A reader is shared by as many threads
//! as like to read.

pub(crate) mod cache;
pub mod chain;
pub mod describe;
pub mod disk;
pub mod files;
pub(crate) mod oddities;
pub mod probe;
pub mod source;

pub use chain::{Image, Link};
pub use describe::{Description, LinkDescription, PartDescription};
pub use disk::{Disk, EXTENTS_MAX, Extent, ExtentKind, extents};
pub use files::{Files, Folder, NamedSources, NoFiles};
pub use probe::Format;
pub use source::{ByteSource, FileSource, Identity, MemorySource, Window};
