//! Who may do what: each token has a role, and each request needs one of some roles.

use axum::http::{HeaderMap, StatusCode, header};

use super::Shared;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Joins the run, fetches shards and parameters, sees how the run stands.
    Worker,
    /// Sees everything of the run, and changes nothing.
    Viewer,
    /// Sees everything, and controls the run.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Viewer, Self::Admin];

    /// As it is called for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

/// The tokens of a run, of which only the hashes are known.
#[derive(Debug)]
pub struct Tokens(Vec<(blake3::Hash, Role)>);

impl Tokens {
    /// These and no others.
    #[must_use]
    pub fn new(tokens: Vec<(blake3::Hash, Role)>) -> Self {
        Self(tokens)
    }

    /// The role of a token. Hashes are compared in constant time.
    #[must_use]
    pub fn role(&self, token: &str) -> Option<Role> {
        let hash = blake3::hash(token.as_bytes());
        self.0.iter().find(|(known, _)| *known == hash).map(|(_, role)| *role)
    }
}

impl Shared {
    /// The role of the token that a request carries, if it is one of these.
    ///
    /// # Errors
    /// What to answer to a request that may not do what it asks for.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        roles: &[Role],
    ) -> Result<Role, (StatusCode, &'static str)> {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match token.and_then(|token| self.tokens.role(token)) {
            Some(role) if roles.contains(&role) => Ok(role),
            Some(Role::Worker) => {
                Err((StatusCode::FORBIDDEN, "a worker's token does not allow this\n"))
            }
            Some(Role::Viewer) => {
                Err((StatusCode::FORBIDDEN, "a viewer's token does not allow this\n"))
            }
            Some(Role::Admin) => {
                Err((StatusCode::FORBIDDEN, "an admin's token does not allow this\n"))
            }
            None => Err((StatusCode::UNAUTHORIZED, "the token does not admit to this run\n")),
        }
    }
}
