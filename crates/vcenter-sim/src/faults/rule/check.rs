//! Refuses rules that could never strike, or would not do what they say.

use super::action::{Action, Stage};
use super::{Answer, Busy, CloseListener, Edit, MoveVm, Rule, TaskFate, XmlEdit, privilege};

/// Longest page of a rule's own, and longest body that an edit makes.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// A method that real clients call and no document names.
const FETCH: &str = "Fetch";

/// The names in an inventory that rules may use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `vcenter` and the hosts.
    pub listeners: Vec<String>,
    /// Datastores of all datacenters.
    pub datastores: Vec<String>,
}

impl Rule {
    /// Checks that the rule can strike.
    ///
    /// # Errors
    /// Says what is wrong and what is possible. `names` are those that there are.
    pub fn check(&self, names: &Names) -> Result<(), String> {
        self.check_rule(names).map_err(|why| match &self.name {
            Some(name) => format!("rule `{name}`: {why}"),
            None => why,
        })
    }

    fn check_rule(&self, names: &Names) -> Result<(), String> {
        self.check_counts()?;
        self.check_condition(&names.listeners)?;
        check_action(&self.then, names)
    }

    fn check_counts(&self) -> Result<(), String> {
        for (key, number) in [("nth", self.nth), ("times", self.times)] {
            if number == Some(0) {
                return Err(format!("`{key}` counts from one"));
            }
        }
        if let Some(probability) = self.probability.filter(|probability| !(0.0..=1.0).contains(probability)) {
            return Err(format!("`probability` is 0.0 to 1.0, not {probability}"));
        }
        if self.seed.is_some() && self.probability.is_none() {
            return Err("`seed` has a meaning with `probability` only".to_owned());
        }
        Ok(())
    }

