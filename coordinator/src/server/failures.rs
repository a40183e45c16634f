//! Wrong tokens: who shows many is told nothing but to wait. A right token is let in from the same
//! address all the while, for many may share an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::tokens::shown;
use super::visitors::Visitor;
use crate::tokens::Denied;

/// Wrong tokens of one address that are answered as such within [`WINDOW`]: a few mistakes in copying
/// a link, and nobody's guesses.
const WRONG_TOKENS_MAX: u32 = 5;

/// So long wrong tokens are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are counted at a time. When there are more, further ones are taken to have shown
/// enough already.
const ADDRESSES_MAX: usize = 4096;

const TOO_MANY: &str = "too many wrong tokens came from this address; wait a minute\n";

/// Counts wrong tokens by address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    counts: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Failures {
    /// A wrong token came. When it is one too many, says for how long that will be so.
    pub(super) fn add(&self, address: IpAddr) -> Option<Duration> {
        self.add_at(address, Instant::now())
    }

    fn add_at(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        // The lock is held for a few additions, which cannot fail half-way.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |started: Instant| now.saturating_duration_since(started);
        if !counts.contains_key(&address) && counts.len() >= ADDRESSES_MAX {
            counts.retain(|_, (started, _)| age(*started) < WINDOW);
            if counts.len() >= ADDRESSES_MAX {
                return Some(WINDOW);
            }
        }
        let (started, count) = counts.entry(address).or_insert((now, 0));
        if age(*started) >= WINDOW {
            (*started, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count > WRONG_TOKENS_MAX).then(|| WINDOW.saturating_sub(age(*started)))
    }
}

/// Answers a request with a wrong token that is one too many of its address. A token that once
/// admitted is no guess and does not count: a class may have an old link.
pub(super) async fn turn_away(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(token) = shown(request.headers())
        && shared.access.tokens.look_up(token).await == Err(Denied::Unknown)
        && let Some(wait) = shared.failures.add(visitor.address())
    {
        let wait = [(header::RETRY_AFTER, wait.as_secs().max(1).to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, wait, TOO_MANY).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn so_many_wrong_tokens_of_an_address_are_answered_in_a_minute() {
        let failures = Failures::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        for second in 0..5 {
            assert_eq!(failures.add_at(address(1), later(second)), None);
        }
        assert_eq!(failures.add_at(address(1), later(10)), Some(Duration::from_secs(50)));
        assert_eq!(failures.add_at(address(2), later(10)), None, "another address");
        assert_eq!(failures.add_at(address(1), later(59)), Some(Duration::from_secs(1)));
        for second in 60..65 {
            assert_eq!(failures.add_at(address(1), later(second)), None, "a new minute");
        }
        assert!(failures.add_at(address(1), later(65)).is_some());
    }

    #[test]
    fn addresses_are_bounded_and_forgotten() {
        let failures = Failures::default();
        let start = Instant::now();
        for number in 0..ADDRESSES_MAX as u32 {
            assert_eq!(failures.add_at(address(number), start), None);
        }
        assert_eq!(failures.add_at(address(u32::MAX), start), Some(WINDOW));
        assert_eq!(failures.add_at(address(0), start), None, "it is counted");
        assert_eq!(failures.add_at(address(u32::MAX), start + WINDOW), None);
        assert_eq!(failures.counts.lock().unwrap().len(), 1);
    }
}
