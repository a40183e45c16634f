//! The best model so far, for browsers that try it: what it takes and says, and its values.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::Digest;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::super::{Role, Shared};
use super::downloads::{NO_MODEL, best_model, pieces};
use super::{failed, missing};
use crate::storage::ModelValues;

/// The digest of the model that was asked for last: all of its values had to be read for it.
#[derive(Debug, Default)]
pub(super) struct Described(Mutex<Option<(Key, Digest)>>);

/// Which model a file holds: the best epoch, and when and how long it was written.
type Key = (Option<(u32, u64)>, Option<SystemTime>, u64);

pub(super) async fn describe(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &Role::ALL) {
        return refusal.into_response();
    }
    let described = spawn_blocking(move || {
        let opened = open(&shared)?;
        anyhow::Ok(opened.map(|(values, digest)| description(&shared, &values, digest)))
    });
    match described.await {
        Ok(Ok(Some(description))) => super::json(&description),
        Ok(Ok(None)) => missing(NO_MODEL),
        Ok(Err(error)) => failed(&format!("{error:#}")),
        Err(error) => failed(&error),
    }
}

pub(super) async fn parameters(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &Role::ALL) {
        return refusal.into_response();
    }
    let opened = spawn_blocking(move || {
        let Some((values, digest)) = open(&shared)? else { return anyhow::Ok(None) };
        let length = values.length();
        Ok(Some((values.into_file()?, length, digest)))
    });
    let (file, length, digest) = match opened.await {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return missing(NO_MODEL),
        Ok(Err(error)) => return failed(&format!("{error:#}")),
        Err(error) => return failed(&error),
    };
    let tag = format!("\"{digest}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        // Kept by the bearer, and asked for again: the best model changes.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ETAG, tag),
    ];
    (headers, pieces(file)).into_response()
}

/// The best model as it is now, with the digest of its values.
fn open(shared: &Shared) -> anyhow::Result<Option<(ModelValues, Digest)>> {
    let best = shared.board.live().best();
    let Some(mut values) = ModelValues::open(&best_model(shared))? else {
        return Ok(None);
    };
    let key = (best, values.modified(), values.length());
    // Held while a file is read: a second one who asks need not read it too.
    let Described(known) = &shared.dashboard.described;
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, digest)) = *known
        && of == key
    {
        return Ok(Some((values, digest)));
    }
    let digest = values.digest()?;
    *known = Some((key, digest));
    Ok(Some((values, digest)))
}

fn description(shared: &Shared, values: &ModelValues, digest: Digest) -> Value {
    let (spec, names) = (values.plan.spec(), &values.names);
    let best = shared.board.live().best();
    json!({
        "spec": spec,
        "version": best.map(|(_, version)| version),
        "epoch": best.map(|(epoch, _)| epoch),
        "digest": digest.to_string(),
        "classes": Some(&names.classes).filter(|classes| !classes.is_empty()),
        "input": shared.dashboard.input,
        "target": Some(&names.label).filter(|label| !label.is_empty()),
        "loss": spec.loss.name(),
    })
}
