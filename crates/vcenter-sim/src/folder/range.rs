//! The `Range` header: which bytes of a file a request wants. Pure.

use std::ops::Range;

/// Most ranges of one request; with more the header counts as none, so that nobody pays for a joke.
const RANGES_MAX: usize = 64;

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: the header is missing or not understood.
    All,
    /// These parts, each with at least a byte; ends are exclusive.
    Ranges(Vec<Range<u64>>),
    /// Parts of which none is inside of the file.
    Nothing,
}

/// Reads a header for a file of `size` bytes. Parts that go over the end are cut.
pub(super) fn parse(header: &str, size: u64) -> Wanted {
    let Some(list) = header.trim().strip_prefix("bytes=") else { return Wanted::All };
    let specs: Vec<&str> = list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).collect();
    if specs.is_empty() || specs.len() > RANGES_MAX {
        return Wanted::All;
    }
    let mut ranges = Vec::with_capacity(specs.len());
    for spec in specs {
        match parse_one(spec, size) {
            None => return Wanted::All,
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
        }
    }
    if ranges.is_empty() { Wanted::Nothing } else { Wanted::Ranges(ranges) }
}

/// Reads `first-last`, `first-` or `-count`; empty when nothing of it is in the file.
fn parse_one(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let count = number(last)?;
        return Some(size.saturating_sub(count)..size);
    }
    let first = number(first)?;
    if last.is_empty() {
        return Some(first.min(size)..size);
    }
    let last = number(last)?;
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    Some(first.min(end)..end)
}

/// Reads digits only; a sign is none.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond 64 bits is beyond every file.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_open_or_counted_from_the_end_and_cut_at_it() {
        let ranges = |header: &str| parse(header, 1000);
        let one = |range| Wanted::Ranges(vec![range]);
        assert_eq!(ranges("bytes=0-0"), one(0..1));
        assert_eq!(ranges("bytes=10-19"), one(10..20));
        assert_eq!(ranges("bytes=990-"), one(990..1000));
        assert_eq!(ranges("bytes=-10"), one(990..1000));
        assert_eq!(ranges("bytes=-2000"), one(0..1000));
        assert_eq!(ranges("bytes=990-99999999999999999999"), one(990..1000));
        assert_eq!(ranges("bytes=0-1, 5-6 ,-1"), Wanted::Ranges(vec![0..2, 5..7, 999..1000]));
    }

    #[test]
    fn what_begins_behind_the_end_is_nothing_and_left_out_among_others() {
        for header in ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=5000-5001,1000-"] {
            assert_eq!(parse(header, 1000), Wanted::Nothing, "{header}");
        }
        assert_eq!(parse("bytes=2000-,3-4", 1000), Wanted::Ranges(vec![std::ops::Range { start: 3, end: 5 }]));
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn a_header_that_is_not_understood_counts_as_none() {
        let many = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        for header in ["", "bytes", "bytes=", "items=0-1", "bytes=a-b", "bytes=5-4", "bytes=+1-2", "bytes=1", &many] {
            assert_eq!(parse(header, 1000), Wanted::All, "{header}");
        }
    }
}
