//! Other readers of the files that we write: qemu-img (7.2 or later) and `vmdk-core`.

use std::fs::{self, File};
use std::sync::Arc;

use diskimage::output::FileOutput;
use diskimage::parallel::Workers;
use diskimage::vmdk::grain::Level;
use diskimage::vmdk::write::VmdkWriter;

use super::script::{Content, GRAIN};
use crate::vmdk_read::others::{qemu_img, read_by_vmdk_core};
use crate::writers::Random;

#[test]
fn others_read_what_was_written_over_a_reopen() {
    if judges::qemu_img("others_read_what_was_written_over_a_reopen").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vmdk");
    let workers = Arc::new(Workers::start(2, 4 << 20).unwrap());
    // Of one sector, of a short last grain, and over two tables.
    for (capacity, zeros_until) in [(512, 0), (30 * GRAIN + 34 * 512, 0), (520 * GRAIN, 505 * GRAIN + 1)] {
        for level in [Level::FASTEST, Level::default()] {
            let mut random = Random::new(u64::try_from(capacity).unwrap());
            let content = Content::new(&mut random, capacity, zeros_until);
            let mut options = content.options(Some(&workers));
            options.stream.level = level;
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
            let output = || FileOutput::new(file.try_clone().unwrap()).unwrap();
            let writer = VmdkWriter::create(output(), &options).unwrap();
            content.write(&writer, 0..capacity * 9 / 10).unwrap();
            let checkpoint = writer.commit().unwrap();
            content.write(&writer, capacity * 9 / 10..capacity * 19 / 20).unwrap();
            drop(writer);
            let writer = VmdkWriter::reopen(output(), &options, &[checkpoint]).unwrap();
            content.complete(writer, &mut random);

            let info = qemu_img(folder.path(), &["info", "--output=json", "disk.vmdk"]);
            assert!(info.contains("streamOptimized") && info.contains("\"format\": \"vmdk\""), "{info}");
            assert!(info.contains(&format!("\"virtual-size\": {capacity}")), "{info}");
            qemu_img(folder.path(), &["check", "disk.vmdk"]);
            fs::write(folder.path().join("expected.raw"), &content.bytes).unwrap();
            qemu_img(folder.path(), &["compare", "-f", "vmdk", "-F", "raw", "disk.vmdk", "expected.raw"]);
            assert!(read_by_vmdk_core(&path).unwrap() == content.bytes, "vmdk-core, {capacity}");
        }
    }
}
