//! Devices of a machine.

use super::identity::MacAddress;
use crate::package::ovf::Compression;

/// What a device hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bus {
    /// SCSI, of any model.
    Scsi,
    /// NVMe.
    Nvme,
    /// SATA.
    Sata,
    /// IDE: two units for each controller, which VMware counts as two controllers.
    Ide,
    /// The floppy controller.
    Floppy,
}

impl Bus {
    /// Returns the word with which VMX keys begin.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scsi => "scsi",
            Self::Nvme => "nvme",
            Self::Sata => "sata",
            Self::Ide => "ide",
            Self::Floppy => "floppy",
        }
    }
}

/// Where on its bus a device sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The bus.
    pub bus: Bus,
    /// The number of the controller among those of its bus.
    pub controller: u32,
    /// The unit at the controller.
    pub unit: u32,
}

/// A controller of disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// What it is.
    pub model: ControllerModel,
    /// Its number among those of its bus.
    pub number: u32,
}

impl Controller {
    /// Returns the bus that it drives.
    #[must_use]
    pub fn bus(&self) -> Bus {
        self.model.bus()
    }
}

/// The model of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControllerModel {
    /// A SCSI controller whose model the source does not say, or in words unknown here.
    Scsi,
    /// BusLogic.
    BusLogic,
    /// LSI Logic parallel.
    LsiLogic,
    /// LSI Logic SAS.
    LsiLogicSas,
    /// VMware's paravirtual SCSI.
    Pvscsi,
    /// virtio SCSI, in packages that did not come from VMware.
    VirtioScsi,
    /// AHCI.
    Ahci,
    /// NVMe.
    Nvme,
    /// IDE.
    Ide,
}

impl ControllerModel {
    /// Returns the bus that a controller of this model drives.
    #[must_use]
    pub fn bus(self) -> Bus {
        match self {
            Self::Scsi | Self::BusLogic | Self::LsiLogic | Self::LsiLogicSas | Self::Pvscsi | Self::VirtioScsi => {
                Bus::Scsi
            }
            Self::Ahci => Bus::Sata,
            Self::Nvme => Bus::Nvme,
            Self::Ide => Bus::Ide,
        }
    }

    /// Returns the model of a SCSI controller that OVF or VMX name; both also write lists, of which
    /// the first known word counts.
    #[must_use]
    pub fn scsi_from_words(words: &str) -> Option<Self> {
        words.split([',', ' ', '\t', '\n']).find_map(|word| match word.trim().to_ascii_lowercase().as_str() {
            "buslogic" => Some(Self::BusLogic),
            "lsilogic" => Some(Self::LsiLogic),
            "lsilogicsas" | "lsisas1068" => Some(Self::LsiLogicSas),
            "virtualscsi" | "pvscsi" => Some(Self::Pvscsi),
            "virtio-scsi" | "virtioscsi" => Some(Self::VirtioScsi),
            _ => None,
        })
    }
}

/// A virtual disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where it hangs; `None` when the source has it on no controller.
    pub place: Option<Place>,
    /// The size that the guest sees, as the source says it. The image itself knows better.
    pub capacity_bytes: Option<u64>,
    /// An estimate of the bytes in use.
    pub populated_bytes: Option<u64>,
    /// Where its contents are.
    pub backing: DiskBacking,
}

/// The contents of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskBacking {
    /// It is empty and has no file.
    Blank,
    /// They are in a file.
    File(FileBacking),
}

/// A file that backs a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBacking {
    /// Its name, as the source writes it; not to be trusted.
    pub name: String,
    /// The format that the source claims; the magic of the file decides, except for raw.
    pub format: DeclaredFormat,
    /// How the whole file is compressed.
    pub compression: Compression,
    /// Set when it is cut into numbered parts of this length.
    pub chunk_bytes: Option<u64>,
    /// Its length, as the source says it.
    pub size_bytes: Option<u64>,
}

/// The format of an image, as a descriptor claims it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeclaredFormat {
    /// Nothing that is known here.
    #[default]
    Unknown,
    /// A VMDK of some kind.
    Vmdk,
    /// qcow2.
    Qcow2,
    /// No format at all: the bytes of the disk.
    Raw,
}

impl DeclaredFormat {
    /// Returns the format that a URI, often misspelt, or a single word claims.
    #[must_use]
    pub fn from_words(words: &str) -> Self {
        let words = words.to_ascii_lowercase();
        let mut parts = words.split(|c: char| !c.is_ascii_alphanumeric());
        if words.contains("vmdk") {
            Self::Vmdk
        } else if words.contains("qcow") || words == "cow" {
            Self::Qcow2
        } else if parts.any(|part| part == "raw") {
            Self::Raw
        } else {
            Self::Unknown
        }
    }
}

/// A drive whose medium can be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removable {
    /// What it is.
    pub kind: RemovableKind,
    /// Where it hangs.
    pub place: Option<Place>,
    /// The file in the drive, as the source writes it; `None` when empty or a device of the host.
    pub medium: Option<String>,
}

/// A kind of drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovableKind {
    /// CD or DVD.
    Cdrom,
    /// Floppy.
    Floppy,
}

/// A network adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// What it is.
    pub model: NicModel,
    /// Its address, when the source has one.
    pub mac: Option<MacAddress>,
    /// The network that it is connected to.
    pub network: Option<String>,
    /// Whether it is connected when the machine starts; `None` when the source does not say.
    pub starts_connected: Option<bool>,
}

/// The model of a network adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum NicModel {
    /// The source does not say.
    #[default]
    Unknown,
    /// Intel 82545EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's first and second paravirtual adapters, and the "flexible" one that becomes either.
    Vmxnet,
    /// VMware's third paravirtual adapter.
    Vmxnet3,
    /// AMD PCnet.
    Pcnet32,
    /// virtio.
    Virtio,
    /// Another one, in the words of the source.
    Other(String),
}

impl NicModel {
    /// Returns the model that OVF or VMX name; of a list the first known word counts.
    #[must_use]
    pub fn from_words(words: &str) -> Self {
        let known =
            words.split([',', ' ', '\t', '\n']).find_map(|word| match word.trim().to_ascii_lowercase().as_str() {
                "e1000" => Some(Self::E1000),
                "e1000e" => Some(Self::E1000e),
                "vmxnet3" => Some(Self::Vmxnet3),
                "vmxnet" | "vmxnet2" | "flexible" => Some(Self::Vmxnet),
                "pcnet32" | "vlance" => Some(Self::Pcnet32),
                "virtio" | "virtio-net" => Some(Self::Virtio),
                _ => None,
            });
        match known {
            Some(model) => model,
            None if words.trim().is_empty() => Self::Unknown,
            None => Self::Other(words.trim().to_owned()),
        }
    }
}

/// A display adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Display {
    /// Its memory.
    pub video_ram_bytes: Option<u64>,
    /// Whether it accelerates three dimensions; `None` when the source does not say.
    pub accelerates_3d: Option<bool>,
}

/// A USB controller, by the fastest kind that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsbController {
    /// USB 1.1.
    Uhci,
    /// USB 2.0.
    Ehci,
    /// USB 3.
    Xhci,
}
