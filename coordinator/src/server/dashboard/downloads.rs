//! Files of the run, to be taken away: its metrics and its best model.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::task::spawn_blocking;

use super::super::Shared;
use super::{LOOKING, failed, missing};
use crate::runs;
use crate::storage::{BEST, FINAL};

/// Bytes of a file that are in memory for one answer.
const PIECE_BYTES: usize = 1 << 18;

/// Said while there is no model.
pub(super) const NO_MODEL: &str =
    "no model has been kept yet: the first one is after an epoch with validation, or at the end\n";

pub(super) async fn csv(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    metrics(shared, headers, "csv", "text/csv; charset=utf-8", runs::metrics_csv).await
}

pub(super) async fn json(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    metrics(shared, headers, "json", "application/json", runs::metrics_json).await
}

async fn metrics(
    shared: Arc<Shared>,
    headers: HeaderMap,
    end: &str,
    kind: &'static str,
    read: fn(&Path) -> anyhow::Result<Vec<u8>>,
) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &LOOKING) {
        return refusal.into_response();
    }
    let name = format!("{}.{end}", runs::file_name(&shared.dashboard.folder));
    match spawn_blocking(move || read(&shared.dashboard.folder)).await {
        Ok(Ok(content)) => attached(&name, kind, Body::from(content)),
        Ok(Err(error)) => failed(&format!("{error:#}")),
        Err(error) => failed(&error),
    }
}

pub(super) async fn model(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &LOOKING) {
        return refusal.into_response();
    }
    let name = format!("{}.safetensors", runs::file_name(&shared.dashboard.folder));
    let opened = spawn_blocking(move || {
        let file = File::open(best_model(&shared))?;
        let length = file.metadata()?.len();
        Ok::<_, io::Error>((file, length))
    });
    match opened.await {
        Ok(Ok((file, length))) => {
            let mut answer = attached(&name, "application/octet-stream", pieces(file));
            answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            answer
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => missing(NO_MODEL),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// The model that the run is for: the best so far, else the last once the run has ended.
pub(super) fn best_model(shared: &Shared) -> PathBuf {
    let models = [BEST, FINAL].map(|name| shared.dashboard.folder.join(name));
    let found = models.iter().position(|model| model.is_file()).unwrap_or(0);
    models.into_iter().nth(found).unwrap_or_default()
}

/// An answer that a browser stores under this name.
fn attached(name: &str, kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, body).into_response()
}

/// The rest of a file, read on other threads as it is sent.
pub(super) fn pieces(file: File) -> Body {
    Body::from_stream(stream::try_unfold(file, async |file| {
        let read = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            Ok::<_, io::Error>((piece, file))
        });
        let (piece, file) = read.await.map_err(io::Error::other)??;
        Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    }))
}
