//! Epochs and the units cut from them. Every row of an epoch is free, in exactly one unit, merged
//! or dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::limits::SEGMENTS_MAX;
use protocol::{LeaseId, Reason, Segment, order};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::status::EpochSummary;
use crate::time::WorkerKey;

/// Epochs that may be open at once. A worker trains one lease and holds the next; with leases as
/// long as an epoch and workers half a lease apart the front spans four. A bound there must be:
/// an epoch whose last unit is with a lost worker would let the others run ahead without end.
pub(crate) const EPOCHS_OPEN: usize = 4;

/// A sample range of one epoch, counted exactly once.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) epoch: u32,
    pub(crate) segments: Vec<Segment>,
    pub(crate) samples: u64,
    /// Its attempts that may still deliver, expired ones too.
    pub(crate) leases: Vec<LeaseId>,
    /// Whose deltas of it were refused.
    pub(crate) refused: Vec<WorkerKey>,
    /// Samples of the epoch cut before its own.
    pub(crate) begins: u64,
    /// It was leased before.
    pub(crate) leased: bool,
}

/// Rows of a shard that are in no unit yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shelf {
    shard: u32,
    /// Position and count, in the epoch's row order.
    ranges: VecDeque<(u32, u32)>,
    /// Somebody has taken rows of it.
    begun: bool,
}

/// One open epoch.
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    pub(crate) index: u32,
    /// Shards with free rows, in the epoch's order.
    shelves: Vec<Shelf>,
    pub(crate) free: u64,
    /// Samples of its units.
    out: u64,
    pub(crate) summary: EpochSummary,
}

/// An epoch as a checkpoint holds it: what is in units is free again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenEpoch {
    pub(crate) index: u32,
    shelves: Vec<Shelf>,
    pub(crate) summary: EpochSummary,
}

impl Epoch {
    fn new(config: &Config, index: u32) -> Self {
        let count = config.shards.len() as u32;
        let shelf = |shard: u32| Shelf {
            shard,
            ranges: VecDeque::from([(0, config.shards[shard as usize])]),
            begun: false,
        };
        let shelves =
            order::shard_order(config.seed, index, count).into_iter().map(shelf).collect();
        let (free, summary) = (config.epoch_samples(), EpochSummary::default());
        Self { index, shelves, free, out: 0, summary }
    }

    fn restored(open: OpenEpoch) -> Self {
        let ranges = open.shelves.iter().flat_map(|shelf| &shelf.ranges);
        let free = ranges.map(|(_, count)| u64::from(*count)).sum();
        let OpenEpoch { index, shelves, summary } = open;
        Self { index, shelves, free, out: 0, summary }
    }

    /// Takes up to `samples` free rows; fewer when they would make more segments than a lease holds.
    ///
    /// A worker goes on in the shards that it had, then begins one that nobody has begun, then
    /// helps with the one of which most is left: so a unit spans few shards, few are fetched twice,
    /// and a single worker walks through the epoch exactly in its order.
    ///
    /// Without any `had` the rows are taken in the epoch's order alone.
    fn take(&mut self, samples: u64, had: Option<&BTreeSet<u32>>) -> Vec<Segment> {
        let mut need = samples.min(self.free);
        let mut segments: Vec<Segment> = Vec::new();
        while need > 0 && segments.len() < SEGMENTS_MAX {
            let place = had.map_or(0, |had| self.pick(had));
            let shelf = &mut self.shelves[place];
            shelf.begun = true;
            let Some((start, count)) = shelf.ranges.pop_front() else {
                self.shelves.remove(place);
                continue;
            };
            let taken = u32::try_from(need).map_or(count, |need| need.min(count));
            if taken < count {
                shelf.ranges.push_front((start + taken, count - taken));
            }
            let shard = shelf.shard;
            match segments.last_mut() {
                Some(last) if last.shard == shard && last.start + last.count == start => {
                    last.count += taken;
                }
                _ => segments.push(Segment { shard, start, count: taken }),
            }
            need -= u64::from(taken);
            self.free -= u64::from(taken);
            self.out += u64::from(taken);
        }
        segments
    }

