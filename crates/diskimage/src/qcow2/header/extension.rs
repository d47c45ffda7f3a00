//! The extensions behind the header.

use crate::number::u64_from;
use crate::{Error, ErrorKind, Result};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const ENCRYPTION: u32 = 0x0537_be77;

/// Type and length in front of an extension's data.
const HEAD_LEN: usize = 8;
/// What data are padded to.
const PADDED_TO: usize = 8;
/// Longest name of a format that is read. QEMU reads 15; the names in use have up to 7.
const FORMAT_BYTES_MAX: usize = 63;

/// What the extensions of an image say, as far as a reader needs it.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// The format of the backing file.
    pub(super) backing_format: Option<String>,
}

/// Reads the extensions that stand in `bytes`, which begin `start` bytes into the file and end
/// where the first cluster or the extensions must end. Unknown ones are skipped, as the format asks.
pub(super) fn parse(bytes: &[u8], start: usize) -> Result<Extensions> {
    let mut found = Extensions::default();
    let mut rest = bytes;
    loop {
        let at = u64_from(start + bytes.len() - rest.len());
        let Some((head, behind)) = rest.split_first_chunk::<HEAD_LEN>() else {
            // The end of the space also ends them.
            return Ok(found);
        };
        let kind = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let len_bytes = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if kind == END {
            return Ok(found);
        }
        let data = usize::try_from(len_bytes).ok().and_then(|len| behind.get(..len)).ok_or_else(|| {
            Error::corrupt("a header extension ends inside the first cluster and before the backing name")
                .found(format!("type {kind:#010x} of {len_bytes} bytes"))
                .at(at)
        })?;
        match kind {
            BACKING_FORMAT if found.backing_format.is_none() => found.backing_format = Some(format_name(data, at)?),
            BACKING_FORMAT => return Err(Error::corrupt("the backing format is given once").at(at)),
            ENCRYPTION => {
                return Err(Error::new(ErrorKind::Encrypted, "an encrypted image cannot be read").at(at));
            }
            _ => {}
        }
        rest = behind.get(data.len().next_multiple_of(PADDED_TO)..).unwrap_or_default();
    }
}

fn format_name(data: &[u8], at: u64) -> Result<String> {
    let printable = !data.is_empty() && data.iter().all(u8::is_ascii_graphic);
    if data.len() > FORMAT_BYTES_MAX || !printable {
        return Err(Error::corrupt("a backing format is a short name").at(at));
    }
    Ok(String::from_utf8_lossy(data).into_owned())
}
