//! What the dashboard asks for: a run to watch, to control, and to take away.
//!
//! - `GET /v1/live`: a stream of events; who watches gets the same bytes as all others
//! - `GET /v1/runs`: the runs beside this one
//! - `POST /v1/admin/...`: acts ([`acts`])
//! - `GET /v1/metrics.csv`, `/v1/metrics.json`, `/v1/model`: files ([`downloads`])
//! - `GET /v1/predictor`, `/v1/predictor/parameters`: the best model so far, to be tried in a browser
//!   ([`predictor`])
//!
//! Disks are read on threads of their own, and long answers in pieces.

mod acts;
mod downloads;
mod predictor;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Role, Shared, fresh_json};
use crate::predict::Input;
use crate::run::Viewer;
use crate::runs;
use crate::tokens::Denied;
use predictor::Described;

/// Who may look at everything.
const LOOKING: [Role; 2] = [Role::Viewer, Role::Admin];

/// People who watch at a time: each holds a connection, and the next ones may look at the same screen.
const VIEWERS_MAX: usize = 1000;

/// After so much silence a comment shows that the stream lives: a run that is over has no news.
const SILENCE: Duration = Duration::from_secs(6);

/// What the dashboard needs to know of a run beside its board.
#[derive(Debug)]
pub struct Dashboard {
    folder: PathBuf,
    input: Input,
    described: Described,
}

impl Dashboard {
    /// Of the run in a folder, whose model takes such inputs.
    #[must_use]
    pub fn new(folder: PathBuf, input: Input) -> Self {
        Self { folder, input, described: Described::default() }
    }
}

/// All routes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/live", get(live))
        .route("/v1/runs", get(list))
        .route("/v1/admin/{act}", post(acts::act))
        .route("/v1/metrics.csv", get(downloads::csv))
        .route("/v1/metrics.json", get(downloads::json))
        .route("/v1/model", get(downloads::model))
        .route("/v1/predictor", get(predictor::describe))
        .route("/v1/predictor/parameters", get(predictor::parameters))
}

async fn live(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let bearer = match shared.bearer(&headers, &LOOKING) {
        Ok(bearer) => bearer,
        Err(refusal) => return refusal.into_response(),
    };
    let live = shared.board.live();
    if live.viewers() >= VIEWERS_MAX {
        let reason = format!("{VIEWERS_MAX} watch this run already; try again later\n");
        return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    }
    let denied = Box::pin(shared.access.tokens.end_of(bearer.id));
    let watching = Watching { viewer: live.watch(), denied };
    let events = stream::unfold(watching, async |mut watching| {
        let event = watching.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), watching))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that collect answers would show the run late, or never.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
        // All viewers get the same events; what this one may do, the page must know too.
        (header::HeaderName::from_static("herd-role"), bearer.role.name()),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// One stream.
struct Watching {
    viewer: Viewer,
    /// Resolves when the token does not admit any more.
    denied: Pin<Box<dyn Future<Output = Denied> + Send>>,
}

impl Watching {
    /// The next event. A token that does not admit any more ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            _ = &mut self.denied => None,
            event = timeout(SILENCE, self.viewer.next()) => match event {
                Ok(event) => event,
                Err(_) => Some(Bytes::from_static(b": nothing new\n\n")),
            },
        }
    }
}

async fn list(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &[Role::Admin]) {
        return refusal.into_response();
    }
    match spawn_blocking(move || runs::beside(&shared.dashboard.folder)).await {
        Ok(runs) => json(&runs),
        Err(error) => failed(&error),
    }
}

/// An answer of data that changes.
fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => fresh_json(json),
        Err(error) => failed(&error),
    }
}

/// What the disk refuses is the coordinator's trouble, and not of who asks.
fn failed(error: &impl std::fmt::Display) -> Response {
    tracing::warn!("an answer for the dashboard cannot be given: {error}");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

/// There is nothing yet.
fn missing(reason: &'static str) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], (StatusCode::NOT_FOUND, reason)).into_response()
}
