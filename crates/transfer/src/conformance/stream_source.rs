//! The suite of [`StreamSource`].

use super::violation::{Checked, Rule, Violation, ensure, ensure_equal, valid};
use crate::source::NEXT_BYTES_MAX;
use crate::{StreamSource, seeded::Seeded};

/// Restarts from random places of the stream.
const RESTARTS: usize = 8;

/// Checks that `source`, which is new, keeps to the contract of [`StreamSource`] and has this
/// `content`.
///
/// The content should be longer than what the source gives at a time, and the same in every pass.
///
/// # Errors
/// The first broken rule.
pub fn stream_source(source: &mut dyn StreamSource, content: &[u8], seed: u64) -> Result<(), Violation> {
    let found = read(source, usize::MAX)?;
    ensure_equal(&found, content, Rule::Content, 0)?;
    for _ in 0..3 {
        let more = valid(source.next_bytes(), || "next bytes after the end".to_owned())?;
        ensure(more.is_none(), Rule::EndStays, || "bytes came after the end".to_owned())?;
    }
    let mut seeded = Seeded::new(seed);
    for round in 0..RESTARTS {
        restart(source)?;
        if round == 0 {
            restart(source)?;
        }
        let stop = seeded.below(content.len() + 1);
        let found = read(source, stop)?;
        ensure_equal(&found, &content[..found.len().min(content.len())], Rule::Restart, 0)?;
    }
    restart(source)?;
    let found = read(source, usize::MAX)?;
    ensure_equal(&found, content, Rule::Restart, 0)
}

fn restart(source: &mut dyn StreamSource) -> Checked {
    source.restart().map_err(|error| Violation::by(Rule::Restart, "a restart failed", error))
}

/// Reads until at least `stop` bytes came or the source claims its end.
fn read(source: &mut dyn StreamSource, stop: usize) -> Checked<Vec<u8>> {
    let mut found = Vec::new();
    while found.len() < stop {
        let at = found.len();
        let Some(bytes) = valid(source.next_bytes(), || format!("next bytes at {at}"))? else {
            break;
        };
        let fits = (1..=NEXT_BYTES_MAX).contains(&bytes.len());
        ensure(fits, Rule::PieceSize, || format!("{} bytes came at {at}", bytes.len()))?;
        found.extend_from_slice(&bytes);
    }
    Ok(found)
}
