//! A virtual machine, whatever described it.
//!
//! OVF descriptors and `.vmx` files say the same things in different words; here are the things.
//! `inspect` prints a [`Machine`], and definitions for other hypervisors are made from it.
//!
//! What a source leaves open stays open (`None`): a default that one hypervisor would take is not
//! knowledge about the machine. What was read but has no place here is a [`Fact`]; what is odd, or
//! will be lost, is a warning.
//!
//! Deliberately absent: reading ([`super::ovf`], [`super::vmx`]), writing, and decisions about the
//! target.

mod device;
mod identity;

pub use device::{
    Bus, Controller, ControllerModel, DeclaredFormat, Disk, DiskBacking, Display, FileBacking, Nic, NicModel, Place,
    Removable, RemovableKind, UsbController,
};
pub use identity::{MacAddress, Uuid};

/// A machine: identity, processor and memory, devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// Its name, as people know it; not a file name.
    pub name: String,
    /// Notes of its owner.
    pub annotation: Option<String>,
    /// What the source says about the guest.
    pub guest_os: GuestOs,
    /// The generation of virtual hardware, such as `vmx-19`.
    pub hardware_version: Option<String>,
    /// The firmware; `None` when the source does not say.
    pub firmware: Option<Firmware>,
    /// Whether the firmware starts signed loaders only; `None` when the source does not say.
    pub secure_boot: Option<bool>,
    /// Virtual processors, at least one.
    pub vcpus: u32,
    /// Cores that one socket has; divides [`Self::vcpus`].
    pub cores_per_socket: Option<u32>,
    /// Memory.
    pub memory_bytes: u64,
    /// The controllers, by bus and number.
    pub controllers: Vec<Controller>,
    /// The disks, in the order in which the firmware would meet them.
    pub disks: Vec<Disk>,
    /// CD and floppy drives.
    pub removables: Vec<Removable>,
    /// Network adapters, in the order of the source.
    pub nics: Vec<Nic>,
    /// The file with the firmware's variables.
    pub nvram: Option<String>,
    /// Whether it has a trusted platform module, whose contents cannot move.
    pub has_tpm: bool,
    /// The display adapter.
    pub display: Option<Display>,
    /// The model of the sound card.
    pub sound: Option<String>,
    /// USB controllers.
    pub usb: Vec<UsbController>,
    /// The UUID that the firmware shows to the guest.
    pub bios_uuid: Option<Uuid>,
    /// The UUID by which vCenter knows it.
    pub instance_uuid: Option<Uuid>,
    /// The generation identifier that tells a guest it was cloned.
    pub generation_id: Option<Uuid>,
    /// What else the source says, for reports.
    pub facts: Vec<Fact>,
    /// What is odd, and what will be lost.
    pub warnings: Vec<String>,
}

/// What a source says about the guest operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestOs {
    /// VMware's word, such as `rhel8_64Guest` or, in a `.vmx`, `rhel8-64`.
    pub vmware_id: Option<String>,
    /// The number of CIM's list of operating systems.
    pub cim_id: Option<u32>,
    /// A description for people.
    pub description: Option<String>,
}

/// The firmware of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// A BIOS.
    Bios,
    /// UEFI.
    Efi,
}

impl Firmware {
    /// Returns the word that OVF and VMX use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Efi => "efi",
        }
    }

    /// Returns the firmware of a word in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Bios, Self::Efi].into_iter().find(|firmware| word.trim().eq_ignore_ascii_case(firmware.word()))
    }
}

/// Something that a source says and that no field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about, such as `product` or `property net.ip`.
    pub subject: String,
    /// What is said; empty for a secret.
    pub text: String,
}

impl Machine {
    /// Returns a machine of which nothing but the name is known.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), vcpus: 1, ..Self::default() }
    }

    /// Returns the controller at a place.
    #[must_use]
    pub fn controller_of(&self, place: Place) -> Option<&Controller> {
        self.controllers.iter().find(|known| known.bus() == place.bus && known.number == place.controller)
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    pub(super) fn note(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.facts.push(Fact { subject: subject.into(), text: text.into() });
    }

    /// Takes a number of cores per socket, if sockets come out whole.
    pub(super) fn take_cores_per_socket(&mut self, cores: u32) {
        if cores > 0 && self.vcpus.is_multiple_of(cores) {
            self.cores_per_socket = Some(cores);
        } else {
            let vcpus = self.vcpus;
            self.warn(format!("{vcpus} processors do not divide into sockets of {cores} cores, which are ignored"));
        }
    }
}
