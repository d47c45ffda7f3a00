//! The table: what is built, and the line that comes of it.

use std::path::{Path, PathBuf};

use diskimage::package::manifest::Algorithm::{Sha1, Sha256, Sha512};

use super::{KIB, disk};
use crate::model::contents;
use crate::packages::build::*;

/// Returns all cases with their numbers.
pub(super) fn all() -> Vec<(&'static str, Case)> {
    [cases_1_to_5(), cases_6_to_9(), cases_10_to_14(), cases_15_to_19(), cases_20(), cases_23_to_26()]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) build: fn(&Path) -> PathBuf,
    /// The line; a line that ends in `…` goes on; `{10}` stands for the mark of the disk of 10 KiB, and so on.
    pub(super) expected: &'static str,
}

/// The package of most cases: descriptor, manifest and a disk of 10 KiB.
pub(super) fn usual(manifest: impl Fn(&[u8], &[u8]) -> String) -> [(&'static str, Vec<u8>); 3] {
    let (ovf, disk) = (Ovf::new().disk("disk1.vmdk", "").text().into_bytes(), disk(10));
    let manifest = manifest(&ovf, &disk).into_bytes();
    [("vm.ovf", ovf), ("vm.mf", manifest), ("disk1.vmdk", disk)]
}

pub(super) fn both(ovf: &[u8], disk: &[u8]) -> String {
    format!("{}\n{}\n", line(Sha1, "vm.ovf", ovf), line(Sha256, "disk1.vmdk", disk))
}

pub(super) fn slices<'a>(files: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'a [u8])> {
    files.iter().map(|(name, data)| (*name, data.as_slice())).collect()
}

pub(super) fn usual_tar(folder: &Path, manifest: impl Fn(&[u8], &[u8]) -> String) -> PathBuf {
    lay_one(folder, "vm.ova", &tar(&slices(&usual(manifest))))
}

/// A descriptor with a disk in one file, and the files, as an archive.
fn with_ovf(folder: &Path, ovf: &Ovf, others: &[(&str, &[u8])]) -> PathBuf {
    let text = ovf.text();
    let files: Vec<_> = [("vm.ovf", text.as_bytes())].into_iter().chain(others.iter().copied()).collect();
    lay_one(folder, "vm.ova", &tar(&files))
}

fn chunked(folder: &Path, length: usize, leave_out: Option<usize>) -> PathBuf {
    let whole = contents(3, length);
    let ovf = Ovf::new().disk("disk1.vmdk", &format!("ovf:chunkSize='10240' ovf:size='{length}'")).text();
    let names: Vec<_> = (0..whole.len().div_ceil(10240)).map(|number| format!("disk1.vmdk.{number:09}")).collect();
    let parts = names.iter().map(String::as_str).zip(whole.chunks(10240));
    let parts: Vec<_> =
        parts.enumerate().filter(|(number, _)| Some(*number) != leave_out).map(|(_, part)| part).collect();
    let manifest: String = parts.iter().map(|(name, data)| line(Sha256, name, data) + "\n").collect();
    let files = [("vm.ovf", ovf.as_bytes()), ("vm.mf", manifest.as_bytes())];
    lay_one(folder, "vm.ova", &tar(&[&files[..], &parts].concat()))
}

fn numbered(folder: &Path, disks: [&[u8]; 3]) -> PathBuf {
    let names = ["disk1.vmdk.000000000", "disk1.vmdk.000000001", "disk1.vmdk.000000002"];
    let manifest = line(Sha1, names[2], disks[2]);
    let files = [("vm.mf", manifest.as_bytes()), (names[0], disks[0]), (names[1], disks[1]), (names[2], disks[2])];
    with_ovf(folder, &Ovf::new().disk("disk1.vmdk", ""), &files)
}

