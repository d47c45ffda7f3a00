use std::os::unix::fs::symlink;

use super::*;

const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1\nCID=123a5678\nparentCID=ffffffff\n\
    createType=\"monolithicFlat\"\nRW 16 FLAT \"NAME\" 0\n";

fn open(path: &Path) -> Result<Subject> {
    Subject::open(path, OpenOptions::default())
}

fn image(subject: &Subject) -> &OpenedImage {
    match &subject.disks[..] {
        [SubjectDisk { content: Content::Image(image), .. }] => image,
        _ => panic!("the subject has one disk that can be read"),
    }
}

fn refused(path: &Path, options: OpenOptions) -> Error {
    match Subject::open(path, options) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn an_image_is_opened_with_the_files_that_it_names() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("disk.vmdk"), DESCRIPTOR.replace("NAME", "disk-flat.vmdk")).unwrap();
    fs::write(place.path().join("disk-flat.vmdk"), vec![7; 8192]).unwrap();
    let subject = open(&place.path().join("disk.vmdk")).unwrap();
    assert!(matches!(subject.kind, Kind::Image) && subject.machine.is_none());
    let files: Vec<_> = image(&subject).files.iter().map(|file| file.len_bytes()).collect();
    assert_eq!((files.len(), files[1]), (2, 8192));
}

#[test]
fn a_file_elsewhere_is_opened_only_when_the_user_says_so() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("vm");
    fs::create_dir(&folder).unwrap();
    fs::write(place.path().join("secret"), vec![7; 8192]).unwrap();
    symlink("../secret", folder.join("link")).unwrap();
    let disk = folder.join("disk.vmdk");
    let absolute = place.path().join("secret").display().to_string();
    for name in ["../secret", "link", &absolute] {
        fs::write(&disk, DESCRIPTOR.replace("NAME", name)).unwrap();
        let error = refused(&disk, OpenOptions::default());
        assert_eq!(error.kind(), ErrorKind::Image, "{name}: {}", error.chain());
        assert!(error.chain().contains("stays in its folder"), "{}", error.chain());
        assert!(error.hint().is_some_and(|hint| hint.contains("--follow-outside")), "{name}");
        let options = OpenOptions { follow_outside: true, ..OpenOptions::default() };
        assert_eq!(image(&Subject::open(&disk, options).unwrap()).files[1].len_bytes(), 8192, "{name}");
    }
}

#[test]
fn nobody_takes_a_file_for_a_raw_disk_unasked() {
    let place = tempfile::tempdir().unwrap();
    let paths = ["disk.vmdk", "disk-flat.vmdk", "disk", "disk.raw", "disk.IMG"].map(|name| place.path().join(name));
    for path in &paths {
        fs::write(path, vec![7; 1024]).unwrap();
    }
    for path in &paths[..3] {
        let error = refused(path, OpenOptions::default());
        assert_eq!(error.kind(), ErrorKind::Image);
        assert!(error.hint().is_some_and(|hint| hint.contains("--from raw")), "{}", error.chain());
        let options = OpenOptions { is_raw: true, ..OpenOptions::default() };
        assert_eq!(image(&Subject::open(path, options).unwrap()).files.len(), 1);
    }
    for path in &paths[3..] {
        assert_eq!(image(&open(path).unwrap()).files.len(), 1);
    }
}

#[test]
fn a_directory_is_what_describes_a_machine_in_it() {
    let place = tempfile::tempdir().unwrap();
    let error = refused(place.path(), OpenOptions::default());
    assert!(
        error.kind() == ErrorKind::NotFound && error.chain().contains("no .ovf, .vmx or .ova"),
        "{}",
        error.chain()
    );
    fs::write(place.path().join("vm.vmx"), "displayName = \"one\"\nscsi0.present = \"TRUE\"\n").unwrap();
    let subject = open(place.path()).unwrap();
    assert!(matches!(subject.kind, Kind::Vmx));
    assert_eq!(subject.machine.unwrap().name, "one");
    fs::write(place.path().join("other.vmx"), "displayName = \"two\"\n").unwrap();
    let error = refused(place.path(), OpenOptions::default());
    assert!(error.kind() == ErrorKind::Usage && error.chain().contains("other.vmx and vm.vmx"), "{}", error.chain());
}

#[test]
fn a_disk_of_a_machine_that_cannot_be_read_stands_in_its_place() {
    let place = tempfile::tempdir().unwrap();
    let vmx = "scsi0.present = \"TRUE\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"gone.vmdk\"\n\
        scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"disk.vmdk\"\n";
    fs::write(place.path().join("vm.vmx"), vmx).unwrap();
    fs::write(place.path().join("disk.vmdk"), DESCRIPTOR.replace("NAME", "disk-flat.vmdk")).unwrap();
    fs::write(place.path().join("disk-flat.vmdk"), vec![7; 8192]).unwrap();
    let subject = open(&place.path().join("vm.vmx")).unwrap();
    let [gone, disk] = &subject.disks[..] else { panic!("two disks") };
    assert!(matches!(&gone.content, Content::Unreadable(error) if error.kind() == ErrorKind::NotFound));
    assert!(matches!(disk.content, Content::Image(_)) && disk.place.is_some_and(|place| place.unit == 1));
}
