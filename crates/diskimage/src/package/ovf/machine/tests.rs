//! Hardware in the words of several writers.

use super::*;
use crate::ErrorKind;
use crate::package::machine::{
    Bus, Controller, ControllerModel, DeclaredFormat, DiskBacking, Display, Fact, NicModel, Place, RemovableKind,
    UsbController,
};
use crate::package::ovf::Compression;

const HEAD: &str = r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:vmw="http://www.vmware.com/schema/ovf"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">"#;

const DISKS: &str = r#"<References><File ovf:id="f1" ovf:href="a.vmdk"/><File ovf:id="f2" ovf:href="b.vmdk.gz" ovf:compression="gzip"/>
  <File ovf:id="f3" ovf:href="vm.nvram"/><File ovf:id="f4" ovf:href="tools.iso"/></References>
  <DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^30"/>
  <Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="512"/><Disk ovf:diskId="d3" ovf:capacity="1024"/></DiskSection>"#;

/// Renders an item from `Name=value` words, one per line.
fn item(attributes: &str, settings: &str) -> String {
    let settings: Vec<_> = settings.split(';').map(|word| word.trim().split_once('=').unwrap()).collect();
    let inside: String = settings.iter().map(|(name, value)| format!("<rasd:{name}>{value}</rasd:{name}>")).collect();
    format!("<Item {attributes}>{inside}</Item>")
}

fn descriptor(before: &str, hardware: &str) -> Descriptor {
    let text = format!(
        "{HEAD}{before}<VirtualSystem ovf:id='vm'><Name>web</Name><VirtualHardwareSection>{hardware}\
         </VirtualHardwareSection></VirtualSystem></Envelope>"
    );
    Descriptor::parse(text.as_bytes()).unwrap()
}

fn hardware(items: &[String]) -> Machine {
    descriptor(DISKS, &items.concat()).machine(None).unwrap()
}

const CPU: &str = "<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>\
    <rasd:VirtualQuantity>4</rasd:VirtualQuantity><vmw:CoresPerSocket>2</vmw:CoresPerSocket></Item>";

fn memory(units: &str, quantity: &str) -> String {
    let units = if units.is_empty() { String::new() } else { format!("AllocationUnits={units};") };
    item("", &format!("{units}InstanceID=2;ResourceType=4;VirtualQuantity={quantity}"))
}

fn place(bus: Bus, controller: u32, unit: u32) -> Option<Place> {
    Some(Place { bus, controller, unit })
}

fn file_name(disk: &crate::package::machine::Disk) -> &str {
    match &disk.backing {
        DiskBacking::File(file) => &file.name,
        DiskBacking::Blank => "",
    }
}

#[test]
fn processors_memory_and_settings_are_taken() {
    let settings = r#"<System><vssd:VirtualSystemType>vmx-19</vssd:VirtualSystemType></System>
        <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="EFI"/>
        <vmw:Config vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>
        <vmw:ExtraConfig vmw:key="nvram" vmw:value="ovf:/file/f3"/>
        <vmw:ExtraConfig vmw:key="uuid.bios" vmw:value="56 4d 5e 24 6d 4f 21 d3-9e 5f 28 5a 4b 1c 4e 0f"/>"#;
    let machine = hardware(&[CPU.into(), memory("byte * 2^20", "2048"), settings.into()]);
    assert_eq!((machine.name.as_str(), machine.vcpus, machine.cores_per_socket), ("web", 4, Some(2)));
    assert_eq!(machine.memory_bytes, 2 << 30);
    assert_eq!(machine.hardware_version.as_deref(), Some("vmx-19"));
    assert_eq!((machine.firmware, machine.secure_boot), (Some(Firmware::Efi), Some(true)));
    assert_eq!(machine.nvram.as_deref(), Some("vm.nvram"));
    assert_eq!(machine.bios_uuid.unwrap().to_string(), "564d5e24-6d4f-21d3-9e5f-285a4b1c4e0f");
}

#[test]
fn units_of_memory_are_binary_and_their_lack_is_said() {
    for (units, quantity, expected) in [
        ("byte * 2^30", "3", 3 << 30),
        ("MegaBytes", "256", 256 << 20),
        ("byte * 2 ^ 20", "7", 7 << 20),
        ("GB", "1", 1 << 30),
        ("", "512", 512 << 20),
        ("", "536870912", 512 << 20),
    ] {
        let machine = hardware(&[CPU.into(), memory(units, quantity)]);
        assert_eq!(machine.memory_bytes, expected, "{units:?}");
        let says = machine.warnings.iter().any(|warning| warning.contains("has no unit"));
        assert_eq!(says, units.is_empty(), "{units:?}");
    }
}

