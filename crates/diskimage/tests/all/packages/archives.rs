//! The rules of archives: what is a member, what is refused, and where an archive ends.

use std::io::Read as _;

use diskimage::image::MemorySource;
use diskimage::package::tar::{self, Member, StreamMembers};
use diskimage::package::zip as zip_archive;
use diskimage::{Error, ErrorKind};

use super::build::*;

/// Lists an archive from both sides, which have to agree.
fn listed(archive: &[u8]) -> Result<Vec<Member>, Error> {
    let at_rest = tar::members(&MemorySource::new(archive.to_vec(), "x.ova"));
    let mut stream = StreamMembers::new(archive);
    let streamed = (|| {
        let mut members = Vec::new();
        while let Some(mut member) = stream.next_member()? {
            let mut data = Vec::new();
            let (name, size) = (member.name.clone(), member.size_bytes);
            member.read_to_end(&mut data).map_err(|error| error.downcast::<Error>().unwrap())?;
            assert_eq!(u64::try_from(data.len()).unwrap(), size);
            members.push((name, data));
        }
        Ok::<_, Error>(members)
    })();
    match (&at_rest, &streamed) {
        (Ok(listing), Ok(streamed)) => {
            assert_eq!(listing.members.len(), streamed.len());
            for (member, (name, data)) in listing.members.iter().zip(streamed) {
                let start = usize::try_from(member.data_offset).unwrap();
                assert_eq!((&member.name, &archive[start..start + data.len()]), (name, data.as_slice()));
            }
        }
        (Err(at_rest), Err(streamed)) => {
            assert_eq!((at_rest.kind(), at_rest.rule()), (streamed.kind(), streamed.rule()));
        }
        _ => panic!("{at_rest:?} but {streamed:?}"),
    }
    at_rest.map(|listing| listing.members)
}

fn names(archive: &[u8]) -> Vec<String> {
    listed(archive).unwrap().into_iter().map(|member| member.name).collect()
}

fn refusal(archive: &[u8]) -> (ErrorKind, String) {
    let error = listed(archive).unwrap_err();
    (error.kind(), error.to_string())
}

/// An archive of one header, data and the end.
fn one(header: &RawHeader<'_>, data: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    tar_raw(&mut tar, header, data);
    tar_end(&mut tar);
    tar
}

#[test]
fn every_notation_of_names_is_read() {
    let long = format!("{}/disk.vmdk", "folder".repeat(20));
    let mut tar = Vec::new();
    tar_file(&mut tar, "./plain", b"1");
    tar_raw(&mut tar, &RawHeader { name: b"short", prefix: b"in/a/prefix", ..RawHeader::default() }, b"");
    let terminated = [long.as_bytes(), b"\0"].concat();
    let header = RawHeader {
        name: b"././@LongLink",
        size: octal_size(terminated.len()),
        kind: b'L',
        magic: b"ustar  \0",
        prefix: b"",
    };
    tar_raw(&mut tar, &header, &terminated);
    tar_raw(
        &mut tar,
        &RawHeader { name: b"cut off", size: octal_size(1), magic: b"ustar  \0", ..RawHeader::default() },
        b"2",
    );
    tar_pax(&mut tar, &[("mtime", "1700000000.5"), ("path", "pax/磁盘.vmdk")]);
    tar_file(&mut tar, "cut off too", b"3");
    // The records were for one member only.
    tar_file(&mut tar, "last", b"4");
    tar_end(&mut tar);
    assert_eq!(names(&tar), ["plain", "in/a/prefix/short", &long, "pax/磁盘.vmdk", "last"]);
}

#[test]
fn folders_and_companions_of_macos_are_no_members() {
    let mut tar = Vec::new();
    tar_raw(&mut tar, &RawHeader { name: b"vm/", kind: b'5', ..RawHeader::default() }, b"");
    tar_raw(&mut tar, &RawHeader { name: b"old/", kind: 0, magic: b"\0\0\0\0\0\0\0\0", ..RawHeader::default() }, b"");
    tar_file(&mut tar, "vm/._a.ovf", b"x");
    tar_file(&mut tar, "__MACOSX/a.ovf", b"x");
    tar_file(&mut tar, "vm/a.ovf", b"x");
    tar_end(&mut tar);
    assert_eq!(names(&tar), ["vm/a.ovf"]);
}

