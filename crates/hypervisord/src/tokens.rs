//! Tokens: made, shown once, kept as hashes, recognised, revoked.
//!
//! ```text
//!  create ─► h2k_ID_SECRET, shown once ─► SHA-256 in tokens.json (0600)
//!  request ─► hash ─► the entry with that hash, not expired ─► Caller
//! ```
//!
//! A secret has 256 random bits, so that a plain hash of it is enough: nobody can guess their way to
//! it, and who reads the file cannot log in. One more token, of the process's own life, is never
//! written here: the start token.
//!
//! What it does not do: no rate of attempts (that is the guard's), no HTTP.

mod secret;
mod stored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use hyper_api::{Problem, ProblemKind, Role, Token, TokenSpec};
use jiff::Timestamp;

use crate::caller::{Caller, Who};
use crate::problems::refusal;
pub use secret::Secret;
use secret::{Hash, new_id};
use stored::Stored;

/// Tokens kept; far beyond what people can tell apart.
const TOKENS_MAX: usize = 1000;

/// Longest name of a token.
const NAME_CHARS_MAX: usize = 100;

/// What the start token is called in log lines.
const START: &str = "start";

/// The tokens of a daemon. Clones are the same tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    entries: Mutex<Vec<Stored>>,
    start: Mutex<Option<Hash>>,
}

