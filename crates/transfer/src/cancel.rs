//! How a copy is told to stop.
//!
//! A flag, not a channel: nothing here waits, so nothing here has to be woken. A source that
//! blocks on a socket bounds its own wait (an idle timeout) or is closed by whoever owns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, ErrorKind, Result};

/// A request to stop that can be made once, from any thread, and seen by all clones.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes a token that nobody has cancelled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody who holds a clone to stop. Idempotent.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns true once [`Cancel::cancel`] was called on any clone.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns an error once cancelled; `doing` is the fragment that names what stops.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`], not retryable.
    pub fn check(&self, doing: &str) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, format!("{doing}: cancelled")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_sees_the_request_and_it_is_idempotent() {
        let cancel = Cancel::new();
        let clone = cancel.clone();
        assert!(clone.check("copy").is_ok());
        cancel.cancel();
        cancel.cancel();
        let error = clone.check("copy").unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Cancelled, "copy: cancelled"));
    }
}
