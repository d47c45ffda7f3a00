//! Damage to every kind of VMDK: cut, shortened inside, flipped; at the head, in the middle, at the
//! tail, and in every byte of metadata.
//!
//! What comes out is an error, the right bytes, or bytes with a warning. The one exception are
//! flipped bits in uncompressed data, of which no format keeps a sum; those must do no harm beside.

use std::ops::Range;

use diskimage::Error;
use diskimage::image::Disk as _;

use super::build::{Cell, Cells, Hosted, SECTOR, Store, cowd, descriptor, hosted, read_all, sesparse};
use crate::model::{Disk, contents};

/// A disk of one or more files, of which one is damaged.
struct Sample {
    name: &'static str,
    /// The first is opened.
    files: Vec<(&'static str, Vec<u8>)>,
    disk: Vec<u8>,
    /// The parts of files that are metadata: their index and a range of bytes.
    metadata: Vec<(usize, Range<usize>)>,
    /// Whether data have a checksum.
    has_sums: bool,
}

/// What came out of a damaged disk.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Right,
    Warned,
    /// As many bytes differ, and nothing was said.
    Silent(usize),
}

impl Sample {
    /// Opens, checks and reads the disk with one file replaced.
    fn outcome(&self, index: usize, bytes: Vec<u8>) -> Outcome {
        let mut store = Store::default();
        for (number, (name, sound)) in self.files.iter().enumerate() {
            store.put(name, if number == index { bytes.clone() } else { sound.clone() });
        }
        let read = || -> Result<(Vec<u8>, Vec<String>), Error> {
            // A damaged size may be enormous; nobody reads more than was there.
            let image = store.open(self.files[0].0)?;
            image.check()?;
            let warnings = image.describe()?.warnings;
            if usize::try_from(image.capacity_bytes()).unwrap() > 2 * self.disk.len() {
                return Ok((Vec::new(), warnings));
            }
            Ok((read_all(&image)?, warnings))
        };
        match read() {
            Err(_) => Outcome::Refused,
            Ok((disk, _)) if disk == self.disk => Outcome::Right,
            Ok((_, warnings)) if !warnings.is_empty() => Outcome::Warned,
            Ok((disk, _)) if disk.len() == self.disk.len() => {
                Outcome::Silent(disk.iter().zip(&self.disk).filter(|(damaged, sound)| damaged != sound).count())
            }
            Ok(_) => Outcome::Silent(usize::MAX),
        }
    }

    fn is_metadata(&self, index: usize, byte: usize) -> bool {
        self.metadata.iter().any(|(file, range)| *file == index && range.contains(&byte))
    }
}

/// A link in which each grain has data, so that each pointer counts; `lazy` leaves some out.
fn link(sectors: usize, grain: usize, lazy: bool) -> Cells {
    let mut link = Cells::random(sectors, grain, 1);
    for (number, cell) in (0..).zip(&mut link.cells) {
        *cell = if lazy && number % 5 == 3 { Cell::Absent } else { Cell::Data(number) };
    }
    link
}

fn monolithic(redundant: bool) -> Sample {
    let link = link(400, 16, redundant);
    let text = descriptor("monolithicSparse", &["RW 400 SPARSE \"x.vmdk\"".into()], None);
    let text_len = text.len();
    let (bytes, places) = hosted(&link, &Hosted { descriptor: Some(text), redundant, ..Hosted::default() });
    let table = |start: usize| (0, start..start + link.cells.len() * 4);
    let mut metadata = vec![(0, 0..79), (0, SECTOR..SECTOR + text_len)];
    metadata.extend(places.directories.iter().map(|&start| (0, start..start + 4)));
    metadata.extend(places.tables.iter().map(|tables| table(tables[0])));
    let name = if redundant { "sparse, tables twice" } else { "sparse, tables once" };
    Sample { name, files: vec![("x.vmdk", bytes)], disk: link.over(&[]), metadata, has_sums: false }
}

fn stream() -> Sample {
    let disk = Disk::new(10 * 65536 + 512).fill([0, 2, 3, 9, 10], 3);
    let bytes = disk.write().0;
    let all = 0..bytes.len();
    Sample {
        name: "stream",
        files: vec![("x.vmdk", bytes)],
        disk: disk.raw(),
        metadata: vec![(0, all)],
        has_sums: true,
    }
}

fn flat_in_two() -> Sample {
    let disk = contents(3, 100 * SECTOR);
    let lines = ["RW 40 FLAT \"a\" 0".to_owned(), "RW 60 FLAT \"b\" 0".to_owned()];
    let text = descriptor("twoGbMaxExtentFlat", &lines, None).into_bytes();
    let metadata = vec![(0, 0..text.len())];
    let files = vec![("x.vmdk", text), ("a", disk[..40 * SECTOR].to_vec()), ("b", disk[40 * SECTOR..].to_vec())];
    Sample { name: "flat in two files", files, disk, metadata, has_sums: false }
}

