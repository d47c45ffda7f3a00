//! The disk as it is, byte for byte: a file or a block device.
//!
//! * [`read`]: a file with its holes as the map.
//! * [`write`](mod@write): a sparse file or a device, in any order and over crashes.
//! * [`device`]: opens a block device that nobody uses.

pub mod device;
pub mod read;
pub mod write;
