//! Standard output and standard error. Whatever is printed goes through here.
//!
//! Answers go to standard output, everything else (progress, warnings, errors, the source's name)
//! to standard error. A reader that has gone away is not an error: what was asked for is done.

use std::io::{IsTerminal as _, Write};

use crate::escape::escape;

/// The two streams and whether people read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Standard output is a terminal.
    pub(crate) out_is_terminal: bool,
    /// Standard error is a terminal that obeys escape sequences.
    pub(crate) err_is_terminal: bool,
}

impl Console {
    /// Looks at the process's own streams.
    pub(crate) fn standard() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out_is_terminal: std::io::stdout().is_terminal(),
            err_is_terminal: std::io::stderr().is_terminal() && !dumb,
        }
    }

    /// Prints an answer as it is; the caller has escaped what needs it.
    pub(crate) fn print(self, text: &str) {
        let mut out = std::io::stdout().lock();
        ignore_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// Prints one line to standard error; `line` is escaped here.
    pub(crate) fn note(self, line: &str) {
        self.raw_error(&format!("{}\n", escape(line)));
    }

    /// Prints text to standard error as it is.
    pub(crate) fn raw_error(self, text: &str) {
        ignore_gone(std::io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Nobody can be told that nobody reads.
fn ignore_gone(result: std::io::Result<()>) {
    drop(result);
}
