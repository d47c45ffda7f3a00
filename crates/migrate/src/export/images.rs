//! Images in the drives of a VM: one that is gone makes the server refuse every export of the VM, after
//! the user has waited for the lease. So they are looked for before.
//!
//! A server that does not let us look (no privilege, no browser) leaves it to the lease, whose refusal
//! names the file too.

use vsphere::Session;
use vsphere::datastore::{self, DatastorePath};
use vsphere::inventory::Vm;
use vsphere::wire::generated::{AnyVirtualDevice, AnyVirtualDeviceBackingInfo};

use super::refusal::missing_file_hint;
use crate::{Error, ErrorKind, Result};

/// Checks that every image in a drive is there; those in CD/DVD drives not where they are taken out anyway.
///
/// # Errors
/// [`ErrorKind::State`] naming the first that is not.
pub(super) async fn check(session: &Session, vm: &Vm, devices: &[AnyVirtualDevice], eject: bool) -> Result<()> {
    let stay = devices.iter().filter(|device| !eject || !matches!(device, AnyVirtualDevice::VirtualCdrom(_)));
    for image in images(stay) {
        match datastore::exists(session, &vm.moref, &image).await {
            Ok(true) => {}
            Ok(false) => {
                let context = format!("export {}: the image {image} in one of its drives is not there", vm.path);
                let hint = missing_file_hint(&image.to_string());
                return Err(Error::new(ErrorKind::State, context).with_hint(hint));
            }
            Err(error) => tracing::debug!(%image, %error, "cannot look for an image"),
        }
    }
    Ok(())
}

/// Returns the files of datastores that drives hold. What a host itself brings (`[] /usr/lib/…/linux.iso`)
/// is in no datastore.
fn images<'d>(devices: impl IntoIterator<Item = &'d AnyVirtualDevice>) -> Vec<DatastorePath> {
    let file = |device: &AnyVirtualDevice| match device.backing.as_ref()? {
        AnyVirtualDeviceBackingInfo::VirtualCdromIsoBackingInfo(backing) => DatastorePath::parse(&backing.file_name),
        AnyVirtualDeviceBackingInfo::VirtualFloppyImageBackingInfo(backing) => DatastorePath::parse(&backing.file_name),
        _ => None,
    };
    devices.into_iter().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use vsphere::wire::generated::{
        VirtualCdrom, VirtualCdromIsoBackingInfo, VirtualDevice, VirtualDeviceFileBackingInfo, VirtualDisk,
    };

    use super::*;

    #[test]
    fn images_of_datastores_are_found_and_those_of_the_host_are_not() {
        let drive = |file: &str| {
            let base = VirtualDeviceFileBackingInfo { file_name: file.to_owned(), ..Default::default() };
            let backing = Some(VirtualCdromIsoBackingInfo { base }.into());
            AnyVirtualDevice::from(VirtualCdrom { base: VirtualDevice { backing, ..Default::default() } })
        };
        let devices = [
            drive("[ds1] iso/debian.iso"),
            drive("[] /usr/lib/vmware/isoimages/linux.iso"),
            VirtualDisk::default().into(),
        ];
        let found: Vec<_> = images(&devices).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["[ds1] iso/debian.iso"]);
    }
}
