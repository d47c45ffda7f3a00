//! What is written is read again, and keeps the rules of strict importers.

use super::*;
use crate::ErrorKind;
use crate::package::machine::{
    Bus, Controller, ControllerModel, Disk, DiskBacking, Display, FileBacking, Firmware, GuestOs, MacAddress, Nic,
    NicModel, Place, Removable, RemovableKind, UsbController,
};
use crate::package::ovf::{Compression, Descriptor};

fn file(name: &str, size_bytes: u64) -> DescribedFile {
    DescribedFile { name: name.to_owned(), size_bytes }
}

fn disk(name: Option<&str>, place: Option<Place>, capacity_bytes: u64) -> Disk {
    Disk {
        place,
        capacity_bytes: Some(capacity_bytes),
        populated_bytes: None,
        backing: name.map_or(DiskBacking::Blank, |name| {
            DiskBacking::File(FileBacking {
                name: name.to_owned(),
                format: DeclaredFormat::Vmdk,
                compression: Compression::Identity,
                chunk_bytes: None,
                size_bytes: Some(1000),
            })
        }),
    }
}

/// A machine with one of everything.
fn full_machine() -> Machine {
    let place = |bus, controller, unit| Some(Place { bus, controller, unit });
    let mut machine = Machine::new("web \"1\" <&> 磁盘");
    machine.annotation = Some("first line\nsecond & last".to_owned());
    machine.guest_os =
        GuestOs { vmware_id: Some("debian12_64Guest".into()), cim_id: Some(96), description: Some("Debian 12".into()) };
    machine.hardware_version = Some("vmx-19".into());
    machine.firmware = Some(Firmware::Efi);
    machine.secure_boot = Some(true);
    (machine.vcpus, machine.cores_per_socket, machine.memory_bytes) = (8, Some(4), 3 << 30);
    machine.controllers = vec![
        Controller { model: ControllerModel::Pvscsi, number: 0 },
        Controller { model: ControllerModel::LsiLogic, number: 2 },
        Controller { model: ControllerModel::Nvme, number: 0 },
        Controller { model: ControllerModel::Ahci, number: 0 },
        Controller { model: ControllerModel::Ide, number: 0 },
        Controller { model: ControllerModel::Ide, number: 1 },
    ];
    machine.disks = vec![
        disk(Some("web-disk-0.vmdk"), place(Bus::Scsi, 0, 0), 4 << 30),
        disk(Some("web-disk-1.vmdk"), place(Bus::Scsi, 2, 10), 1954 * 512),
        disk(None, place(Bus::Nvme, 0, 1), 1 << 40),
    ];
    machine.removables = vec![Removable { kind: RemovableKind::Cdrom, place: place(Bus::Sata, 0, 3), medium: None }];
    machine.nics = vec![
        Nic {
            model: NicModel::Vmxnet3,
            mac: Some(MacAddress([0, 0x50, 0x56, 1, 2, 3])),
            network: Some("VM & co".into()),
            starts_connected: Some(true),
        },
        Nic {
            model: NicModel::Other("SriovEthernetCard".into()),
            mac: None,
            network: Some("b".into()),
            starts_connected: Some(false),
        },
    ];
    machine.nvram = Some("web.nvram".into());
    machine.has_tpm = true;
    machine.display = Some(Display { video_ram_bytes: Some(16 << 20), accelerates_3d: Some(false) });
    machine.sound = Some("hdaudio".into());
    machine.usb = vec![UsbController::Ehci, UsbController::Xhci];
    machine
}

fn contents() -> Contents {
    let described = |file, capacity_bytes| DescribedDisk {
        file,
        format: DeclaredFormat::Vmdk,
        capacity_bytes,
        populated_bytes: None,
    };
    Contents {
        disks: vec![
            described(Some(file("web-disk-0.vmdk", 1000)), 4 << 30),
            described(Some(file("web-disk-1.vmdk", 1000)), 1954 * 512),
            described(None, 1 << 40),
        ],
        nvram: Some(file("web.nvram", 8684)),
    }
}

#[test]
fn a_machine_comes_back_as_it_was_written() {
    let (machine, contents) = (full_machine(), contents());
    let text = write(&machine, &contents).unwrap();
    let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
    assert_eq!(descriptor.machine(None).unwrap(), machine);
    let files: Vec<_> = descriptor.files.iter().map(|file| (file.href.as_str(), file.size_bytes.unwrap())).collect();
    assert_eq!(files, [("web-disk-0.vmdk", 1000), ("web-disk-1.vmdk", 1000), ("web.nvram", 8684)]);
}

#[test]
fn a_machine_of_which_little_is_known_comes_back_too() {
    let mut machine = Machine::new("small");
    machine.memory_bytes = 64 << 20;
    machine.guest_os.cim_id = Some(OS_OTHER);
    machine.hardware_version = Some(HARDWARE_DEFAULT.into());
    let text = write(&machine, &Contents::default()).unwrap();
    assert_eq!(Descriptor::parse(text.as_bytes()).unwrap().machine(None).unwrap(), machine);
}

#[test]
fn the_elements_of_an_item_are_in_alphabetical_order() {
    let text = write(&full_machine(), &contents()).unwrap();
    let mut previous = "";
    let mut compared = 0;
    for line in text.lines().map(str::trim) {
        let name = line.strip_prefix("<rasd:").map(|rest| rest.split('>').next().unwrap());
        if let Some(name) = name {
            assert!(previous < name, "{name} after {previous}");
            compared += 1;
        }
        previous = name.unwrap_or_default();
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn no_size_makes_a_descriptor_longer_than_foretold() {
    let (machine, mut contents) = (full_machine(), contents());
    let longest = longest_bytes(&machine, &contents).unwrap();
    for size in [0, 1, u64::MAX] {
        for disk in &mut contents.disks {
            disk.populated_bytes = (size > 0).then_some(size);
            disk.file.as_mut().into_iter().for_each(|file| file.size_bytes = size);
        }
        contents.nvram.as_mut().unwrap().size_bytes = size;
        let length = write(&machine, &contents).unwrap().len();
        assert!(length <= longest && (size < u64::MAX || length == longest), "{size}: {length} of {longest}");
    }
}

#[test]
fn what_cannot_be_described_is_misuse() {
    let machine = full_machine();
    let mut too_few = contents();
    too_few.disks.pop();
    let mut twice = contents();
    twice.nvram = Some(file("web-disk-0.vmdk", 1));
    let mut outside = contents();
    outside.nvram = Some(file("../x", 1));
    let mut ambiguous = contents();
    ambiguous.nvram = Some(file("a%20b", 1));
    for wrong in [too_few, twice, outside, ambiguous] {
        assert_eq!(write(&machine, &wrong).unwrap_err().kind(), ErrorKind::Misuse);
    }
}
