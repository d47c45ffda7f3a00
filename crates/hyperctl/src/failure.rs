//! Why a command did not do what was asked, for a person: what, to what, why, what next.

use hyper_api::{Problem, client};

use crate::console::Console;
use crate::escape::escape;
use crate::exit::Exit;

/// A failed command. Printed once, at the edge.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    reason: String,
    hint: Option<String>,
}

impl Failure {
    /// Makes a failure; `reason` fits after "error: " and is no sentence.
    pub(crate) fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, reason: reason.into(), hint: None }
    }

    /// Adds the next step.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes the failure of a job or a question from the daemon's problem.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        Self { exit: Exit::of_problem(problem.kind), reason: problem.error.clone(), hint: problem.hint.clone() }
    }

    /// Returns exit, reason and hint, for those who print them in another way.
    pub(crate) fn parts(&self) -> (Exit, &str, Option<&str>) {
        (self.exit, &self.reason, self.hint.as_deref())
    }

    /// Prints reason and hint to standard error and returns the exit.
    pub(crate) fn print(&self, console: Console) -> Exit {
        console.raw_error(&self.text());
        self.exit
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", escape(&self.reason));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", escape(hint)));
        }
        text
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error.problem() {
            Some(problem) => Self::of_problem(problem),
            None => Self::new(Exit::of_call(error.kind(), error.status()), error.chain()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper_api::ProblemKind;

    use super::*;

    #[test]
    fn a_problem_is_one_line_and_its_hint_another_with_nothing_that_a_terminal_obeys() {
        let problem = Problem::new(ProblemKind::Login, 502, "log in to https://vc:443: no\u{202e} \u{1b}[2Jway\nx");
        let failure = Failure::of_problem(&problem.with_hint("check GOVC_USERNAME"));
        insta::assert_snapshot!(failure.text(), @r"
        error: log in to https://vc:443: no\u{202e} [2Jway x
        hint: check GOVC_USERNAME
        ");
        assert_eq!(failure.exit, Exit::Login);
    }
}
