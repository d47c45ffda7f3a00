//! Tickets for `/folder`: each good for one request, of one method and URL, at one host.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

/// How long a ticket waits for its request. Nobody has told how long those of real servers do.
const LIFETIME: Duration = Duration::from_mins(5);

/// What a ticket is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) method: Method,
    /// Number of the host in the world's addresses.
    pub(crate) host: usize,
    /// Path and query of the URL, as they were written.
    pub(crate) target: String,
}

/// All tickets that were not used yet.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, (Ticket, Instant)>>);

/// Why a ticket does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Never issued, used before, or too old.
    Unknown,
    /// For another request.
    Elsewhere,
}

impl Tickets {
    /// Issues a ticket and returns its secret.
    pub(crate) fn issue(&self, ticket: Ticket) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let now = Instant::now();
        let mut tickets = self.lock();
        tickets.retain(|_, (_, end)| *end > now);
        tickets.insert(id.clone(), (ticket, now + LIFETIME));
        id
    }

    /// Uses a ticket up for a request.
    pub(crate) fn redeem(&self, id: &str, request: &Ticket) -> Result<(), Refusal> {
        let mut tickets = self.lock();
        match tickets.get(id) {
            Some((_, end)) if *end <= Instant::now() => Err(Refusal::Unknown),
            Some((ticket, _)) if ticket != request => Err(Refusal::Elsewhere),
            Some(_) => {
                tickets.remove(id);
                Ok(())
            }
            None => Err(Refusal::Unknown),
        }
    }

    /// No holder leaves the map half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Ticket, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket { method: Method::GET, host: 1, target: "/folder/a?dsName=b".to_owned() }
    }

    #[test]
    fn a_ticket_is_good_once_and_only_for_its_request() {
        let tickets = Tickets::default();
        let id = tickets.issue(ticket());
        for other in [
            Ticket { method: Method::HEAD, ..ticket() },
            Ticket { host: 0, ..ticket() },
            Ticket { target: "/folder/c?dsName=b".to_owned(), ..ticket() },
        ] {
            assert_eq!(tickets.redeem(&id, &other), Err(Refusal::Elsewhere));
        }
        assert_eq!(tickets.redeem(&id, &ticket()), Ok(()));
        assert_eq!(tickets.redeem(&id, &ticket()), Err(Refusal::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_ticket_is_none() {
        let tickets = Tickets::default();
        let id = tickets.issue(ticket());
        tokio::time::advance(LIFETIME).await;
        assert_eq!(tickets.redeem(&id, &ticket()), Err(Refusal::Unknown));
        tickets.issue(ticket());
        assert_eq!(tickets.lock().len(), 1);
    }
}
