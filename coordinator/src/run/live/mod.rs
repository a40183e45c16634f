//! A run while it goes on, for those who watch it.
//!
//! - [`view`]: how it stands at a moment; [`recent`]: how fast it is now
//! - [`kept`]: its epochs and events, as many as a page can show
//! - [`snapshot`]: a view with what is new, as the bytes that all viewers share
//! - here: who watches, and the newest snapshot
//!
//! The control task makes a snapshot now and then, and only while somebody watches. Nobody waits for
//! anybody: the first viewer that takes a snapshot serialises it, and who is slow misses some.

mod kept;
mod recent;
mod snapshot;
mod view;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::board::locked;
use super::curve::Point;
use super::{Ended, EpochRecord, History, Tally};
use kept::Kept;
pub(super) use kept::Kind as EventKind;
pub(super) use recent::Recent;
use snapshot::Marks;
use snapshot::Snapshot;
pub use view::About;
pub(super) use view::{Moment, Presence, Stored, View};

/// Those who watch one run, and what they see.
#[derive(Debug)]
pub struct Live {
    about: About,
    viewers: AtomicUsize,
    /// Somebody came, and a snapshot is due.
    wanted: Notify,
    newest: watch::Sender<Option<Arc<Snapshot>>>,
    kept: Arc<Mutex<Kept>>,
    last: Mutex<Last>,
    /// No snapshots are made on demand any more: the run is over.
    settled: AtomicBool,
    /// The server ends.
    closed: watch::Sender<bool>,
}

/// What the last snapshot held, to tell what is new.
#[derive(Debug, Default)]
struct Last {
    number: u64,
    marks: Marks,
    curve: Arc<[Point]>,
    history: Arc<[[f32; 3]]>,
}

impl Live {
    /// A run that has not begun, or goes on after these epochs; one of them validated best.
    #[must_use]
    pub fn new(about: About, records: &[EpochRecord], best: Option<u32>) -> Self {
        Self {
            about,
            viewers: AtomicUsize::new(0),
            wanted: Notify::new(),
            newest: watch::Sender::new(None),
            kept: Arc::new(Mutex::new(Kept::new(records, best))),
            last: Mutex::default(),
            settled: AtomicBool::new(false),
            closed: watch::Sender::new(false),
        }
    }

    /// Begins to watch.
    #[must_use]
    pub fn watch(self: &Arc<Self>) -> Viewer {
        let first = self.viewers.fetch_add(1, Ordering::SeqCst) == 0;
        if first && !self.settled.load(Ordering::SeqCst) {
            // Nobody has looked for a while: it may be of an hour ago.
            self.newest.send_replace(None);
        }
        self.wanted.notify_one();
        let (snapshots, closed) = (self.newest.subscribe(), self.closed.subscribe());
        Viewer { live: self.clone(), snapshots, closed, last: None }
    }

    /// How many watch.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.viewers.load(Ordering::SeqCst)
    }

    /// Ends all viewers: the server is to end.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// The epoch whose model is the best so far, with the master's version then.
    #[must_use]
    pub fn best(&self) -> Option<(u32, u64)> {
        self.kept().best.as_ref().map(|best| (best.epoch, best.version))
    }

    /// Resolves when a snapshot is wanted before the next one is due.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// An epoch was evaluated; its model may be the best so far.
    pub(super) fn epoch(&self, record: &EpochRecord, is_best: bool) {
        self.kept().epoch(record, is_best);
    }

    /// A checkpoint is on the disk.
    pub(super) fn stored(&self, number: u64) {
        self.kept().checkpoint = Some((number, Instant::now()));
    }

    /// Something happened, so many seconds of training after the start.
    pub(super) fn note(&self, kind: EventKind, seconds: f64, text: &str) {
        self.kept().note(kind, seconds, text);
    }

    /// Completes what is known at a moment.
    pub(super) fn moment(&self, moment: Moment) -> Moment {
        let kept = self.kept();
        let stored = |(number, at): (u64, Instant)| Stored {
            number,
            seconds_ago: at.elapsed().as_secs_f64(),
        };
        Moment {
            viewers: self.viewers(),
            checkpoint: kept.checkpoint.map(stored),
            best: kept.best.clone(),
            ..moment
        }
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// Shows a view, with the charts that belong to it.
    pub(super) fn show(&self, view: View, points: &[Point], history: &History) {
        let mut last = locked(&self.last);
        last.number += 1;
        let since = last.marks;
        last.marks = self.kept().marks();
        let curve_is_new = *last.curve != *points;
        if curve_is_new {
            last.curve = points.into();
        }
        let history = kept::rows(history);
        let history_is_new = *last.history != *history;
        if history_is_new {
            last.history = history.into();
        }
        let snapshot = Snapshot {
            number: last.number,
            view,
            curve: last.curve.clone(),
            curve_is_new,
            history: last.history.clone(),
            history_is_new,
            since,
            marks: last.marks,
            kept: self.kept.clone(),
            tick: Default::default(),
            whole: Default::default(),
        };
        drop(last);
        self.newest.send_replace(Some(Arc::new(snapshot)));
    }

    /// The control task has shown its last view.
    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }

    /// The run is over: the view is what the command says at its end.
    pub(super) fn end(&self, ended: &Ended<'_>) {
        let Ended { ending, test, status, tally, bytes, .. } = ended;
        let seconds = tally.training_time().as_secs_f64();
        let reason = ending.sentence();
        self.note(EventKind::Note, seconds, &reason);
        let moment = Moment { reason: Some(reason), seconds, bytes: *bytes, ..Moment::default() };
        let view = View::new(&self.about, status, tally, self.moment(moment)).ended(*test);
        self.show_with(view, tally);
        self.settle();
    }

    pub(super) fn show_with(&self, view: View, tally: &Tally) {
        self.show(view, tally.curve().points(), tally.history());
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        locked(&self.kept)
    }
}

/// Somebody who watches.
#[derive(Debug)]
pub struct Viewer {
    live: Arc<Live>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    closed: watch::Receiver<bool>,
    /// Number of the snapshot seen last.
    last: Option<u64>,
}

impl Viewer {
    /// The next snapshot, as it is to be sent: all of it to who has missed one. None at the end of
    /// the server.
    pub async fn next(&mut self) -> Option<bytes::Bytes> {
        loop {
            if *self.closed.borrow_and_update() {
                return None;
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot
                && self.last != Some(snapshot.number)
            {
                let follows = self.last.is_some_and(|last| last + 1 == snapshot.number);
                self.last = Some(snapshot.number);
                return Some(if follows { snapshot.tick() } else { snapshot.whole() });
            }
            tokio::select! {
                changed = self.snapshots.changed() => changed.ok()?,
                changed = self.closed.changed() => changed.ok()?,
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.live.viewers.fetch_sub(1, Ordering::SeqCst);
    }
}
