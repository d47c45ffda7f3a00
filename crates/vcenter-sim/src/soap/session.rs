//! Sessions: made by `Login`, named by a cookie, ended by `Logout` or by silence.
//!
//! A session that has a call under way is not idle, however long the call takes (a wait for updates
//! may take minutes). What hangs on a session (views, collectors, leases) lives in
//! [`super::state`], which ends it together with the session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;
use vsphere::wire::DateTime;
use vsphere::wire::generated::UserSession;

use super::clock::{Instant, civil_now};

/// Name of the cookie.
const COOKIE: &str = "vmware_soap_session";

/// Language of messages; there is only one.
pub(crate) const LOCALE: &str = "en";

/// One login.
#[derive(Debug)]
pub(crate) struct Session {
    /// Public name of the session: `UserSession.key`, also part of the ids of its objects.
    pub(crate) key: String,
    user: String,
    login: DateTime,
    last_active: DateTime,
    ip_address: String,
    user_agent: String,
    calls: i64,
    idle_since: Instant,
    busy: usize,
}

/// All sessions, by the secret in their cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_cookie: BTreeMap<String, Session>,
    /// Logins that succeeded, ever.
    pub(crate) logins: u64,
    /// Logins that were refused, ever.
    pub(crate) refused: u64,
    /// Sessions that died of silence, ever.
    pub(crate) expired: u64,
}

/// Who logs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor<'a> {
    pub(crate) user: &'a str,
    pub(crate) remote: SocketAddr,
    pub(crate) user_agent: &'a str,
}

impl Sessions {
    /// Opens a session and returns the secret for its cookie.
    pub(crate) fn open(&mut self, visitor: Visitor<'_>, now: Instant) -> String {
        let time = civil_now();
        let session = Session {
            key: Uuid::new_v4().to_string(),
            user: visitor.user.to_owned(),
            login: time.clone(),
            last_active: time,
            ip_address: visitor.remote.ip().to_string(),
            user_agent: visitor.user_agent.to_owned(),
            calls: 0,
            idle_since: now,
            busy: 0,
        };
        let secret = Uuid::new_v4().simple().to_string();
        self.by_cookie.insert(secret.clone(), session);
        self.logins += 1;
        secret
    }

    /// Returns the session that a `Cookie` header names.
    pub(crate) fn find(&self, cookie: Option<&str>) -> Option<&Session> {
        self.by_cookie.get(secret(cookie?)?)
    }

    /// Notes the begin of a call.
    pub(crate) fn enter(&mut self, key: &str, now: Instant) {
        if let Some(session) = self.by_key(key) {
            session.calls += 1;
            session.busy += 1;
            session.idle_since = now;
            session.last_active = civil_now();
        }
    }

    /// Notes the end of a call.
    pub(crate) fn leave(&mut self, key: &str, now: Instant) {
        if let Some(session) = self.by_key(key) {
            session.busy = session.busy.saturating_sub(1);
            session.idle_since = now;
        }
    }

    /// Ends a session; returns whether there was one.
    pub(crate) fn close(&mut self, key: &str) -> bool {
        let before = self.by_cookie.len();
        self.by_cookie.retain(|_, session| session.key != key);
        self.by_cookie.len() < before
    }

    /// Returns whether the session is open.
    pub(crate) fn is_open(&self, key: &str) -> bool {
        self.all().any(|session| session.key == key)
    }

    /// Ends the sessions that were silent for `idle`, and returns their keys.
    pub(crate) fn expire(&mut self, now: Instant, idle: Duration) -> Vec<String> {
        let dead: Vec<String> =
            self.all().filter(|s| s.deadline(idle).is_some_and(|end| end <= now)).map(|s| s.key.clone()).collect();
        self.by_cookie.retain(|_, session| !dead.contains(&session.key));
        self.expired += u64::try_from(dead.len()).unwrap_or(u64::MAX);
        dead
    }

    /// Returns when the next session dies unless it speaks.
    pub(crate) fn next_deadline(&self, idle: Duration) -> Option<Instant> {
        self.all().filter_map(|session| session.deadline(idle)).min()
    }

    /// Returns all sessions.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Session> {
        self.by_cookie.values()
    }

    fn by_key(&mut self, key: &str) -> Option<&mut Session> {
        self.by_cookie.values_mut().find(|session| session.key == key)
    }
}

impl Session {
    /// Returns what the API tells of the session.
    pub(crate) fn describe(&self) -> UserSession {
        UserSession {
            key: self.key.clone(),
            user_name: self.user.clone(),
            full_name: self.user.clone(),
            login_time: self.login.clone(),
            last_active_time: self.last_active.clone(),
            locale: LOCALE.to_owned(),
            message_locale: LOCALE.to_owned(),
            extension_session: false,
            ip_address: self.ip_address.clone(),
            user_agent: self.user_agent.clone(),
            call_count: self.calls,
        }
    }

    fn deadline(&self, idle: Duration) -> Option<Instant> {
        (self.busy == 0).then(|| self.idle_since.checked_add(idle)).flatten()
    }
}

/// Returns the `Set-Cookie` header of a vCenter: the value stands in quotes.
pub(crate) fn set_cookie(secret: &str) -> String {
    format!("{COOKIE}=\"{secret}\"; Path=/; HttpOnly; Secure")
}

/// Returns the header that makes a client forget the cookie.
pub(crate) fn clear_cookie() -> String {
    format!("{COOKIE}=\"\"; Path=/; HttpOnly; Secure; Max-Age=0")
}

/// Finds the secret in a `Cookie` header. Clients that parse cookies may have dropped the quotes.
fn secret(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn open(sessions: &mut Sessions, now: Instant) -> (String, String) {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let secret = sessions.open(Visitor { user: "u", remote, user_agent: "test" }, now);
        let key = sessions.find(Some(&format!("{COOKIE}={secret}"))).unwrap().key.clone();
        (secret, key)
    }

    #[test]
    fn the_cookie_is_found_quoted_bare_and_among_others() {
        for header in ["vmware_soap_session=\"s1\"", "vmware_soap_session=s1", "a=b; vmware_soap_session=\"s1\"; c=d"] {
            assert_eq!(secret(header), Some("s1"), "{header}");
        }
        assert_eq!(secret("other=s1"), None);
    }

    #[test]
    fn the_cookie_has_quotes_and_all_attributes() {
        assert_eq!(set_cookie("s1"), "vmware_soap_session=\"s1\"; Path=/; HttpOnly; Secure");
    }

    #[test]
    fn silence_ends_a_session_and_a_call_under_way_is_no_silence() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let (secret, key) = open(&mut sessions, start);
        sessions.enter(&key, start);
        assert!(sessions.expire(start + 5 * IDLE, IDLE).is_empty());
        sessions.leave(&key, start + 5 * IDLE);
        assert_eq!(sessions.next_deadline(IDLE), Some(start + 6 * IDLE));
        assert_eq!(sessions.expire(start + 6 * IDLE, IDLE), [key]);
        assert!(sessions.find(Some(&format!("{COOKIE}={secret}"))).is_none());
    }

    #[test]
    fn a_closed_session_is_gone_and_cannot_be_closed_again() {
        let mut sessions = Sessions::default();
        let (_, key) = open(&mut sessions, Instant::now());
        assert!(sessions.is_open(&key));
        assert!(sessions.close(&key));
        assert!(!sessions.close(&key));
    }
}
