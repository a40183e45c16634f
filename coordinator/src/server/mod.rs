//! The HTTP server: workers' WebSockets, the shards that they fetch, and the page for browsers.
//!
//! - `GET /`, `/join`, `/try` and `/assets/...`: the pages for browsers ([`page`])
//! - `GET /v1/status`: how the run stands, for bearers of a token of the run
//! - `GET /metrics`: the same for Prometheus, for the same bearers
//! - what the dashboard asks for ([`dashboard`])
//! - `GET /v1/join`: the links by which workers join, for admins ([`invitation`])
//! - `GET /v1/worker`: a worker's session ([`session`]); the subprotocol is the protocol's version
//! - `GET /v1/shards/{digest}`: one shard's bytes, for workers
//!
//! Connections are taken in by [`accept`], over [`mod@tls`] or not, and counted by [`visitors`], sessions by
//! [`places`]. Each request passes the [`gate`]; [`tokens`] says who may do what, [`failures`] turns those
//! away who guess; [`throttle`] slows a session that says too much, [`transfers`] knows what it has under
//! way. Limits of the protocol stand in `protocol::limits`, those of HTTP beside what keeps them.

mod accept;
mod dashboard;
mod failures;
mod gate;
mod invitation;
mod origins;
mod page;
mod places;
mod proxies;
mod rates;
mod session;
mod throttle;
mod tls;
mod tokens;
mod transfers;
mod visitors;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use protocol::chunk::{PIECE_BYTES, is_cut};
use protocol::limits::{MESSAGE_BYTES_MAX, WRITE_BUFFER_BYTES_MAX};
use protocol::{Assignment, Digest, SUBPROTOCOL};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::ServerSection;
use crate::run::{Board, ControlEvent, Intake};
use crate::storage::Audit;
use failures::Failures;
use gate::Gate;
use places::Places;
use visitors::{Visitor, Visitors};

pub use crate::tokens::Role;
pub use accept::listen;
pub use dashboard::Dashboard;
pub use invitation::Invitation;
pub use page::is_built as page_is_built;
pub use proxies::Network;
pub use tls::{Files, Tls};
pub use tokens::Tokens;
pub use visitors::connections_max;

/// Read buffer of a session, which it has while it is idle too: axum's default of 128 KiB would cost a
/// gigabyte at 10,000 sessions. Longer messages get a buffer of their own length, and no more at a time
/// is read from the system.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// The same for models whose deltas come in pieces: each is read in one go, with its heads. Beside such a
/// model it is little.
const READ_BUFFER_BYTES_LARGE: usize = PIECE_BYTES + (1 << 10);

/// Parameters are given to the system once so many bytes of them wait: four pieces at a time.
const WRITE_BUFFER_BYTES: usize = 4 * PIECE_BYTES;

/// Who may do what, and who did.
#[derive(Debug)]
pub struct Access {
    /// The tokens that admit.
    pub tokens: Tokens,
    /// How workers join.
    pub invitation: Invitation,
    /// Where acts of admins are written down.
    pub audit: Audit,
}

/// What all sessions of a coordinator share.
#[derive(Debug)]
pub struct Shared {
    access: Access,
    failures: Failures,
    assignment: Assignment,
    shards: HashMap<Digest, Bytes>,
    control: mpsc::Sender<ControlEvent>,
    board: Arc<Board>,
    /// Looks at deltas as they come, and has their memory.
    intake: Intake,
    dashboard: Dashboard,
    sessions: AtomicU64,
    visitors: Arc<Visitors>,
    places: Arc<Places>,
    gate: Gate,
    /// Bytes of all messages and shards, from the coordinator's side.
    pub traffic: Arc<Traffic>,
}

/// Bytes that went over the wire, without the framing of WebSocket and HTTP.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From workers to the coordinator.
    pub up: AtomicU64,
    /// From the coordinator to workers.
    pub down: AtomicU64,
}

impl Shared {
    /// What sessions need to know of a run.
    #[must_use]
    pub fn new(
        access: Access,
        assignment: Assignment,
        shards: HashMap<Digest, Bytes>,
        control: mpsc::Sender<ControlEvent>,
        board: Arc<Board>,
        intake: Intake,
        dashboard: Dashboard,
    ) -> Self {
        Self {
            access,
            failures: Failures::default(),
            assignment,
            shards,
            control,
            board,
            intake,
            dashboard,
            sessions: AtomicU64::new(0),
            visitors: Visitors::new(),
            places: Arc::default(),
            gate: Gate::default(),
            traffic: Arc::default(),
        }
    }

    /// With the names and the proxies by which it is reached: those that it was told, and those of its
    /// certificate.
    #[must_use]
    pub fn reached_by(self, section: &ServerSection, tls: Option<&Tls>) -> Self {
        Self { gate: Gate::new(section, tls), ..self }
    }
}

/// The names of this machine in its own network, its short one first.
#[must_use]
pub fn machine_names() -> Vec<String> {
    origins::machine_names()
}

/// Serves until `shutdown` resolves, over TLS if there is a certificate. A listener that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/", get(page::dashboard))
        .route("/join", get(page::join))
        .route("/try", get(page::predictions))
        .route("/assets/{bundle}/{name}", get(page::asset))
        .route("/v1/worker", get(worker))
        .route("/v1/shards/{digest}", get(shard))
        .route("/v1/status", get(status))
        .route("/v1/join", get(invitation::invitation))
        .route("/metrics", get(metrics))
        .merge(dashboard::routes())
        .layer(from_fn_with_state(shared.clone(), failures::turn_away))
        // Last, and so the first that a request meets: it says whose it is.
        .layer(from_fn_with_state(shared.clone(), gate::pass))
        .layer(map_response(page::protect))
        .with_state(shared.clone());
    accept::serve(listener, tls, router, shared, shutdown).await;
}

async fn worker(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let offered = headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !offered.split(',').any(|name| name.trim() == SUBPROTOCOL) {
        let offered = if offered.is_empty() { "none" } else { offered };
        let offered: String = offered.chars().take(40).collect();
        let reason = format!(
            "this coordinator speaks {SUBPROTOCOL}, the worker {offered}; use the worker of the \
             coordinator's version\n"
        );
        return (StatusCode::UPGRADE_REQUIRED, reason).into_response();
    }
    let Assignment { upload, table, .. } = &shared.assignment;
    let large = is_cut(upload.bytes(table));
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(if large { READ_BUFFER_BYTES_LARGE } else { READ_BUFFER_BYTES })
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| session::run(socket, shared, visitor))
}

async fn shard(
    State(shared): State<Arc<Shared>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &[Role::Worker]) {
        return refusal.into_response();
    }
    let found = Digest::from_hex(&digest).and_then(|digest| shared.shards.get(&digest));
    let Some(bytes) = found else {
        return (StatusCode::NOT_FOUND, "no such shard\n").into_response();
    };
    shared.traffic.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    let cache = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        // Named by its content: never stale. Private: the bearer alone may keep it.
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    (cache, bytes.clone()).into_response()
}

/// An answer in JSON that is true now, and perhaps not any more when it is asked for again.
fn fresh_json(json: impl IntoResponse) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, json).into_response()
}

async fn status(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &Role::ALL) {
        return refusal.into_response();
    }
    match shared.board.read() {
        Ok(json) => fresh_json(json),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &Role::ALL) {
        return refusal.into_response();
    }
    let Traffic { up, down } = &*shared.traffic;
    let bytes = (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed));
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, shared.board.exposition(bytes)).into_response()
}