#[test]
fn links_devices_and_sparse_files_are_refused_by_name() {
    for kind in [b'1', b'2', b'3', b'4', b'6', b'S', b'?'] {
        let (found, text) = refusal(&one(&RawHeader { name: b"a.vmdk", kind, ..RawHeader::default() }, b""));
        assert_eq!(found, ErrorKind::Unsupported, "{kind}");
        assert!(text.contains("\"a.vmdk\""), "{text}");
    }
    let mut tar = Vec::new();
    tar_pax(&mut tar, &[("GNU.sparse.major", "1")]);
    tar_file(&mut tar, "a.vmdk", b"");
    assert_eq!(refusal(&tar).0, ErrorKind::Unsupported);
}

#[test]
fn names_that_lead_out_or_come_twice_are_refused() {
    for name in ["../x", "/etc/passwd", "a/../../x", "C:x", "a\\b"] {
        let (kind, text) = refusal(&tar(&[(name, b"")]));
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "{name}: {text}");
    }
    let (kind, text) = refusal(&tar(&[("a", b""), ("./a", b"")]));
    assert_eq!((kind, text.contains("\"a\"")), (ErrorKind::Corrupt, true), "{text}");
}

#[test]
fn limits_of_archives_hold() {
    let too_long = "x".repeat(tar::NAME_BYTES_MAX + 1);
    let mut long = Vec::new();
    tar_pax(&mut long, &[("path", &too_long)]);
    tar_file(&mut long, "x", b"");
    let mut pax = Vec::new();
    tar_pax(&mut pax, &[("comment", &"x".repeat(tar::PAX_BYTES_MAX))]);
    let mut many = Vec::new();
    (0..=tar::MEMBERS_MAX).for_each(|number| tar_file(&mut many, &number.to_string(), b""));
    for archive in [long, pax, many] {
        assert_eq!(refusal(&archive).0, ErrorKind::Limit);
    }
}

#[test]
fn sizes_that_are_none_or_do_not_fit_are_refused() {
    let huge = |size| refusal(&one(&RawHeader { name: b"a", size, ..RawHeader::default() }, b"")).0;
    assert_eq!(huge(*b"00000000009\0"), ErrorKind::Corrupt);
    assert_eq!(huge(*b"-0000000001\0"), ErrorKind::Corrupt);
    assert_eq!(huge(binary_size(u64::MAX)), ErrorKind::Corrupt);
    assert_eq!(huge([0xff; 12]), ErrorKind::Corrupt);
    assert_eq!(huge(binary_size(1 << 62)), ErrorKind::Truncated);
    assert_eq!(huge(octal_size(10 * 1024)), ErrorKind::Truncated);
    for size in ["18446744073709551615", "-1", "1.5", "99999999999999999999"] {
        let mut tar = Vec::new();
        tar_pax(&mut tar, &[("size", size)]);
        tar_file(&mut tar, "a", b"");
        assert!(matches!(refusal(&tar).0, ErrorKind::Corrupt | ErrorKind::Limit), "{size}");
    }
}

#[test]
fn an_archive_has_one_end_for_every_reader() {
    let whole = tar(&[("a", b"1"), ("b", b"2")]);
    let end_of_b = 4 * BLOCK;
    for end in [end_of_b, end_of_b + BLOCK, end_of_b + 2 * BLOCK, whole.len()] {
        assert_eq!(names(&whole[..end]), ["a", "b"], "{end}");
    }
    // What is behind the end is no business of ours.
    assert_eq!(names(&[&whole[..], b"trailing"].concat()), ["a", "b"]);
    // A single block of zeros with members behind it ends the archive for some readers only.
    let mut hidden = whole[..end_of_b + BLOCK].to_vec();
    tar_file(&mut hidden, "c", b"3");
    assert_eq!(refusal(&hidden).0, ErrorKind::Corrupt);
    for (archive, expected) in
        [(&b""[..], ErrorKind::Truncated), (&[0; 1024], ErrorKind::Corrupt), (&whole[..100], ErrorKind::Truncated)]
    {
        assert_eq!(refusal(archive).0, expected);
    }
    // An extension without its member.
    let mut lonely = whole[..end_of_b].to_vec();
    tar_pax(&mut lonely, &[("path", "x")]);
    assert_eq!(refusal(&lonely).0, ErrorKind::Truncated);
}

