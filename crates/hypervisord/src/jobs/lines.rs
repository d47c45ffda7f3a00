//! The log of a job as lines for people.
//!
//! Most entries say by themselves what happened; the lines are made of them when somebody asks, so that nothing is
//! stored twice. Control characters of whatever a server or a user named become blanks.

use hyper_api::{JobState, LogLine, Phase};

use super::log::{Again, Entry, Level, Record};

/// Returns the lines of a log, oldest first; with `tail` the last so many.
pub fn lines(records: &[Record], tail: Option<usize>) -> Vec<LogLine> {
    let mut lines: Vec<_> = records.iter().filter_map(line).collect();
    if let Some(tail) = tail {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    lines
}

/// Returns the line of an entry; none for one that only later entries make sense of.
pub fn line(record: &Record) -> Option<LogLine> {
    let (level, text) = say(record)?;
    let text = text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty());
    Some(LogLine {
        number: record.number,
        at: record.at.clone(),
        level: word(level).to_owned(),
        text: text.collect::<Vec<_>>().join(" "),
    })
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    }
}

fn say(record: &Record) -> Option<(Level, String)> {
    let info = |text: String| Some((Level::Info, text));
    match &record.entry {
        Entry::Queued(queued) => info(format!("queued: {} {}", queued.spec.verb(), queued.spec.subject())),
        Entry::Started => info(format!("attempt {} started", record.attempt)),
        Entry::StepStarted { step: Phase::Undoing } => info("giving the VM back".to_owned()),
        Entry::StepStarted { step } => info(step.word().to_owned()),
        Entry::StepSucceeded { output, .. } => info(format!("found {}", output.vm_path.as_deref()?)),
        Entry::StepFailed { step } => Some((Level::Error, format!("{} failed", step.word()))),
        Entry::Waiting { reason, until: Some(until) } => {
            info(format!("waiting for {reason}, until {until} at the latest"))
        }
        Entry::Waiting { reason, until: None } => info(format!("waiting for {reason}")),
        Entry::Line { level, text } => Some((*level, text.clone())),
        Entry::CancelAsked { by } => info(format!("a stop was asked for by {by}")),
        Entry::Reprioritised { priority } => info(format!("priority {priority}")),
        Entry::Requeued { why, detail, .. } => match why {
            Again::Interrupted => info("the daemon ended while the job ran; queued again".to_owned()),
            Again::Failed => Some((Level::Warning, format!("queued again after: {detail}"))),
            Again::Resumed => info(format!("resumed by {detail}")),
            Again::Unknown => info("queued again".to_owned()),
        },
        Entry::Ended(ended) => match (&ended.problem, ended.state) {
            (Some(problem), _) => Some((Level::Error, format!("failed: {}", problem.error))),
            (None, JobState::Failed) => Some((Level::Error, "failed".to_owned())),
            (None, state) => info(state.word().to_owned()),
        },
        Entry::Holding(_) | Entry::Released { .. } | Entry::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper_api::{Problem, ProblemKind};

    use super::super::log::Ended;
    use super::*;

    fn record(number: u64, entry: Entry) -> Record {
        Record { number, sequence: number, attempt: 2, at: "2026-11-24T10:00:00.000000Z".into(), entry }
    }

    #[test]
    fn what_a_server_named_stays_on_its_line() {
        let output = super::super::log::Output { vm_path: Some("/DC0/vm/a\nb\u{1b}[2J".into()) };
        let line = line(&record(3, Entry::StepSucceeded { step: Phase::Connecting, output })).unwrap();
        assert_eq!((line.number, line.text.as_str()), (3, "found /DC0/vm/a b [2J"));
    }

    #[test]
    fn the_tail_is_the_newest_and_levels_say_what_went_wrong() {
        let problem = Problem::new(ProblemKind::Target, 422, "write: full");
        let log = [
            record(1, Entry::Started),
            record(2, Entry::Released { lease: "x".into() }),
            record(3, Entry::Line { level: Level::Warning, text: "odd".into() }),
            record(4, Entry::Ended(Box::new(Ended::without_result(JobState::Failed, Some(problem))))),
        ];
        let tail = |count| lines(&log, count).into_iter().map(|line| (line.level, line.text)).collect::<Vec<_>>();
        let pair = |level: &str, text: &str| (level.to_owned(), text.to_owned());
        let all = [pair("info", "attempt 2 started"), pair("warning", "odd"), pair("error", "failed: write: full")];
        assert_eq!(tail(None), all);
        assert_eq!(tail(Some(2)), all[1..]);
        assert_eq!(tail(Some(9)), all);
        assert_eq!(tail(Some(0)), []);
    }
}
