//! Lines, machines and snapshots as they are met in the wild.

use super::*;
use crate::ErrorKind;
use crate::package::machine::{
    Bus, ControllerModel, DiskBacking, Firmware, Machine, NicModel, RemovableKind, UsbController,
};

fn parse(text: &str) -> Vmx {
    Vmx::parse(text.as_bytes()).unwrap()
}

fn machine_of(text: &str) -> Machine {
    machine(&parse(text), "file.vmx").unwrap()
}

fn file_names(machine: &Machine) -> Vec<&str> {
    let backings = machine.disks.iter().map(|disk| &disk.backing);
    backings
        .map(|backing| match backing {
            DiskBacking::File(file) => file.name.as_str(),
            DiskBacking::Blank => "",
        })
        .collect()
}

#[test]
fn lines_are_read_with_any_blanks_ends_and_escapes() {
    let vmx = parse(
        "#!/usr/bin/vmware\r\n.encoding = \"UTF-8\"\r\nDisplayName=\"a |22b|22 |7C |zz|E7|A3|81\"\r\n\r\nmemSize  =  \"64\"",
    );
    assert_eq!(vmx.get("displayname"), Some("a \"b\" | |zz磁"));
    assert_eq!(vmx.get("memsize"), Some("64"));
    assert!(vmx.warnings().is_empty(), "{:?}", vmx.warnings());
}

#[test]
fn odd_lines_are_read_and_said() {
    let vmx = parse("a = bare\nb = 'single'\nc = \"open\nd = \"x\" y\nhello\na = \"other\"\na = \"bare\"\n");
    assert_eq!((vmx.get("a"), vmx.get("b"), vmx.get("d")), (Some("bare"), Some("single"), Some("x")));
    assert_eq!(vmx.get("c"), Some("\"open"));
    let expected = ["line 1:", "line 2:", "line 3:", "line 4:", "line 5 has no key", "line 6: a has a value already"];
    assert_eq!(vmx.warnings().len(), expected.len(), "{:?}", vmx.warnings());
    for (warning, start) in vmx.warnings().iter().zip(expected) {
        assert!(warning.starts_with(start), "{warning}");
    }
}

#[test]
fn what_is_absent_takes_all_below_it_away() {
    let vmx = parse(
        "scsi0.present = \"False\"\nscsi0.virtualDev = \"pvscsi\"\nscsi0:0.fileName = \"a.vmdk\"\nscsi00.x = \"1\"",
    );
    assert_eq!((vmx.get("scsi0.virtualdev"), vmx.get("scsi00.x")), (None, Some("1")));
    assert_eq!(vmx.get("scsi0:0.filename"), Some("a.vmdk"));
    assert!(machine(&vmx, "x.vmx").unwrap().disks.is_empty(), "a disk needs its controller");
}

#[test]
fn disks_come_by_bus_controller_and_number_of_unit() {
    let machine = machine_of(
        "ide0:0.fileName = \"i.vmdk\"\nide0:0.deviceType = \"ata-hardDisk\"\nsata1:2.fileName = \"s.vmdk\"\n\
         nvme0:0.fileName = \"n.vmdk\"\nscsi0:10.fileName = \"c.vmdk\"\nscsi0:9.fileName = \"b.vmdk\"\n\
         scsi0:7.fileName = \"controller.vmdk\"\nscsi1:0.fileName = \"/vmfs/volumes/ds/x/d.vmdk\"\n\
         scsi0.virtualDev = \"lsisas1068\"\nscsi0:1.fileName = \"gone.vmdk\"\nscsi0:1.present = \"FALSE\"\n",
    );
    assert_eq!(file_names(&machine), ["b.vmdk", "c.vmdk", "/vmfs/volumes/ds/x/d.vmdk", "n.vmdk", "s.vmdk", "i.vmdk"]);
    let controllers: Vec<_> = machine.controllers.iter().map(|known| (known.model, known.number)).collect();
    use ControllerModel::{Ahci, Ide, LsiLogicSas, Nvme, Scsi};
    assert_eq!(controllers, [(LsiLogicSas, 0), (Scsi, 1), (Nvme, 0), (Ahci, 1), (Ide, 0)]);
}

#[test]
fn drives_are_told_from_disks_on_every_bus() {
    let machine = machine_of(
        "sata0:0.deviceType = \"cdrom-image\"\nsata0:0.fileName = \"/isos/a.iso\"\n\
         ide1:0.deviceType = \"atapi-cdrom\"\nide1:0.fileName = \"emptyBackingString\"\n\
         scsi0:1.deviceType = \"scsi-passthru\"\nscsi0:1.fileName = \"/dev/sg0\"\n\
         floppy0.fileType = \"file\"\nfloppy0.fileName = \"a.flp\"\n",
    );
    assert!(machine.disks.is_empty());
    let drives: Vec<_> = machine
        .removables
        .iter()
        .map(|drive| (drive.kind, drive.place.unwrap().bus, drive.medium.as_deref()))
        .collect();
    assert_eq!(
        drives,
        [
            (RemovableKind::Cdrom, Bus::Sata, Some("/isos/a.iso")),
            (RemovableKind::Cdrom, Bus::Ide, None),
            (RemovableKind::Floppy, Bus::Floppy, Some("a.flp")),
        ]
    );
    assert!(machine.warnings.iter().any(|warning| warning.contains("scsi-passthru")), "{:?}", machine.warnings);
}

