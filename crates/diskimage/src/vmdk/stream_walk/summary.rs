//! What is known of a stream once it was complete.

use crate::vmdk::descriptor::Descriptor;
use crate::vmdk::layout::Header;

/// How it is known that a stream was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Footer and end marker came, and the directory lists exactly the grains that came.
    Footer,
    /// The tables stood in front and list exactly the grains that came.
    TablesInFront,
}

/// What a complete stream was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// Size of the guest's disk.
    pub capacity_bytes: u64,
    /// Size of one grain.
    pub grain_bytes: u64,
    /// Grains that came.
    pub grains: u64,
    /// Bytes of the guest's disk in these grains.
    pub populated_bytes: u64,
    /// Length of the stream.
    pub stream_bytes: u64,
    /// How completeness was proven.
    pub proof: Proof,
    /// What the embedded descriptor says, when there is one that can be read.
    pub descriptor: Option<Descriptor>,
    /// What is odd without harm to the data, for a report.
    pub warnings: Vec<String>,
}

/// Reads the embedded descriptor, whose oddities do not harm the data: the header decides.
///
/// Returns it with warnings about what is odd in it or in the header.
pub(super) fn read_descriptor(header: &Header, descriptor: &[u8]) -> (Option<Descriptor>, Vec<String>) {
    let mut warnings = Vec::new();
    if header.is_unclean() {
        warnings.push("the writer did not mark the disk as cleanly closed".to_owned());
    }
    if descriptor.is_empty() {
        return (None, warnings);
    }
    let descriptor = match Descriptor::parse(descriptor) {
        Ok(descriptor) => descriptor,
        Err(error) => {
            warnings.push(format!("the embedded descriptor cannot be read: {error}"));
            return (None, warnings);
        }
    };
    let capacity = header.capacity_sectors();
    match descriptor.capacity_sectors() {
        Some(sectors) if sectors == capacity => {}
        sectors => warnings.push(format!(
            "the embedded descriptor says {} sectors, the header {capacity}",
            sectors.map_or_else(|| "too many".to_owned(), |sectors| sectors.to_string())
        )),
    }
    if descriptor.has_parent() {
        warnings.push("the embedded descriptor names a parent disk".to_owned());
    }
    if descriptor.encrypted {
        warnings.push("the embedded descriptor says that the disk is encrypted".to_owned());
    }
    (Some(descriptor), warnings)
}