fn delta(name: &'static str) -> Sample {
    let base = contents(4, 300 * SECTOR);
    let (kind, grain) = if name == "cowd" { ("VMFSSPARSE", 4) } else { ("SESPARSE", 8) };
    let link = link(300, grain, false);
    let text = descriptor(name, &[format!("RW 300 {kind} \"delta\"")], Some("base"));
    let bytes = if name == "cowd" { cowd(&link, b"") } else { sesparse(&link, 0) };
    let number = |offset: usize| usize::try_from(u32::from_le_bytes(*bytes[offset..].first_chunk().unwrap())).unwrap();
    let (structure, table) = if name == "cowd" {
        // The header as far as it is used, the directory, the table.
        ([0..32, 2048..2052, 1648..1652], number(2048) * SECTOR)
    } else {
        ([0..SECTOR, SECTOR..2 * SECTOR, 4096..4104], number(144) * SECTOR)
    };
    let entry_len = if name == "cowd" { 4 } else { 8 };
    let mut metadata: Vec<_> = structure.into_iter().map(|range| (1, range)).collect();
    metadata.push((1, table..table + link.cells.len() * entry_len));
    metadata.push((0, 0..text.len()));
    let base_text = descriptor("vmfs", &["RW 300 VMFS \"base-flat\"".into()], None);
    metadata.push((2, 0..base_text.len()));
    let disk = link.over(&base);
    let files =
        vec![("x.vmdk", text.into_bytes()), ("delta", bytes), ("base", base_text.into_bytes()), ("base-flat", base)];
    Sample { name, files, disk, metadata, has_sums: false }
}

fn samples() -> Vec<Sample> {
    vec![monolithic(true), monolithic(false), stream(), flat_in_two(), delta("cowd"), delta("sesparse")]
}

#[test]
fn samples_are_sound_and_nothing_is_said_about_them() {
    for sample in samples() {
        let mut store = Store::default();
        for (name, bytes) in &sample.files {
            store.put(name, bytes.clone());
        }
        let image = store.open(sample.files[0].0).unwrap();
        image.check().unwrap();
        assert_eq!(image.describe().unwrap().warnings, Vec::<String>::new(), "{}", sample.name);
        assert!(read_all(&image).unwrap() == sample.disk, "{}", sample.name);
    }
}

#[test]
fn a_file_that_is_cut_or_has_lost_a_piece_is_refused_or_read_right() {
    for sample in samples() {
        for (index, (file, bytes)) in sample.files.iter().enumerate() {
            for keep in [0, 3, SECTOR, bytes.len() / 2, bytes.len().saturating_sub(SECTOR), bytes.len() - 1] {
                let keep = keep.min(bytes.len());
                let outcome = sample.outcome(index, bytes[..keep].to_vec());
                assert!(!matches!(outcome, Outcome::Silent(_)), "{} {file} cut to {keep}: {outcome:?}", sample.name);
            }
            for start in [0, bytes.len() / 2 / SECTOR * SECTOR, bytes.len().saturating_sub(SECTOR)] {
                let end = (start + SECTOR).min(bytes.len());
                let outcome = sample.outcome(index, [&bytes[..start], &bytes[end..]].concat());
                assert!(
                    !matches!(outcome, Outcome::Silent(_)),
                    "{} {file} without {start}..{end}: {outcome:?}",
                    sample.name
                );
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_metadata_is_refused_harmless_or_warned_about() {
    let mut silent = Vec::new();
    for sample in samples() {
        let mut refused = 0;
        for (index, range) in &sample.metadata {
            // Streams are large; their every byte is another test's (of the walk).
            let step = if sample.has_sums { 41 } else { 1 };
            for position in range.clone().step_by(step) {
                let mut bytes = sample.files[*index].1.clone();
                bytes[position] ^= 1 << (position % 8);
                match sample.outcome(*index, bytes) {
                    Outcome::Silent(count) => {
                        silent.push(format!("{} {} byte {position}: {count}", sample.name, sample.files[*index].0));
                    }
                    Outcome::Refused => refused += 1,
                    Outcome::Right | Outcome::Warned => {}
                }
            }
        }
        assert!(refused > 20, "{}: only {refused} flips were noticed", sample.name);
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn a_flipped_bit_of_plain_data_changes_one_byte_and_of_compressed_data_is_refused() {
    for sample in samples() {
        for (index, (file, bytes)) in sample.files.iter().enumerate() {
            for position in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 700 % bytes.len()] {
                let position = position.min(bytes.len() - 1);
                if sample.is_metadata(index, position) && !sample.has_sums {
                    continue;
                }
                let mut damaged = bytes.clone();
                damaged[position] ^= 0x20;
                let outcome = sample.outcome(index, damaged);
                let fine = match outcome {
                    Outcome::Silent(count) => !sample.has_sums && count <= 1,
                    _ => true,
                };
                assert!(fine, "{} {file} byte {position}: {outcome:?}", sample.name);
            }
        }
    }
}
