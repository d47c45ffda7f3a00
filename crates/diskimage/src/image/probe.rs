//! What a file is, by its first bytes.
//!
//! Only a file that the user named is asked. The format of a file that another file names is given
//! by that file, because the content of a raw disk is the guest's and may look like anything.

use super::source::ByteSource;
use crate::Result;
use crate::number::clip;

/// Bytes from the start of a file that [`probe`] wants to see; fewer where the file is shorter.
pub const PROBE_BYTES: usize = 1 << 16;

/// Length and place (from the end) of the footer that is all a fixed VHD has.
const VHD_FOOTER_BYTES: u64 = 512;

const VHD_MAGIC: &[u8] = b"conectix";
const TAR_MAGIC_OFFSET: usize = 257;
const VDI_MAGIC_OFFSET: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Text that says what a VMDK is made of.
    VmdkDescriptor,
    /// A hosted sparse extent or a stream, often a whole disk.
    VmdkSparse,
    /// A delta of ESX: the letters COWD.
    VmdkCowd,
    /// A delta of newer ESXi.
    VmdkSeSparse,
    /// qcow2, version 2 or 3.
    Qcow2,
    /// A tar archive, such as an OVA.
    Tar,
    /// Something compressed by gzip.
    Gzip,
    /// Something compressed by xz.
    Xz,
    /// A zip archive.
    Zip,
    /// A table of VMware's change tracking.
    ChangeTracking,
    /// A stream that its writer did not finish.
    UnfinishedVmdk,
    /// The first version of qcow.
    Qcow1,
    /// Microsoft's VHD.
    Vhd,
    /// Microsoft's VHDX.
    Vhdx,
    /// VirtualBox's VDI.
    Vdi,
    /// QEMU's QED.
    Qed,
}

impl Format {
    /// Returns why the format is not read; `None` where it is.
    #[must_use]
    pub fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::ChangeTracking => {
                "this is a table of change tracking (-ctk.vmdk), not a disk; name the .vmdk beside it"
            }
            Self::UnfinishedVmdk => "this VMDK was not finished by its writer (its letters are kdmv); make it again",
            Self::Qcow1 => {
                "this is a qcow of the first version; `qemu-img convert -O qcow2` makes one that is read here"
            }
            Self::Vhd => {
                "this is a VHD, which is not read here; `qemu-img convert -f vpc -O qcow2` makes a qcow2 of it"
            }
            Self::Vhdx => {
                "this is a VHDX, which is not read here; `qemu-img convert -f vhdx -O qcow2` makes a qcow2 of it"
            }
            Self::Vdi => {
                "this is a VDI, which is not read here; `qemu-img convert -f vdi -O qcow2` makes a qcow2 of it"
            }
            Self::Qed => {
                "this is a QED, which is not read here; `qemu-img convert -f qed -O qcow2` makes a qcow2 of it"
            }
            _ => return None,
        })
    }
}

/// Says what a file is that starts with `head`; `None` for what has no signature, such as raw.
///
/// More than [`PROBE_BYTES`] are not looked at. A VHD of fixed size cannot be told by its start;
/// [`probe_source`] looks at its end too.
#[must_use]
pub fn probe(head: &[u8]) -> Option<Format> {
    let head = &head[..head.len().min(PROBE_BYTES)];
    let signatures: &[(usize, &[u8], Format)] = &[
        (0, b"KDMV", Format::VmdkSparse),
        (0, b"COWD", Format::VmdkCowd),
        (0, b"\xbe\xba\xfe\xca\0\0\0\0", Format::VmdkSeSparse),
        (0, b"QFI\xfb\0\0\0\x01", Format::Qcow1),
        (0, b"QFI\xfb", Format::Qcow2),
        (0, b"\xa2\x72\x19\xf6", Format::ChangeTracking),
        (0, b"kdmv", Format::UnfinishedVmdk),
        (0, b"\x1f\x8b", Format::Gzip),
        (0, b"\xfd7zXZ\0", Format::Xz),
        (0, b"PK\x03\x04", Format::Zip),
        (0, b"QED\0", Format::Qed),
        (0, b"vhdxfile", Format::Vhdx),
        (0, VHD_MAGIC, Format::Vhd),
        (VDI_MAGIC_OFFSET, b"\x7f\x10\xda\xbe", Format::Vdi),
        (TAR_MAGIC_OFFSET, b"ustar", Format::Tar),
    ];
    let begins =
        |&&(offset, magic, _): &&(usize, &[u8], Format)| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let known = signatures.iter().find(begins).map(|&(_, _, format)| format);
    known.or_else(|| is_descriptor(head).then_some(Format::VmdkDescriptor))
}

