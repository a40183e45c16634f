//! What every request has to pass before it is answered.
//!
//! - it asks for a name of this coordinator, and comes from none but its own pages ([`super::origins`])
//! - who has no token asks not too often ([`super::rates`]); who has is no stranger
//! - behind a trusted proxy it counts for the person who asks ([`super::proxies`])
//! - its body is short, and there in time

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::origins::Names;
use super::proxies::{self, Network};
use super::rates::Rates;
use super::tls::Tls;
use super::visitors::Visitor;
use super::{Role, Shared};
use crate::config::ServerSection;

/// Longest body of a request. The longest that means anything is a line of JSON.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where sessions are opened. They are not counted as requests: their number is bounded, and a fleet
/// that comes back opens all of them at once.
const SESSIONS: &str = "/v1/worker";

/// What a gatekeeper knows.
#[derive(Debug, Default)]
pub(super) struct Gate {
    names: Names,
    proxies: Vec<Network>,
    rates: Rates,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) encrypted: bool,
}

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

impl Gate {
    pub(super) fn new(section: &ServerSection, tls: Option<&Tls>) -> Self {
        let certified = tls.map(Tls::names).unwrap_or_default();
        Self {
            names: Names::new(section.allow_hosts.iter().chain(&certified)),
            proxies: section.trusted_proxies.clone(),
            rates: Rates::default(),
        }
    }

    /// Whether a connection is that of a proxy whose word is taken.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        proxies::trusts(&self.proxies, address)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.sentence)).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let second = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}

/// Lets a request pass, or answers it.
pub(super) async fn pass(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    match let_in(&shared, peer, visitor, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn let_in(
    shared: &Shared,
    peer: Peer,
    mut visitor: Arc<Visitor>,
    mut request: Request,
) -> Result<Request, Refusal> {
    let gate = &shared.gate;
    let headers = request.headers();
    let client = proxies::client(&gate.proxies, peer.address, peer.encrypted, headers);
    gate.names.check(request.uri(), headers, client.https)?;
    let token = shared.authorize(headers, &Role::ALL).is_ok();
    if gate.is_proxy(peer.address) {
        let asking = shared.visitors.ask_through(client.address, token);
        visitor = Arc::new(asking.map_err(|full| Refusal {
            status: StatusCode::TOO_MANY_REQUESTS,
            sentence: full.sentence().to_owned(),
        })?);
        request.extensions_mut().insert(visitor.clone());
    }
    if token {
        visitor.has_shown_token();
    } else if request.uri().path() != SESSIONS
        && !gate.rates.pass(visitor.address(), Instant::now())
    {
        let sentence =
            "too many requests of this address without a token; wait a second".to_owned();
        return Err(Refusal { status: StatusCode::TOO_MANY_REQUESTS, sentence });
    }
    with_body(request).await
}

/// Waits for the body of a request, if it has one.
async fn with_body(request: Request) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    let refusal = |status, sentence: String| Refusal { status, sentence };
    let too_long = || {
        let sentence = format!("a body has {BODY_BYTES_MAX} bytes at most");
        refusal(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    };
    if length(&parts.headers).is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_long());
    }
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        // Or it was cut off, and nobody reads the answer.
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let sentence = "the body of the request did not come in time".to_owned();
            Err(refusal(StatusCode::REQUEST_TIMEOUT, sentence))
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
