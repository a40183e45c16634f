//! Who really asks, when a proxy stands between: a proxy that is trusted says so.
//!
//! `X-Forwarded-For` is a list to which each proxy adds the address that it sees. What a client wrote
//! stands in front, what the proxies know behind: the list is read from behind, as long as those who
//! wrote are trusted.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use serde::{Serialize, Serializer};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// An address, or those that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that are alike.
    prefix: u8,
}

/// Who sent a request, as far as can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether its connection is encrypted; `None` = a proxy that is not trusted may know.
    pub(super) https: Option<bool>,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let (own, other, bits) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        (own ^ other).checked_shr(bits - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is neither an address nor a network, such as 192.168.1.5, 10.0.0.0/8 or \
                 fd00::/8"
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix =
            prefix.map_or(Ok(bits), |prefix| prefix.trim().parse().map_err(|_| wrong()))?;
        if prefix > bits { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether an address is that of a proxy whose word is taken.
pub(super) fn trusts(proxies: &[Network], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(address))
}

/// Who sent a request that came on a connection from `peer`, which was encrypted or not.
pub(super) fn client(
    proxies: &[Network],
    peer: IpAddr,
    encrypted: bool,
    headers: &HeaderMap,
) -> Client {
    let peer = peer.to_canonical();
    if !trusts(proxies, peer) {
        let https = encrypted.then_some(true);
        return Client { address: peer, https };
    }
    let mut address = peer;
    for named in list(headers, &FORWARDED_FOR).iter().rev() {
        // What cannot be read was not written by a proxy: the last one who could is the client.
        let Some(named) = address_of(named) else { break };
        address = named;
        if !trusts(proxies, named) {
            break;
        }
    }
    let scheme = list(headers, &FORWARDED_PROTO).last().map(|scheme| scheme.to_ascii_lowercase());
    Client { address, https: scheme.map(|scheme| scheme == "https") }
}

/// The items of all headers of a name, in their order.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// An address as proxies write it: some add a port, and then brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.split(']').next());
    let parsed = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port =
        || text.parse::<std::net::SocketAddrV4>().ok().map(|address| (*address.ip()).into());
    parsed.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.0.0.0/8", "::ffff:10.9.8.7", "11.0.0.0"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
        ] {
            assert!(network(text).contains(address(inside)), "{text} {inside}");
            assert!(!network(text).contains(address(outside)), "{text} {outside}");
            assert_eq!(network(&network(text).to_string()), network(text));
        }
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0/8", "1.2.3.4/-1"] {
            let error = wrong.parse::<Network>().unwrap_err();
            assert!(error.contains("such as 192.168.1.5"), "{wrong}: {error}");
        }
    }

    #[test]
    fn only_trusted_proxies_say_who_asks() {
        let proxies = [network("127.0.0.1"), network("10.0.0.0/8")];
        let who = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            client(&proxies, address(peer), false, &headers).address.to_string()
        };
        assert_eq!(who("192.0.2.9", &["6.6.6.6"]), "192.0.2.9", "a stranger is not asked");
        assert_eq!(who("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(who("127.0.0.1", &["192.0.2.9"]), "192.0.2.9");
        assert_eq!(
            who("::ffff:127.0.0.1", &["6.6.6.6, 192.0.2.9"]),
            "192.0.2.9",
            "forged in front"
        );
        assert_eq!(who("127.0.0.1", &["6.6.6.6", "192.0.2.9, 10.0.0.5"]), "192.0.2.9");
        assert_eq!(who("127.0.0.1", &["10.0.0.5, 10.0.0.6"]), "10.0.0.5", "all are trusted");
        assert_eq!(who("127.0.0.1", &["192.0.2.9, rubbish"]), "127.0.0.1");
        assert_eq!(who("127.0.0.1", &["192.0.2.9:4711"]), "192.0.2.9");
        assert_eq!(who("127.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn the_scheme_is_that_of_the_connection_or_what_a_trusted_proxy_says() {
        let proxies = [network("127.0.0.1")];
        let https = |peer: &str, encrypted: bool, proto: Option<&str>| {
            let named = proto.map(|proto| (FORWARDED_PROTO, proto.parse().unwrap()));
            client(&proxies, address(peer), encrypted, &named.into_iter().collect()).https
        };
        assert_eq!(https("192.0.2.9", true, None), Some(true));
        assert_eq!(https("192.0.2.9", false, Some("https")), None);
        assert_eq!(https("127.0.0.1", false, Some("https")), Some(true));
        assert_eq!(https("127.0.0.1", false, Some("http")), Some(false));
        assert_eq!(https("127.0.0.1", false, Some("http, HTTPS")), Some(true));
        assert_eq!(https("127.0.0.1", false, None), None);
    }
}
