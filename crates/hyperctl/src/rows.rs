//! Labels with values, as older callers read them: `| Label | Value |`.

use crate::escape::escape;

/// Returns rows in aligned columns; labels and values are escaped here.
pub(crate) fn text<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let rows: Vec<_> = rows.into_iter().map(|(label, value)| (escape(label), escape(value))).collect();
    let labels = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let values = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("| {label:<labels$} | {value:<values$} |\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_nothing_leaves_its_row() {
        assert_eq!(text([("A", "1"), ("Bcd", "2\n3")]), "| A   | 1       |\n| Bcd | 2\\u{a}3 |\n");
        assert_eq!(text([]), "");
    }
}
