//! Where a run is reached, with TLS or without.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::links::Place;
use crate::config::ServerSection;
use crate::server::Tls;

/// Whom an address of the loopback is for.
const HERE: &str = "this machine";

/// Where a run is reached.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    listening: SocketAddr,
    /// The name that is in the certificate's files, as far as is known.
    name: Option<String>,
    encrypted: bool,
    /// Of a certificate that nobody but the run itself has signed.
    fingerprint: Option<String>,
}

impl Reach {
    /// For a listener, and its certificate if it has one.
    pub(super) fn new(listening: SocketAddr, tls: Option<&Tls>, server: &ServerSection) -> Self {
        let signed = tls.filter(|tls| !tls.is_self_signed());
        let certified = signed.and_then(|tls| tls.names().into_iter().next());
        let told = server.allow_hosts.first().filter(|_| signed.is_some()).cloned();
        Self {
            listening,
            name: told.or(certified),
            encrypted: tls.is_some(),
            fingerprint: tls.filter(|tls| tls.is_self_signed()).map(Tls::fingerprint),
        }
    }

    /// Whether only this machine reaches it.
    pub(super) fn is_here_only(&self) -> bool {
        self.listening.ip().is_loopback()
    }

    /// Whether this machine reaches it by another address than others do.
    pub(super) fn has_two(&self) -> bool {
        self.listening.ip().is_unspecified() && self.places().len() > 1
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The fingerprint by which the certificate is believed, if nothing else speaks for it.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// How other machines reach it.
    pub(super) fn network(&self) -> Place {
        let at = match &self.name {
            Some(name) => format!("{name}:{}", self.listening.port()),
            None => elsewhere(self.listening).to_string(),
        };
        let alone = self.name.is_none() && self.is_here_only();
        self.place(if alone { HERE } else { "network" }, at)
    }

    /// How this machine reaches it.
    pub(super) fn here(&self) -> Place {
        self.place(HERE, reachable(self.listening).to_string())
    }

    /// All ways, the one that most can take last.
    pub(super) fn places(&self) -> Vec<Place> {
        let (here, network) = (self.here(), self.network());
        if here.at == network.at { vec![network] } else { vec![here, network] }
    }

    fn place(&self, label: &str, at: String) -> Place {
        let (encrypted, fingerprint) = (self.encrypted, self.fingerprint.clone());
        Place { label: label.to_owned(), at, encrypted, fingerprint }
    }
}

/// The address at which this machine reaches a listener that may listen on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The address at which other machines reach a listener that may listen on all addresses.
fn elsewhere(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    // A machine without a network is reached by itself alone.
    let ip = route(address.is_ipv4()).unwrap_or_else(|| reachable(address).ip());
    SocketAddr::new(ip, address.port())
}

/// The address of this machine that others see.
fn route(ipv4: bool) -> Option<IpAddr> {
    // Connecting a datagram socket sends nothing; it only asks the system for a route. The
    // addresses are those reserved for documentation.
    let (any, far) =
        if ipv4 { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(far).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The names and addresses by which this machine is reached, for a certificate.
pub(super) fn all_names(server: &ServerSection) -> Vec<String> {
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let addresses = own.into_iter().chain([route(true), route(false)].into_iter().flatten());
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.map(|address| address.to_string()));
    names.extend(crate::server::machine_names());
    names.extend(server.allow_hosts.iter().cloned());
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(listening: &str, name: Option<&str>, fingerprint: Option<&str>) -> Reach {
        Reach {
            listening: listening.parse().unwrap(),
            name: name.map(str::to_owned),
            encrypted: name.is_some() || fingerprint.is_some(),
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_through_loopback() {
        for (listening, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(reach(listening, None, None).here().at, reached);
        }
    }

    #[test]
    fn places_say_who_reaches_it_and_how() {
        let plain = reach("127.0.0.1:80", None, None);
        assert!(plain.is_here_only() && !plain.has_two());
        assert_eq!(plain.places(), [plain.here()]);
        let one = reach("192.0.2.7:80", None, None);
        assert_eq!((one.places(), one.network().label.as_str()), (vec![one.network()], "network"));
        let own = reach("0.0.0.0:80", None, Some("ff"));
        assert!(!own.network().at.starts_with("0.0.0.0"), "{:?}", own.network());
        assert_eq!(own.places().first(), Some(&own.here()));
        assert!(own.places().iter().all(|place| place.encrypted && place.fingerprint.is_some()));
        let named = reach("0.0.0.0:443", Some("herd.example.org"), None);
        assert_eq!(named.network().at, "herd.example.org:443");
        assert_eq!(named.places().len(), 2);
        assert!(named.network().encrypted && named.network().fingerprint.is_none());
    }
}
