//! Requests per address: a bucket of tokens for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use leoma_protocol::network_of;

/// Requests that an address may make at once: a page with all of its files and videos.
const BURST: f64 = 200.0;
/// Requests that it may go on making in a second: a dashboard that polls every path.
const PER_SECOND: f64 = 50.0;
/// Addresses that are remembered. A full bucket is forgotten first.
const MAX_ADDRESSES: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: f64,
    at_ms: i64,
}

/// The tokens of each address.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(Mutex<HashMap<IpAddr, Tokens>>);

impl RateLimit {
    /// Whether `address` may make a request at `now_ms`, in milliseconds of any clock.
    pub(crate) fn admit(&self, address: IpAddr, now_ms: i64) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network_of(address);
        if all.len() >= MAX_ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, tokens| refilled(*tokens, now_ms) < BURST);
            if all.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let tokens = all.entry(address).or_insert(Tokens { left: BURST, at_ms: now_ms });
        let left = refilled(*tokens, now_ms);
        let admitted = left >= 1.0;
        *tokens = Tokens { left: if admitted { left - 1.0 } else { left }, at_ms: now_ms };
        admitted
    }
}

fn refilled(tokens: Tokens, now_ms: i64) -> f64 {
    let seconds = (now_ms - tokens.at_ms).max(0) as f64 / 1000.0;
    (tokens.left + seconds * PER_SECOND).min(BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_stopped_after_its_burst_and_others_are_not() {
        let limit = RateLimit::default();
        let [one, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| text.parse::<IpAddr>().unwrap());
        let admitted = (0..300).filter(|_| limit.admit(one, 0)).count();
        assert_eq!(admitted, 200);
        assert!(!limit.admit(neighbour, 0) && limit.admit(other, 0));
        assert!(limit.admit(one, 20) && !limit.admit(one, 20));
    }

    #[test]
    fn addresses_are_bounded_and_forgotten_when_they_rest() {
        let limit = RateLimit::default();
        let address = |n: u32| IpAddr::V4(n.to_be_bytes().into());
        for n in 0..MAX_ADDRESSES as u32 {
            assert!(limit.admit(address(n), 0));
        }
        let newcomer = address(u32::MAX);
        assert!(!limit.admit(newcomer, 0));
        assert!(limit.admit(newcomer, 1000));
    }
}
