//! Job ids on a command line.

use hyper_api::JobId;

use crate::exit::Exit;
use crate::failure::Failure;

/// Reads a comma list: blanks around an id are no part of it, and nothing between commas is no id.
pub(crate) fn list(text: &str) -> Vec<JobId> {
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(JobId::new).collect()
}

/// Says that there is no such job.
pub(crate) fn unknown(id: &JobId) -> Failure {
    Failure::new(Exit::NotFound, format!("{id}: no such job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_empty_elements_are_dropped() {
        let ids: Vec<_> = list(" a, b,,c ,").iter().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(list(" , ").is_empty());
    }
}
