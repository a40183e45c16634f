//! Epochs and events of a run, as many as a page can show.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::super::{EpochRecord, History};
use super::snapshot::Marks;
use super::view::Best;

/// Events that are kept.
const EVENTS_MAX: usize = 200;

/// Epochs that are kept: of more, each second of the older half is left out. So the newest thousand are
/// always complete, and all of them some hundred kilobytes.
const RECORDS_MAX: usize = 2000;

/// Most characters of an event's sentence.
const TEXT_MAX: usize = 300;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A worker joined.
    Joined,
    /// A worker left.
    Left,
    /// A worker's connection is lost.
    Lost,
    /// A worker's connection is back.
    Back,
    /// A delta, or a worker, was refused.
    Refused,
    /// A checkpoint that was asked for is on the disk.
    Checkpoint,
    /// Whoever controls the run did something.
    Admin,
    /// Anything else.
    Note,
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    pub(super) number: u64,
    seconds: f64,
    kind: Kind,
    text: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(super) records: Vec<Arc<EpochRecord>>,
    pub(super) events: VecDeque<Arc<Event>>,
    number: u64,
    pub(super) best: Option<Best>,
    /// The newest checkpoint's number, and when it was stored.
    pub(super) checkpoint: Option<(u64, Instant)>,
}

impl Kept {
    pub(super) fn new(records: &[EpochRecord], best: Option<u32>) -> Self {
        let mut kept = Self::default();
        for record in records {
            kept.epoch(record, best == Some(record.epoch));
        }
        kept
    }

    pub(super) fn epoch(&mut self, record: &EpochRecord, is_best: bool) {
        if is_best {
            self.best = Some(Best::of(record));
        }
        self.records.push(Arc::new(record.clone()));
        if self.records.len() > RECORDS_MAX {
            let mut place = 0;
            self.records.retain(|_| {
                place += 1;
                place > RECORDS_MAX / 2 || place % 2 == 1
            });
        }
    }

    pub(super) fn note(&mut self, kind: Kind, seconds: f64, text: &str) {
        self.number += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let text = text.chars().take(TEXT_MAX).collect();
        self.events.push_back(Arc::new(Event { number: self.number, seconds, kind, text }));
    }

    /// Up to where all is known now.
    pub(super) fn marks(&self) -> Marks {
        let record = self.records.last().map_or(0, |record| record.epoch);
        Marks { record, event: self.number }
    }
}

/// The stretches of a run's time: their ends in seconds, samples per second, workers.
pub(super) fn rows(history: &History) -> Vec<[f32; 3]> {
    let mut begun = 0;
    let row = |stretch: super::super::Stretch| {
        let length = (stretch.end_ms - begun).max(1) as f32;
        begun = stretch.end_ms;
        let part = |of: u64| of as f32 / length;
        [stretch.end_ms as f32 / 1e3, 1e3 * part(stretch.samples), part(stretch.worker_ms)]
    };
    history.stretches(usize::MAX).into_iter().map(row).collect()
}
