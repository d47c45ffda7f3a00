//! The variants of packages that are met in the wild: each comes in right, or is refused with a
//! line that says why.
//!
//! Numbers 1–17 follow the cases of virt-v2v's tests, the others reports and collections.

mod cases;

use std::io::Read as _;
use std::path::Path;

use diskimage::Error;
use diskimage::image::Format;
use diskimage::image::Identity;
use diskimage::package::machine::{DiskBacking, Machine};
use diskimage::package::manifest::Algorithm::Sha1;
use diskimage::package::{ContainerKind, DiskFormat, Package};

use super::build::*;
use crate::model::contents;
use cases::{all, both, slices, usual, usual_tar};

const KIB: usize = 1024;

/// What came in, as one line.
fn report(path: &Path) -> Result<(Machine, String), Error> {
    let package = Package::open(path)?;
    let machine = package.machine(None)?;
    let verification = package.verify(&mut |_| Ok(()))?;
    verification.check()?;
    let mut words = vec![format!("{} verified", verification.verified.len())];
    let mut warnings: Vec<String> = package.warnings().map(str::to_owned).collect();
    warnings.extend(machine.warnings.iter().cloned());
    warnings.extend(verification.missing.iter().map(|name| format!("{name} is missing")));
    for disk in &machine.disks {
        let DiskBacking::File(backing) = &disk.backing else {
            words.push(format!("blank {}", disk.capacity_bytes.unwrap()));
            continue;
        };
        let file = package.disk_file(backing, disk.capacity_bytes)?;
        warnings.extend_from_slice(file.warnings());
        let mut data = Vec::new();
        file.reader()?.read_to_end(&mut data).map_err(|error| error.downcast::<Error>().unwrap())?;
        let source = file.source()?;
        if let Some(source) = &source {
            let mut same = vec![0; data.len()];
            source.read_at(0, &mut same)?;
            assert!(same == data && source.len_bytes() == u64::try_from(data.len()).unwrap());
        }
        let place = match source.map(|source| source.identity()) {
            Some(Identity::File { start_bytes, .. }) => {
                assert_in_place(path, &package, start_bytes, &data);
                "in place".to_owned()
            }
            Some(Identity::Key(_)) => "in parts".to_owned(),
            None => "streamed".to_owned(),
        };
        words.push(format!("disk {} {place} #{}", data.len(), &digest(Sha1, &data)[..4]));
    }
    words.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    Ok((machine, words.join("; ")))
}

/// Checks with plain reads that a disk is where its source says, in the file that the user named.
fn assert_in_place(path: &Path, package: &Package, start_bytes: u64, data: &[u8]) {
    if package.kind() == ContainerKind::Folder {
        assert_eq!(start_bytes, 0);
        return;
    }
    let mut there = vec![0; data.len()];
    let file = std::fs::File::open(path).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut there, start_bytes).unwrap();
    assert!(start_bytes > 0 && there == data, "the disk is not at {start_bytes}");
}

/// Imports and returns the outcome with the folder's name taken out.
fn outcome(path: &Path, folder: &Path) -> String {
    let line = match report(path) {
        Ok((_, line)) => format!("accepted: {line}"),
        Err(error) => format!("refused: {error}"),
    };
    line.replace(&folder.display().to_string(), "DIR")
}

fn disk(kib: usize) -> Vec<u8> {
    contents(3, kib * KIB)
}

fn mark(data: &[u8]) -> String {
    format!("#{}", &digest(Sha1, data)[..4])
}

/// Returns what a machine is made of, as one line.
fn summary(machine: &Machine) -> String {
    let controllers = machine.controllers.iter().map(|known| format!("{:?}{}", known.model, known.number));
    let disks = machine.disks.iter().map(|disk| {
        disk.place.map_or_else(
            || "nowhere".to_owned(),
            |place| format!("{}{}:{}", place.bus.word(), place.controller, place.unit),
        )
    });
    format!(
        "{} MiB; {}; disks {}; {} adapters; nvram {:?}; media {:?}",
        machine.memory_bytes >> 20,
        controllers.collect::<Vec<_>>().join(" "),
        disks.collect::<Vec<_>>().join(" "),
        machine.nics.len(),
        machine.nvram,
        machine.removables.iter().filter_map(|drive| drive.medium.as_deref()).collect::<Vec<_>>()
    )
}

const USUAL: &str = "LsiLogicSas0 Ide0 Ide1; disks scsi0:0; 1 adapters; nvram None; media []";