/// Packs the usual files, with UEFI, by any packer.
fn packed(folder: &Path, pack: impl Fn(&[(&str, &[u8])]) -> Vec<u8>) -> PathBuf {
    let ovf = Ovf::new().disk("disk1.vmdk", "").settings("<vmw:Config vmw:key='x' vmw:value='y'/>").text();
    let ovf = ovf.replace("vmw:value='bios'", "vmw:value='efi'");
    let disk = disk(10);
    let manifest = both(ovf.as_bytes(), &disk);
    lay_one(
        folder,
        "vm.ova",
        &pack(&[("vm.ovf", ovf.as_bytes()), ("vm.mf", manifest.as_bytes()), ("disk1.vmdk", &disk)]),
    )
}

/// A member with a size that a header does not hold, in a file that is mostly a hole.
fn large(folder: &Path, is_pax: bool) -> PathBuf {
    const SIZE: u64 = 9 << 30;
    let mut start = Vec::new();
    tar_file(&mut start, "vm.ovf", Ovf::new().disk("small.vmdk", "").text().as_bytes());
    let size = if is_pax { octal_size(0) } else { binary_size(SIZE) };
    if is_pax {
        tar_pax(&mut start, &[("size", &SIZE.to_string())]);
    }
    tar_raw(&mut start, &RawHeader { name: b"large.raw", size, ..RawHeader::default() }, b"");
    let mut end = Vec::new();
    tar_file(&mut end, "small.vmdk", &disk(10));
    tar_end(&mut end);
    let path = folder.join("vm.ova");
    let file = std::fs::File::create(&path).unwrap();
    let behind = u64::try_from(start.len()).unwrap() + SIZE;
    std::os::unix::fs::FileExt::write_all_at(&file, &start, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &end, behind).unwrap();
    path
}

fn cases_1_to_5() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case(
            "1",
            "tar of ovf, mf and vmdk",
            |at| usual_tar(at, both),
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
        case(
            "2",
            "the same as a folder",
            |at| lay(at, &slices(&usual(both))),
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
        case(
            "4",
            "gzip of a disk, CRLF in the manifest",
            |at| {
                let packed = gzip(&disk(10));
                let ovf = Ovf::new().disk("disk1.vmdk.gz", "ovf:compression='gzip'");
                let manifest = format!("{}\r\n", line(Sha1, "disk1.vmdk.gz", &packed));
                with_ovf(at, &ovf, &[("vm.mf", manifest.as_bytes()), ("disk1.vmdk.gz", &packed)])
            },
            "accepted: 1 verified; disk 10240 streamed {10}",
        ),
        case("5 zip", "zip", |at| packed(at, zip), "accepted: 2 verified; disk 10240 in place {10}"),
        case(
            "5 tar.gz",
            "tar.gz",
            |at| packed(at, |files| gzip(&tar(files))),
            "accepted: 2 verified; disk 10240 streamed {10}",
        ),
        case(
            "5 tar.xz",
            "tar.xz",
            |at| packed(at, |files| xz(&tar(files))),
            "accepted: 2 verified; disk 10240 streamed {10}",
        ),
    ]
}

fn cases_6_to_9() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case(
            "6",
            "everything in a subfolder",
            |at| {
                let files = usual(both);
                let names: Vec<_> = files.iter().map(|(name, _)| format!("subfolder/{name}")).collect();
                let files: Vec<_> =
                    names.iter().map(String::as_str).zip(files.iter().map(|(_, data)| data.as_slice())).collect();
                lay_one(at, "vm.ova", &tar(&files))
            },
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
        case(
            "7",
            "numbered states of a disk, no chunkSize",
            |at| numbered(at, [&disk(10), &disk(11), &disk(12)]),
            "accepted: 1 verified; disk 12288 in place {12}; warning: disk1.vmdk is not in the package; disk1.vmdk.000000002 is taken for the newest state of it",
        ),
        case(
            "7 in disguise",
            "numbered parts of a disk, no chunkSize",
            |at| numbered(at, [b"KDMV", b"x", b"y"]),
            "refused: a file that is cut into parts says so in the descriptor: only the first of the numbered files begins like a disk, and there is no chunkSize (in disk1.vmdk)",
        ),
        case(
            "8",
            "a disk is used where it is",
            |at| {
                let files = usual(both);
                lay_one(
                    at,
                    "vm.ova",
                    &tar(&[("disk1.vmdk", &files[2].1), ("vm.ovf", &files[0].1), ("vm.mf", &files[1].1)]),
                )
            },
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
        case(
            "9",
            "two disks and two manifests",
            |at| {
                let (first, second) = (disk(10), disk(100));
                let ovf = Ovf::new().disk("disk1.vmdk", "").disk("disk2.vmdk", "");
                let manifests = [line(Sha1, "disk1.vmdk", &first), line(Sha1, "disk2.vmdk", &second)];
                let files: [(&str, &[u8]); 4] = [
                    ("a.mf", manifests[0].as_bytes()),
                    ("b.mf", manifests[1].as_bytes()),
                    ("disk2.vmdk", &second),
                    ("disk1.vmdk", &first),
                ];
                with_ovf(at, &ovf, &files)
            },
            "accepted: 2 verified; disk 10240 in place {10}; disk 102400 in place {100}",
        ),
    ]
}

