//! By which names the coordinator is reached, and from whose pages.
//!
//! - `Host`: a page whose name is rebound to the coordinator's address (DNS rebinding) still asks for
//!   that name. An address cannot be rebound, a name that only this machine's network knows neither
//! - `Origin`: browsers send it with every WebSocket and every request that another page makes. Pages
//!   of the coordinator itself have its own name there. Programs send none

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::gate::Refusal;

/// What stands behind a machine's name in a local network. Nobody can own them in DNS.
const LOCAL: [&str; 4] = ["local", "lan", "internal", "home.arpa"];

/// Bytes of a name that are repeated in an answer.
const SHOWN_BYTES_MAX: usize = 80;

/// The names that the coordinator answers to.
#[derive(Debug, Default)]
pub(super) struct Names {
    machine: Vec<String>,
    /// Given by who runs the coordinator. Pages of these are its own, at whatever port.
    allowed: Vec<String>,
}

impl Names {
    /// This machine's own name, and these.
    pub(super) fn new<'a>(allowed: impl IntoIterator<Item = &'a String>) -> Self {
        let allowed = allowed.into_iter().map(|name| bare(name).to_owned()).collect();
        Self { machine: machine_names(), allowed }
    }

    /// Checks what a request asks for, and from whose page. `https` is the scheme, where it is known.
    ///
    /// # Errors
    /// What to answer to a request that is refused.
    pub(super) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        https: Option<bool>,
    ) -> Result<(), Refusal> {
        let Some(host) = single(headers, &header::HOST)? else {
            return Err(refuse(StatusCode::BAD_REQUEST, "a request needs one header Host".into()));
        };
        let asked = self.authority(host)?;
        if let Some(absolute) = uri.authority() {
            self.authority(absolute.as_str())?;
        }
        let Some(origin) = single(headers, &header::ORIGIN)? else { return Ok(()) };
        if self.is_own(origin, &asked, https) {
            return Ok(());
        }
        let (origin, asked) = (shown(origin), shown(asked.as_str()));
        Err(refuse(
            StatusCode::FORBIDDEN,
            format!(
                "a page of {origin} may not speak to {asked}; if a proxy stands between, let it \
                 pass the header Host on, or start herd with --allow-host and the name of the page"
            ),
        ))
    }

    /// The host and port that a request asks for, if it is this coordinator.
    fn authority(&self, text: &str) -> Result<Authority, Refusal> {
        let authority = text.parse::<Authority>().ok().filter(|parsed| {
            // No name and password before it.
            !parsed.as_str().contains('@') && !parsed.host().is_empty()
        });
        let Some(authority) = authority else {
            let sentence = format!("the header Host names no host: {}", shown(text));
            return Err(refuse(StatusCode::BAD_REQUEST, sentence));
        };
        if self.answers_to(authority.host()) {
            return Ok(authority);
        }
        let name = shown(authority.host());
        Err(refuse(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "herd does not answer to the name {name}; use its address, or start herd with \
                 --allow-host {name}"
            ),
        ))
    }

    fn answers_to(&self, host: &str) -> bool {
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
        {
            return true;
        }
        let name = host.to_ascii_lowercase();
        let name = bare(&name);
        name == "localhost"
            || name.ends_with(".localhost")
            || self.machine.iter().chain(&self.allowed).any(|known| known == name)
    }

    /// Whether an origin is where the request goes to, or one of the names that were allowed.
    fn is_own(&self, origin: &str, asked: &Authority, https: Option<bool>) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        let encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => return false,
        };
        let Ok(from) = rest.parse::<Authority>() else { return false };
        if https.is_some_and(|https| https != encrypted) || from.as_str().contains('@') {
            return false;
        }
        let port = |authority: &Authority, https: bool| {
            authority.port_u16().unwrap_or(if https { 443 } else { 80 })
        };
        let same = from.host().eq_ignore_ascii_case(asked.host())
            && port(&from, encrypted) == port(asked, encrypted);
        let name = from.host().to_ascii_lowercase();
        same || self.allowed.iter().any(|known| known == bare(&name))
    }
}

