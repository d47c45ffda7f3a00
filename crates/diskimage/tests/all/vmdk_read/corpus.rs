//! The samples from which fuzzing of the reader starts: what the builders build, in small.

use std::fs;
use std::path::Path;

use super::build::{Cell, Cells, Hosted, SECTOR, cowd, descriptor, hosted, sesparse};
use crate::fuzz::targets::BETWEEN_FILES;
use crate::model::Disk;

/// Says that the files shall be written and not compared.
const UPDATE: &str = "HYPER2KVM_UPDATE_CORPUS";

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let link = |grain: usize| Cells {
        capacity: 4 * grain * SECTOR - SECTOR,
        grain: grain * SECTOR,
        cells: vec![Cell::Data(1), Cell::Absent, Cell::Zero, Cell::Data(2)],
    };
    let text = |kind: &str, sectors: usize, parent| {
        descriptor("custom", &[format!("RW {sectors} {kind} \"a\"")], parent).into_bytes()
    };
    let together = |files: &[Vec<u8>]| files.join(BETWEEN_FILES);
    let small = |redundant| {
        let text = descriptor("monolithicSparse", &["RW 31 SPARSE \"disk\"".into()], None);
        hosted(&link(8), &Hosted { descriptor: Some(text), redundant, ..Hosted::default() }).0
    };
    let mixed = ["RW 8 ZERO", "RW 31 SPARSE \"a\"", "RW 2 FLAT \"b\" 1", "NOACCESS 9 FLAT \"c\""].map(str::to_owned);
    let split = descriptor("twoGbMaxExtentSparse", &mixed, None).into_bytes();
    let flat = b"flat".repeat(3 * SECTOR / 4);
    vec![
        ("bare-cowd", cowd(&link(1), b"")),
        ("chain", {
            let base = descriptor("vmfs", &["RW 3 VMFS \"c\"".into()], None).into_bytes();
            together(&[text("VMFSSPARSE", 3, Some("b")), cowd(&link(1), b""), base, flat.clone()])
        }),
        ("descriptor-sesparse", together(&[text("SESPARSE", 31, None), sesparse(&link(8), 0)])),
        ("mixed", together(&[split, hosted(&link(8), &Hosted::default()).0, flat])),
        ("sparse", small(false)),
        ("sparse-twice", small(true)),
        ("stream", Disk::new(65536 + 512).fill([0, 1], 4).write().0),
    ]
}

#[test]
fn the_corpus_of_the_reader_is_what_the_builders_build() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/vmdk_read");
    for (name, bytes) in samples() {
        let path = folder.join(name);
        if std::env::var_os(UPDATE).is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(kept == bytes, "{} is out of date; set {UPDATE}=1 to write it anew", path.display());
    }
}
