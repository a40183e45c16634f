//! Who is connected: so many connections altogether, and so many of one address that have not
//! shown the run's token. Who comes through a trusted proxy is counted by the address that it names,
//! request by request: one connection of a proxy is many people's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::limits::{CONNECTIONS_MAX, STRANGERS_PER_ADDRESS_MAX};

/// Descriptors that connections leave to the process: files of the run, pipes of local workers.
const DESCRIPTORS_KEPT: usize = 128;

/// Counts connections.
#[derive(Debug)]
pub(super) struct Visitors {
    connections_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// Connections without token, by address.
    strangers: HashMap<IpAddr, usize>,
}

/// Why a connection is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Its address has enough strangers.
    Address,
    /// The coordinator has enough connections.
    Coordinator,
}

/// One connection that is counted, from its start to the end of what it became; or a request that came
/// through a proxy, up to its answer or the end of what it became.
#[derive(Debug)]
pub(super) struct Visitor {
    visitors: Arc<Visitors>,
    address: IpAddr,
    stranger: AtomicBool,
    /// Whether it is a connection.
    connected: bool,
}

impl Visitors {
    /// Nobody is here yet.
    pub(super) fn new() -> Arc<Self> {
        let connections_max = connections_max().unwrap_or(CONNECTIONS_MAX);
        // A system that gives even fewer says so itself, connection by connection.
        Self::with(connections_max.max(DESCRIPTORS_KEPT))
    }

    fn with(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, counts: Mutex::default() })
    }

    /// Counts a new connection.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Visitor, Full> {
        self.count(address, true, true)
    }

    /// Counts a new connection of a proxy that is trusted.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn enter_proxy(self: &Arc<Self>, address: IpAddr) -> Result<Visitor, Full> {
        self.count(address, true, false)
    }

    /// Counts a request that came through a trusted proxy, with token or without.
    ///
    /// # Errors
    /// When its address has too many without.
    pub(super) fn ask_through(
        self: &Arc<Self>,
        address: IpAddr,
        token: bool,
    ) -> Result<Visitor, Full> {
        self.count(address, false, !token)
    }

    fn count(
        self: &Arc<Self>,
        address: IpAddr,
        connected: bool,
        stranger: bool,
    ) -> Result<Visitor, Full> {
        let address = household(address);
        let mut counts = self.counts();
        if connected && counts.open >= self.connections_max {
            return Err(Full::Coordinator);
        }
        if stranger {
            let strangers = counts.strangers.entry(address).or_default();
            if *strangers >= STRANGERS_PER_ADDRESS_MAX {
                return Err(Full::Address);
            }
            *strangers += 1;
        }
        counts.open += usize::from(connected);
        Ok(Visitor {
            visitors: self.clone(),
            address,
            stranger: AtomicBool::new(stranger),
            connected,
        })
    }

    /// The lock is held for a few additions, which cannot fail half-way.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Whose it is; with IPv6, the network.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// It is no stranger any more.
    pub(super) fn has_shown_token(&self) {
        if !self.stranger.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut counts = self.visitors.counts();
        if let Some(strangers) = counts.strangers.get_mut(&self.address) {
            *strangers -= 1;
            if *strangers == 0 {
                counts.strangers.remove(&self.address);
            }
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.has_shown_token();
        self.visitors.counts().open -= usize::from(self.connected);
    }
}

impl Full {
    /// For people.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Address => {
                "too many connections of this address have not shown the run's token; close some, \
                 or wait until they are cut"
            }
            Self::Coordinator => "the coordinator has all connections it can; try later",
        }
    }

    /// The whole HTTP answer. `Retry-After` is the time in which silent connections are cut.
    pub(super) fn answer(self) -> String {
        let status = match self {
            Self::Address => "429 Too Many Requests",
            Self::Coordinator => "503 Service Unavailable",
        };
        answer(status, "retry-after: 5\r\n", self.sentence())
    }
}

/// A whole HTTP answer in plain text, after which the connection is closed.
pub(super) fn answer(status: &str, headers: &str, sentence: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{headers}\
         connection: close\r\n\r\n{sentence}\n",
        sentence.len() + 1
    )
}

/// What is one address to the limit: with IPv6 everybody has 2^64 of them.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

/// The connections that the system lets this process have, where it tells.
pub fn connections_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let left = descriptors(&limits)?.saturating_sub(DESCRIPTORS_KEPT);
    Some(left.min(CONNECTIONS_MAX))
}

/// The soft limit of open files, as Linux tells it.
fn descriptors(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_of_one_address_are_bounded_and_others_are_not_touched() {
        let visitors = Visitors::with(1000);
        let enter = |text| visitors.enter(address(text));
        let here: Vec<_> =
            (0..STRANGERS_PER_ADDRESS_MAX).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Full::Address);
        assert_eq!(enter("::ffff:10.0.0.1").unwrap_err(), Full::Address);
        let other = enter("10.0.0.2").unwrap();

        here[0].has_shown_token();
        here[0].has_shown_token();
        let next = enter("10.0.0.1").unwrap();
        assert_eq!(enter("10.0.0.1").unwrap_err(), Full::Address, "one place came back, once");
        drop((here, next, other));
        let counts = visitors.counts();
        assert_eq!((counts.open, counts.strangers.len()), (0, 0));
    }

    #[test]
    fn connections_are_bounded_with_token_or_without() {
        let visitors = Visitors::with(2);
        let here: Vec<_> =
            ["::1", "10.0.0.1"].map(|text| visitors.enter(address(text)).unwrap()).into();
        here.iter().for_each(Visitor::has_shown_token);
        assert_eq!(visitors.enter(address("10.0.0.3")).unwrap_err(), Full::Coordinator);
        drop(here);
        visitors.enter(address("10.0.0.3")).unwrap();
    }

    #[test]
    fn who_comes_through_a_proxy_is_counted_by_request() {
        let visitors = Visitors::with(2);
        let _proxy = [visitors.enter_proxy(address("127.0.0.1")).unwrap(), {
            visitors.enter_proxy(address("127.0.0.1")).unwrap()
        }];
        assert_eq!(visitors.enter_proxy(address("127.0.0.1")).unwrap_err(), Full::Coordinator);
        let ask = |token| visitors.ask_through(address("10.0.0.1"), token);
        let here: Vec<_> = (0..STRANGERS_PER_ADDRESS_MAX).map(|_| ask(false).unwrap()).collect();
        assert_eq!(ask(false).unwrap_err(), Full::Address);
        ask(true).unwrap();
        assert_eq!(
            visitors.ask_through(address("10.0.0.2"), false).unwrap().address(),
            address("10.0.0.2")
        );
        drop(here);
        assert_eq!(visitors.counts().open, 2, "requests are no connections");
        assert!(visitors.counts().strangers.is_empty());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        assert_eq!(household(address("2001:db8:1:2::3")), household(address("2001:db8:1:2:4::")));
        assert_ne!(household(address("2001:db8:1:2::3")), household(address("2001:db8:1:3::3")));
        assert_eq!(household(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[test]
    fn descriptors_are_read_as_linux_writes_them() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             95948                95948                processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(descriptors(limits), Some(1024));
        assert_eq!(descriptors(&limits.replace("1024", "unlimited")), None);
        assert_eq!(descriptors(""), None);
    }
}
