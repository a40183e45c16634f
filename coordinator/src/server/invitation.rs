//! `GET /v1/join`: the links by which workers join, for an admin who hands them on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Role, Shared, fresh_json};

/// How workers join, with the token that this start has made for them.
#[derive(Debug)]
pub struct Invitation {
    /// The token's number.
    token: u32,
    /// What is answered.
    json: String,
}

const REVOKED: &str = "the token of these links was revoked; `herd token make --role worker` on the \
                       coordinator's machine makes another\n";

impl Invitation {
    /// Links with the token of this number, as JSON.
    #[must_use]
    pub fn new(token: u32, json: String) -> Self {
        Self { token, json }
    }
}

pub(super) async fn invitation(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = shared.authorize(&headers, &[Role::Admin]) {
        return refusal.into_response();
    }
    let Invitation { token, json } = &shared.access.invitation;
    if !shared.access.tokens.admits(*token) {
        return (StatusCode::CONFLICT, REVOKED).into_response();
    }
    fresh_json(json.clone())
}