#[test]
fn every_kind_of_controller_is_known_and_disks_come_in_the_order_of_places() {
    let machine = hardware(&[
        CPU.into(),
        memory("byte * 2^20", "1"),
        item("", "InstanceID=s0;ResourceType=6;ResourceSubType=VirtualSCSI;Address=0"),
        item("", "InstanceID=s1;ResourceType=6;ResourceSubType=unknown, lsilogicsas;Address=1"),
        item("", "InstanceID=a;ResourceType=20;ResourceSubType=AHCI"),
        item("", "InstanceID=n;ResourceType=20;ResourceSubType=vmware.nvme.controller"),
        item("", "InstanceID=i1;ResourceType=5;Address=1"),
        item("", "InstanceID=i0;ResourceType=5;Address=0"),
        item("", "InstanceID=10;ResourceType=17;HostResource=ovf:/disk/d2;Parent=n;AddressOnParent=0"),
        item("", "InstanceID=11;ResourceType=17;HostResource= /disk/d3 ;Parent=s0;AddressOnParent=10"),
        item("", "InstanceID=12;ResourceType=17;HostResource=ovf://disk/d1;Parent=s0;AddressOnParent=9"),
        item("", "InstanceID=13;ResourceType=15;HostResource=ovf:/file/f4;Parent=i1;AddressOnParent=0"),
        item("", "InstanceID=14;ResourceType=14"),
    ]);
    let models: Vec<_> = machine.controllers.iter().map(|Controller { model, number }| (*model, *number)).collect();
    use ControllerModel::{Ahci, Ide, LsiLogicSas, Nvme, Pvscsi};
    assert_eq!(models, [(Pvscsi, 0), (LsiLogicSas, 1), (Nvme, 0), (Ahci, 0), (Ide, 0), (Ide, 1)]);
    let disks: Vec<_> = machine.disks.iter().map(|disk| (file_name(disk), disk.place, disk.capacity_bytes)).collect();
    assert_eq!(
        disks,
        [
            ("a.vmdk", place(Bus::Scsi, 0, 9), Some(4 << 30)),
            ("", place(Bus::Scsi, 0, 10), Some(1024)),
            ("b.vmdk.gz", place(Bus::Nvme, 0, 0), Some(512)),
        ]
    );
    let DiskBacking::File(file) = &machine.disks[2].backing else { panic!("a disk with a file") };
    assert_eq!((file.compression, file.format), (Compression::Gzip, DeclaredFormat::Unknown));
    let [cdrom, floppy] = &machine.removables[..] else { panic!("two drives") };
    assert_eq!((cdrom.kind, cdrom.place), (RemovableKind::Cdrom, place(Bus::Ide, 1, 0)));
    assert_eq!(cdrom.medium.as_deref(), Some("tools.iso"));
    assert_eq!((floppy.kind, floppy.place, floppy.medium.as_deref()), (RemovableKind::Floppy, None, None));
    assert_eq!(machine.facts, [Fact { subject: "unused file".into(), text: "vm.nvram".into() }]);
}

#[test]
fn a_disk_without_a_unit_takes_the_next_and_two_at_one_place_are_said() {
    let machine = hardware(&[
        item("", "InstanceID=s;ResourceType=6"),
        item("", "InstanceID=1;ResourceType=17;HostResource=ovf:/disk/d1;Parent=s"),
        item("", "InstanceID=2;ResourceType=17;HostResource=ovf:/disk/d2;Parent=s"),
        item("", "InstanceID=3;ResourceType=17;HostResource=ovf:/disk/d3;Parent=s;AddressOnParent=1"),
    ]);
    let units: Vec<_> = machine.disks.iter().map(|disk| disk.place.unwrap().unit).collect();
    assert_eq!(units, [0, 1, 1]);
    assert!(machine.warnings.iter().any(|warning| warning.contains("scsi0:1")), "{:?}", machine.warnings);
}

#[test]
fn a_disk_on_no_device_or_controller_is_kept_and_said() {
    let machine = hardware(&[item("", "InstanceID=1;ResourceType=17;HostResource=ovf:/disk/d2;Parent=missing")]);
    let disks: Vec<_> = machine.disks.iter().map(|disk| (file_name(disk), disk.place)).collect();
    assert_eq!(disks, [("b.vmdk.gz", None), ("a.vmdk", None)]);
    for word in ["\"missing\"", "\"d1\" hangs on no device"] {
        assert!(machine.warnings.iter().any(|warning| warning.contains(word)), "{word}");
    }
}