/// Variants 21–23 and 25, which differ in their hardware.
fn hardware() -> Vec<(&'static str, String, String)> {
    let usual = || Ovf::new().disk("disk1.vmdk", "");
    let memory = |units: &str, quantity| {
        let memory = item(&format!("InstanceID=2;ResourceType=4;AllocationUnits={units};VirtualQuantity={quantity}"));
        let mut ovf = usual();
        ovf.memory = memory;
        ovf.text()
    };
    let controllers = usual()
        .item("InstanceID=90;ResourceType=20;ResourceSubType=vmware.nvme.controller;Address=0")
        .item("InstanceID=91;ResourceType=20;ResourceSubType=vmware.sata.ahci;Address=0")
        .item("InstanceID=92;ResourceType=6;ResourceSubType=VirtualSCSI;Address=1")
        .item("InstanceID=93;ResourceType=17;HostResource=ovf:/file/file0;Parent=90;AddressOnParent=2")
        .item("InstanceID=94;ResourceType=17;HostResource=ovf:/file/file0;Parent=92;AddressOnParent=15");
    let others = usual()
        .file("nv", "vm.nvram")
        .file("iso", "tools.iso")
        .settings("<vmw:ExtraConfig vmw:key='nvram' vmw:value='ovf:/file/nv'/>")
        .item("InstanceID=95;ResourceType=15;HostResource=ovf:/file/iso;Parent=4;AddressOnParent=1");
    let old = usual()
        .in_namespace("http://www.vmware.com/schema/ovf/1/envelope", &usual().system("vm"))
        .replace("<DiskSection>", "<Section xsi:type='ovf:DiskSection_Type'>")
        .replace("</DiskSection>", "</Section>")
        .replace("<VirtualSystem ", "<Content xsi:type='ovf:VirtualSystem_Type' ")
        .replace("</VirtualSystem>", "</Content>")
        .replace("<VirtualHardwareSection>", "<Section xsi:type='ovf:VirtualHardwareSection_Type'>")
        .replace("</VirtualHardwareSection>", "</Section>")
        .replace("rasd:InstanceID", "rasd:InstanceId");
    let new = usual().in_namespace("http://schemas.dmtf.org/ovf/envelope/2", &usual().system("vm"));
    vec![
        ("21 2^30", memory("byte * 2^30", 2), format!("2048 MiB; {USUAL}")),
        ("21 MegaBytes", memory("MegaBytes", 2048), format!("2048 MiB; {USUAL}")),
        ("21 2 ^ 20", memory("byte * 2 ^ 20", 2048), format!("2048 MiB; {USUAL}")),
        (
            "22",
            controllers.text(),
            "2048 MiB; LsiLogicSas0 Pvscsi1 Nvme0 Ahci0 Ide0 Ide1; disks scsi0:0 scsi1:15 nvme0:2; 1 adapters; nvram None; media []".to_owned(),
        ),
        ("23 others", others.text(), format!("2048 MiB; {}", USUAL.replace("None; media []", "Some(\"vm.nvram\"); media [\"tools.iso\"]"))),
        ("25 0.9", old, format!("2048 MiB; {USUAL}")),
        ("25 2.0", new, format!("2048 MiB; {USUAL}")),
    ]
}

#[test]
fn hardware_of_every_variant_comes_in_right() {
    for (number, text, expected) in hardware() {
        let folder = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 4] =
            [("vm.ovf", text.as_bytes()), ("disk1.vmdk", &disk(10)), ("vm.nvram", b"n"), ("tools.iso", b"i")];
        let path = lay_one(folder.path(), "vm.ova", &tar(&files));
        let (machine, line) = report(&path).unwrap();
        println!("{number:12} {line}");
        assert_eq!(summary(&machine), expected, "{number}");
        assert_eq!(machine.warnings, Vec::<String>::new(), "{number}");
    }
}

#[test]
fn a_bare_descriptor_brings_only_what_bears_its_name() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &slices(&usual(both)));
    // Another package in the same folder, and a broken one.
    lay(folder.path(), &[("other.ovf", b"<a/>"), ("other.mf", b"SHA1(disk1.vmdk)= 00"), ("b.ovf", b"")]);
    let found = outcome(&folder.path().join("vm.ovf"), folder.path());
    assert_eq!(found, format!("accepted: 2 verified; disk 10240 in place {}", mark(&disk(10))));
}