/// Returns where the data of the last member end, which are no zeros.
fn end_of_data(tar: &[u8]) -> usize {
    tar.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

/// Swaps two digits of the digest in a line.
fn permuted(line: &str) -> String {
    let (head, digits) = line.split_at(line.len() - 40);
    let mut digits: Vec<char> = digits.chars().collect();
    let other = (1..40).find(|&at| digits[at] != digits[0]).unwrap();
    digits.swap(0, other);
    format!("{head}{}", digits.into_iter().collect::<String>())
}

fn cases_10_to_14() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case("10", "a right manifest", |at| usual_tar(at, both), "accepted: 2 verified; disk 10240 in place {10}"),
        case(
            "11",
            "a wrong SHA1",
            |at| {
                usual_tar(at, |ovf, disk| {
                    format!("{}\n{}", line(Sha256, "vm.ovf", ovf), permuted(&line(Sha1, "disk1.vmdk", disk)))
                })
            },
            "refused: a file has the digest that the manifest says: SHA1 is 688d9c2398b7803f72b505e8c557bb8e9e028851, the manifest says …",
        ),
        case(
            "12",
            "a wrong SHA256",
            |at| {
                usual_tar(at, |ovf, disk| {
                    format!("{}\n{}", permuted(&line(Sha256, "vm.ovf", ovf)), line(Sha1, "disk1.vmdk", disk))
                })
            },
            "refused: a file has the digest that the manifest says: SHA256 is cb48ee148aa35231d7fd475bed64bd99c58625bc4641ef9fd95e60a5c1ea7ca8, the manifest says …",
        ),
        case(
            "13",
            "a line of garbage",
            |at| usual_tar(at, |ovf, disk| format!("{}this is no digest\n", both(ovf, disk))),
            "accepted: 2 verified; disk 10240 in place {10}; warning: line 3 of the manifest is no digest and verifies nothing: \"this is no digest\"",
        ),
        case(
            "14",
            "no blank behind the equals sign",
            |at| usual_tar(at, |ovf, disk| both(ovf, disk).replace("= ", "=")),
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
    ]
}

fn cases_15_to_19() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case("15", "three chunks", |at| chunked(at, 30 * KIB, None), "accepted: 3 verified; disk 30720 in parts {30}"),
        case(
            "16",
            "three chunks and a byte",
            |at| chunked(at, 30 * KIB + 1, None),
            "accepted: 4 verified; disk 30721 in parts {30+1}",
        ),
        case(
            "17",
            "a missing chunk",
            |at| chunked(at, 30 * KIB, Some(1)),
            "refused: a file that is cut into parts has all of them: missing chunk 1 (in disk1.vmdk)",
        ),
        case(
            "18",
            "SHA512 and other spellings",
            |at| {
                usual_tar(at, |ovf, disk| {
                    let [a, b] = [line(Sha512, "vm.ovf", ovf), line(Sha256, "disk1.vmdk", disk)];
                    format!(
                        "{a}\n{}\n{}",
                        b.replace("SHA256(", "SHA2-256("),
                        b.replace("SHA256(", "SHA256 (").replace(")= ", ") = ")
                    )
                })
            },
            "accepted: 2 verified; disk 10240 in place {10}",
        ),
        case(
            "19 GNU",
            "a member of 9 GiB, GNU",
            |at| large(at, false),
            "accepted: 0 verified; disk 10240 in place {10}",
        ),
        case(
            "19 PAX",
            "a member of 9 GiB, PAX",
            |at| large(at, true),
            "accepted: 0 verified; disk 10240 in place {10}",
        ),
    ]
}