#[test]
fn adapters_display_sound_usb_and_tpm_are_taken() {
    let display = "<Item><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>24</rasd:ResourceType>\
        <vmw:Config vmw:key='videoRamSizeInKB' vmw:value='8192'/></Item>";
    let machine = hardware(&[
        item(
            "",
            "InstanceID=1;ResourceType=10;ResourceSubType=VmxNet3;Address=00:50:56:AB:CD:EF;Connection=VM Network;AutomaticAllocation=true",
        ),
        item("", "InstanceID=2;ResourceType=10;ResourceSubType=PCNet32 E1000;Address=01:00:00:00:00:00"),
        item("", "InstanceID=3;ResourceType=10"),
        item("", "InstanceID=4;ResourceType=23;ResourceSubType=vmware.usb.xhci"),
        item("ovf:required='false'", "InstanceID=5;ResourceType=1;ResourceSubType=vmware.soundcard.hdaudio"),
        item("ovf:required='false'", "InstanceID=6;ResourceType=1;ResourceSubType=vmware.vtpm"),
        item("ovf:required='false'", "InstanceID=8;ResourceType=1;ResourceSubType=vmware.vmci"),
        item("", "InstanceID=9;ResourceType=21;ElementName=Serial port 1"),
        display.into(),
    ]);
    let nics: Vec<_> =
        machine.nics.iter().map(|nic| (&nic.model, nic.mac.map(|mac| mac.to_string()), nic.starts_connected)).collect();
    assert_eq!(
        nics,
        [
            (&NicModel::Vmxnet3, Some("00:50:56:ab:cd:ef".to_owned()), Some(true)),
            (&NicModel::Pcnet32, None, None),
            (&NicModel::Unknown, None, None),
        ]
    );
    assert_eq!(machine.nics[0].network.as_deref(), Some("VM Network"));
    assert_eq!((machine.usb.as_slice(), machine.sound.as_deref()), (&[UsbController::Xhci][..], Some("hdaudio")));
    assert!(machine.has_tpm);
    assert_eq!(machine.display, Some(Display { video_ram_bytes: Some(8 << 20), accelerates_3d: None }));
    assert!(machine.warnings.iter().any(|warning| warning.starts_with("Serial port 1")), "{:?}", machine.warnings);
    assert!(machine.warnings.iter().any(|warning| warning.contains("01:00:00:00:00:00")), "{:?}", machine.warnings);
}

#[test]
fn items_of_other_configurations_and_ends_of_ranges_do_not_count() {
    let options = "<DeploymentOptionSection><Configuration ovf:id='small'><Label>S</Label></Configuration>\
        <Configuration ovf:id='big' ovf:default='true'/></DeploymentOptionSection>";
    let items = [
        item("", "InstanceID=1;ResourceType=3;VirtualQuantity=1"),
        item("ovf:configuration='small'", "InstanceID=1;ResourceType=3;VirtualQuantity=2"),
        item("ovf:configuration='big other'", "InstanceID=1;ResourceType=3;VirtualQuantity=8"),
        item("ovf:bound='min'", "InstanceID=2;ResourceType=4;VirtualQuantity=1;AllocationUnits=GB"),
        item("", "InstanceID=2;ResourceType=4;VirtualQuantity=2;AllocationUnits=GB"),
        item("ovf:bound='max'", "InstanceID=2;ResourceType=4;VirtualQuantity=9;AllocationUnits=GB"),
    ];
    let machine = descriptor(options, &items.concat()).machine(None).unwrap();
    assert_eq!((machine.vcpus, machine.memory_bytes), (8, 2 << 30));
}

#[test]
fn of_several_hardware_sections_the_first_of_vmware_counts() {
    let section = |kind: &str, cpus: u32| {
        format!(
            "<VirtualHardwareSection><System><vssd:VirtualSystemType>{kind}</vssd:VirtualSystemType></System>{}\
             </VirtualHardwareSection>",
            item("", &format!("InstanceID=1;ResourceType=3;VirtualQuantity={cpus}"))
        )
    };
    let sections = [section("xen-3", 1), section("vmx-07 vmx-08", 2), section("vmx-10", 3)].concat();
    let text = format!("{HEAD}<VirtualSystem ovf:id='vm'>{sections}</VirtualSystem></Envelope>");
    let machine = Descriptor::parse(text.as_bytes()).unwrap().machine(None).unwrap();
    assert_eq!((machine.vcpus, machine.name.as_str()), (2, "vm"));
    assert!(machine.warnings.iter().any(|warning| warning.contains("of 3 hardware sections")));
}

