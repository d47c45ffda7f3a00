//! Readers and writers that are not ours: tar, Python and qemu-img.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use diskimage::image::Identity;
use diskimage::package::Package;
use diskimage::package::machine::{
    Bus, Controller, ControllerModel, DiskBacking, Firmware, MacAddress, Nic, NicModel, Place, Removable, RemovableKind,
};
use diskimage::package::ova::{OvaOptions, OvaWriter};
use diskimage::package::ovf;

use judges::VcSim;

use super::build::*;
use super::ova::{described, machine, options, write};
use crate::model::{Disk, contents};

fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    assert_eq!(errors, "", "{program} {arguments:?} has something to say");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tar_and_python_read_what_we_write() {
    let test = "tar_and_python_read_what_we_write";
    let (Some(_), Some(_)) = (judges::tar(test), judges::python(test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["web-disk-0.vmdk", "web-disk-1.vmdk"];
    let data = [contents(1, 5000), contents(2, 512)];
    write(File::create(folder.path().join("web.ova")).unwrap(), &names, &[&data[0], &data[1]]).unwrap();
    let listing = run("tar", folder.path(), &["tvf", "web.ova", "--utc"]);
    let lines: Vec<_> = listing.lines().collect();
    assert_eq!(lines.len(), 4, "{listing}");
    assert!(
        lines[2].starts_with("-rw-r--r-- root/root") && lines[2].contains(" 5000 2023-11-14 22:13 web-disk-0.vmdk"),
        "{listing}"
    );
    run("tar", folder.path(), &["xf", "web.ova"]);
    assert!(
        fs::read(folder.path().join(names[0])).unwrap() == data[0]
            && fs::read(folder.path().join(names[1])).unwrap() == data[1]
    );

    let script = r#"
import hashlib, re, tarfile, xml.etree.ElementTree as tree
archive = tarfile.open("web.ova", "r:")
names = archive.getnames()
read = lambda name: archive.extractfile(name).read()
for line in read("web.mf").decode().splitlines():
    name, digest = re.fullmatch(r"SHA256\((.*)\)= ([0-9a-f]{64})", line).groups()
    assert hashlib.sha256(read(name)).hexdigest() == digest, name
ovf = "{http://schemas.dmtf.org/ovf/envelope/1}"
root = tree.fromstring(read("web.ovf"))
files = [(file.get(ovf + "href"), file.get(ovf + "size")) for file in root.iter(ovf + "File")]
print(names, files)
"#;
    let said = run("python3", folder.path(), &["-c", script]);
    let expected = "['web.ovf', 'web.mf', 'web-disk-0.vmdk', 'web-disk-1.vmdk'] \
        [('web-disk-0.vmdk', '5000'), ('web-disk-1.vmdk', '512')]\n";
    assert_eq!(said, expected);
}

/// A member of more than 8 GiB, in a file that is mostly a hole.
#[test]
fn tar_and_python_read_sizes_that_eleven_digits_do_not_hold() {
    let test = "tar_and_python_read_sizes_that_eleven_digits_do_not_hold";
    let (Some(_), Some(_)) = (judges::tar(test), judges::python(test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Vec::new();
    const SIZE: u64 = (8 << 30) + 5;
    let header = diskimage::package::tar::Header {
        name: "d.vmdk".into(),
        size_bytes: SIZE,
        kind: diskimage::package::tar::Kind::File,
    };
    archive.extend(header.encode(0).unwrap());
    let file = File::create(folder.path().join("large.tar")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &archive, 0).unwrap();
    file.set_len(512 + SIZE.next_multiple_of(512) + 1024).unwrap();
    let listing = run("tar", folder.path(), &["tf", "large.tar", "-v"]);
    assert!(listing.contains(&format!(" {SIZE} ")), "{listing}");
    let said = run(
        "python3",
        folder.path(),
        &["-c", "import tarfile; print(tarfile.open('large.tar').getmember('d.vmdk').size)"],
    );
    assert_eq!(said.trim(), SIZE.to_string());
}

#[test]
fn we_read_what_tar_and_python_write() {
    let test = "we_read_what_tar_and_python_write";
    let (Some(_), Some(_)) = (judges::tar(test), judges::python(test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}.vmdk", "long".repeat(30));
    let disk = contents(4, 30_000);
    let ovf = Ovf::new().disk(&name, "ovf:size='30000'").text();
    lay(folder.path(), &[("vm.ovf", ovf.as_bytes()), (&name, &disk)]);
    for (archive, format) in [("gnu.ova", "gnu"), ("posix.ova", "posix"), ("oldgnu.ova", "oldgnu")] {
        run("tar", folder.path(), &["cf", archive, &format!("--format={format}"), "./vm.ovf", &name]);
    }
    run("tar", folder.path(), &["czf", "gz.ova", "vm.ovf", &name]);
    let script = r#"
import lzma, sys, tarfile, zipfile
members = ["vm.ovf", sys.argv[1]]
for name, mode, options in [("pax.ova", "w", {"format": tarfile.PAX_FORMAT}), ("xz.ova", "w:xz", {})]:
    with tarfile.open(name, mode, **options) as archive:
        for member in members: archive.add(member)
for name, compression in [("stored.ova", zipfile.ZIP_STORED), ("deflated.ova", zipfile.ZIP_DEFLATED)]:
    with zipfile.ZipFile(name, "w", compression) as archive:
        for member in members:
            # A size of 64 bits, as for a stream of unknown length.
            with archive.open(zipfile.ZipInfo(member) if compression == zipfile.ZIP_STORED else member, "w", force_zip64=True) as out:
                out.write(open(member, "rb").read())
"#;
    run("python3", folder.path(), &["-c", script, &name]);
    for (archive, in_place) in [
        ("gnu.ova", true),
        ("posix.ova", true),
        ("oldgnu.ova", true),
        ("pax.ova", true),
        ("stored.ova", true),
        ("deflated.ova", false),
        ("gz.ova", false),
        ("xz.ova", false),
    ] {
        let package = Package::open(&folder.path().join(archive)).unwrap_or_else(|error| panic!("{archive}: {error}"));
        let machine = package.machine(None).unwrap();
        let DiskBacking::File(backing) = &machine.disks[0].backing else { panic!("a disk with a file") };
        let file = package.disk_file(backing, None).unwrap();
        let mut found = Vec::new();
        std::io::Read::read_to_end(&mut file.reader().unwrap(), &mut found).unwrap();
        assert!(found == disk, "{archive} has another disk");
        assert_eq!(file.source().unwrap().is_some(), in_place, "{archive}");
    }
}

#[test]
fn qemu_img_opens_a_disk_where_it_is_in_the_archive() {
    let test = "qemu_img_opens_a_disk_where_it_is_in_the_archive";
    if judges::qemu_img(test).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(1 << 20).fill([0, 7], 3);
    let (stream, _) = disk.write();
    let names = ["d.vmdk"];
    let mut writer = OvaWriter::create(File::create(folder.path().join("web.ova")).unwrap(), options(&names)).unwrap();
    let mut member = writer.member().unwrap();
    member.write_all(&stream).unwrap();
    let size = member.finish().unwrap().size_bytes;
    writer.finish(&ovf::write(&machine(&names), &described(&names, &[size])).unwrap()).unwrap();

    let package = Package::open(&folder.path().join("web.ova")).unwrap();
    let machine = package.machine(None).unwrap();
    let DiskBacking::File(backing) = &machine.disks[0].backing else { panic!("a disk with a file") };
    let source = package.disk_file(backing, None).unwrap().source().unwrap().unwrap();
    let Identity::File { start_bytes, .. } = source.identity() else { panic!("a window of a file") };
    let window = format!(
        "json:{{\"driver\":\"vmdk\",\"file\":{{\"driver\":\"raw\",\"offset\":{start_bytes},\"size\":{size},\
         \"file\":{{\"driver\":\"file\",\"filename\":\"web.ova\"}}}}}}"
    );
    let info = run("qemu-img", folder.path(), &["info", "--output=json", &window]);
    assert!(info.contains("\"virtual-size\": 1048576") && info.contains("streamOptimized"), "{info}");
    run("qemu-img", folder.path(), &["convert", "-O", "raw", &window, "disk.raw"]);
    assert!(fs::read(folder.path().join("disk.raw")).unwrap() == disk.raw());
}

/// Runs govc against a simulator, and returns what it says.
fn govc(program: &Path, simulator: &VcSim, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("GOVC_URL", format!("https://{}:{}@{}/sdk", VcSim::USERNAME, VcSim::PASSWORD, simulator.address()))
        .env("GOVC_INSECURE", "1")
        .env("GOVMOMI_HOME", folder.join("govmomi"))
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "govc {arguments:?}: {said} {errors}");
    said.into_owned()
}

#[test]
fn govc_and_vcsim_import_what_we_write() {
    let test = "govc_and_vcsim_import_what_we_write";
    let (Some(program), Some(simulator)) = (judges::govc(test), VcSim::start(test, &["-esx"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["d.vmdk"];
    let mut machine = machine(&names);
    (machine.vcpus, machine.firmware) = (4, Some(Firmware::Efi));
    machine.controllers.push(Controller { model: ControllerModel::Ide, number: 0 });
    machine.removables.push(Removable {
        kind: RemovableKind::Cdrom,
        place: Some(Place { bus: Bus::Ide, controller: 0, unit: 0 }),
        medium: None,
    });
    let mac = Some(MacAddress([0, 0x50, 0x56, 1, 2, 3]));
    machine.nics.push(Nic {
        model: NicModel::Vmxnet3,
        mac,
        network: Some("VM Network".into()),
        starts_connected: Some(true),
    });
    let (stream, _) = Disk::new(1 << 20).fill([0, 7], 3).write();
    let length = u64::try_from(stream.len()).unwrap();
    let contents = described(&names, &[length]);
    let options = OvaOptions { descriptor_bytes: ovf::longest_bytes(&machine, &contents).unwrap(), ..options(&names) };
    let mut writer = OvaWriter::create(File::create(folder.path().join("web.ova")).unwrap(), options).unwrap();
    let mut member = writer.member().unwrap();
    member.write_all(&stream).unwrap();
    member.finish().unwrap();
    writer.finish(&ovf::write(&machine, &contents).unwrap()).unwrap();

    let govc = |arguments: &[&str]| govc(&program, &simulator, folder.path(), arguments);
    govc(&["import.ova", "-name", "imported", "web.ova"]);
    let mut info = govc(&["vm.info", "-json", "imported"]);
    info.retain(|c| !c.is_whitespace());
    // What vcsim takes from a descriptor; firmware, addresses and sockets are not among it.
    for word in [
        "\"numCPU\":4",
        "\"memoryMB\":512",
        "\"version\":\"vmx-19\"",
        "\"capacityInBytes\":1048576",
        "{\"label\":\"pvscsi-202\"",
        "\"controllerKey\":202,\"unitNumber\":0,\"capacityInKB\":1024",
        "{\"label\":\"cdrom-205\"",
        "\"controllerKey\":203,\"unitNumber\":0",
        "\"network\":{\"type\":\"Network\",\"value\":\"HaNetwork-VMNetwork\"}",
    ] {
        assert!(info.contains(word), "{word}: {info}");
    }
}

#[test]
fn xmllint_finds_our_descriptors_well_formed() {
    let Some(xmllint) = judges::xmllint("xmllint_finds_our_descriptors_well_formed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = ovf::write(&machine(&["a"]), &described(&["a"], &[1])).unwrap();
    // As it stands in an archive: padded.
    fs::write(folder.path().join("web.ovf"), format!("{text}{}", " ".repeat(1000))).unwrap();
    run(xmllint.to_str().unwrap(), folder.path(), &["--noout", "web.ovf"]);
}
