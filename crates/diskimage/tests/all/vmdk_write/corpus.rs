//! The fuzzer's first inputs: a checkpoint, and what stands in the file behind the front.

use std::fs;
use std::path::Path;

use diskimage::output::MemoryOutput;
use diskimage::vmdk::write::VmdkWriter;

use crate::fuzz::targets::{WRITTEN_CHECKPOINT_LEN, WRITTEN_FRONT_LEN, written_options};

/// Writes the corpus anew when set.
const UPDATE: &str = "HYPER2KVM_UPDATE_CORPUS";

/// What comes next on a disk.
#[derive(Clone, Copy)]
enum Next {
    Text(u64),
    Zeros(u64),
}
use Next::{Text, Zeros};

/// Makes an input of a disk that begins with `covered`, was committed, and went on with `behind`.
fn sample(covered: &[Next], behind: &[Next]) -> Vec<u8> {
    let output = MemoryOutput::default();
    let writer = VmdkWriter::create(output.clone(), &written_options()).unwrap();
    let write = |parts: &[Next]| {
        for part in parts {
            let next = writer.next_offset();
            match part {
                Text(len) => {
                    let text: Vec<u8> = (0..*len).map(|at| b'a' + u8::try_from(at / 700 % 26).unwrap()).collect();
                    writer.write_at(next, &text).unwrap();
                }
                Zeros(len) => writer.write_zeroes(next, *len).unwrap(),
            }
        }
    };
    write(covered);
    let checkpoint = writer.commit().unwrap();
    assert_eq!(checkpoint.len(), WRITTEN_CHECKPOINT_LEN);
    write(behind);
    drop(writer);
    [&checkpoint, &output.contents()[WRITTEN_FRONT_LEN..]].concat()
}

#[test]
fn the_corpus_of_the_writer_is_what_it_writes() {
    const GRAIN: u64 = 65536;
    let samples = [
        ("before-table", sample(&[Text(GRAIN), Zeros(511 * GRAIN)], &[Text(GRAIN)])),
        ("tail-in-grain", sample(&[Text(200_000)], &[Text(70_000)])),
        ("two-tables", sample(&[Text(2 * GRAIN), Zeros(509 * GRAIN), Text(70_000)], &[Text(GRAIN)])),
        ("whole-grains", sample(&[Text(3 * GRAIN)], &[])),
        ("zeros", sample(&[Zeros(2 * GRAIN + 7)], &[])),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/vmdk_write");
    for (name, bytes) in samples {
        let path = folder.join(name);
        if std::env::var_os(UPDATE).is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(kept == bytes, "{} is out of date; set {UPDATE}=1 to write it anew", path.display());
    }
}
