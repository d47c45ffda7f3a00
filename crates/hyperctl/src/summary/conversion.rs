//! What a finished conversion says.

use hyper_api::{Conversion, ConvertedDisk, ConvertedFile};

use crate::escape::escape;
use crate::human;
use crate::table;

pub(super) fn text(conversion: &Conversion) -> String {
    let rate = human::mean_rate(conversion.read_bytes, conversion.copy_ms).map(|rate| format!(" ({rate})"));
    let read = format!(
        "{} in {}{}",
        human::bytes(conversion.read_bytes),
        human::milliseconds(conversion.copy_ms),
        rate.unwrap_or_default()
    );
    let kept = (conversion.kept_bytes > 0)
        .then(|| ("Kept", format!("{} that an earlier run had written", human::bytes(conversion.kept_bytes))));
    let output = escape(&conversion.output.to_string_lossy()).into_owned();
    let rows =
        [Some(("Output", output)), Some(("Format", conversion.format.word().to_owned())), Some(("Read", read)), kept];
    let mut text: String = rows.into_iter().flatten().map(|(label, value)| format!("{label:<9} {value}\n")).collect();
    text.push('\n');
    let disks: Vec<_> = conversion.disks.iter().map(disk).collect();
    text.push_str(&table::aligned(&["DISK", "CAPACITY", "CONTENT (BLAKE3)"], &disks));
    text.push('\n');
    let files: Vec<_> = conversion.files.iter().map(file).collect();
    text.push_str(&table::aligned(&["FILE", "SIZE", "ON DISK"], &files));
    text
}

fn disk(disk: &ConvertedDisk) -> Vec<String> {
    vec![
        escape(&disk.name).into_owned(),
        human::bytes(disk.capacity_bytes),
        disk.content_blake3.as_deref().map_or_else(|| "-".to_owned(), |digest| escape(digest).into_owned()),
    ]
}

fn file(file: &ConvertedFile) -> Vec<String> {
    let path = escape(&file.path.to_string_lossy()).into_owned();
    vec![path, human::bytes(file.size_bytes), human::bytes(file.allocated_bytes)]
}
