//! Tokens: what one is, what it is good for, and `herd token`.
//!
//! - here: [`Secret`], a token as its bearer has it; [`Role`], what it allows; [`Denied`], why it
//!   allows nothing
//! - [`verbs`]: `herd token make`, `list` and `revoke`
//!
//! `storage` keeps them, `server` asks for them.

mod verbs;

use std::fmt;

use anyhow::Context;
use clap::ValueEnum;

pub use verbs::{list, make, revoke};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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

    /// As it is called for people, and stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who has shown a token that admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The token's number in its run.
    pub id: u32,
    /// What it allows.
    pub role: Role,
}

/// Why a token does not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is none of the run's, or was never made.
    Unknown,
    /// Somebody took it back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Denied {
    /// One line for its bearer. Who has the token may know what became of it.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Unknown => "the token does not admit to this run\n",
            Self::Revoked => "the token was revoked; ask for a new one\n",
            Self::Expired => "the token has expired; ask for a new one\n",
        }
    }

    /// The same without its end.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.line().trim_end()
    }
}

/// A token as its bearer has it: 256 random bits. It has no `Display` and its `Debug` does not show
/// it, so that it is printed only where that is meant.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one. No dash or underscore stands at an end: in front it would look like a flag, behind
    /// it is easily left out when a link is copied.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> anyhow::Result<Self> {
        loop {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
            let token = data_encoding::BASE64URL_NOPAD.encode(&bytes);
            if !token.starts_with(['-', '_']) && !token.ends_with(['-', '_']) {
                return Ok(Self(token));
            }
        }
    }

    /// The text that admits.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it. A salt or a slow hash would protect a secret that can be guessed: nobody
    /// goes through 2^256 of them, and no two are the same.
    #[must_use]
    pub fn hash(&self) -> blake3::Hash {
        hash(&self.0)
    }
}

/// What a token is compared by.
pub(crate) fn hash(token: &str) -> blake3::Hash {
    blake3::hash(token.as_bytes())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_are_no_flags_and_do_not_show_themselves() {
        let all: std::collections::BTreeSet<String> = (0..1000)
            .map(|_| {
                let secret = Secret::new().unwrap();
                assert_eq!(format!("{secret:?}"), "Secret(..)");
                assert_eq!(secret.hash(), hash(secret.reveal()));
                secret.reveal().to_owned()
            })
            .collect();
        assert_eq!(all.len(), 1000);
        for token in all {
            assert_eq!(data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).unwrap().len(), 32);
            let ends = [token.chars().next(), token.chars().next_back()];
            assert!(ends.iter().flatten().all(char::is_ascii_alphanumeric), "{token}");
        }
    }

    #[test]
    fn roles_have_their_names() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(Role::from_str(role.name(), false), Ok(role));
        }
        assert_eq!(Role::from_name("root"), None);
    }
}
