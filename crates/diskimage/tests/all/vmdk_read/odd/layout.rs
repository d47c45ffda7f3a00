//! Rows about extents, chains, headers and tables.

use diskimage::ErrorKind;

use super::Other::{Differs, NotAsked, Refuses, Same};
use super::Row;
use super::text::{LINE, flat, over_flat};
use crate::model::small_stream;
use crate::vmdk_read::build::{Cell, Cells, Hosted, SECTOR, cowd, descriptor, hosted, put};

/// Rows about extents of several kinds in one link.
pub(super) fn extents() -> Vec<Row> {
    let zero_first: Vec<u8> = [vec![0; 8 * SECTOR], flat()].concat();
    let two = |first: &str, second: &str| descriptor("monolithicFlat", &[first.to_owned(), second.to_owned()], None);
    // Twelve sectors in grains of eight: the last grain is half outside.
    let odd = Cells { capacity: 12 * SECTOR, grain: 8 * SECTOR, cells: vec![Cell::Data(1), Cell::Data(2)] };
    let mixed = [odd.over(&[]), flat()].concat();
    let split = descriptor("twoGbMaxExtentSparse", &["RW 12 SPARSE \"odd\"".into(), LINE.into()], None);
    let larger = descriptor("twoGbMaxExtentSparse", &["RW 11 SPARSE \"odd\"".into()], None);
    let odd_file = || ("odd", hosted(&odd, &Hosted::default()).0);
    vec![
        Row {
            name: "zeros in front",
            files: over_flat(&two("RW 8 ZERO", LINE)),
            ours: Ok(zero_first),
            qemu: Differs,
            vmdk_core: Same,
            why: "QEMU skips the extent, and what follows moves down",
        },
        Row {
            name: "an extent without access",
            files: over_flat(&two("NOACCESS 8 FLAT \"none\"", LINE)),
            ours: Err(ErrorKind::Unsupported),
            qemu: Differs,
            vmdk_core: Differs,
            why: "QEMU skips the extent, and what follows moves down; nobody knows what it holds",
        },
        Row {
            name: "a sparse extent that ends inside of a grain, and a flat one behind it",
            files: vec![("x.vmdk", split.into_bytes()), odd_file(), ("flat", flat())],
            ours: Ok(mixed),
            qemu: Differs,
            vmdk_core: Differs,
            why: "the rest of a grain is outside of its extent; QEMU reads it in place of the next",
        },
        Row {
            name: "a sparse extent of another size than its line",
            files: vec![("x.vmdk", larger.into_bytes()), odd_file()],
            ours: Err(ErrorKind::Corrupt),
            qemu: Differs,
            vmdk_core: Differs,
            why: "one of the two is wrong, and nothing says which",
        },
        Row {
            name: "a chain that loops",
            files: vec![
                ("x.vmdk", descriptor("monolithicFlat", &[LINE.into()], Some("x.vmdk")).into_bytes()),
                ("flat", flat()),
            ],
            ours: Err(ErrorKind::Corrupt),
            qemu: NotAsked,
            vmdk_core: Refuses,
            why: "QEMU does not end",
        },
    ]
}

/// A small disk with an entry of 1 that its flags do not announce, and where its table is.
fn small() -> (Cells, Vec<u8>, usize) {
    let link =
        Cells { capacity: 24 * SECTOR, grain: 8 * SECTOR, cells: vec![Cell::Data(1), Cell::Zero, Cell::Data(2)] };
    let text = descriptor("monolithicSparse", &["RW 24 SPARSE \"x.vmdk\"".into()], None);
    let how = Hosted { descriptor: Some(text), redundant: false, unannounced_zeros: true };
    let (bytes, places) = hosted(&link, &how);
    (link, bytes, places.tables[0][0])
}

/// The small disk with some bytes changed.
fn changed(offset: usize, value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (_, mut bytes, _) = small();
    put(&mut bytes, offset, value);
    vec![("x.vmdk", bytes)]
}

/// Rows about tables.
pub(super) fn tables() -> Vec<Row> {
    let (link, _, table) = small();
    let zeros_in_cowd =
        Cells { capacity: 3 * SECTOR, grain: SECTOR, cells: vec![Cell::Data(1), Cell::Zero, Cell::Zero] };
    let long_name = vec![b'n'; 900];
    let cowd_text = descriptor("vmfsSparse", &["RW 3 VMFSSPARSE \"delta\"".into()], None);
    vec![
        Row {
            name: "an entry of 1 without its flag",
            files: changed(0, b"K"),
            ours: Ok(link.over(&[])),
            qemu: Differs,
            vmdk_core: Same,
            why: "no grain can lie in sector 1; QEMU gives the text of the descriptor to the guest",
        },
        Row {
            name: "an entry of 1 in a COWD delta whose header names a long parent",
            files: vec![("x.vmdk", cowd_text.into_bytes()), ("delta", cowd(&zeros_in_cowd, &long_name))],
            ours: Ok(zeros_in_cowd.over(&[])),
            qemu: Differs,
            vmdk_core: Same,
            why: "as above; QEMU gives the name of the parent to the guest",
        },
        Row {
            name: "a directory beyond the end of the file",
            files: changed(56, &(1_u64 << 31).to_le_bytes()),
            ours: Err(ErrorKind::Truncated),
            qemu: Differs,
            vmdk_core: Refuses,
            why: "what is missing is not zeros",
        },
        Row {
            name: "a grain beyond the end of the file",
            files: changed(table, &(1_u32 << 30).to_le_bytes()),
            ours: Err(ErrorKind::Truncated),
            qemu: Differs,
            vmdk_core: Differs,
            why: "what is missing is not zeros",
        },
    ]
}

/// Rows about headers.
pub(super) fn headers() -> Vec<Row> {
    let mut compressed = small_stream();
    put(&mut compressed, 77, &[0]);
    vec![
        Row {
            name: "newline bytes damaged by a transfer in text mode",
            files: changed(73, b"\n\n\n\n"),
            ours: Err(ErrorKind::Corrupt),
            qemu: Differs,
            vmdk_core: Differs,
            why: "the test is there to be made",
        },
        Row {
            name: "flags from the future",
            files: changed(8, &(1_u32 | 1 << 20).to_le_bytes()),
            ours: Err(ErrorKind::Unsupported),
            qemu: Differs,
            vmdk_core: Differs,
            why: "the upper sixteen flags are incompatible by design",
        },
        Row {
            name: "compressed by its flag and not by its method",
            files: vec![("x.vmdk", compressed)],
            ours: Err(ErrorKind::Corrupt),
            qemu: Differs,
            vmdk_core: Refuses,
            why: "QEMU gives compressed bytes to the guest",
        },
    ]
}
