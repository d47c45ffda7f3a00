use diskimage::package::ovf::Descriptor;

use super::*;

const MOREF: &str = "vm-62";

fn vm() -> Vm {
    let text = "path = \"DC0/vm/a\"\nannotation = \"<Tom & Jerry>\"\nfirmware = \"efi\"\ncpus = 2\n\
        isos = [\"[d] x.iso\"]\nnetwork = \"DMZ \\\"1\\\"\"\n\
        [[disk]]\nsize = 1000448\n[[disk]]\nsize = 512\ncontroller = \"nvme\"\n";
    toml::from_str(text).unwrap()
}

fn files() -> Vec<DescriptorFile> {
    let file = |key: &str, path: &str, size| DescriptorFile {
        device_id: format!("/{MOREF}/{key}"),
        path: path.to_owned(),
        size,
        ..DescriptorFile::default()
    };
    let disk = file("ParaVirtualSCSIController0:0", "a b-disk-0.vmdk", 70_000);
    vec![
        DescriptorFile { capacity: Some(1_000_448), populated: Some(65_536), ..disk },
        file("VirtualNVMEController0:0", "a-disk-1.vmdk", 66_560),
        file("nvram", "a.nvram", 8684),
        file("VirtualIDEController0:0", "a-file-1.iso", 2048),
    ]
}

fn describe(name: &str, files: &[DescriptorFile], include_image_files: bool, options: &[String]) -> String {
    let vm = vm();
    let machine = Machine { vm: &vm, vm_moref: MOREF, name, layout: &Layout::of(&vm).unwrap() };
    descriptor(machine, files, include_image_files, options)
}

fn text(include_image_files: bool, options: &[&str]) -> String {
    let options: Vec<_> = options.iter().map(ToString::to_string).collect();
    describe("web & \"01\"", &files(), include_image_files, &options)
}

/// Returns the items of the hardware section as lists of element names and texts.
fn items(text: &str) -> Vec<Vec<(String, String)>> {
    let element = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("<rasd:")?.split_once('>')?;
        Some((name.to_owned(), rest.split_once('<')?.0.to_owned()))
    };
    let inside = text.split("<Item>").skip(1).map(|item| item.split("</Item>").next().unwrap());
    inside.map(|item| item.lines().filter_map(element).collect()).collect()
}

fn item<'a>(items: &'a [Vec<(String, String)>], name: &str) -> std::collections::BTreeMap<&'a str, &'a str> {
    let named = |item: &&Vec<(String, String)>| item.iter().any(|(key, value)| key == "ElementName" && value == name);
    let item = items.iter().find(named).unwrap_or_else(|| panic!("no item {name}"));
    item.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn an_independent_reader_finds_what_was_described() {
    let read = Descriptor::parse(text(true, &[]).as_bytes()).unwrap();
    let files: Vec<_> = read.files.iter().map(|file| (file.href.as_str(), file.size_bytes)).collect();
    assert_eq!(
        files,
        [
            ("a b-disk-0.vmdk", Some(70_000)),
            ("a-disk-1.vmdk", Some(66_560)),
            ("a.nvram", Some(8684)),
            ("a-file-1.iso", Some(2048))
        ]
    );
    let disks: Vec<_> = read.disks.iter().map(|disk| (disk.capacity_bytes, disk.populated_bytes)).collect();
    assert_eq!(disks, [(1_000_448, Some(65_536)), (512, None)]);
    assert_eq!(read.virtual_systems.len(), 1);
}

#[test]
fn images_are_in_the_package_only_when_asked() {
    let without = text(false, &[]);
    assert!(!without.contains(".iso\"") && without.contains("vmware.cdrom.remotepassthrough"));
    let drive = |text: &str| item(&items(text), "CD/DVD drive 1").get("HostResource").map(ToString::to_string);
    assert_eq!(drive(&without), None);
    assert_eq!(drive(&text(true, &[])).as_deref(), Some("ovf:/file/file4"));
}

#[test]
fn nvram_is_a_file_and_an_extra_config_or_neither() {
    let with = text(false, &[]);
    assert!(with.contains("vmw:key=\"nvram\" vmw:value=\"ovf:/file/file3\""), "{with}");
    let without = describe("x", &files()[..2], false, &[]);
    assert!(!without.contains("nvram"));
}

#[test]
fn a_disk_without_a_file_is_blank() {
    let text = describe("x", &files()[..1], false, &[]);
    let blank = text.lines().find(|line| line.contains("vmdisk2\"")).unwrap();
    assert!(blank.contains("ovf:capacity=\"512\""));
    assert!(!blank.contains("fileRef") && !blank.contains("format") && !blank.contains("populatedSize"));
}

#[test]
fn every_device_hangs_on_the_controller_that_the_inventory_says() {
    let text = text(false, &[]);
    let items = items(&text);
    let nvme = item(&items, "NVME controller 0");
    assert_eq!((nvme["ResourceType"], nvme["ResourceSubType"]), ("20", "vmware.nvme.controller"));
    let disk = item(&items, "Hard disk 2");
    assert_eq!(disk["Parent"], nvme["InstanceID"]);
    assert_eq!((disk["AddressOnParent"], disk["HostResource"]), ("0", "ovf:/disk/vmdisk2"));
    assert_eq!(item(&items, "Hard disk 1")["Parent"], item(&items, "SCSI controller 0")["InstanceID"]);
    assert_eq!(item(&items, "CD/DVD drive 1")["Parent"], item(&items, "IDE 0")["InstanceID"]);
    assert_eq!(item(&items, "2 virtual CPU(s)")["VirtualQuantity"], "2");
    assert_eq!(item(&items, "Network adapter 1")["Connection"], "DMZ &quot;1&quot;");
}

#[test]
fn the_elements_of_items_are_in_the_order_of_the_schema_and_ids_are_unique() {
    let text = text(true, &["mac"]);
    let items = items(&text);
    let mut ids = std::collections::BTreeSet::new();
    for item in &items {
        assert!(item.is_sorted_by(|(a, _), (b, _)| a < b), "{item:?}");
        let (_, id) = item.iter().find(|(name, _)| name == "InstanceID").unwrap();
        assert!(ids.insert(id.clone()));
        assert!(item.iter().any(|(name, _)| name == "ResourceType"));
    }
    let order = ["<References>", "<DiskSection>", "<NetworkSection>", "<VirtualSystem ", "<AnnotationSection>"];
    let order = order.iter().chain(&["<OperatingSystemSection ", "<VirtualHardwareSection>", "<System>", "<Item>"]);
    let places: Vec<_> = order.map(|tag| text.find(tag).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn options_add_or_leave_out_what_they_say() {
    let plain = text(false, &["unknown"]);
    assert!(!plain.contains("00:50:56") && !plain.contains("uuid"));
    let all = text(false, &["mac", "uuid"]);
    assert_eq!(item(&items(&all), "Network adapter 1")["Address"], identity::mac_address(&vm()));
    assert!(all.contains(&identity::bios_uuid(&vm()).to_string()));
    assert!(!text(false, &["nodevicesubtypes"]).contains("ResourceSubType"));
}

#[test]
fn names_and_notes_are_escaped() {
    let text = text(false, &[]);
    assert!(text.contains("<Name>web &amp; &quot;01&quot;</Name>"));
    assert!(text.contains("<Annotation>&lt;Tom &amp; Jerry&gt;</Annotation>"));
}
