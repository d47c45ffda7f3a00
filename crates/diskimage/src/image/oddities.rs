//! What a reader noticed on its way that does not harm the data.

use std::sync::{Mutex, PoisonError};

/// Most sentences that are kept; a broken disk could give one per table.
const KEPT_MAX: usize = 16;

/// Collects sentences from many threads, each once.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    kept: Mutex<Vec<String>>,
}

impl Oddities {
    /// Keeps a sentence, unless it is known or there are enough.
    pub(crate) fn note(&self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX && !kept.contains(&sentence) {
            kept.push(sentence);
        }
    }

    /// Returns what was kept so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_kept_once_and_not_too_many_are() {
        let oddities = Oddities::default();
        for number in 0..100 {
            oddities.note(format!("table {}", number / 2));
        }
        assert_eq!(oddities.all().len(), KEPT_MAX);
        assert_eq!(oddities.all()[1], "table 1");
    }
}