    fn check_condition(&self, listeners: &[String]) -> Result<(), String> {
        let when = &self.when;
        check_listener(when.listener.as_deref(), listeners)?;
        if let Some(method) = &when.method {
            if method != "*" && method != FETCH && vsphere::wire::method(method).is_none() {
                return Err(format!("`{method}` is no method that the simulator knows; `*` stands for each of them"));
            }
            if when.path.is_some() || when.http.is_some() {
                return Err("a call comes as POST /sdk: with `method` leave `path` and `http` out".to_owned());
            }
        }
        if let Some(http) = when.http.as_ref().filter(|http| !["GET", "HEAD", "POST"].contains(&http.as_str())) {
            return Err(format!("`http` is GET, HEAD or POST, not `{http}`"));
        }
        if let Some(path) = when.path.as_ref().filter(|path| !path.starts_with(['/', '*'])) {
            return Err(format!("`path` begins with a slash or a star, not as `{path}`"));
        }
        if when.at_byte.is_some() && !self.then.is_deed() {
            return Err("`at_byte` goes with deeds (kill_session, password_changed, move_vm, power, lease, \
                        close_listener); what changes a body says itself where"
                .to_owned());
        }
        let request_said = when.method.is_some() || when.path.is_some() || when.http.is_some();
        match self.then.stage(when) {
            Stage::Accept if request_said || when.object.is_some() => {
                Err("a connection has no request yet: this action knows `listener` only".to_owned())
            }
            Stage::Content | Stage::Manifest if request_said => {
                Err("this action knows `object` (a file or a VM) and `listener` only".to_owned())
            }
            _ if self.then.is_for_calls() && (when.path.is_some() || when.http.is_some()) => {
                Err("this action is for calls of the API: say `method`, not `path` or `http`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn check_listener(name: Option<&str>, listeners: &[String]) -> Result<(), String> {
    check_name("listener", name, listeners)
}

fn check_name(what: &str, name: Option<&str>, known: &[String]) -> Result<(), String> {
    match name.filter(|name| !known.iter().any(|known| known == name)) {
        Some(name) => Err(format!("there is no {what} `{name}`; there are: {}", known.join(", "))),
        None => Ok(()),
    }
}

fn check_action(action: &Action, names: &Names) -> Result<(), String> {
    match action {
        Action::Fault(spec) | Action::DescriptorError(spec) | Action::Task(TaskFate::Fails(spec)) => {
            spec.fault().map(drop)
        }
        Action::Lease(fate) => fate.fault.as_ref().map_or(Ok(()), |spec| spec.fault().map(drop)),
        Action::Deny(name) if !privilege::known().any(|known| known == name) => {
            let known: Vec<&str> = privilege::known().collect();
            Err(format!("no call needs the privilege `{name}`; some do: {}", known.join(", ")))
        }
        Action::Answer(Answer { status, headers, content_type, .. }) => {
            check_status(*status)?;
            check_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
            check_headers(content_type.iter().map(|value| ("content-type", value.as_str())))
        }
        Action::Busy(Busy { status, .. }) => check_status(*status),
        Action::Edit(edit) => check_edit(edit),
        Action::Xml(XmlEdit::Replace { find, .. }) if find.is_empty() => Err("`find` is some text".to_owned()),
        Action::Trickle(trickle) if trickle.bytes_per_second == 0 => Err("nothing per second is a `stall`".to_owned()),
        Action::LeaseUrl(url) if url.host.is_none() && url.thumbprint.is_none() => {
            Err("`lease_url` changes `host`, `thumbprint`, or both".to_owned())
        }
        Action::LeaseUrl(url) => match url.host.as_ref().filter(|host| host.is_empty() || host.contains(['/', ' '])) {
            Some(host) => Err(format!("`{host}` is no NAME or NAME:PORT")),
            None => Ok(()),
        },
        Action::MoveVm(MoveVm { host, datastore, .. }) => {
            check_listener(host.as_deref(), &names.listeners)?;
            check_name("datastore", datastore.as_deref(), &names.datastores)
        }
        Action::CloseListener(CloseListener { listener, .. }) => check_listener(listener.as_deref(), &names.listeners),
        _ => Ok(()),
    }
}

fn check_edit(edit: &Edit) -> Result<(), String> {
    if *edit == Edit::default() {
        return Err("`edit` changes `status`, `headers` or `body_bytes`".to_owned());
    }
    if let Some(bytes) = edit.body_bytes.filter(|bytes| *bytes > BODY_BYTES_MAX) {
        return Err(format!("`body_bytes` is {BODY_BYTES_MAX} at most, not {bytes}"));
    }
    edit.status.map_or(Ok(()), check_status)?;
    check_headers(edit.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn check_status(status: u16) -> Result<(), String> {
    if (200..600).contains(&status) { Ok(()) } else { Err(format!("a final HTTP status is 200 to 599, not {status}")) }
}

fn check_headers<'a>(mut headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
    let wrong = headers.find(|(name, value)| {
        http::HeaderName::from_bytes(name.as_bytes()).is_err() || http::HeaderValue::from_str(value).is_err()
    });
    wrong.map_or(Ok(()), |(name, _)| Err(format!("`{name}` with this value is no HTTP header")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refusal(rule: Value) -> String {
        let names = Names {
            listeners: vec!["vcenter".to_owned(), "esx1".to_owned()],
            datastores: vec!["ds1".to_owned(), "ds2".to_owned()],
        };
        match serde_json::from_value::<Rule>(rule) {
            Ok(rule) => rule.check(&names).err().unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_strike_is_refused_with_what_is_possible() {
        let reset = json!({"reset": true});
        for (rule, words) in [
            (json!({"then": {"explode": true}}), "handshake_stall_ms"),
            (json!({"when": {"methd": "Login"}, "then": reset}), "`method`"),
            (json!({"whem": {}, "then": reset}), "`when`"),
            (json!({"then": {"reset": false}}), "say `true`"),
            (json!({"then": reset, "nth": 0}), "from one"),
            (json!({"then": reset, "probability": 1.5}), "0.0 to 1.0"),
            (json!({"then": reset, "seed": 1}), "`probability`"),
            (json!({"when": {"method": "Logn"}, "then": reset}), "`Logn` is no method"),
            (json!({"when": {"method": "Login", "path": "/sdk"}, "then": reset}), "leave `path`"),
            (json!({"when": {"listener": "esx9"}, "then": reset}), "vcenter, esx1"),
            (json!({"when": {"http": "PUT"}, "then": reset}), "GET, HEAD or POST"),
            (json!({"when": {"path": "nfc"}, "then": reset}), "slash"),
            (json!({"when": {"at_byte": 1}, "then": reset}), "deeds"),
            (json!({"when": {"object": "x"}, "then": {"handshake_stall_ms": 1}}), "`listener` only"),
            (json!({"when": {"path": "/nfc/*"}, "then": {"vmdk": "disorder"}}), "`object`"),
            (json!({"when": {"path": "/sdk"}, "then": {"fault": {"type": "SystemError"}}}), "say `method`"),
            (json!({"then": {"fault": {"type": "Sytem"}}}), "is no fault"),
            (json!({"then": {"deny": "All"}}), "VApp.Export"),
            (json!({"then": {"answer": {"status": 99}}}), "200 to 599"),
            (json!({"then": {"edit": {}}}), "`body_bytes`"),
            (json!({"then": {"edit": {"headers": {"a b": "c"}}}}), "no HTTP header"),
            (json!({"then": {"trickle": {"bytes_per_second": 0}}}), "`stall`"),
            (json!({"then": {"lease_url": {}}}), "`thumbprint`"),
            (json!({"then": {"move_vm": {"host": "esx9"}}}), "vcenter, esx1"),
            (json!({"then": {"move_vm": {"datastore": "ds9"}}}), "ds1, ds2"),
            (json!({"then": {"lease": {"becomes": "late"}}}), "timed_out"),
            (json!({"name": "mine", "then": {"close_listener": {"listener": "x", "ms": 1}}}), "rule `mine`"),
        ] {
            let refusal = refusal(rule.clone());
            assert!(refusal.contains(words), "{rule}: {refusal}");
        }
    }

    #[test]
    fn rules_as_the_documentation_shows_them_are_accepted() {
        for rule in [
            json!({"when": {"method": "HttpNfcLeaseProgress"}, "then": {"kill_session": true}, "nth": 3}),
            json!({"when": {"object": "disk-0.vmdk", "at_byte": 1000}, "then": {"power": {"state": "on"}}}),
            json!({"when": {"path": "/folder/*", "at_byte": 9}, "then": {"move_vm": {"datastore": "ds2"}}}),
            json!({"when": {"path": "/nfc/*"}, "then": {"busy": {"above": 2, "of": "streams", "retry_after_s": 1}}}),
            json!({"when": {"listener": "esx1"}, "then": {"certificate": "expired"}}),
            json!({"when": {"object": "disk-0.vmdk"}, "then": {"vmdk": "no_footer"}}),
            json!({"when": {"method": "PowerOnVM_Task"}, "then": {"task": {"never_ends": true}}}),
            json!({"then": {"xml": {"replace": {"find": "a", "with": ""}}}}),
            json!({"then": {"xml": "huge"}}),
        ] {
            assert_eq!(refusal(rule.clone()), "", "{rule}");
        }
    }
}