    fn pick(&self, had: &BTreeSet<u32>) -> usize {
        let usable = |shelf: &&Shelf| !shelf.ranges.is_empty();
        let mut shelves = self.shelves.iter().enumerate().filter(|(_, shelf)| usable(shelf));
        let mut fresh = None;
        let mut fullest = (0, 0);
        for (place, shelf) in &mut shelves {
            if had.contains(&shelf.shard) {
                return place;
            }
            if !shelf.begun {
                fresh.get_or_insert(place);
            }
            let rows: u64 = shelf.ranges.iter().map(|(_, count)| u64::from(*count)).sum();
            if rows > fullest.1 {
                fullest = (place, rows);
            }
        }
        fresh.unwrap_or(fullest.0)
    }

    /// Makes rows free again.
    fn give_back(&mut self, segments: &[Segment]) {
        for segment in segments.iter().rev() {
            let range = (segment.start, segment.count);
            self.free += u64::from(segment.count);
            self.out -= u64::from(segment.count);
            match self.shelves.iter_mut().find(|shelf| shelf.shard == segment.shard) {
                Some(shelf) => shelf.ranges.push_front(range),
                None => self.shelves.insert(
                    0,
                    Shelf { shard: segment.shard, ranges: VecDeque::from([range]), begun: true },
                ),
            }
        }
    }

    /// Every sample is free, in one unit, merged or dropped.
    fn is_whole(&self, samples: u64) -> bool {
        self.free + self.out + self.settled() == samples
    }

    /// Samples that are accounted for.
    pub(crate) fn settled(&self) -> u64 {
        self.summary.samples + self.summary.dropped_samples()
    }
}

/// The open epochs and their units.
#[derive(Debug, Default)]
pub(crate) struct Units {
    /// Oldest first; complete ones stay until all before them are.
    pub(crate) epochs: VecDeque<Epoch>,
    /// Epochs begun so far.
    pub(crate) begun: u32,
    /// Units neither merged nor dropped, by number: oldest first.
    units: BTreeMap<u64, Unit>,
    /// Those of them that nobody is expected to deliver.
    pub(crate) open: BTreeSet<u64>,
    last: u64,
}

impl Units {
    pub(crate) fn get(&self, unit: u64) -> Option<&Unit> {
        self.units.get(&unit)
    }

    pub(crate) fn get_mut(&mut self, unit: u64) -> Option<&mut Unit> {
        self.units.get_mut(&unit)
    }