#[test]
fn identity_size_and_firmware_are_taken() {
    let machine = machine_of(
        "displayName = \"web\"\nguestOS = \"debian12-64\"\nvirtualHW.version = \"8\"\nfirmware = \"EFI\"\n\
         uefi.secureBoot.enabled = \"TRUE\"\nmemSize = \"4096\"\nnumvcpus = \"6\"\ncpuid.coresPerSocket = \"3\"\n\
         uuid.bios = \"56 4d 5e 24 6d 4f 21 d3-9e 5f 28 5a 4b 1c 4e 0f\"\nvm.genid = \"-570734802784577186\"\n\
         vm.genidX = \"-5042519231342505152\"\nnvram = \"web.nvram\"\nvtpm.present = \"TRUE\"\nannotation = \"a|0Ab\"\n\
         svga.vramSize = \"16777216\"\nsound.present = \"TRUE\"\nsound.virtualDev = \"hdaudio\"\n\
         usb.present = \"TRUE\"\nusb_xhci.present = \"TRUE\"\n",
    );
    assert_eq!((machine.name.as_str(), machine.vcpus, machine.cores_per_socket), ("web", 6, Some(3)));
    assert_eq!((machine.memory_bytes, machine.hardware_version.as_deref()), (4 << 30, Some("vmx-08")));
    assert_eq!((machine.firmware, machine.secure_boot, machine.has_tpm), (Some(Firmware::Efi), Some(true), true));
    assert_eq!(machine.bios_uuid.unwrap().to_string(), "564d5e24-6d4f-21d3-9e5f-285a4b1c4e0f");
    assert_eq!(machine.generation_id.unwrap().to_string(), "8312995e-57b8-f814-4013-c1ba795f05ba");
    assert_eq!((machine.nvram.as_deref(), machine.annotation.as_deref()), (Some("web.nvram"), Some("a\nb")));
    assert_eq!(machine.display.unwrap().video_ram_bytes, Some(16 << 20));
    assert_eq!(
        (machine.sound.as_deref(), machine.usb.as_slice()),
        (Some("hdaudio"), &[UsbController::Uhci, UsbController::Xhci][..])
    );
    assert!(machine.warnings.is_empty(), "{:?}", machine.warnings);
}

#[test]
fn what_a_file_leaves_out_has_the_default_of_vmware() {
    let machine = machine_of("config.version = \"8\"\ncpuid.coresPerSocket = \"0\"");
    assert_eq!((machine.name.as_str(), machine.vcpus, machine.memory_bytes), ("file", 1, 32 << 20));
    assert_eq!((machine.firmware, machine.cores_per_socket), (Some(Firmware::Bios), None));
}

#[test]
fn an_address_is_chosen_by_its_type() {
    let nic = |kind: &str| {
        let machine = machine_of(&format!(
            "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\nethernet0.addressType = \"{kind}\"\n\
             ethernet0.address = \"00:50:56:00:00:01\"\nethernet0.generatedAddress = \"00:0c:29:00:00:02\"\n\
             ethernet0.connectionType = \"nat\"\nethernet1.present = \"FALSE\"\nethernet1.address = \"00:50:56:00:00:03\"\n"
        ));
        assert_eq!(machine.nics.len(), 1);
        assert_eq!((&machine.nics[0].model, machine.nics[0].network.as_deref()), (&NicModel::Vmxnet3, Some("nat")));
        machine.nics[0].mac.unwrap().to_string()
    };
    assert_eq!(nic("static"), "00:50:56:00:00:01");
    assert_eq!(nic("generated"), "00:0c:29:00:00:02");
    assert_eq!(nic("vpx"), "00:0c:29:00:00:02");
}