fn zip_refusal(archive: &[u8]) -> (ErrorKind, String) {
    let error = zip_archive::members(&MemorySource::new(archive.to_vec(), "x.zip")).unwrap_err();
    (error.kind(), error.to_string())
}

/// Changes bytes at the first entry of the directory, counted from its start.
fn with_entry(archive: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let entry = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[entry + at..entry + at + bytes.len()].copy_from_slice(bytes);
    archive
}

#[test]
fn members_of_a_zip_are_where_the_directory_says() {
    let archive = zip(&[("a", b"stored"), ("vm/", b""), ("b", &[7; 3000])]);
    let members = zip_archive::members(&MemorySource::new(archive.clone(), "x.zip")).unwrap();
    let found: Vec<_> =
        members.iter().map(|member| (member.name.as_str(), member.size_bytes, member.is_deflated)).collect();
    assert_eq!(found, [("a", 6, false), ("b", 3000, false)]);
    let start = usize::try_from(members[0].data_offset).unwrap();
    assert_eq!(&archive[start..start + 6], b"stored");
    // A comment behind the end, and one that looks like an end.
    let mut commented = archive;
    let length = commented.len();
    commented[length - 2] = 30;
    commented.extend([b'P', b'K', 5, 6]);
    commented.extend([b'x'; 26]);
    assert_eq!(zip_archive::members(&MemorySource::new(commented, "x.zip")).unwrap(), members);
}

#[test]
fn what_a_zip_must_not_be_is_refused() {
    let archive = zip(&[("a", b"stored"), ("b", &[7; 3000])]);
    for (at, bytes, expected) in [
        (8, &[1, 0][..], ErrorKind::Unsupported),            // encrypted
        (10, &[12, 0], ErrorKind::Unsupported),              // bzip2
        (38, &[0, 0, 0xff, 0xa1], ErrorKind::Unsupported),   // a link
        (20, &[7, 0, 0, 0], ErrorKind::Corrupt),             // sizes that differ
        (24, &[0xff, 0xff, 0xff, 0xff], ErrorKind::Corrupt), // no field of 64 bits
        (42, &[1, 0, 0, 0], ErrorKind::Corrupt),             // no local header there
        (42, &[0xf0, 0xff, 0, 0], ErrorKind::Truncated),     // outside
        (46, b"b", ErrorKind::Corrupt),                      // the same name
        (46, b"/", ErrorKind::Corrupt),                      // a file of a name that is none: overlaps or leads out
    ] {
        let changed = with_entry(&archive, at, bytes);
        if bytes == b"/" {
            // A name that ends in a slash is a folder, and no member.
            assert_eq!(zip_archive::members(&MemorySource::new(changed, "x")).unwrap().len(), 1);
            continue;
        }
        let (found, text) = zip_refusal(&changed);
        assert_eq!(found, expected, "{at}: {text}");
        assert!(text.contains("x.zip"), "{text}");
    }
    assert_eq!(zip_refusal(&archive[..archive.len() - 1]).0, ErrorKind::Truncated);
    assert_eq!(zip_refusal(b"PK\x03\x04").0, ErrorKind::Truncated);
}

#[test]
fn members_of_a_zip_that_share_data_are_refused() {
    let archive = zip(&[("a", &[1; 100]), ("b", &[1; 100]), ("c", &[1; 100])]);
    // The third entry gets the place of the first.
    let entries: Vec<_> = (0..archive.len() - 4).filter(|&at| archive[at..].starts_with(b"PK\x01\x02")).collect();
    let mut shared = archive;
    shared.copy_within(entries[0] + 42..entries[0] + 46, entries[2] + 42);
    let (kind, text) = zip_refusal(&shared);
    assert_eq!((kind, text.contains("overlap")), (ErrorKind::Corrupt, true), "{text}");
}
