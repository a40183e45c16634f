//! The page that volunteers open: embedded, compressed, under names that say its content.

use std::io::Read;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::stream;

/// Names and contents of `web/dist`: `join.html`, and assets with `.br` and `.gz` at the end.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Bytes of a file that are unpacked at a time, for a client that takes nothing compressed.
const PIECE_BYTES: usize = 64 << 10;

const NOT_BUILT: &str = "The page is not in this build of herd. Run `cargo xtask wasm`, then build \
                         herd again; native workers can join without it.\n";

/// What pages may load, by name: only from here, nothing inline, WebAssembly compiled.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; worker-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What pages may not ask of their visitors. The screen may be kept awake.
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), display-capture=(), midi=(), \
                           payment=(), usb=(), screen-wake-lock=(self)";

/// Sent with every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
];

/// Whether this build contains the page.
pub fn is_built() -> bool {
    file("join.html").is_some()
}

/// `GET /join`.
pub(super) async fn join() -> Response {
    let Some(html) = file("join.html") else {
        return (StatusCode::NOT_FOUND, NOT_BUILT).into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // It names the assets of this build: another build has others.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, html).into_response()
}

/// `GET /assets/{bundle}/{name}`: in the best encoding that the browser takes.
pub(super) async fn asset(
    Path((bundle, name)): Path<(String, String)>,
    asked: HeaderMap,
) -> Response {
    let path = format!("assets/{bundle}/{name}");
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let accepted = accepted.unwrap_or_default();
    let brotli = file(&format!("{path}.br")).filter(|_| accepts(accepted, "br"));
    let gzip = file(&format!("{path}.gz"));
    let (encoding, body) = match (brotli, gzip) {
        (Some(bytes), _) => (Some("br"), Bytes::from_static(bytes).into()),
        (None, Some(bytes)) if accepts(accepted, "gzip") => {
            (Some("gzip"), Bytes::from_static(bytes).into())
        }
        (None, Some(bytes)) => (None, unpacked(bytes)),
        (None, None) => return (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    let cache = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    (headers, body).into_response()
}

/// A file as it is, unpacked piece by piece as its reader takes them.
fn unpacked(packed: &'static [u8]) -> Body {
    let pieces = stream::unfold(GzDecoder::new(packed), async |mut decoder| {
        let mut piece = vec![0; PIECE_BYTES];
        match decoder.read(&mut piece) {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(piece), decoder))
            }
            Err(error) => Some((Err(error), decoder)),
        }
    });
    Body::from_stream(pieces)
}

/// Adds what every answer carries.
pub(super) async fn protect(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn file(path: &str) -> Option<&'static [u8]> {
    let index = FILES.binary_search_by(|(name, _)| (*name).cmp(path)).ok()?;
    Some(FILES[index].1)
}

/// Whether a list of encodings names this one, and not with quality 0.
fn accepts(list: &str, encoding: &str) -> bool {
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|quality| quality.parse::<f32>().is_ok_and(|quality| quality <= 0.0));
        named && !refused
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_taken_as_browsers_name_them() {
        assert!(accepts("gzip, deflate, br, zstd", "br"));
        assert!(accepts("BR;q=0.5", "br"));
        assert!(!accepts("br;q=0, gzip", "br"));
        assert!(!accepts("", "gzip"));
        assert!(!accepts("brotli", "br"));
    }

    #[test]
    fn files_are_sorted_for_the_search_and_complete() {
        assert!(FILES.is_sorted_by(|(a, _), (b, _)| a < b));
        let pairs = FILES.iter().filter_map(|(name, _)| name.strip_suffix(".br"));
        for name in pairs {
            assert!(file(&format!("{name}.gz")).is_some(), "{name} has no gzip form");
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
        }
    }
}
