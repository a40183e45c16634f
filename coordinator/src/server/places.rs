//! Sessions that a token admits: so many altogether, and so many slots of one identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Identity;
use protocol::limits::{SESSIONS_PER_TOKEN_MAX, SLOTS_PER_IDENTITY_MAX};

/// Counts the workers that have sessions.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    workers: usize,
    /// Sessions of each slot: two for a moment, when a newer one replaces an older.
    identities: HashMap<Identity, HashMap<u16, usize>>,
}

/// Why a session is one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    /// Its identity has enough slots.
    #[error(
        "this identity has {SLOTS_PER_IDENTITY_MAX} workers already; start fewer, or give the \
         others an identity of their own"
    )]
    Identity,
    /// The token has enough sessions.
    #[error("the run has {SESSIONS_PER_TOKEN_MAX} workers already; try again when some have left")]
    Token,
}

/// A session's place, which it gives back when it ends.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    identity: Identity,
    slot: u16,
}

impl Places {
    /// Takes a place. A slot that has a session keeps its place: the new session replaces it.
    ///
    /// # Errors
    /// When it is one too many.
    pub(super) fn take(self: &Arc<Self>, identity: Identity, slot: u16) -> Result<Place, NoPlace> {
        let mut taken = self.taken();
        let slots = taken.identities.get(&identity);
        let repeated = slots.is_some_and(|slots| slots.contains_key(&slot));
        if !repeated {
            if slots.is_some_and(|slots| slots.len() >= SLOTS_PER_IDENTITY_MAX) {
                return Err(NoPlace::Identity);
            }
            if taken.workers >= SESSIONS_PER_TOKEN_MAX {
                return Err(NoPlace::Token);
            }
            taken.workers += 1;
        }
        *taken.identities.entry(identity).or_default().entry(slot).or_default() += 1;
        Ok(Place { places: self.clone(), identity, slot })
    }

    /// The lock is held for a few additions, which cannot fail half-way.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NoPlace {
    /// Whether trying again later can help.
    pub(super) fn retry(&self) -> bool {
        matches!(self, Self::Token)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let Some(slots) = taken.identities.get_mut(&self.identity) else { return };
        let Some(sessions) = slots.get_mut(&self.slot) else { return };
        *sessions -= 1;
        if *sessions > 0 {
            return;
        }
        slots.remove(&self.slot);
        if slots.is_empty() {
            taken.identities.remove(&self.identity);
        }
        taken.workers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(number: usize) -> Identity {
        Identity((number as u128).to_le_bytes())
    }

    #[test]
    fn a_repeated_slot_counts_once() {
        let places = Arc::new(Places::default());
        let all: Vec<_> = (0..SLOTS_PER_IDENTITY_MAX as u16)
            .map(|slot| places.take(identity(1), slot).unwrap())
            .collect();
        assert_eq!(places.take(identity(1), 1000).unwrap_err(), NoPlace::Identity);
        let replacing = places.take(identity(1), 0).unwrap();
        assert_eq!(places.taken().workers, SLOTS_PER_IDENTITY_MAX);
        places.take(identity(2), 1000).unwrap();
        drop(all);
        assert_eq!(places.taken().workers, 1, "the one that replaced is still there");
        drop(replacing);
        let taken = places.taken();
        assert_eq!((taken.workers, taken.identities.len()), (0, 0));
    }

    #[test]
    fn sessions_of_the_token_are_bounded() {
        let places = Arc::new(Places::default());
        let take = |number| places.take(identity(number), 0);
        let mut all: Vec<_> = (0..SESSIONS_PER_TOKEN_MAX).map(|n| take(n).unwrap()).collect();
        assert_eq!(take(usize::MAX).unwrap_err(), NoPlace::Token);
        take(0).unwrap();
        all.pop();
        take(usize::MAX).unwrap();
    }
}
