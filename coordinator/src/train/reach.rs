//! Where a run is reached, with TLS or without.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use super::certificate;
use super::links::Place;
use crate::config::{self, ServerSection};
use crate::server::Tls;
use crate::storage;

/// What places are called for people.
const HERE: &str = "this machine";
const NETWORK: &str = "network";

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
        let named = tls.is_some_and(|tls| !tls.is_self_signed());
        Self {
            listening,
            name: server.allow_hosts.first().filter(|_| named).cloned(),
            encrypted: tls.is_some(),
            fingerprint: tls.filter(|tls| tls.is_self_signed()).map(Tls::fingerprint),
        }
    }

    /// Whether only this machine reaches it.
    pub(super) fn is_here_only(&self) -> bool {
        self.listening.ip().is_loopback()
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The fingerprint by which the certificate is believed, if nothing else speaks for it.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The ways to reach it, the one that most can take last. There is at least one.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |label, host: String| Place {
            label,
            host,
            local: label == HERE,
            encrypted: self.encrypted,
            fingerprint: self.fingerprint.clone(),
        };
        let port = self.listening.port();
        let ip = self.listening.ip();
        if let Some(name) = &self.name {
            return vec![place(NETWORK, format!("{name}:{port}"))];
        }
        let here = place(HERE, self.here());
        if ip.is_loopback() {
            return vec![here];
        }
        if !ip.is_unspecified() {
            return vec![place(NETWORK, self.listening.to_string())];
        }
        let elsewhere = route(ip.is_ipv4()).map(|ip| SocketAddr::new(ip, port).to_string());
        // A machine without a network is reached by itself alone.
        std::iter::once(here).chain(elsewhere.map(|host| place(NETWORK, host))).collect()
    }

    /// `HOST:PORT` for this machine.
    pub(super) fn here(&self) -> String {
        reachable(self.listening).to_string()
    }
}

/// Where a stored run is reached when it listens there, as far as its folder tells.
pub(crate) fn places_of(folder: &Path, listening: SocketAddr) -> Vec<Place> {
    let job = config::resolve(Some(&folder.join(storage::CONFIG)), &[], &[]);
    let Ok(server) = job.map(|job| job.server) else { return Vec::new() };
    let Ok(tls) = certificate::of_run(&server, folder) else { return Vec::new() };
    Reach::new(listening, tls.as_deref(), &server).places()
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
    names.sort();
    names.dedup();
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
    fn a_listener_is_reached_where_it_listens() {
        for (listening, label, reached) in [
            ("127.0.0.1:80", HERE, "127.0.0.1:80"),
            ("[::1]:80", HERE, "[::1]:80"),
            ("192.0.2.7:80", NETWORK, "192.0.2.7:80"),
        ] {
            let reach = reach(listening, None, None);
            assert_eq!(reach.here(), reached);
            let [place] = &reach.places()[..] else { panic!("{listening}") };
            assert_eq!((place.label, &*place.host), (label, reached));
            assert_eq!(place.is_local(), label == HERE);
        }
        for (listening, here) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80")] {
            let reach = reach(listening, None, Some("ff"));
            assert_eq!(reach.here(), here);
            let all = reach.places();
            assert_eq!((all[0].label, &*all[0].host), (HERE, here));
            // A machine without any network has no other.
            assert!(all.iter().skip(1).all(|place| place.label == NETWORK && !place.is_local()));
            assert!(all.iter().all(|place| place.encrypted && place.fingerprint.is_some()));
        }
    }

    #[test]
    fn a_certificate_with_a_name_is_reached_by_its_name() {
        let places = reach("0.0.0.0:443", Some("herd.example.org"), None).places();
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].page("T"), "https://herd.example.org:443/join#T");
    }
}
