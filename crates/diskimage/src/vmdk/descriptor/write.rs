//! Writes the descriptor of a stream.

use std::fmt;

use crate::vmdk::layout::Sector;
use crate::{Error, Result};

/// No parent; a disk's own content id never has this value or the one below it.
const CID_NONE: u32 = u32::MAX;

/// Oldest virtual hardware that may use the disk; what converters write when they do not know.
const HARDWARE_VERSION: u32 = 4;

/// The controller that the disk was made for. Advisory: the OVF descriptor decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterType {
    /// IDE.
    Ide,
    /// BusLogic SCSI.
    BusLogic,
    /// LSI Logic SCSI; also written for paravirtual SCSI.
    #[default]
    LsiLogic,
    /// SCSI of the first ESX versions.
    LegacyEsx,
}

impl AdapterType {
    fn word(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::BusLogic => "buslogic",
            Self::LsiLogic => "lsilogic",
            Self::LegacyEsx => "legacyESX",
        }
    }
}

/// The text of a stream's descriptor; `to_string` renders it.
#[derive(Clone, Debug)]
pub struct StreamText {
    capacity: Sector,
    cid: u32,
    extent_name: String,
    adapter: AdapterType,
}

impl StreamText {
    /// Collects what the descriptor of a stream says.
    ///
    /// # Errors
    ///
    /// `Misuse` for a content id with a reserved value, and for a name with quotes or control
    /// characters, which the format cannot express.
    pub fn new(capacity: Sector, cid: u32, extent_name: &str, adapter: AdapterType) -> Result<Self> {
        if cid >= CID_NONE - 1 {
            return Err(Error::misuse("a content id is below fffffffe").found(format!("{cid:08x}")));
        }
        let inexpressible = |c: char| c == '"' || c.is_control();
        if extent_name.is_empty() || extent_name.contains(inexpressible) {
            return Err(Error::misuse("an extent name has no quotes and no control characters")
                .found(format!("{extent_name:?}")));
        }
        Ok(Self { capacity, cid, extent_name: extent_name.to_owned(), adapter })
    }
}

impl fmt::Display for StreamText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let geometry = Geometry::new(self.capacity, self.adapter);
        write!(
            f,
            "# Disk DescriptorFile\n\
             version=1\n\
             CID={cid:08x}\n\
             parentCID={CID_NONE:08x}\n\
             createType=\"streamOptimized\"\n\
             \n\
             # Extent description\n\
             RW {sectors} SPARSE \"{name}\"\n\
             \n\
             # The Disk Data Base\n\
             #DDB\n\
             \n\
             ddb.virtualHWVersion = \"{HARDWARE_VERSION}\"\n\
             ddb.geometry.cylinders = \"{cylinders}\"\n\
             ddb.geometry.heads = \"{heads}\"\n\
             ddb.geometry.sectors = \"{track}\"\n\
             ddb.adapterType = \"{adapter}\"\n",
            cid = self.cid,
            sectors = self.capacity.0,
            name = self.extent_name,
            cylinders = geometry.cylinders,
            heads = geometry.heads,
            track = geometry.sectors,
            adapter = self.adapter.word(),
        )
    }
}

/// Cylinders, heads and sectors as a BIOS would see them. Advisory since decades.
struct Geometry {
    cylinders: u64,
    heads: u64,
    sectors: u64,
}

impl Geometry {
    /// Follows VMware's own choice: by size for SCSI, the ATA maximum for IDE.
    fn new(capacity: Sector, adapter: AdapterType) -> Self {
        const GIB_SECTORS: u64 = 1 << 21;
        let (heads, sectors, cylinders_max) = match adapter {
            AdapterType::Ide => (16, 63, 16383),
            _ if capacity.0 < GIB_SECTORS => (64, 32, 65535),
            _ if capacity.0 < 2 * GIB_SECTORS => (128, 32, 65535),
            _ => (255, 63, 65535),
        };
        Self { cylinders: (capacity.0 / (heads * sectors)).clamp(1, cylinders_max), heads, sectors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::descriptor::Descriptor;
    use crate::{ErrorKind, vmdk::layout::SECTOR_LEN};

    fn text(capacity: u64, name: &str) -> Result<StreamText> {
        StreamText::new(Sector(capacity), 0x00ab_cdef, name, AdapterType::LsiLogic)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = text(1954, "db server (1).vmdk").unwrap().to_string();
        let read = Descriptor::parse(written.as_bytes()).unwrap();
        assert_eq!(read.capacity_sectors(), Some(1954));
        assert_eq!(read.cid.as_deref(), Some("00abcdef"));
        assert_eq!(read.create_type.as_deref(), Some("streamOptimized"));
        assert_eq!(read.extents[0].name.as_deref(), Some("db server (1).vmdk"));
        assert_eq!(read.database["geometry.cylinders"], "1");
        assert!(!read.has_parent());
    }

    #[test]
    fn the_largest_disk_with_a_common_name_fits_in_one_sector() {
        let name = "n".repeat(120);
        let written = text(1 << 37, &name).unwrap().to_string();
        assert!(written.len() <= SECTOR_LEN, "{} bytes", written.len());
    }

    #[test]
    fn geometry_follows_size_and_adapter() {
        let of = |capacity, adapter| {
            let geometry = Geometry::new(Sector(capacity), adapter);
            (geometry.cylinders, geometry.heads, geometry.sectors)
        };
        assert_eq!(of(1 << 20, AdapterType::LsiLogic), (512, 64, 32));
        assert_eq!(of(1 << 21, AdapterType::LsiLogic), (512, 128, 32));
        assert_eq!(of(1 << 22, AdapterType::LsiLogic), (261, 255, 63));
        assert_eq!(of(1 << 37, AdapterType::LsiLogic), (65535, 255, 63));
        assert_eq!(of(1 << 37, AdapterType::Ide), (16383, 16, 63));
    }

    #[test]
    fn what_cannot_be_written_is_misuse() {
        for name in ["", "a\"b", "a\nb", "a\0"] {
            assert_eq!(text(1, name).unwrap_err().kind(), ErrorKind::Misuse);
        }
        let reserved = StreamText::new(Sector(1), CID_NONE - 1, "x", AdapterType::Ide);
        assert_eq!(reserved.unwrap_err().kind(), ErrorKind::Misuse);
    }
}