/// A name as it is compared: a dot at the end means the same name.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The names of this machine in its own network.
pub(super) fn machine_names() -> Vec<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() {
        return Vec::new();
    }
    let first = name.split('.').next().unwrap_or(&name);
    let local = LOCAL.iter().map(|domain| format!("{first}.{domain}"));
    [name.clone(), first.to_owned()].into_iter().chain(local).collect()
}

/// The one value of a header that may stand there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    let wrong = || refuse(StatusCode::BAD_REQUEST, format!("the header {name} is not one name"));
    if values.next().is_some() {
        return Err(wrong());
    }
    first.map(|value| value.to_str().map_err(|_| wrong())).transpose()
}

/// What a stranger wrote, for an answer: short, and printable as any header's value is.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_BYTES_MAX).filter(|char| !char.is_control()).collect()
}

fn refuse(status: StatusCode, sentence: String) -> Refusal {
    Refusal { status, sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&["herd.example.org".to_owned()])
    }

    /// The status for a host, and perhaps an origin; 200 when they pass.
    fn status(host: &str, origin: Option<&str>, https: Option<bool>) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let checked = names().check(&Uri::from_static("/v1/worker"), &headers, https);
        checked.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn addresses_and_known_names_are_answered() {
        for host in [
            "127.0.0.1:7700",
            "192.168.1.20",
            "[::1]:7700",
            "[2001:db8::1]",
            "localhost:1",
            "LOCALHOST",
            "a.localhost",
            "herd.example.org",
            "Herd.Example.Org:443",
            "herd.example.org.",
        ] {
            assert_eq!(status(host, None, None), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "herd.example.org.evil.example",
            "evilherd.example.org",
            "notlocalhost",
        ] {
            assert_eq!(status(host, None, None), 421, "{host}");
        }
        for host in ["", ":80", "a b", "user@127.0.0.1", "[::1", "http://127.0.0.1/"] {
            assert_eq!(status(host, None, None), 400, "{host}");
        }
        for name in machine_names() {
            assert_eq!(status(&name, None, None), 200, "{name}");
        }
    }

    #[test]
    fn a_request_names_one_host_once() {
        let uri = Uri::from_static("/");
        let mut headers = HeaderMap::new();
        let code = |uri: &Uri, headers: &HeaderMap| {
            names().check(uri, headers, None).unwrap_err().status.as_u16()
        };
        assert_eq!(code(&uri, &headers), 400);
        headers.append(header::HOST, "127.0.0.1".parse().unwrap());
        names().check(&uri, &headers, None).unwrap();
        assert_eq!(code(&Uri::from_static("http://evil.example/"), &headers), 421);
        headers.append(header::HOST, "127.0.0.1".parse().unwrap());
        assert_eq!(code(&uri, &headers), 400);
    }

    #[test]
    fn pages_of_the_coordinator_alone_may_speak_to_it() {
        let here = "127.0.0.1:7700";
        for (host, origin, https) in [
            (here, "http://127.0.0.1:7700", None),
            (here, "https://127.0.0.1:7700", Some(true)),
            ("localhost", "http://localhost:80", None),
            ("localhost", "https://localhost", None),
            (here, "https://herd.example.org", None),
            ("herd.example.org", "https://herd.example.org", Some(true)),
        ] {
            assert_eq!(status(host, Some(origin), https), 200, "{host} {origin} {https:?}");
        }
        for (host, origin, https) in [
            (here, "http://evil.example", None),
            (here, "http://127.0.0.1:7701", None),
            (here, "http://127.0.0.1", None),
            (here, "http://localhost:7700", None),
            (here, "null", None),
            (here, "", None),
            (here, "file://", None),
            (here, "http://x@127.0.0.1:7700", None),
            (here, "http://127.0.0.1:7700", Some(true)),
            (here, "https://127.0.0.1:7700", Some(false)),
            (here, "http://herd.example.org.evil.example", None),
            (here, "chrome-extension://abcdef", None),
        ] {
            assert_eq!(status(host, Some(origin), https), 403, "{host} {origin} {https:?}");
        }
    }
}
