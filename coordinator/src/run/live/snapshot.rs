//! A view with what is new, as the bytes that all viewers share.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use super::super::EpochRecord;
use super::super::curve::Point;
use super::kept::{Event, Kept};
use super::locked;
use super::view::View;

/// Up to where epochs and events are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) record: u32,
    pub(super) event: u64,
}

/// A run at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) number: u64,
    pub(super) view: View,
    pub(super) curve: Arc<[Point]>,
    pub(super) curve_is_new: bool,
    pub(super) history: Arc<[[f32; 3]]>,
    pub(super) history_is_new: bool,
    /// Of the snapshot before.
    pub(super) since: Marks,
    pub(super) marks: Marks,
    pub(super) kept: Arc<Mutex<Kept>>,
    /// Made when the first viewer takes it.
    pub(super) tick: OnceLock<Bytes>,
    pub(super) whole: OnceLock<Bytes>,
}

/// What is serialised. Curves are null where they are as before.
#[derive(Serialize)]
struct Data<'a> {
    view: &'a View,
    records: Vec<&'a EpochRecord>,
    curve: Option<Vec<(u64, f32, f32)>>,
    history: Option<&'a [[f32; 3]]>,
    events: Vec<&'a Event>,
}

impl Snapshot {
    /// What is new since the snapshot before.
    pub(super) fn tick(&self) -> Bytes {
        let (curve, history) = (self.curve_is_new, self.history_is_new);
        self.tick.get_or_init(|| self.event("tick", self.since, curve, history)).clone()
    }

    /// All of it.
    pub(super) fn whole(&self) -> Bytes {
        let whole = || self.event("whole", Marks::default(), true, true);
        self.whole.get_or_init(whole).clone()
    }

    /// One event of a stream: its name, and a line of JSON.
    fn event(&self, name: &str, since: Marks, curve: bool, history: bool) -> Bytes {
        let (records, events) = self.after(since);
        // What a chart draws needs no sixteen digits.
        let point =
            |Point(samples, loss, seconds): &Point| (*samples, *loss as f32, *seconds as f32);
        let data = Data {
            view: &self.view,
            records: records.iter().map(Arc::as_ref).collect(),
            curve: curve.then(|| self.curve.iter().map(point).collect()),
            history: history.then_some(&*self.history),
            events: events.iter().map(Arc::as_ref).collect(),
        };
        // Plain data cannot fail; a stream that did would bring nothing, and the next one more.
        let json = serde_json::to_string(&data).unwrap_or_default();
        Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
    }

    /// Epochs and events after `since` that were there when this was made.
    fn after(&self, since: Marks) -> (Vec<Arc<EpochRecord>>, Vec<Arc<Event>>) {
        let kept = locked(&self.kept);
        let marks = self.marks;
        let records = kept.records.iter().rev().skip_while(|record| record.epoch > marks.record);
        let records = records.take_while(|record| record.epoch > since.record).cloned();
        let events = kept.events.iter().rev().skip_while(|event| event.number > marks.event);
        let events = events.take_while(|event| event.number > since.event).cloned();
        let (mut records, mut events): (Vec<_>, Vec<_>) = (records.collect(), events.collect());
        drop(kept);
        records.reverse();
        events.reverse();
        (records, events)
    }
}
