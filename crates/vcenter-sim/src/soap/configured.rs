//! What a reconfiguration can change about a VM, and a snapshot keeps: annotation, change tracking, drives.
//!
//! Everything else about a VM is the inventory's and stays as it is.

use vsphere::wire::generated::{AnyVirtualDeviceBackingInfo, VirtualCdromIsoBackingInfo, VirtualDeviceConnectInfo};

use super::clock::civil_of;
use super::state::EPOCH;
use crate::hardware::{Layout, Place};
use crate::inventory::Vm;

/// The part of a VM's configuration that may change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configured {
    /// Grows with each change.
    pub(crate) version: u64,
    /// `config.annotation`.
    pub(crate) annotation: String,
    /// `config.changeTrackingEnabled`.
    pub(crate) change_tracking: bool,
    /// CD-ROM drives.
    pub(crate) drives: Vec<Drive>,
}

/// A CD-ROM drive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drive {
    /// Where it sits.
    pub(crate) place: Place,
    /// What is in it: an image, or a drive of the host or of somebody's console.
    pub(crate) backing: AnyVirtualDeviceBackingInfo,
    /// Whether it is connected.
    pub(crate) connection: VirtualDeviceConnectInfo,
}

impl Configured {
    /// Returns how the inventory has it.
    pub(crate) fn of(vm: &Vm) -> Self {
        let places = Layout::of(vm).map(|layout| layout.cdroms).unwrap_or_default();
        let drives = places.into_iter().zip(&vm.isos).map(|(place, iso)| {
            let mut image = VirtualCdromIsoBackingInfo::default();
            iso.clone_into(&mut image.file_name);
            let connection = VirtualDeviceConnectInfo {
                start_connected: true,
                allow_guest_control: true,
                ..VirtualDeviceConnectInfo::default()
            };
            Drive { place, backing: image.into(), connection }
        });
        Self { version: 1, annotation: vm.annotation.clone(), change_tracking: false, drives: drives.collect() }
    }

    /// Returns `config.changeVersion`, which looks like a time on real servers.
    pub(crate) fn change_version(&self) -> String {
        civil_of(EPOCH.saturating_add_unsigned(self.version)).0
    }

    /// Returns the storage hardware: `initial` with the drives that are left.
    pub(crate) fn layout(&self, initial: &Layout) -> Layout {
        Layout { cdroms: self.drives.iter().map(|drive| drive.place.clone()).collect(), ..initial.clone() }
    }

    /// Returns the image files in the drives, with their drives.
    pub(crate) fn images(&self) -> impl Iterator<Item = (&Place, &str)> {
        self.drives.iter().filter_map(|drive| Some((&drive.place, drive.image()?)))
    }
}

impl Drive {
    /// Returns the path of the image file in it, `[datastore] dir/x.iso`.
    pub(crate) fn image(&self) -> Option<&str> {
        match &self.backing {
            AnyVirtualDeviceBackingInfo::VirtualCdromIsoBackingInfo(image) => Some(&image.file_name),
            _ => None,
        }
    }
}
