//! All rules with their counts: an event goes in, what strikes comes out.
//!
//! Deterministic: the same rules and the same events in the same order give the same strikes. What time
//! it is comes with the question.

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Crowd, Stage};
use super::pattern::fits;
use super::{Rule, privilege};
use crate::content::mix;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) stage: Stage,
    /// `vcenter`, or the name of a host.
    pub(crate) listener: &'a str,
    /// HTTP method; empty when there is no request.
    pub(crate) http: &'a str,
    /// Path of the request.
    pub(crate) path: &'a str,
    /// Method of the API.
    pub(crate) method: Option<&'a str>,
    /// Names of what it is about.
    pub(crate) objects: &'a [String],
    pub(crate) load: Load,
}

/// How much is going on, with what is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) connections: u64,
    pub(crate) streams: u64,
    pub(crate) sessions: u64,
}

/// A rule that strikes.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    /// Name of the rule.
    pub(crate) rule: String,
    /// The rule.
    pub(crate) of: Arc<Rule>,
}

impl Strike {
    pub(crate) fn action(&self) -> &Action {
        &self.of.then
    }
}

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Book {
    armed: Vec<Armed>,
    /// How many were ever added, for their names.
    added: u64,
}

/// A rule with its counts.
#[derive(Debug)]
pub(crate) struct Armed {
    pub(crate) name: String,
    pub(crate) rule: Arc<Rule>,
    added_at: Duration,
    pub(crate) matches: u64,
    pub(crate) strikes: u64,
}

impl Book {
    /// Adds a rule that was checked.
    pub(crate) fn add(&mut self, rule: Rule, now: Duration) {
        self.added += 1;
        let name = rule.name.clone().unwrap_or_else(|| format!("rule-{}", self.added));
        self.armed.push(Armed { name, rule: Arc::new(rule), added_at: now, matches: 0, strikes: 0 });
    }

    /// Removes the rules of this name, or all; returns how many there were.
    pub(crate) fn remove(&mut self, name: Option<&str>) -> usize {
        let before = self.armed.len();
        self.armed.retain(|armed| name.is_some_and(|name| armed.name != name));
        before - self.armed.len()
    }

    pub(crate) fn all(&self) -> &[Armed] {
        &self.armed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// Returns what strikes now, in the order of the rules. Of those that answer a request only the first
    /// counts it.
    pub(crate) fn decide(&mut self, event: &Event<'_>, now: Duration) -> Vec<Strike> {
        let mut strikes = Vec::new();
        let mut answered = false;
        for armed in &mut self.armed {
            let answers = armed.rule.then.answers();
            if (answers && answered) || !armed.matches(event, now) || !armed.count() {
                continue;
            }
            answered |= answers;
            strikes.push(Strike { rule: armed.name.clone(), of: Arc::clone(&armed.rule) });
        }
        strikes
    }

    /// Uncounts a strike that came to nothing; its match stays counted.
    pub(crate) fn take_back(&mut self, strike: &Strike) {
        if let Some(armed) = self.armed.iter_mut().find(|armed| Arc::ptr_eq(&armed.rule, &strike.of)) {
            armed.strikes -= 1;
        }
    }
}

impl Armed {
    fn matches(&self, event: &Event<'_>, now: Duration) -> bool {
        let Rule { when, then, .. } = &*self.rule;
        let wanted = |wish: &Option<String>, is: &dyn Fn(&str) -> bool| wish.as_deref().is_none_or(is);
        then.stage(when) == event.stage
            && now.saturating_sub(self.added_at) >= Duration::from_millis(self.rule.after_ms.unwrap_or(0))
            && wanted(&when.listener, &|name| name == event.listener)
            && wanted(&when.http, &|http| http == event.http)
            && wanted(&when.path, &|path| fits(path, event.path))
            && wanted(&when.method, &|wish| event.method.is_some_and(|method| wish == "*" || wish == method))
            && wanted(&when.object, &|object| object == "*" || event.objects.iter().any(|name| name == object))
            && applies(then, event)
    }

    /// Counts a match and returns whether it strikes.
    fn count(&mut self) -> bool {
        self.matches += 1;
        let first = self.rule.nth.unwrap_or(1);
        let times = self.rule.times.or_else(|| self.rule.nth.map(|_| 1)).unwrap_or(u64::MAX);
        if self.matches < first || self.strikes >= times || !self.drawn() {
            return false;
        }
        self.strikes += 1;
        true
    }

    fn drawn(&self) -> bool {
        let Some(probability) = self.rule.probability else { return true };
        let seed = self.name.bytes().fold(self.rule.seed.unwrap_or(0), |seed, byte| mix(seed ^ u64::from(byte)));
        // 24 bits of the draw are exact in any floating-point number.
        const BITS: u32 = 24;
        let draw = u32::try_from(mix(seed ^ self.matches) >> (u64::BITS - BITS)).unwrap_or(u32::MAX);
        f64::from(draw) < probability * f64::from(1 << BITS)
    }
}

/// Returns whether an action can act on an event, beyond what the rule itself says.
fn applies(then: &Action, event: &Event<'_>) -> bool {
    let is_call = event.method.is_some();
    match then {
        Action::Deny(name) => {
            event.method.is_some_and(|method| privilege::needed_by_call(name, method))
                || (!is_call && privilege::needed_by_path(name, event.path))
        }
        Action::Busy(busy) => {
            let (there, asked) = match busy.of {
                Crowd::Connections => (event.load.connections, true),
                Crowd::Streams => (event.load.streams, event.load.streams > 0),
                Crowd::Sessions => (event.load.sessions, event.method == Some("Login")),
            };
            asked && there > busy.above
        }
        Action::DescriptorError(_) => event.method == Some("CreateDescriptor"),
        Action::Task(_) => event.method.is_some_and(|method| method.ends_with("_Task")),
        Action::LeaseUrl(_) => matches!(event.method, Some("ExportVm" | "ExportSnapshot")),
        _ => is_call || !then.is_for_calls(),
    }
}

#[cfg(test)]
mod tests;
