//! The journal of calls: which were made, in which order, on what, by whom, and how they ended.
//!
//! Counts say that something was done; only an order says that it was done in time: a lease completed before
//! its snapshot went, and all of that before the logout. A call has its number from the moment at which it
//! begins. The newest are kept; whoever comes late is told how many are forgotten.
//!
//! Deliberately absent: arguments and replies, and requests that never became a call because a rule cut them
//! off or answered them with a page.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

/// Calls that are remembered; an export makes about thirty, and a journal of these has about 2 MiB.
const CALLS_MAX: usize = 10_000;

/// The calls of one simulator.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Oldest first, numbered without gaps up to `begun`.
    calls: VecDeque<Entry>,
    /// How many calls have begun, ever.
    begun: u64,
}

/// One call.
#[derive(Debug)]
struct Entry {
    method: String,
    /// Id of the object that was called.
    object: String,
    /// Key of the caller's session; of the one that it opened, for a login.
    session: Option<String>,
    /// Time since the start of the simulator.
    at: Duration,
    end: Option<End>,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Time since the start of the simulator.
    pub(super) at: Duration,
    /// Type of the fault, if it was refused; the status of a page that came in place of one.
    pub(super) fault: Option<String>,
    /// Length of the reply's XML.
    pub(super) bytes: usize,
}

impl Journal {
    /// Notes that a call begins; returns its number, which counts from one.
    pub(super) fn begin(&mut self, method: &str, object: &str, session: Option<&str>, at: Duration) -> u64 {
        if self.calls.len() == CALLS_MAX {
            self.calls.pop_front();
        }
        let (method, object, session) = (method.to_owned(), object.to_owned(), session.map(str::to_owned));
        self.calls.push_back(Entry { method, object, session, at, end: None });
        self.begun += 1;
        self.begun
    }

    /// Notes how a call has ended, and the session if it has opened one.
    pub(super) fn end(&mut self, number: u64, session: Option<String>, end: End) {
        let Some(entry) = self.index(number).and_then(|index| self.calls.get_mut(index)) else { return };
        entry.end = Some(end);
        entry.session = session.or_else(|| entry.session.take());
    }

    /// Returns the calls with numbers above `after`, in the order in which they began.
    pub(super) fn after(&self, after: u64) -> Value {
        let first = self.first();
        let start = after.saturating_add(1).max(first);
        let skipped = usize::try_from(start - first).unwrap_or(usize::MAX);
        let calls = (start..).zip(self.calls.iter().skip(skipped)).map(|(number, call)| call.describe(number));
        json!({
            "calls": calls.collect::<Vec<_>>(),
            "last": self.begun,
            "forgotten": (first - 1).saturating_sub(after),
        })
    }

    /// Returns the number of the oldest call that is remembered, or will be.
    fn first(&self) -> u64 {
        self.begun + 1 - u64::try_from(self.calls.len()).unwrap_or_default()
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first())?).ok()
    }
}

impl Entry {
    fn describe(&self, number: u64) -> Value {
        let end = self.end.as_ref();
        json!({
            "number": number,
            "method": self.method,
            "object": self.object,
            "session": self.session,
            "at_ms": ms(self.at),
            "took_ms": end.map(|end| ms(end.at.saturating_sub(self.at))),
            "fault": end.and_then(|end| end.fault.as_ref()),
            "bytes": end.map(|end| end.bytes),
        })
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn end(at: Duration, fault: Option<&str>) -> End {
        End { at, fault: fault.map(str::to_owned), bytes: 7 }
    }

    #[test]
    fn calls_are_numbered_as_they_begin_however_they_end() {
        let mut journal = Journal::default();
        assert_eq!(journal.after(0), json!({"calls": [], "last": 0, "forgotten": 0}));
        let wait = journal.begin("WaitForUpdatesEx", "propertyCollector", Some("s1"), MS);
        let login = journal.begin("Login", "SessionManager", None, 2 * MS);
        journal.end(login, Some("s2".to_owned()), end(5 * MS, None));
        let told = journal.after(0);
        let login = json!({
            "number": 2, "method": "Login", "object": "SessionManager", "session": "s2",
            "at_ms": 2, "took_ms": 3, "fault": null, "bytes": 7,
        });
        assert_eq!(told["calls"][1], login);
        assert_eq!((&told["calls"][0]["number"], &told["calls"][0]["took_ms"]), (&json!(1), &Value::Null));
        journal.end(wait, None, end(9 * MS, Some("RequestCanceled")));
        let told = journal.after(0);
        assert_eq!(
            (&told["calls"][0]["fault"], &told["calls"][0]["session"]),
            (&json!("RequestCanceled"), &json!("s1"))
        );
        assert_eq!(journal.after(1)["calls"], json!([login]));
        assert_eq!(journal.after(99), json!({"calls": [], "last": 2, "forgotten": 0}));
    }

    #[test]
    fn the_newest_are_kept_and_what_is_forgotten_is_counted() {
        let mut journal = Journal::default();
        let more = 5;
        for _ in 0..CALLS_MAX + more {
            journal.begin("CurrentTime", "ServiceInstance", None, MS);
        }
        // An end that comes too late is nobody's.
        journal.end(1, None, end(MS, None));
        let told = journal.after(2);
        assert_eq!((told["calls"].as_array().unwrap().len(), &told["calls"][0]["number"]), (CALLS_MAX, &json!(6)));
        assert_eq!((&told["forgotten"], &told["calls"][0]["took_ms"]), (&json!(3), &Value::Null));
        assert_eq!(journal.after(8)["forgotten"], 0);
        assert_eq!(journal.after(8)["calls"][0]["number"], 9);
    }
}
