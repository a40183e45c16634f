//! `POST /v1/admin/ACT`: whoever controls the run does something, and hears what became of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::super::{Role, Shared};
use crate::run::{Act, Asked, ControlEvent};
use crate::tokens::Bearer;

/// Longest body: a number with its name.
const BODY_BYTES_MAX: usize = 4096;

/// What to answer instead of doing anything.
type Refusal = (StatusCode, String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    worker: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LearningRate {
    learning_rate: f64,
}

pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bearer = match shared.bearer(&headers, &[Role::Admin]) {
        Ok(bearer) => bearer,
        Err(refusal) => return refusal.into_response(),
    };
    match check(&headers, &body).and_then(|()| read(&name, &body)) {
        Ok(act) => perform(&shared, bearer, act).await,
        Err((status, reason)) => (status, format!("{reason}\n")).into_response(),
    }
}

/// Does it, and writes it down: the one place through which all acts go.
async fn perform(shared: &Shared, bearer: Bearer, act: Act) -> Response {
    let (answer, answered) = oneshot::channel();
    let told = shared.control.send(ControlEvent::Act(Asked { act, answer })).await;
    let outcome = match told {
        Ok(()) => answered.await.unwrap_or_else(|_| {
            Err("the run has ended meanwhile, and its last checkpoint is written with it"
                .to_owned())
        }),
        Err(_) => Err("the run is over".to_owned()),
    };
    match outcome {
        Ok(done) => {
            shared.access.audit.note(Some(bearer), &done);
            super::json(&serde_json::json!({ "done": done }))
        }
        Err(reason) => (StatusCode::CONFLICT, format!("{reason}\n")).into_response(),
    }
}

/// Checks the body of a request, which must be JSON if there is one. The gate has waited for it.
fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    if body.len() > BODY_BYTES_MAX {
        let reason = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !body.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
        let reason = "the body must be JSON, with content-type: application/json";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, reason.to_owned()));
    }
    Ok(())
}

/// The act that a request names.
fn read(name: &str, content: &[u8]) -> Result<Act, Refusal> {
    let plain = |act| {
        let content = if content.is_empty() { b"{}" } else { content };
        parsed::<Nothing>(name, content).map(|_| act)
    };
    match name {
        "pause" => plain(Act::Pause),
        "resume" => plain(Act::Resume),
        "checkpoint" => plain(Act::Checkpoint),
        "stop" => plain(Act::Stop),
        "kick" => parsed(name, content).map(|Kick { worker }| Act::Kick(worker)),
        "learning-rate" => {
            let LearningRate { learning_rate } = parsed(name, content)?;
            if learning_rate > 0.0 && learning_rate.is_finite() {
                return Ok(Act::LearningRate(learning_rate));
            }
            let reason = format!("learning_rate is {learning_rate}: it must be above 0 and finite");
            Err((StatusCode::BAD_REQUEST, reason))
        }
        _ => {
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            let reason = format!(
                "`{name}` is no act: use pause, resume, checkpoint, stop, kick or learning-rate"
            );
            Err((StatusCode::NOT_FOUND, reason))
        }
    }
}

fn parsed<T: DeserializeOwned>(name: &str, content: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(content).map_err(|error| {
        let example = match name {
            "kick" => "{\"worker\": 3}",
            "learning-rate" => "{\"learning_rate\": 0.005}",
            _ => "{}, or nothing",
        };
        let reason = format!("the body of {name} is not understood: {error}; it is {example}");
        (StatusCode::BAD_REQUEST, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read_strictly() {
        assert_eq!(read("pause", b"").unwrap(), Act::Pause);
        assert_eq!(read("stop", b" {} ").unwrap(), Act::Stop);
        assert_eq!(read("kick", b"{\"worker\": 7}").unwrap(), Act::Kick(7));
        let rate = read("learning-rate", b"{\"learning_rate\": 5e-3}").unwrap();
        assert_eq!(rate, Act::LearningRate(0.005));
        let refused = [
            ("pause", "{\"force\": true}"),
            ("kick", ""),
            ("kick", "{\"worker\": -1}"),
            ("kick", "{\"worker\": \"a\"}"),
            ("learning-rate", "{\"learning_rate\": 0}"),
            ("learning-rate", "{\"learning_rate\": -0.1}"),
            ("learning-rate", "{\"learning_rate\": 1e999}"),
            ("learning-rate", "{\"learning_rate\": null}"),
        ];
        for (name, content) in refused {
            let (status, reason) = read(name, content.as_bytes()).unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name} {content}: {reason}");
        }
        assert_eq!(read("format", b"").unwrap_err().0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn bodies_are_bounded_and_json() {
        let check = |kind: &'static str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            check(&headers, body.as_bytes())
        };
        check("application/json; charset=utf-8", "{}").unwrap();
        check("text/plain", "").unwrap();
        let (status, _) = check("text/plain", "{}").unwrap_err();
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let (status, _) = check("application/json", &" ".repeat(BODY_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
