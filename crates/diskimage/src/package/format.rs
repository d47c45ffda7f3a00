//! Which format a disk of a package has.
//!
//! The first bytes decide, because descriptors are often wrong. Only a raw disk has none that could:
//! what is in it is the guest's. So raw is what the descriptor says it is, and nothing else.

use super::machine::DeclaredFormat;
use crate::image::Format;
use crate::image::probe::probe;
use crate::{Error, Result};

/// The format of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// A format with a signature.
    Image(Format),
}

/// Returns the format of a disk from what its descriptor claims and how it begins; up to
/// [`crate::image::probe::PROBE_BYTES`] are looked at.
///
/// # Errors
///
/// `Unsupported` for a disk that has no signature and is not said to be raw, and for formats that
/// are not read.
pub fn disk_format(declared: DeclaredFormat, start: &[u8]) -> Result<DiskFormat> {
    if declared == DeclaredFormat::Raw {
        return Ok(DiskFormat::Raw);
    }
    let Some(format) = probe(start) else {
        return Err(Error::unsupported("a disk without a signature is raw only when its descriptor says so"));
    };
    match (format, format.refusal()) {
        (_, Some(refusal)) => Err(Error::unsupported(refusal)),
        (Format::Tar | Format::Zip | Format::Gzip | Format::Xz, None) => {
            Err(Error::unsupported("a disk is not packed in a way that its descriptor does not speak of"))
        }
        (format, None) => Ok(DiskFormat::Image(format)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn signatures_decide_except_over_a_disk_that_is_said_to_be_raw() {
        use DeclaredFormat::{Qcow2, Raw, Unknown, Vmdk};
        let qcow2 = b"QFI\xfb\0\0\0\x03".as_slice();
        for (declared, start, expected) in [
            (Vmdk, qcow2, DiskFormat::Image(Format::Qcow2)),
            (Unknown, qcow2, DiskFormat::Image(Format::Qcow2)),
            (Qcow2, b"KDMV", DiskFormat::Image(Format::VmdkSparse)),
            (Raw, qcow2, DiskFormat::Raw),
            (Raw, b"", DiskFormat::Raw),
        ] {
            assert_eq!(disk_format(declared, start).unwrap(), expected, "{declared:?} {start:?}");
        }
        for (declared, start) in [
            (Vmdk, b"".as_slice()),
            (Unknown, b"\xeb\x63\x90"),
            (Vmdk, b"vhdxfile"),
            (Vmdk, b"\x1f\x8b\x08"),
            (Qcow2, b"x"),
        ] {
            assert_eq!(disk_format(declared, start).unwrap_err().kind(), ErrorKind::Unsupported, "{start:?}");
        }
    }
}
