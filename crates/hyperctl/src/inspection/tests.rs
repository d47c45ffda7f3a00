use super::*;

fn image() -> Inspection {
    serde_json::from_str(include_str!("../../../hyper-api/tests/samples/inspection-image-0.1.json")).unwrap()
}

fn package() -> Inspection {
    serde_json::from_str(include_str!("../../../hyper-api/tests/samples/inspection-package-0.1.json")).unwrap()
}

#[test]
fn an_image_shows_its_chain_and_extents() {
    insta::assert_snapshot!(text(&image()), @"
    Image      /srv/web01-000001.vmdk

    Capacity   4.0 GiB (4294967296 bytes)
    Allocated  1.0 GiB (1073741824 bytes)

    FILE                    FORMAT                   CAPACITY  ALLOCATED   CID       PARENT CID  PARENT
    /srv/web01-000001.vmdk  vmdk vmfsSparse          4.0 GiB   64.0 KiB    123a5678  fedc0123    web01.vmdk
    /srv/web01.vmdk         vmdk twoGbMaxExtentFlat  4.0 GiB   1023.9 MiB  fedc0123  -           -

    Extents of /srv/web01.vmdk
    FILE                  KIND  AT       LENGTH   FILE SIZE
    /srv/web01-f001.vmdk  flat  0 B      2.0 GiB  2.0 GiB
    -                     zero  2.0 GiB  2.0 GiB  -

    warning: /srv/web01.vmdk: the second copy of a table stood in for the first
    ");
}

#[test]
fn a_package_shows_its_machine_and_every_disk() {
    insta::assert_snapshot!(text(&package()), @"
    Package    /srv/web01.ova
    Container  tar, descriptor web01.ovf, a manifest of 3 files
    Name       web01
    Guest      Debian GNU/Linux 12 (64-bit) (debian12_64Guest)
    Hardware   vmx-19
    CPUs       4, 2 per socket
    Memory     8.0 GiB
    Firmware   efi, secure boot, TPM
    NVRAM      web01.nvram

    DEVICE   MODEL
    scsi0    pvscsi
    sata0:0  cdrom
    network  vmxnet3  00:50:56:aa:bb:cc VM Network

    Disk 0 at scsi0:0: web01-disk1.vmdk
    Capacity   40.0 GiB (42949672960 bytes)
    Allocated  3.0 GiB (3221225472 bytes)

    FILE              FORMAT                CAPACITY  ALLOCATED  CID       PARENT CID  PARENT
    web01-disk1.vmdk  vmdk streamOptimized  40.0 GiB  3.0 GiB    7b1f0a2c  -           -

    Disk 1 at scsi0:1: no file
    Declared   1.0 GiB (1073741824 bytes)
    Content    none: it is blank

    Disk 2 at scsi0:2: web01-disk3.vmdk
    Unreadable a file of the descriptor is in the package: it is missing (in web01-disk3.vmdk)

    warning: the signature in web01.cert is not checked
    warning: the contents of the TPM do not move
    ");
}

#[test]
fn hostile_names_stay_on_their_line() {
    let mut found = package();
    found.disks[0].name = "a\nwarning: all is well\u{1b}[8m".into();
    found.warnings.push("b\u{202e}\r".into());
    let text = text(&found);
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
    assert!(!text.lines().any(|line| line == "warning: all is well"), "{text}");
}

#[test]
fn of_hundreds_of_extents_the_first_are_listed() {
    let mut found = image();
    let link = &mut found.disks[0].image.as_mut().unwrap().links[0];
    link.extents = vec![link.extents[0].clone(); 300];
    let text = text(&found);
    assert!(text.contains("and 284 more"), "{text}");
}
