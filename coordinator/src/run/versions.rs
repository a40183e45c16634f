//! Which versions are on their way to workers: a bounded number, so that memory does not grow with
//! the number of workers that pull slowly.
//!
//! A version is encoded once and shared by all who pull it. Each that some worker is still reading
//! holds one encoded model: when there are enough of them, pulls wait, and are then answered
//! together with one version.

use std::sync::{Arc, Weak};

use protocol::Version;
use tokio::sync::Notify;

/// Versions that may be under way together, in encoded models.
const VERSIONS_MAX: usize = 3;

/// Small models may have more versions under way than [`VERSIONS_MAX`], up to these bytes.
const VERSION_BYTES_MIN: usize = 64 << 20;

/// Versions under way.
#[derive(Debug)]
pub(super) struct Versions {
    limit: usize,
    under_way: Vec<(Version, Weak<Held>)>,
    freed: Arc<Notify>,
}

/// Keeps a version's place as long as it, or a clone, is there.
#[derive(Debug, Clone)]
pub struct VersionPlace(#[allow(dead_code, reason = "it is held to be dropped")] Arc<Held>);

#[derive(Debug)]
struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Versions {
    /// For versions of `model_bytes` encoded bytes.
    pub(super) fn new(model_bytes: u64) -> Self {
        let by_bytes =
            VERSION_BYTES_MIN / usize::try_from(model_bytes.max(1)).unwrap_or(usize::MAX);
        let limit = VERSIONS_MAX.max(by_bytes);
        Self { limit, under_way: Vec::new(), freed: Arc::default() }
    }

    /// Whether a pull of this version has to wait for a place.
    pub(super) fn is_full(&mut self, version: Version) -> bool {
        self.under_way.retain(|(_, held)| held.strong_count() > 0);
        self.under_way.len() >= self.limit
            && !self.under_way.iter().any(|(under_way, _)| *under_way == version)
    }

    /// A place for a version that is about to be sent; the one it has, if it is under way.
    pub(super) fn place(&mut self, version: Version) -> VersionPlace {
        let known = self.under_way.iter().filter(|(under_way, _)| *under_way == version);
        if let Some(held) = known.filter_map(|(_, held)| held.upgrade()).next() {
            return VersionPlace(held);
        }
        let held = Arc::new(Held(self.freed.clone()));
        self.under_way.push((version, Arc::downgrade(&held)));
        VersionPlace(held)
    }

    /// Resolves when a place may have become free since the last time.
    pub(super) fn freed(&self) -> impl Future<Output = ()> + use<> {
        let freed = self.freed.clone();
        async move { freed.notified().await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_bounded_and_shared() {
        let version = |number| Version { incarnation: 1, number };
        let mut versions = Versions::new(VERSION_BYTES_MIN as u64);
        let places: Vec<_> = (0..VERSIONS_MAX as u64)
            .map(|number| {
                assert!(!versions.is_full(version(number)));
                versions.place(version(number))
            })
            .collect();
        assert!(versions.is_full(version(9)));
        assert!(!versions.is_full(version(0)), "it is under way already");
        let shared = versions.place(version(0));
        drop(places);
        assert!(!versions.is_full(version(9)));
        assert_eq!(versions.under_way.len(), 1);
        pollster::block_on(versions.freed());
        drop(shared);
        pollster::block_on(versions.freed());
    }
}
