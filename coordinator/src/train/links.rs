//! Where a run is reached: each link and command that people and programs are given is made here.
//! A link carries its token after the `#`, which browsers keep to themselves.

use qrcode::{Color, EcLevel, QrCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Empty modules around a QR code, which cameras need to find it.
const QUIET_MODULES: usize = 4;

/// A way to reach a coordinator. The ledger keeps that of each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Who can take it: `this machine` or `network`.
    pub(super) label: String,
    /// `HOST:PORT`.
    pub(super) at: String,
    /// Whether connections are encrypted.
    pub(super) encrypted: bool,
    /// Of a certificate that nobody but the run itself has signed.
    pub(super) fingerprint: Option<String>,
}

impl Place {
    /// The command of a native worker.
    pub(crate) fn worker(&self, token: &str) -> String {
        let scheme = if self.encrypted { "wss" } else { "ws" };
        let pinned = self.fingerprint.as_ref().map(|digits| format!(" --fingerprint {digits}"));
        format!("herd-worker {scheme}://{} --token {token}{}", self.at, pinned.unwrap_or_default())
    }

    /// The page that volunteers open.
    pub(crate) fn page(&self, token: &str) -> String {
        format!("{}/join#{token}", self.origin())
    }

    /// The page that shows the run, and controls it with an admin's token.
    pub(crate) fn dashboard(&self, token: &str) -> String {
        format!("{}/#{token}", self.origin())
    }

    fn origin(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.at)
    }
}

/// A link as a picture for phones; none for a link that is too long.
pub(super) fn picture(link: &str) -> Option<QrCode> {
    QrCode::with_error_correction_level(link, EcLevel::L).ok()
}

/// What `GET /v1/join` answers: how workers join with this token.
pub(super) fn invitation(places: &[Place], token: &str) -> Value {
    let links: Vec<Value> = places
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

    fn place(encrypted: bool, fingerprint: Option<&str>) -> Place {
        Place {
            label: "network".to_owned(),
            at: "192.0.2.7:7700".to_owned(),
            encrypted,
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    #[test]
    fn the_token_stands_in_the_fragment_alone() {
        for (encrypted, scheme) in [(false, "http"), (true, "https")] {
            let place = place(encrypted, None);
            for (link, path) in [(place.page("secret"), "/join"), (place.dashboard("secret"), "/")]
            {
                assert_eq!(link, format!("{scheme}://192.0.2.7:7700{path}#secret"));
            }
        }
    }

    #[test]
    fn a_worker_is_told_what_it_is_to_believe() {
        let plain = "herd-worker ws://192.0.2.7:7700 --token T";
        assert_eq!(place(false, None).worker("T"), plain);
        let named = "herd-worker wss://192.0.2.7:7700 --token T";
        assert_eq!(place(true, None).worker("T"), named);
        assert_eq!(place(true, Some("ff")).worker("T"), format!("{named} --fingerprint ff"));
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
        let value = invitation(&[place(true, None)], &"t".repeat(43));
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
