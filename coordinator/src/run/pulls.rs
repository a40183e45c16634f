//! Which versions are on their way to workers: few, so that memory does not grow with the number of
//! workers that pull.
//!
//! A version is encoded once and shared by all who pull it. Each that some worker is still reading
//! holds one encoded model. When there are enough of them pulls wait, and are then answered together
//! with one version: until one of the others is sent, or for [`WAIT_MAX`], for some workers read
//! slowly.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use engine::WorkerKey;
use protocol::{LeaseId, Version};
use tokio::sync::Notify;

/// Versions that may be under way together, in encoded models.
const VERSIONS_MAX: usize = 1;

/// Small models may have more versions under way than [`VERSIONS_MAX`], up to these bytes.
const VERSION_BYTES_MIN: usize = 64 << 20;

/// Versions of any size that may be under way when pulls have waited for [`WAIT_MAX`].
const LATE_VERSIONS_MAX: usize = 4;

/// How long a pull waits for a version to be sent, if there is room for another.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A worker's pull: the lease, and the leases that are pending.
pub(super) type Pull = (WorkerKey, LeaseId, Vec<LeaseId>);

/// Pulls that wait, and versions under way.
#[derive(Debug)]
pub(super) struct Pulls {
    limit: usize,
    waiting: VecDeque<(Instant, Pull)>,
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

impl Pulls {
    /// For versions of `model_bytes` encoded bytes.
    pub(super) fn new(model_bytes: u64) -> Self {
        let by_bytes =
            VERSION_BYTES_MIN / usize::try_from(model_bytes.max(1)).unwrap_or(usize::MAX);
        let limit = VERSIONS_MAX.max(by_bytes);
        Self { limit, waiting: VecDeque::new(), under_way: Vec::new(), freed: Arc::default() }
    }

    /// A pull came.
    pub(super) fn add(&mut self, now: Instant, pull: Pull) {
        self.waiting.push_back((now, pull));
    }

    /// Forgets a worker's pulls.
    pub(super) fn forget(&mut self, worker: WorkerKey) {
        self.waiting.retain(|(_, (waiting, ..))| *waiting != worker);
    }

    /// The next pull that may be answered with this version, if any.
    pub(super) fn next(&mut self, now: Instant, version: Version) -> Option<Pull> {
        let (since, _) = self.waiting.front()?;
        let late = now.saturating_duration_since(*since) >= WAIT_MAX;
        let limit = if late { self.limit.max(LATE_VERSIONS_MAX) } else { self.limit };
        self.under_way.retain(|(_, held)| held.strong_count() > 0);
        let shared = self.under_way.iter().any(|(under_way, _)| *under_way == version);
        if !shared && self.under_way.len() >= limit {
            return None;
        }
        self.waiting.pop_front().map(|(_, pull)| pull)
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

    /// Resolves when a pull that waits may be answered; for ever while none waits.
    pub(super) fn ready(&self, now: Instant) -> impl Future<Output = ()> + use<> {
        let freed = self.freed.clone();
        let waiting = self.waiting.front().map(|(since, _)| *since + WAIT_MAX);
        async move {
            match waiting {
                Some(late) if late > now => tokio::select! {
                    () = freed.notified() => {}
                    () = tokio::time::sleep_until(late.into()) => {}
                },
                Some(_) => freed.notified().await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> Version {
        Version { incarnation: 1, number }
    }

    fn pull(worker: u64) -> Pull {
        (WorkerKey(worker), LeaseId { incarnation: 1, number: worker }, Vec::new())
    }

    #[test]
    fn versions_are_bounded_and_shared() {
        let now = Instant::now();
        // Two have room.
        let mut pulls = Pulls::new(VERSION_BYTES_MIN as u64 / 2);
        let mut places = Vec::new();
        for number in 0..2 {
            pulls.add(now, pull(number));
            assert_eq!(pulls.next(now, version(number)), Some(pull(number)));
            places.push(pulls.place(version(number)));
        }
        (10..13).for_each(|worker| pulls.add(now, pull(worker)));
        assert_eq!(pulls.next(now, version(9)), None);
        assert_eq!(pulls.next(now, version(0)), Some(pull(10)), "it is under way already");
        let shared = pulls.place(version(0));
        pulls.forget(WorkerKey(11));
        drop(places);
        pollster::block_on(pulls.ready(now + WAIT_MAX));
        assert_eq!(pulls.next(now, version(9)), Some(pull(12)));
        assert_eq!(pulls.under_way.len(), 1, "one is still shared");
        drop(shared);
    }

    #[test]
    fn who_waits_long_gets_a_version_though_others_read_slowly() {
        let (now, late) = (Instant::now(), Instant::now() + WAIT_MAX);
        let mut pulls = Pulls::new(u64::MAX);
        let slow: Vec<_> =
            (0..VERSIONS_MAX as u64).map(|number| pulls.place(version(number))).collect();
        pulls.add(now, pull(1));
        assert_eq!(pulls.next(now, version(9)), None);
        assert_eq!(pulls.next(late, version(9)), Some(pull(1)));
        let more = 10..10 + LATE_VERSIONS_MAX - VERSIONS_MAX;
        let more: Vec<_> = more.map(|number| pulls.place(version(number as u64))).collect();
        pulls.add(now, pull(2));
        assert_eq!(pulls.next(late, version(9)), None, "there is an end to it");
        drop((slow, more));
    }
}
