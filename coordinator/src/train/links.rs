//! Where a run is reached: each link and command that people and programs are given is made here.
//! A link carries its token after the `#`, which browsers keep to themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use qrcode::{Color, EcLevel, QrCode};
use serde_json::{Value, json};

/// Empty modules around a QR code, which cameras need to find it.
const QUIET_MODULES: usize = 4;

/// A way to reach a coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    label: &'static str,
    address: SocketAddr,
}

impl Place {
    /// The command of a native worker.
    pub(crate) fn worker(&self, token: &str) -> String {
        format!("herd-worker ws://{} --token {token}", self.address)
    }

    /// The page that volunteers open.
    pub(crate) fn page(&self, token: &str) -> String {
        format!("http://{}/join#{token}", self.address)
    }

    /// The page that shows the run, and controls it with an admin's token.
    pub(crate) fn dashboard(&self, token: &str) -> String {
        format!("http://{}/#{token}", self.address)
    }

    /// Whether this machine alone reaches it.
    pub(crate) fn is_local(&self) -> bool {
        self.address.ip().is_loopback()
    }
}

/// The ways to reach a listener, the one that most can take last. There is at least one.
pub(crate) fn places(listening: SocketAddr) -> Vec<Place> {
    let place = |label, ip| Place { label, address: SocketAddr::new(ip, listening.port()) };
    let ip = listening.ip();
    if ip.is_loopback() {
        return vec![place("this machine", ip)];
    }
    if !ip.is_unspecified() {
        return vec![place("network", ip)];
    }
    let this = place("this machine", loopback(ip));
    std::iter::once(this).chain(route(ip).map(|ip| place("network", ip))).collect()
}

/// How this machine reaches a listener that may listen on all addresses.
pub(super) fn from_here(listening: SocketAddr) -> SocketAddr {
    let ip = listening.ip();
    SocketAddr::new(if ip.is_unspecified() { loopback(ip) } else { ip }, listening.port())
}

fn loopback(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// The address of this machine at which others reach it.
fn route(ip: IpAddr) -> Option<IpAddr> {
    // Connecting a datagram socket sends nothing; it only asks the system for a route. The
    // addresses are those reserved for documentation.
    let (any, far) =
        if ip.is_ipv4() { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let route = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(far)?;
        socket.local_addr()
    });
    route.ok().map(|route| route.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// A link as a picture for phones; none for a link that is too long.
pub(super) fn picture(link: &str) -> Option<QrCode> {
    QrCode::with_error_correction_level(link, EcLevel::L).ok()
}

/// What `GET /v1/join` answers: how workers join with this token.
pub(super) fn invitation(listening: SocketAddr, token: &str) -> Value {
    let links: Vec<Value> = places(listening)
        .iter()
        .map(|place| {
            let page = place.page(token);
            let code = picture(&page).map(|code| outline(&code));
            json!({ "label": place.label, "page": page, "worker": place.worker(token), "qr": code })
        })
        .collect();
    json!({ "links": links })
}

/// The dark modules of a QR code as the path of an SVG, a rectangle for each run of them in a row.
fn outline(code: &QrCode) -> Value {
    let width = code.width();
    let mut path = String::new();
    for (row, modules) in code.to_colors().chunks(width).enumerate() {
        let mut column = 0;
        for run in modules.chunk_by(|one, other| one == other) {
            if run[0] == Color::Dark {
                let (x, y, length) = (column + QUIET_MODULES, row + QUIET_MODULES, run.len());
                path.push_str(&format!("M{x} {y}h{length}v1h-{length}z"));
            }
            column += run.len();
        }
    }
    json!({ "size": width + 2 * QUIET_MODULES, "path": path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listener_is_reached_where_it_listens() {
        for (listening, label, reached) in [
            ("127.0.0.1:80", "this machine", "127.0.0.1:80"),
            ("[::1]:80", "this machine", "[::1]:80"),
            ("192.0.2.7:80", "network", "192.0.2.7:80"),
        ] {
            let place = Place { label, address: address(reached) };
            assert_eq!(places(address(listening)), [place]);
            assert_eq!(from_here(address(listening)).to_string(), reached);
        }
        for (listening, here) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80")] {
            assert_eq!(from_here(address(listening)).to_string(), here);
            let all = places(address(listening));
            assert_eq!(all[0], Place { label: "this machine", address: address(here) });
            // A machine without any network has no other.
            assert!(all.iter().skip(1).all(|place| place.label == "network" && !place.is_local()));
        }
    }

    #[test]
    fn the_token_stands_in_the_fragment_alone() {
        let place = &places(address("127.0.0.1:7700"))[0];
        for (link, start) in [
            (place.page("secret"), "http://127.0.0.1:7700/join#"),
            (place.dashboard("secret"), "http://127.0.0.1:7700/#"),
        ] {
            assert_eq!(link.strip_prefix(start), Some("secret"));
        }
        assert_eq!(place.worker("secret"), "herd-worker ws://127.0.0.1:7700 --token secret");
    }

    /// The dark modules of a path.
    fn modules(path: &str) -> Vec<(usize, usize)> {
        let mut dark = Vec::new();
        for run in path.split_terminator('z') {
            let (start, rest) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = start.split_once(' ').unwrap();
            let (length, back) = rest.split_once("v1h-").unwrap();
            assert_eq!(length, back);
            let [x, y, length] = [x, y, length].map(|number| number.parse::<usize>().unwrap());
            dark.extend((x..x + length).map(|x| (x, y)));
        }
        dark
    }

    #[test]
    fn a_picture_is_the_code_of_its_link_with_room_around() {
        let value = invitation(address("127.0.0.1:7700"), &"t".repeat(43));
        let link = &value["links"][0];
        let code = picture(link["page"].as_str().unwrap()).unwrap();
        let size = code.width() + 8;
        assert_eq!(link["qr"]["size"], size);
        let dark = modules(link["qr"]["path"].as_str().unwrap());
        let mut expected = Vec::new();
        for (place, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                expected.push((place % code.width() + 4, place / code.width() + 4));
            }
        }
        assert_eq!(dark, expected);
        assert!(dark.contains(&(4, 4)), "a corner of the first finder");
    }
}
