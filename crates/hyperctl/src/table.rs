//! Rows for people (aligned, with a header) and for pipes (tab-separated, without).

use comfy_table::{ContentArrangement, Table, presets};

/// Returns rows under a header in aligned columns; every cell must be escaped already.
pub(crate) fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text: String = table.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect();
    if text.is_empty() {
        text.push('\n');
    }
    text
}

/// Returns rows as lines of cells with tabs between; every cell must be escaped already.
pub(crate) fn tabbed(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
}