/// Says what a source is; `None` for what has no signature, such as raw.
///
/// # Errors
///
/// As [`ByteSource::read_at`].
pub fn probe_source(source: &dyn ByteSource) -> Result<Option<Format>> {
    let len = source.len_bytes();
    let mut head = vec![0; clip(PROBE_BYTES, len)];
    source.read_at(0, &mut head)?;
    let format = probe(&head);
    if format.is_some() || len < VHD_FOOTER_BYTES {
        return Ok(format);
    }
    let mut footer = [0; VHD_MAGIC.len()];
    source.read_at(len - VHD_FOOTER_BYTES, &mut footer)?;
    Ok((footer == VHD_MAGIC).then_some(Format::Vhd))
}

/// Returns whether text is a descriptor: it says so in a comment, or has the one key that every
/// descriptor has. A byte order mark, blank lines and other keys may come first.
fn is_descriptor(head: &[u8]) -> bool {
    const SIGNATURE: &str = "# disk descriptorfile";
    const KEY: &str = "createtype";
    let text = head.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|&byte| byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        starts_with_ignoring_case(line, SIGNATURE)
            || (starts_with_ignoring_case(line, KEY) && line[KEY.len()..].trim_ascii_start().starts_with(b"="))
    })
}

fn starts_with_ignoring_case(line: &[u8], word: &str) -> bool {
    line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MemorySource;

    #[test]
    fn descriptors_are_known_in_all_their_forms() {
        for text in [
            "# Disk DescriptorFile\nversion=1\n",
            "\u{feff}# Disk DescriptorFile\r\n",
            "\n\n# disk descriptorfile\n",
            "encoding=\"UTF-8\"\nversion=4\nCreateType = vmfs\n",
            "CREATETYPE=\"x\"",
        ] {
            assert_eq!(probe(text.as_bytes()), Some(Format::VmdkDescriptor), "{text:?}");
        }
        for text in ["", "version=1\n", "# Disk Descriptor", "createTypes=1", "x createType=1", "\0createType=1"] {
            assert_eq!(probe(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_read_is_known_and_refused_in_one_line() {
        let mut vdi = vec![0; 512];
        vdi[64..68].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        for (head, format) in [
            (&b"\xa2\x72\x19\xf6"[..], Format::ChangeTracking),
            (b"kdmv", Format::UnfinishedVmdk),
            (b"QFI\xfb\0\0\0\x01", Format::Qcow1),
            (b"conectix", Format::Vhd),
            (b"vhdxfile", Format::Vhdx),
            (&vdi, Format::Vdi),
            (b"QED\0", Format::Qed),
        ] {
            assert_eq!(probe(head), Some(format));
            let refusal = format.refusal().unwrap();
            assert!(!refusal.contains('\n') && refusal.len() < 120, "{refusal}");
        }
        assert_eq!(probe(b"QFI\xfb\0\0\0\x03").unwrap().refusal(), None);
    }

    #[test]
    fn a_vhd_of_fixed_size_is_known_by_its_end() {
        let mut bytes = vec![7; 2048];
        bytes[1536..1544].copy_from_slice(b"conectix");
        let probed = |bytes: Vec<u8>| probe_source(&MemorySource::new(bytes, "x")).unwrap();
        assert_eq!(probed(bytes.clone()), Some(Format::Vhd));
        bytes[1536] = 0;
        assert_eq!(probed(bytes), None);
        assert_eq!(probed(vec![1; 3]), None);
        assert_eq!(probed(Vec::new()), None);
    }
}
