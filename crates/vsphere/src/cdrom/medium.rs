//! What is in a drive, in a form that outlives this process.

use std::fmt;

use crate::wire::generated::{
    AnyVirtualDeviceBackingInfo as Backing, VirtualCdromAtapiBackingInfo, VirtualCdromIsoBackingInfo,
    VirtualCdromPassthroughBackingInfo, VirtualCdromRemotePassthroughBackingInfo, VirtualDevice,
    VirtualDeviceConnectInfo, VirtualDeviceDeviceBackingInfo, VirtualDeviceFileBackingInfo,
};

/// What a drive stands on when it is not empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// An image file: `[datastore] dir/x.iso`.
    Image {
        /// Its path.
        file: String,
    },
    /// A drive of the host, emulated.
    HostDrive {
        /// The host's name for it.
        device: String,
    },
    /// A drive of the host, passed through.
    HostPassthrough {
        /// The host's name for it.
        device: String,
        /// True when the VM has it for itself.
        exclusive: bool,
    },
}

/// A drive with a medium in it: all that is needed to put the medium back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loaded {
    /// Key of the drive among the devices of its VM.
    pub drive: i32,
    /// What people call the drive; for people only.
    pub label: String,
    /// Key of its controller.
    pub controller: Option<i32>,
    /// Its number there.
    pub unit: Option<i32>,
    /// What is in it.
    pub medium: Medium,
    /// True when it is connected whenever the VM starts.
    pub start_connected: bool,
    /// True when it is connected now, which a drive of a VM that is off never is.
    pub connected: bool,
    /// True when the guest may disconnect it.
    pub guest_control: bool,
}

impl Medium {
    /// Returns what is in a drive; `None` for one that is empty, or waits for a medium of somebody's console.
    pub fn of(drive: &VirtualDevice) -> Option<Self> {
        match drive.backing.as_ref()? {
            Backing::VirtualCdromIsoBackingInfo(image) if !image.file_name.is_empty() => {
                Some(Self::Image { file: image.file_name.clone() })
            }
            Backing::VirtualCdromAtapiBackingInfo(host) => Some(Self::HostDrive { device: host.device_name.clone() }),
            Backing::VirtualCdromPassthroughBackingInfo(host) => {
                Some(Self::HostPassthrough { device: host.device_name.clone(), exclusive: host.exclusive })
            }
            _ => None,
        }
    }

    fn backing(&self) -> Backing {
        let host = |device: &str| VirtualDeviceDeviceBackingInfo {
            device_name: device.to_owned(),
            ..VirtualDeviceDeviceBackingInfo::default()
        };
        match self {
            Self::Image { file } => {
                let file_name = file.clone();
                let base = VirtualDeviceFileBackingInfo { file_name, ..VirtualDeviceFileBackingInfo::default() };
                VirtualCdromIsoBackingInfo { base }.into()
            }
            Self::HostDrive { device } => VirtualCdromAtapiBackingInfo { base: host(device) }.into(),
            Self::HostPassthrough { device, exclusive } => {
                VirtualCdromPassthroughBackingInfo { base: host(device), exclusive: *exclusive }.into()
            }
        }
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { file } => f.write_str(file),
            Self::HostDrive { device } | Self::HostPassthrough { device, .. } => write!(f, "the host's drive {device}"),
        }
    }
}

impl Loaded {
    /// Returns what is in a drive and how it is connected; `None` for one without a medium.
    pub fn of(drive: &VirtualDevice) -> Option<Self> {
        let connection = drive.connectable.clone().unwrap_or_default();
        Some(Self {
            drive: drive.key,
            label: super::label(drive),
            controller: drive.controller_key,
            unit: drive.unit_number,
            medium: Medium::of(drive)?,
            start_connected: connection.start_connected,
            connected: connection.connected,
            guest_control: connection.allow_guest_control,
        })
    }

    /// Returns the drive without its medium, as a change of the VM says it.
    pub(super) fn emptied(&self) -> VirtualDevice {
        // vSphere knows no empty drive: this is one that waits for a medium of a console that nobody has open.
        let empty = VirtualCdromRemotePassthroughBackingInfo::default();
        self.device(empty.into(), false, false)
    }

    /// Returns the drive with its medium, as a change of the VM says it.
    pub(super) fn filled(&self) -> VirtualDevice {
        self.device(self.medium.backing(), self.start_connected, self.connected)
    }

    fn device(&self, backing: Backing, start_connected: bool, connected: bool) -> VirtualDevice {
        VirtualDevice {
            key: self.drive,
            backing: Some(backing),
            connectable: Some(VirtualDeviceConnectInfo {
                start_connected,
                connected,
                allow_guest_control: self.guest_control,
                ..VirtualDeviceConnectInfo::default()
            }),
            controller_key: self.controller,
            unit_number: self.unit,
            ..VirtualDevice::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(backing: impl Into<Backing>) -> VirtualDevice {
        let connection = VirtualDeviceConnectInfo { start_connected: true, ..VirtualDeviceConnectInfo::default() };
        VirtualDevice {
            key: 3000,
            controller_key: Some(200),
            unit_number: Some(1),
            backing: Some(backing.into()),
            connectable: Some(connection),
            ..VirtualDevice::default()
        }
    }

    #[test]
    fn every_medium_comes_back_as_it_was() {
        for medium in [
            Medium::Image { file: "[ds1] iso/debian.iso".into() },
            Medium::HostDrive { device: "/vmfs/devices/cdrom/a".into() },
            Medium::HostPassthrough { device: "/vmfs/devices/cdrom/b".into(), exclusive: true },
        ] {
            let before = drive(medium.backing());
            let loaded = Loaded::of(&before).unwrap();
            assert_eq!(loaded.medium, medium);
            assert_eq!(loaded.filled(), before, "{medium}");
            let emptied = loaded.emptied();
            assert_eq!(Medium::of(&emptied), None);
            assert_eq!((emptied.key, emptied.controller_key, emptied.unit_number), (3000, Some(200), Some(1)));
            assert!(!emptied.connectable.unwrap().start_connected);
        }
    }

    #[test]
    fn a_drive_that_waits_for_a_console_has_no_medium() {
        assert_eq!(Loaded::of(&drive(VirtualCdromRemotePassthroughBackingInfo::default())), None);
        assert_eq!(Loaded::of(&VirtualDevice::default()), None);
    }
}