#[test]
fn of_several_machines_one_must_be_chosen() {
    let system = |id: &str| format!("<VirtualSystem ovf:id='{id}'><Name>name of {id}</Name></VirtualSystem>");
    let text = format!(
        "{HEAD}<VirtualSystemCollection ovf:id='c'>{}{}</VirtualSystemCollection></Envelope>",
        system("a"),
        system("b")
    );
    let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
    let error = descriptor.machine(None).unwrap_err();
    assert_eq!(error.to_string(), "one machine of several must be chosen: \"a\", \"b\"");
    assert_eq!(descriptor.machine(Some("b")).unwrap().name, "name of b");
    assert_eq!(descriptor.machine(Some("name of a")).unwrap().name, "name of a");
    assert_eq!(descriptor.machine(Some("c")).unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn references_that_lead_nowhere_and_absurd_numbers_are_corrupt() {
    for text in [
        item("", "InstanceID=1;ResourceType=17;HostResource=ovf:/disk/none"),
        item("", "InstanceID=1;ResourceType=17;HostResource=ovf:/file/none"),
        item("", "InstanceID=1;ResourceType=17;HostResource=somewhere"),
        item("", "InstanceID=1;ResourceType=15;HostResource=ovf:/file/none"),
        item("", "InstanceID=1;ResourceType=3;VirtualQuantity=0"),
        item("", "InstanceID=1;ResourceType=3;VirtualQuantity=5000"),
    ] {
        let error = descriptor(DISKS, &text).machine(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    }
    let large = memory("byte * 2^60", "99");
    assert_eq!(descriptor(DISKS, &large).machine(None).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn secrets_of_properties_do_not_become_facts() {
    let text = format!(
        "{HEAD}<VirtualSystem ovf:id='vm'><ProductSection ovf:class='net'><Product>P</Product><Vendor>V</Vendor>\
         <Property ovf:key='ip' ovf:type='string' ovf:value='10.0.0.1'/>\
         <Property ovf:key='root' ovf:type='string' ovf:password='true' ovf:value='hunter2'/></ProductSection>\
         <EulaSection><License>Do no harm</License></EulaSection></VirtualSystem></Envelope>"
    );
    let machine = Descriptor::parse(text.as_bytes()).unwrap().machine(None).unwrap();
    let facts: Vec<_> = machine.facts.iter().map(|fact| (fact.subject.as_str(), fact.text.as_str())).collect();
    assert_eq!(
        facts,
        [("product", "V P"), ("property net.ip", "10.0.0.1"), ("property net.root", ""), ("licence", "Do no harm")]
    );
    assert!(!format!("{machine:?}").contains("hunter2"));
}

#[test]
fn the_items_of_ovf_2_and_of_ovirt_are_read() {
    let two = r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2"
        xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData.xsd"
        xmlns:sasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_StorageAllocationSettingData.xsd"
        xmlns:epasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_EthernetPortAllocationSettingData.xsd">
        <References><File ovf:id="f" ovf:href="a.vmdk"/></References>
        <DiskSection><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="512"/></DiskSection>
        <VirtualSystem ovf:id="two"><VirtualHardwareSection>
        <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
        <StorageItem><sasd:HostResource>/disk/d</sasd:HostResource><sasd:InstanceID>4</sasd:InstanceID>
          <sasd:Parent>3</sasd:Parent><sasd:ResourceType>17</sasd:ResourceType></StorageItem>
        <EthernetPortItem><epasd:Connection>net</epasd:Connection><epasd:InstanceID>5</epasd:InstanceID>
          <epasd:ResourceSubType>E1000</epasd:ResourceSubType><epasd:ResourceType>10</epasd:ResourceType></EthernetPortItem>
        </VirtualHardwareSection></VirtualSystem></Envelope>"#;
    let machine = Descriptor::parse(two.as_bytes()).unwrap().machine(None).unwrap();
    assert_eq!((file_name(&machine.disks[0]), machine.disks[0].place), ("a.vmdk", place(Bus::Scsi, 0, 0)));
    assert_eq!((&machine.nics[0].model, machine.nics[0].network.as_deref()), (&NicModel::E1000, Some("net")));

    let ovirt = r#"<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
        xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
        <References><File ovf:href="1f" ovf:id="1f" ovf:size="9"/></References>
        <Section xsi:type="ovf:DiskSection_Type"><Disk ovf:diskId="1f" ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30"
          ovf:parentRef="" ovf:fileRef="1f" ovf:volume-format="COW"/></Section>
        <Content ovf:id="out" xsi:type="ovf:VirtualSystem_Type"><Name>fedora</Name>
        <Section xsi:type="ovf:VirtualHardwareSection_Type"><Item><rasd:InstanceId>1f</rasd:InstanceId>
        <rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>group/1f</rasd:HostResource></Item></Section></Content></ovf:Envelope>"#;
    let machine = Descriptor::parse(ovirt.as_bytes()).unwrap().machine(None).unwrap();
    assert_eq!((machine.name.as_str(), machine.disks[0].capacity_bytes), ("fedora", Some(1 << 30)));
    let DiskBacking::File(file) = &machine.disks[0].backing else { panic!("a disk with a file") };
    assert_eq!((file.name.as_str(), file.format), ("1f", DeclaredFormat::Qcow2));
}