#[test]
fn what_is_lost_or_odd_is_said() {
    let machine = machine_of(
        "memSize = \"32\"\nscsi0:0.fileName = \"web-000002.vmdk\"\nscsi0:1.fileName = \"a.vmdk\"\n\
         scsi0:1.mode = \"independent-persistent\"\nscsi0:2.fileName = \"b-12.vmdk\"\nscsi0:2.sharing = \"multi-writer\"\n\
         serial0.present = \"TRUE\"\nnumvcpus = \"3\"\ncpuid.coresPerSocket = \"2\"\n",
    );
    for word in ["scsi0:0 runs on a snapshot", "scsi0:1 is independent", "scsi0:2 is shared", "serial0", "sockets of 2"]
    {
        assert!(machine.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", machine.warnings);
    }
    assert_eq!(machine.warnings.len(), 5, "{:?}", machine.warnings);
}

#[test]
fn what_is_no_readable_machine_is_refused() {
    for (bytes, kind) in [
        (&b""[..], ErrorKind::Corrupt),
        (b"# only a comment\n", ErrorKind::Corrupt),
        (b"KDMV\x01\0\0\0", ErrorKind::Unsupported),
        (b"# Disk DescriptorFile\nversion=1\n", ErrorKind::Unsupported),
    ] {
        assert_eq!(Vmx::parse(bytes).unwrap_err().kind(), kind, "{bytes:?}");
    }
    let large = vec![b'#'; VMX_BYTES_MAX + 1];
    assert_eq!(Vmx::parse(&large).unwrap_err().kind(), ErrorKind::Limit);
    for (text, kind) in [
        ("encryption.keySafe = \"vmware:key/list\"", ErrorKind::Encrypted),
        ("memSize = \"much\"", ErrorKind::Corrupt),
        ("numvcpus = \"0\"", ErrorKind::Corrupt),
        ("memSize = \"18446744073709551615\"", ErrorKind::Limit),
    ] {
        assert_eq!(machine(&parse(text), "x.vmx").unwrap_err().kind(), kind, "{text}");
    }
}

#[test]
fn no_value_shows_in_debug_output() {
    let vmx = parse("RemoteDisplay.vnc.password = \"hunter2\"\na = \"b\"");
    assert!(!format!("{vmx:?}").contains("hunter2"));
}

#[test]
fn a_long_key_is_left_out_and_does_not_cost_its_square() {
    let vmx = parse(&format!("a = \"1\"\n{} = \"2\"", "b.".repeat(VMX_BYTES_MAX / 2 - 20)));
    assert_eq!((vmx.keys().count(), vmx.warnings().len()), (1, 1));
}

const VMSD: &str = ".encoding = \"UTF-8\"\nsnapshot.lastUID = \"12\"\nsnapshot.current = \"12\"\nsnapshot.numSnapshots = \"2\"\n\
    snapshot0.uid = \"1\"\nsnapshot0.filename = \"web-Snapshot1.vmsn\"\nsnapshot0.displayName = \"before\"\n\
    snapshot0.createTimeHigh = \"396234\"\nsnapshot0.createTimeLow = \"-1516239552\"\nsnapshot0.numDisks = \"1\"\n\
    snapshot0.disk0.fileName = \"web.vmdk\"\nsnapshot0.disk0.node = \"scsi0:0\"\n\
    snapshot10.uid = \"12\"\nsnapshot10.parent = \"1\"\nsnapshot10.disk10.fileName = \"web-000001.vmdk\"\n\
    snapshot10.disk10.node = \"scsi0:10\"\nsnapshot10.disk9.fileName = \"other-000001.vmdk\"\n";

#[test]
fn snapshots_and_disks_past_nine_are_read() {
    let list = snapshots(VMSD.as_bytes()).unwrap();
    assert_eq!((list.current, list.warnings.as_slice()), (Some(12), &[][..]));
    let [first, second] = &list.snapshots[..] else { panic!("two snapshots") };
    assert_eq!((first.uid, first.parent, first.name.as_str()), (1, None, "before"));
    assert_eq!(first.created_us, Some((396_234_i64 << 32) + 2_778_727_744));
    assert_eq!(first.state_file.as_deref(), Some("web-Snapshot1.vmsn"));
    let disks: Vec<_> = second.disks.iter().map(|disk| (disk.file_name.as_str(), disk.node.as_str())).collect();
    assert_eq!(disks, [("other-000001.vmdk", ""), ("web-000001.vmdk", "scsi0:10")]);
    assert_eq!(second.parent, Some(1));
}

#[test]
fn no_snapshots_are_an_empty_list() {
    for text in ["", " \r\n", ".encoding = \"UTF-8\"\nsnapshot.numSnapshots = \"0\"\n"] {
        assert_eq!(snapshots(text.as_bytes()).unwrap(), SnapshotList::default(), "{text:?}");
    }
}

#[test]
fn snapshots_that_go_round_in_circles_are_corrupt() {
    for text in [
        "snapshot0.uid = \"1\"\nsnapshot0.parent = \"1\"",
        "snapshot0.uid = \"1\"\nsnapshot0.parent = \"2\"\nsnapshot1.uid = \"2\"\nsnapshot1.parent = \"1\"",
        "snapshot0.uid = \"1\"\nsnapshot1.uid = \"1\"",
        "snapshot0.uid = \"x\"",
    ] {
        assert_eq!(snapshots(text.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{text}");
    }
    let list = snapshots(
        b"snapshot.current = \"9\"\nsnapshot0.uid = \"1\"\nsnapshot0.parent = \"5\"\nsnapshot1.displayName = \"x\"",
    )
    .unwrap();
    assert_eq!((list.current, list.snapshots[0].parent, list.warnings.len()), (None, None, 3));
    let many: String = (0..=SNAPSHOTS_MAX).map(|number| format!("snapshot{number}.uid = \"{number}\"\n")).collect();
    assert_eq!(snapshots(many.as_bytes()).unwrap_err().kind(), ErrorKind::Limit);
}
