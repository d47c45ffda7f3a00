//! How often.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper_api::{Problem, ProblemKind};

use crate::caller::Who;
use crate::config::Limits;
use crate::listen::Way;
use crate::problems::refusal;

/// The rates of callers, and of those who are refused.
pub(crate) struct Rates {
    callers: DefaultKeyedRateLimiter<Key>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

/// Who is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(u32),
    Token(String),
    Others,
}

impl Rates {
    /// Makes the rates; nobody has been seen yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let often = at_least_one(limits.requests_per_second);
        Self {
            callers: RateLimiter::keyed(Quota::per_second(often).allow_burst(often.saturating_add(often.get()))),
            wrong: RateLimiter::keyed(Quota::per_minute(at_least_one(limits.refusals_per_minute))),
        }
    }

    /// Counts a request of somebody who is known.
    pub(super) fn right(&self, who: &Who) -> Result<(), Box<Problem>> {
        let key = match who {
            Who::Peer { uid, .. } => Key::User(*uid),
            Who::Token { id, .. } => Key::Token(id.clone()),
            Who::Private | Who::Loopback => Key::Others,
        };
        let often =
            || refusal(ProblemKind::TooMany, "take the request: too many came from this caller in a short time");
        self.callers.check_key(&key).map_err(|_| often())
    }

    /// Counts a request that was refused; returns what to say when it was one too many.
    pub(super) fn wrong(&self, way: Option<&Way>) -> Option<Box<Problem>> {
        let Some(Way::Tcp(address)) = way else { return None };
        let often = || refusal(ProblemKind::TooMany, "take the request: too many wrong ones came from this address");
        self.wrong.check_key(&neighbourhood(address.ip())).is_err().then(often)
    }

    /// Forgets who has not been seen for long, so that the lists stay short.
    pub(crate) fn forget(&self) {
        self.callers.retain_recent();
        self.wrong.retain_recent();
    }
}

/// Returns the address under which one client is counted: a customer of IPv6 has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_rate_of_their_own() {
        let rates = Rates::new(&Limits { requests_per_second: 1, refusals_per_minute: 2, ..Limits::default() });
        let user = |uid| Who::Peer { uid, gid: 0, groups: Vec::new() };
        // More than a second's worth and its burst: whatever the clock does meanwhile, some of these are too many.
        let refused = (0..100).filter(|_| rates.right(&user(1)).is_err()).count();
        assert!(refused > 0);
        rates.right(&user(2)).unwrap();
        let way = |ip: [u8; 4]| Way::Tcp((ip, 1).into());
        assert!((0..100).any(|_| rates.wrong(Some(&way([127, 0, 0, 1]))).is_some()));
        assert!(rates.wrong(Some(&way([127, 0, 0, 2]))).is_none());
    }

    #[test]
    fn one_network_of_ipv6_counts_as_one_client() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