fn cases_20() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case(
            "20 none",
            "no descriptor",
            |at| lay_one(at, "vm.ova", &tar(&[("disk1.vmdk", &disk(10))])),
            "refused: a package has an OVF descriptor: none is there (in DIR/vm.ova)",
        ),
        case(
            "20 two",
            "two descriptors",
            |at| with_ovf(at, &Ovf::new(), &[("other.ovf", b"<a/>")]),
            "refused: a package has one OVF descriptor: \"vm.ovf\" and \"other.ovf\" (in DIR/vm.ova)",
        ),
        case(
            "20 ._",
            "macOS's companion of a descriptor",
            |at| {
                with_ovf(
                    at,
                    &Ovf::new().disk("disk1.vmdk", ""),
                    &[("._vm.ovf", b"\0\x05\x16\x07"), ("disk1.vmdk", &disk(10))],
                )
            },
            "accepted: 0 verified; disk 10240 in place {10}",
        ),
    ]
}

fn cases_23_to_26() -> Vec<(&'static str, Case)> {
    let case = |number, what, build, expected| (number, Case { what, build, expected });
    vec![
        case(
            "23 blank",
            "a disk without a file",
            |at| with_ovf(at, &Ovf::new().described_disk("ovf:capacity='4096'"), &[]),
            "accepted: 0 verified; blank 4096",
        ),
        case(
            "23 property",
            "a capacity to be asked for",
            |at| with_ovf(at, &Ovf::new().described_disk("ovf:capacity='${cap}'"), &[]),
            "refused: the capacity of a disk is a number or a property with a value: \"${cap}\" of disk \"disk0\" (at byte …",
        ),
        case(
            "23 several",
            "several machines",
            |at| {
                let ovf = Ovf::new();
                let systems = format!(
                    "<VirtualSystemCollection>{}{}</VirtualSystemCollection>",
                    ovf.system("a"),
                    ovf.system("b")
                );
                let text = ovf.in_namespace("http://schemas.dmtf.org/ovf/envelope/1", &systems);
                lay_one(at, "vm.ova", &tar(&[("vm.ovf", text.as_bytes())]))
            },
            "refused: one machine of several must be chosen: \"a\", \"b\" (in vm.ovf)",
        ),
        case(
            "24",
            "blanks, Chinese characters, percent signs",
            |at| {
                let ovf = Ovf::new().disk("a b.vmdk", "").disk("磁盘.vmdk", "").disk("my%20disk.vmdk", "");
                with_ovf(at, &ovf, &[("a b.vmdk", &disk(10)), ("磁盘.vmdk", &disk(11)), ("my disk.vmdk", &disk(12))])
            },
            "accepted: 0 verified; disk 10240 in place {10}; disk 11264 in place {11}; disk 12288 in place {12}",
        ),
        case(
            "26 cut",
            "a tar that ends inside of the disk",
            |at| {
                let tar = tar(&slices(&usual(both)));
                lay_one(at, "vm.ova", &tar[..end_of_data(&tar) - 1])
            },
            "refused: a member of an archive is as long as its header says: \"disk1.vmdk\" has 10239 of 10240 bytes (at byte …",
        ),
        case(
            "26 no end",
            "a tar without blocks of zeros at its end",
            |at| {
                let tar = tar(&slices(&usual(both)));
                lay_one(at, "vm.ova", &tar[..end_of_data(&tar)])
            },
            "accepted: 2 verified; disk 10240 in place {10}; warning: the archive ends without two blocks of zeros: its tail may be missing",
        ),
    ]
}