impl Tokens {
    /// Reads the tokens from a file; there are none when it is missing.
    ///
    /// # Errors
    /// When the file cannot be read or is not ours.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let entries = stored::read(&path).with_context(|| format!("read the tokens in {}", path.display()))?;
        Ok(Self { shared: Arc::new(Shared { path, entries: Mutex::new(entries), start: Mutex::new(None) }) })
    }

    /// Makes the token of this start, in place of an earlier one. It may operate.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn start_token(&self) -> anyhow::Result<Secret> {
        let secret = Secret::new(START)?;
        *self.shared.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.hash());
        Ok(secret)
    }

    /// Returns the tokens, oldest first, without their secrets, which nobody has.
    pub fn list(&self) -> Vec<Token> {
        self.entries().iter().map(Stored::shown).collect()
    }

    /// Makes a token and returns it with its secret, which is shown this once. Blocks until it is durable.
    ///
    /// # Errors
    /// [`ProblemKind::Usage`] for a name or an end that makes no sense; [`ProblemKind::Busy`] when there are too
    /// many; [`ProblemKind::Internal`] when it cannot be stored.
    pub fn create(&self, spec: &TokenSpec, now: Timestamp) -> Result<(Token, Secret), Box<Problem>> {
        let expires_at = check(spec, now)?;
        let not_stored = |error: anyhow::Error| refusal(ProblemKind::Internal, format!("make a token: {error:#}"));
        let id = new_id().map_err(not_stored)?;
        let secret = Secret::new(&id).map_err(not_stored)?;
        let token = Stored {
            id,
            name: spec.name.clone(),
            role: spec.role,
            sha256: secret.hash(),
            created_at: whole_seconds(now),
            expires_at,
        };
        let shown = token.shown();
        let mut entries = self.entries();
        // Those that have expired make room by themselves.
        let mut changed: Vec<_> = entries.iter().filter(|entry| !entry.is_expired(now)).cloned().collect();
        if changed.len() >= TOKENS_MAX {
            return Err(refusal(ProblemKind::Busy, format!("make a token: there are {TOKENS_MAX} already")));
        }
        changed.push(token);
        stored::write(&self.shared.path, &changed).map_err(not_stored)?;
        *entries = changed;
        Ok((shown, secret))
    }

    /// Takes a token away; requests with it are refused from now on. Blocks until that is durable.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`]; [`ProblemKind::Internal`] when it cannot be stored, and the token still counts.
    pub fn revoke(&self, id: &str) -> Result<(), Box<Problem>> {
        let mut entries = self.entries();
        let left: Vec<_> = entries.iter().filter(|entry| entry.id != id).cloned().collect();
        if left.len() == entries.len() {
            return Err(refusal(ProblemKind::NotFound, "revoke a token: there is none with this id"));
        }
        stored::write(&self.shared.path, &left)
            .map_err(|error| refusal(ProblemKind::Internal, format!("revoke a token: {error:#}")))?;
        *entries = left;
        Ok(())
    }

    /// Returns whom a token stands for; `None` for one that was never given out, was revoked or has expired.
    pub fn recognise(&self, presented: &str, now: Timestamp) -> Option<Caller> {
        let hash = Hash::of(presented);
        if self
            .shared
            .start
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|start| start.is(&hash))
        {
            let who = Who::Token { id: START.to_owned(), name: START.to_owned() };
            return Some(Caller { role: Role::Operate, who });
        }
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.sha256.is(&hash))?;
        let who = Who::Token { id: entry.id.clone(), name: entry.name.clone() };
        (!entry.is_expired(now)).then_some(Caller { role: entry.role, who })
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Stored>> {
        // The list is replaced whole or not at all.
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks what a person asks for and returns the end of the token.
fn check(spec: &TokenSpec, now: Timestamp) -> Result<Option<Timestamp>, Box<Problem>> {
    let refuse = |why: &str| Err(refusal(ProblemKind::Usage, format!("make a token: {why}")));
    if spec.name.trim().is_empty() || spec.name.chars().count() > NAME_CHARS_MAX {
        return refuse("its name is empty or longer than 100 characters");
    }
    if spec.name.chars().any(char::is_control) {
        return refuse("its name holds control characters");
    }
    let Some(end) = &spec.expires_at else { return Ok(None) };
    match end.parse::<Timestamp>() {
        Ok(end) if end > now => Ok(Some(whole_seconds(end))),
        Ok(_) => refuse("it would have expired already"),
        Err(_) => refuse("its end is no time such as 2027-01-31T00:00:00Z"),
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn spec(name: &str, expires_at: Option<&str>) -> TokenSpec {
        TokenSpec { name: name.into(), role: Role::Read, expires_at: expires_at.map(Into::into) }
    }

    #[test]
    fn a_token_is_recognised_over_a_restart_until_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let (token, secret) = Tokens::open(path.clone()).unwrap().create(&spec("backup", None), now()).unwrap();
        let tokens = Tokens::open(path.clone()).unwrap();
        let caller = tokens.recognise(secret.expose(), now()).unwrap();
        assert_eq!((caller.role, caller.who.to_string()), (Role::Read, format!("token {} (backup)", token.id)));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        tokens.revoke(&token.id).unwrap();
        assert_eq!(tokens.recognise(secret.expose(), now()), None);
        assert_eq!(tokens.revoke(&token.id).unwrap_err().kind, ProblemKind::NotFound);
        assert_eq!(Tokens::open(path).unwrap().list(), []);
    }

    #[test]
    fn nothing_that_is_kept_or_shown_lets_anybody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::open(path.clone()).unwrap();
        let (token, secret) = tokens.create(&spec("a", None), now()).unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        for text in [kept, format!("{tokens:?} {secret:?} {token:?}"), serde_json::to_string(&token).unwrap()] {
            assert!(!text.contains(secret.expose()), "{text}");
            let last = secret.expose().rsplit('_').next().unwrap();
            assert!(!text.contains(last), "{text}");
        }
    }

    #[test]
    fn a_token_ends_at_its_time_and_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().join("tokens.json")).unwrap();
        let (_, secret) = tokens.create(&spec("short", Some("2026-11-24T13:00:00Z")), now()).unwrap();
        let later: Timestamp = "2026-11-24T13:00:00Z".parse().unwrap();
        assert!(tokens.recognise(secret.expose(), now()).is_some());
        assert_eq!(tokens.recognise(secret.expose(), later), None);
        tokens.create(&spec("next", None), later).unwrap();
        assert_eq!(tokens.list().len(), 1);
    }

    #[test]
    fn what_was_never_given_out_is_not_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().join("tokens.json")).unwrap();
        let start = tokens.start_token().unwrap();
        assert_eq!(tokens.recognise(start.expose(), now()).unwrap().role, Role::Operate);
        let (token, secret) = tokens.create(&spec("a", None), now()).unwrap();
        let cut = &secret.expose()[..secret.expose().len() - 1];
        for wrong in ["", "h2k_", cut, &token.id, &format!("{} ", secret.expose())] {
            assert_eq!(tokens.recognise(wrong, now()), None, "{wrong}");
        }
        let next = tokens.start_token().unwrap();
        assert_eq!(tokens.recognise(start.expose(), now()), None, "a start token ends with its start");
        assert!(tokens.recognise(next.expose(), now()).is_some());
    }

    #[test]
    fn a_name_or_an_end_that_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().join("tokens.json")).unwrap();
        let long = "x".repeat(101);
        for wrong in [
            spec("", None),
            spec(" ", None),
            spec("a\nb", None),
            spec(&long, None),
            spec("a", Some("soon")),
            spec("a", Some("2026-11-24T11:59:59Z")),
        ] {
            assert_eq!(tokens.create(&wrong, now()).unwrap_err().kind, ProblemKind::Usage, "{wrong:?}");
        }
        assert_eq!(tokens.list(), []);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_an_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        for text in ["", "{", "[]", r#"{"version":2,"tokens":[]}"#, r#"{"version":1,"tokens":[{"id":"a"}]}"#] {
            fs::write(&path, text).unwrap();
            let error = Tokens::open(path.clone()).unwrap_err();
            assert!(format!("{error:#}").contains("tokens.json"), "{error:#}");
        }
    }
}