    /// All units neither merged nor dropped, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Unit)> {
        self.units.iter().map(|(number, unit)| (*number, unit))
    }

    pub(crate) fn epoch(&self, index: u32) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.index == index)
    }

    /// The counts of an open epoch.
    pub(crate) fn summary(&mut self, epoch: u32) -> Option<&mut EpochSummary> {
        self.open_epoch(epoch).map(|open| &mut open.summary)
    }

    fn open_epoch(&mut self, epoch: u32) -> Option<&mut Epoch> {
        self.epochs.iter_mut().find(|open| open.index == epoch)
    }

    /// Panics unless every sample of every open epoch is in exactly one place. It costs a few
    /// additions per event, and stays on in every build: a wrong ledger must not go on.
    pub(crate) fn assert_whole(&self, samples: u64) {
        for epoch in &self.epochs {
            assert!(
                epoch.is_whole(samples),
                "invariant: a sample of epoch {} is lost",
                epoch.index
            );
        }
    }

    /// The open epochs as a checkpoint holds them: all units are given back.
    pub(crate) fn saved(&self) -> Vec<OpenEpoch> {
        let saved = |epoch: &Epoch| {
            let mut epoch = epoch.clone();
            let index = epoch.index;
            for unit in self.units.values().rev().filter(|unit| unit.epoch == index) {
                epoch.give_back(&unit.segments);
                epoch.summary.re_leased += unit.samples;
            }
            OpenEpoch { index: epoch.index, shelves: epoch.shelves, summary: epoch.summary }
        };
        self.epochs.iter().map(saved).collect()
    }

    /// Goes on where a checkpoint was taken.
    pub(crate) fn restored(begun: u32, last: u64, open: Vec<OpenEpoch>) -> Self {
        let epochs = open.into_iter().map(Epoch::restored).collect();
        Self { epochs, begun, last, ..Self::default() }
    }

    /// An epoch that cannot be one of this run.
    pub(crate) fn unfit(&self, config: &Config) -> Option<u32> {
        let fits = |epoch: &&Epoch| {
            let inside = epoch.shelves.iter().all(|shelf| {
                let rows = config.shards.get(shelf.shard as usize).copied().unwrap_or(0);
                let end = |(start, count): &(u32, u32)| start.checked_add(*count);
                shelf.ranges.iter().all(|range| end(range).is_some_and(|end| end <= rows))
            });
            epoch.index < self.begun && inside && epoch.is_whole(config.epoch_samples())
        };
        self.epochs.iter().find(|epoch| !fits(epoch)).map(|epoch| epoch.index)
    }

    /// The number of the unit cut last.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The first epoch with free rows, begun now if need be and the bound allows.
    pub(crate) fn epoch_with_rows(&mut self, config: &Config) -> Option<u32> {
        if let Some(epoch) = self.epochs.iter().find(|epoch| epoch.free > 0) {
            return Some(epoch.index);
        }
        if self.epochs.len() >= EPOCHS_OPEN || self.begun >= config.epochs {
            return None;
        }
        let index = self.begun;
        self.begun += 1;
        self.epochs.push_back(Epoch::new(config, index));
        Some(index)
    }

    /// Cuts a unit; none if the epoch has no free rows.
    pub(crate) fn cut(
        &mut self,
        epoch: u32,
        samples: u64,
        had: Option<&BTreeSet<u32>>,
    ) -> Option<u64> {
        let from = self.epochs.iter_mut().find(|open| open.index == epoch)?;
        let begins = from.out + from.settled();
        let segments = from.take(samples, had);
        let samples = segments.iter().map(|segment| u64::from(segment.count)).sum();
        if samples == 0 {
            return None;
        }
        self.last += 1;
        let (leases, refused) = (Vec::new(), Vec::new());
        self.units.insert(
            self.last,
            Unit { epoch, segments, samples, leases, refused, begins, leased: false },
        );
        Some(self.last)
    }

    /// A unit is in the master.
    pub(crate) fn merge(&mut self, number: u64) -> Option<Unit> {
        let unit = self.forget(number)?;
        if let Some(open) = self.open_epoch(unit.epoch) {
            open.out -= unit.samples;
            open.summary.samples += unit.samples;
            open.summary.units += 1;
        }
        Some(unit)
    }

    /// A unit is given up.
    pub(crate) fn drop_unit(&mut self, number: u64, reason: Reason) -> Option<Unit> {
        let unit = self.forget(number)?;
        if let Some(open) = self.open_epoch(unit.epoch) {
            open.out -= unit.samples;
            *open.summary.dropped.entry(reason).or_default() += unit.samples;
        }
        Some(unit)
    }

    /// Nobody has anything of a unit: its rows are cut anew, in the size that suits who comes.
    pub(crate) fn dissolve(&mut self, number: u64) {
        if let Some(unit) = self.forget(number)
            && let Some(open) = self.open_epoch(unit.epoch)
        {
            open.summary.re_leased += unit.samples;
            open.give_back(&unit.segments);
        }
    }

    fn forget(&mut self, number: u64) -> Option<Unit> {
        self.open.remove(&number);
        self.units.remove(&number)
    }
}
