//! Rows about the text of a descriptor: what tools and people write.

use diskimage::ErrorKind;

use super::Other::{self, Differs, NotAsked, Refuses, Same};
use super::Row;
use crate::model::contents;
use crate::vmdk_read::build::{SECTOR, descriptor};

const FLAT_SECTORS: usize = 64;

pub(super) fn flat() -> Vec<u8> {
    contents(3, FLAT_SECTORS * SECTOR)
}

/// A descriptor over one flat file.
pub(super) fn over_flat(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![("x.vmdk", text.as_bytes().to_vec()), ("flat", flat())]
}

fn usual(line: &str) -> String {
    descriptor("monolithicFlat", &[line.to_owned()], None)
}

pub(super) const LINE: &str = "RW 64 FLAT \"flat\" 0";

/// A descriptor that is read.
fn reads(name: &'static str, text: String, qemu: Other, vmdk_core: Other, why: &'static str) -> Row {
    Row { name, files: over_flat(&text), ours: Ok(flat()), qemu, vmdk_core, why }
}

/// A descriptor that is refused.
fn refuses(name: &'static str, text: String, kind: ErrorKind, qemu: Other, vmdk_core: Other, why: &'static str) -> Row {
    Row { name, files: over_flat(&text), ours: Err(kind), qemu, vmdk_core, why }
}

/// Odd ways to write what is meant.
pub(super) fn read() -> Vec<Row> {
    let good = usual(LINE);
    vec![
        reads("plain", good.clone(), Same, Same, ""),
        reads("crlf", good.replace('\n', "\r\n"), Same, Same, ""),
        reads("byte order mark", format!("\u{feff}{good}"), Same, Refuses, "editors write one"),
        reads(
            "blanks around =",
            good.replace("createType=", "createType = "),
            Refuses,
            Refuses,
            "the note's grammar has blanks, and the data base section always has them",
        ),
        reads("key in capitals", good.replace("createType", "CREATETYPE"), Refuses, Refuses, "the note ignores case"),
        reads(
            "extent in lower case",
            usual("rw 64 flat \"flat\" 0"),
            NotAsked,
            Differs,
            "the note ignores case; QEMU aborts, vmdk-core gives an empty disk",
        ),
        reads(
            "read-only extent",
            usual("RDONLY 64 FLAT \"flat\" 0"),
            Refuses,
            Same,
            "access says who may write; QEMU skips the extent",
        ),
        reads("no offset", usual("RW 64 FLAT \"flat\""), Refuses, Same, "the offset is optional, and 0"),
        reads("words behind the offset", usual("RW 64 FLAT \"flat\" 0 uuid device"), Same, Same, ""),
        reads(
            "unquoted type",
            good.replace("\"monolithicFlat\"", "monolithicFlat"),
            Refuses,
            Same,
            "ovftool has written it so",
        ),
        reads(
            "an unknown createType",
            good.replace("monolithicFlat", "custom"),
            Refuses,
            Same,
            "a label; the extents decide",
        ),
        reads("no content id", good.replace("CID=11111111\n", ""), Same, Same, ""),
        reads("a content id in decimal", good.replace("CID=11111111", "CID=1777777777"), Same, Same, ""),
    ]
}

/// What cannot be meant, or must not be done.
pub(super) fn refused() -> Vec<Row> {
    let good = usual(LINE);
    vec![
        refuses("no extent", usual(""), ErrorKind::Corrupt, NotAsked, Differs, "no disk is that small; QEMU aborts"),
        refuses(
            "a negative size",
            usual("RW -64 FLAT \"flat\" 0"),
            ErrorKind::Corrupt,
            NotAsked,
            Differs,
            "QEMU aborts, vmdk-core gives an empty disk",
        ),
        refuses(
            "2^63 - 1 sectors",
            usual("RW 9223372036854775807 FLAT \"flat\" 0"),
            ErrorKind::Limit,
            Refuses,
            NotAsked,
            "vmdk-core overflows",
        ),
        refuses(
            "an absolute name",
            usual("RW 1 FLAT \"/etc/passwd\" 0"),
            ErrorKind::Outside,
            Differs,
            Refuses,
            "a descriptor must not read other people's files; QEMU pads what it finds with zeros",
        ),
        Row {
            name: "a name that climbs",
            files: vec![("vm/x.vmdk", usual("RW 64 FLAT \"../flat\" 0").into_bytes()), ("flat", flat())],
            ours: Err(ErrorKind::Outside),
            qemu: Differs,
            vmdk_core: Refuses,
            why: "as above",
        },
        refuses(
            "the descriptor itself",
            usual("RW 1 FLAT \"x.vmdk\" 0"),
            ErrorKind::Corrupt,
            Differs,
            Differs,
            "no disk is its own description",
        ),
        refuses(
            "a file shorter than its extent",
            usual("RW 65 FLAT \"flat\" 0"),
            ErrorKind::Truncated,
            Differs,
            Differs,
            "what is missing is not zeros",
        ),
        refuses(
            "a raw device",
            usual("RW 64 VMFSRDM \"flat\""),
            ErrorKind::Unsupported,
            Refuses,
            Differs,
            "the mapping file is not the device",
        ),
        refuses(
            "encryption",
            format!("{good}encryptionKeys=\"x\"\n"),
            ErrorKind::Encrypted,
            Differs,
            Differs,
            "the content is noise without its keys",
        ),
    ]
}