#[test]
fn what_no_manifest_covers_and_what_is_not_checked_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (ovf, disk) = (Ovf::new().disk("disk1.vmdk", "").text(), disk(10));
    let manifest = format!("{}\nSHA1(gone.iso)= {}\n", line(Sha1, "vm.ovf", ovf.as_bytes()), "0".repeat(40));
    let certificate = format!("SHA256(vm.mf)= {}\n-----BEGIN CERTIFICATE-----\n", "ab".repeat(256));
    let files: [(&str, &[u8]); 4] = [
        ("vm.ovf", ovf.as_bytes()),
        ("vm.mf", manifest.as_bytes()),
        ("vm.cert", certificate.as_bytes()),
        ("disk1.vmdk", &disk),
    ];
    let package = Package::open(&lay_one(folder.path(), "vm.ova", &tar(&files))).unwrap();
    let mut heard = 0;
    let verification = package.verify(&mut |bytes| {
        heard += bytes;
        Ok(())
    });
    let verification = verification.unwrap();
    verification.check().unwrap();
    assert_eq!(verification.verified, ["vm.ovf"]);
    assert_eq!(verification.not_covered, ["disk1.vmdk"]);
    assert_eq!(verification.missing, ["gone.iso"]);
    assert_eq!((verification.read_bytes, heard), (u64::try_from(ovf.len()).unwrap(), verification.read_bytes));
    let warnings: Vec<_> = package.warnings().collect();
    assert_eq!(warnings, ["the signature in vm.cert is not checked"]);
    let (name, certificate) = &package.certificates()[0];
    assert_eq!((name.as_str(), certificate.manifest.as_deref()), ("vm.cert", Some("vm.mf")));
}

#[test]
fn manifests_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ovf = Ovf::new().text();
    let right = line(Sha1, "vm.ovf", ovf.as_bytes());
    let wrong = format!("SHA1(vm.ovf)= {}", "0".repeat(40));
    let files = [("vm.ovf", ovf.as_bytes()), ("a.mf", right.as_bytes()), ("b.mf", wrong.as_bytes())];
    let found = outcome(&lay(folder.path(), &files), folder.path());
    assert_eq!(found, "refused: a file has one digest per algorithm: SHA1 of \"vm.ovf\" (in b.mf)");
}

/// Variant 27: what oVirt packs.
#[test]
fn disks_of_other_formats_are_known_by_magic_and_raw_ones_by_word_only() {
    let folder = tempfile::tempdir().unwrap();
    let qcow2 = b"QFI\xfb\0\0\0\x03 and so on".as_slice();
    for (attributes, data, expected) in [
        ("", qcow2, Ok(DiskFormat::Image(Format::Qcow2))),
        ("ovf:volume-format='RAW'", qcow2, Ok(DiskFormat::Raw)),
        ("ovf:format='http://x/raw.html#raw'", b"\xeb\x63\x90", Ok(DiskFormat::Raw)),
        ("ovf:format='http://x/vmdk.html'", b"\xeb\x63\x90", Err("raw only when its descriptor says so")),
        ("", b"conectix", Err("this is a VHD")),
    ] {
        let ovf = Ovf::new().file("f", "d").described_disk(&format!("ovf:fileRef='f' ovf:capacity='512' {attributes}"));
        let text = ovf.text();
        let path = lay_one(folder.path(), "vm.ova", &tar(&[("vm.ovf", text.as_bytes()), ("d", data)]));
        let package = Package::open(&path).unwrap();
        let machine = package.machine(None).unwrap();
        let DiskBacking::File(backing) = &machine.disks[0].backing else { panic!("a disk with a file") };
        let found = package.disk_file(backing, None).unwrap().format();
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{attributes}"),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, expected) => panic!("{attributes}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn a_package_that_may_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = usual_tar(folder.path(), both);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let found = outcome(&path, folder.path());
    // Root may read everything.
    let denied = "refused: cannot open a file (in DIR/vm.ova)";
    assert!(found.starts_with("accepted: 2 verified") || found == denied, "{found}");
}

#[test]
fn every_variant_comes_in_right_or_is_refused_with_a_line() {
    let cases: Vec<_> = all();
    let mut wrong = 0;
    for (number, case) in &cases {
        let folder = tempfile::tempdir().unwrap();
        let path = (case.build)(folder.path());
        let found = outcome(&path, folder.path());
        let mut expected = case.expected.to_owned();
        for kib in [10, 11, 12, 30, 100] {
            expected = expected.replace(&format!("{{{kib}}}"), &mark(&disk(kib)));
        }
        expected = expected.replace("{30+1}", &mark(&contents(3, 30 * KIB + 1)));
        let is_right = match expected.strip_suffix('…') {
            Some(start) => found.starts_with(start) && !found.contains('\n'),
            None => found == expected,
        };
        println!("{} {number:12} {:45} {found}", if is_right { "ok   " } else { "WRONG" }, case.what);
        if !is_right {
            println!("      expected: {expected}");
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0, "of {} variants", cases.len());
}
