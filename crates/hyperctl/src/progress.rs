//! Shows a running job on standard error: bars on a terminal, plain lines elsewhere.

mod bars;
mod lines;

use std::time::Instant;

use hyper_api::Job;

use crate::console::Console;
use bars::Bars;
use lines::Lines;

/// Shows one job.
#[derive(Debug)]
pub(crate) struct Reporter {
    console: Console,
    shape: Shape,
    /// How many of the job's warnings were shown.
    warned: usize,
    begun: Instant,
}

#[derive(Debug)]
enum Shape {
    Bars(Bars),
    Lines(Lines),
}

impl Reporter {
    /// Makes a reporter of the shape that suits standard error.
    pub(crate) fn new(console: Console) -> Self {
        let shape = if console.err_is_terminal { Shape::Bars(Bars::new()) } else { Shape::Lines(Lines::default()) };
        Self { console, shape, warned: 0, begun: Instant::now() }
    }

    /// Shows a picture of the job.
    pub(crate) fn update(&mut self, job: &Job) {
        for warning in job.warnings.iter().skip(self.warned) {
            self.say(&format!("warning: {warning}"));
        }
        self.warned = self.warned.max(job.warnings.len());
        match &mut self.shape {
            Shape::Bars(bars) => bars.update(job),
            Shape::Lines(lines) => {
                if let Some(line) = lines.next(job, self.begun.elapsed()) {
                    self.console.note(&line);
                }
            }
        }
    }

    /// Prints a line between the pictures.
    pub(crate) fn say(&self, line: &str) {
        match &self.shape {
            Shape::Bars(bars) => bars.around(|| self.console.note(line)),
            Shape::Lines(_) => self.console.note(line),
        }
    }

    /// Takes the last picture away where that is possible.
    pub(crate) fn finish(self) {
        if let Shape::Bars(bars) = self.shape {
            bars.clear();
        }
    }
}
