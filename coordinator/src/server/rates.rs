//! How often somebody without a token may ask. Each address has a bucket of requests that fills again
//! with time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Requests of an address without token, a second, in the long run: ten people a second who open the page,
/// which fetches what it is made of once.
const REQUESTS_PER_SECOND: f64 = 100.0;

/// Requests of an address without token that may come at once: a class of 100 behind one router opens
/// the page.
const REQUESTS_AT_ONCE: f64 = 3000.0;

/// Addresses that are remembered, at some 50 bytes each.
const ADDRESSES_MAX: usize = 16_384;

/// Counts requests by address.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

/// What is left to an address, as of some moment.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn left(&self, now: Instant) -> f64 {
        let refilled = now.saturating_duration_since(self.at).as_secs_f64() * REQUESTS_PER_SECOND;
        (self.left + refilled).min(REQUESTS_AT_ONCE)
    }
}

impl Rates {
    /// Counts a request; false when it is one too many.
    pub(super) fn pass(&self, address: IpAddr, now: Instant) -> bool {
        // The lock is held for a few additions, which cannot fail half-way.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            // Who has all of it back need not be remembered.
            buckets.retain(|_, bucket| bucket.left(now) < REQUESTS_AT_ONCE);
            if buckets.len() >= ADDRESSES_MAX {
                // So many at once are no single address's doing: other limits hold.
                buckets.clear();
            }
        }
        let full = Bucket { left: REQUESTS_AT_ONCE, at: now };
        let bucket = buckets.entry(address).or_insert(full);
        let left = bucket.left(now);
        let pass = left >= 1.0;
        *bucket = Bucket { left: if pass { left - 1.0 } else { left }, at: now };
        pass
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_asks_so_often_and_others_do_not_notice() {
        let rates = Rates::default();
        let start = Instant::now();
        let asked = (0..2 * REQUESTS_AT_ONCE as u32).filter(|_| rates.pass(address(1), start));
        assert_eq!(asked.count() as f64, REQUESTS_AT_ONCE);
        assert!(rates.pass(address(2), start));
        let later = start + Duration::from_secs(2);
        let asked = (0..1000).filter(|_| rates.pass(address(1), later)).count();
        assert_eq!(asked as f64, 2.0 * REQUESTS_PER_SECOND);
    }

    #[test]
    fn no_more_addresses_are_remembered_than_are_bounded() {
        let rates = Rates::default();
        let start = Instant::now();
        for number in 0..3 * ADDRESSES_MAX as u32 {
            assert!(rates.pass(address(number), start + Duration::from_micros(number.into())));
            let known = rates.buckets.lock().unwrap().len();
            assert!(known <= ADDRESSES_MAX, "{known}");
        }
    }
}
