//! What the ledger's rows add up to: for each epoch, for the run and for each worker.

use std::collections::BTreeMap;

use engine::{End, EpochSummary};
use protocol::{Reason, Segment};
use serde::Serialize;

use crate::storage::{LedgerRow, RowEnd};

/// Sums over leases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Samples merged.
    pub(super) samples: u64,
    /// Units merged.
    pub(super) units: u64,
    /// Leases handed out.
    pub(super) leases: u64,
    /// Samples of leases, less those merged or dropped.
    pub(super) re_leased: u64,
    /// Leases merged after their deadline.
    pub(super) late: u64,
    /// Leases that another one of the same unit has made needless.
    pub(super) duplicate: u64,
    /// Leases given back, or lost with their worker or with the coordinator.
    pub(super) released: u64,
    /// Refused deltas, duplicates apart.
    pub(super) rejected: BTreeMap<&'static str, u64>,
    /// Samples given up.
    pub(super) dropped: BTreeMap<&'static str, u64>,
}

/// What one worker has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct WorkerCounts {
    /// Samples of its merged deltas.
    pub(super) samples: u64,
    /// Its merged deltas.
    pub(super) merged: u64,
    /// Its refused deltas.
    pub(super) rejected: BTreeMap<&'static str, u64>,
}

/// Which rows of an epoch are merged or dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// In order, neighbours joined.
    pub(super) ranges: Vec<Segment>,
    /// What stands twice.
    pub(super) twice: Vec<Segment>,
}

/// All sums. Leases are to be added epoch by epoch.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) epochs: BTreeMap<u32, Counts>,
    pub(super) totals: Counts,
    /// Ends of leases whose epoch was complete already.
    pub(super) after: u64,
    pub(super) workers: BTreeMap<u32, WorkerCounts>,
    coverage: BTreeMap<u32, Coverage>,
    /// Settled rows of the newest epoch, in the order of the ledger.
    settled: (u32, Vec<Segment>),
    /// Leases whose samples are not those of their segments.
    pub(super) uneven: Vec<String>,
}

impl Counts {
    /// Counts a lease in the epoch, or the run, that handed it out.
    fn lease(&mut self, row: &LedgerRow) {
        self.leases += 1;
        self.re_leased += row.samples;
        let settled = match row.end {
            RowEnd::Ended(End::Merged { .. }) => row.samples,
            RowEnd::Ended(End::Rejected { dropped: true, .. }) => row.samples,
            _ => 0,
        };
        // What was merged without having been leased shows as a difference elsewhere.
        self.re_leased = self.re_leased.saturating_sub(settled);
    }

    /// Counts its end.
    fn end(&mut self, row: &LedgerRow) {
        match row.end {
            RowEnd::Ended(End::Merged { late, .. }) => {
                self.samples += row.samples;
                self.units += 1;
                self.late += u64::from(late);
            }
            RowEnd::Ended(End::Rejected { reason, dropped }) => {
                if reason == Reason::Duplicate {
                    self.duplicate += 1;
                } else {
                    *self.rejected.entry(reason.name()).or_default() += 1;
                }
                if dropped {
                    *self.dropped.entry(reason.name()).or_default() += row.samples;
                }
            }
            RowEnd::Ended(End::Released) | RowEnd::Lost => self.released += 1,
        }
    }

    /// Samples merged or dropped.
    pub(super) fn settled(&self) -> u64 {
        self.samples + self.dropped.values().sum::<u64>()
    }

    /// Where these sums differ from those that `source` says, as sentences.
    pub(super) fn differences(&self, of: &str, source: &str, told: &EpochSummary) -> Vec<String> {
        let numbers = [
            ("samples", self.samples, told.samples),
            ("units", self.units, told.units),
            ("leases", self.leases, told.leases),
            ("re-leased samples", self.re_leased, told.re_leased),
            ("late leases", self.late, told.late),
            ("duplicates", self.duplicate, told.duplicate),
            ("released or lost leases", self.released, told.released),
        ];
        let mut differences: Vec<String> = numbers
            .into_iter()
            .filter(|(_, own, told)| own != told)
            .map(|(what, own, told)| {
                format!("{of}: {own} {what} in the ledger, {told} in {source}")
            })
            .collect();
        for (what, own, told) in [
            ("refused", &self.rejected, &told.rejected),
            ("dropped samples", &self.dropped, &told.dropped),
        ] {
            let told: BTreeMap<&str, u64> =
                told.iter().map(|(reason, count)| (reason.name(), *count)).collect();
            if *own != told {
                let (own, told) = (by_reason(own), by_reason(&told));
                differences.push(format!("{of}: {what} {own} in the ledger, {told} in {source}"));
            }
        }
        differences
    }
}

impl Tables {
    /// Adds a lease.
    pub(super) fn add(&mut self, row: &LedgerRow) {
        let epoch = self.epochs.entry(row.epoch).or_default();
        epoch.lease(row);
        self.totals.lease(row);
        if row.in_epoch {
            epoch.end(row);
        } else {
            self.after += 1;
        }
        self.totals.end(row);
        let worker = self.workers.entry(row.worker).or_default();
        match row.end {
            RowEnd::Ended(End::Merged { .. }) => {
                worker.samples += row.samples;
                worker.merged += 1;
                self.settle(row);
            }
            RowEnd::Ended(End::Rejected { reason, dropped }) => {
                *worker.rejected.entry(reason.name()).or_default() += 1;
                if dropped {
                    self.settle(row);
                }
            }
            _ => {}
        }
        let samples: u64 = row.segments.iter().map(|segment| u64::from(segment.count)).sum();
        if samples != row.samples {
            let (lease, told) = (row.lease, row.samples);
            self.uneven.push(format!("{lease}: {told} samples, and {samples} in its segments"));
        }
    }

    fn settle(&mut self, row: &LedgerRow) {
        if self.settled.0 != row.epoch {
            self.end_epoch();
            self.settled.0 = row.epoch;
        }
        self.settled.1.extend(&row.segments);
    }

    fn end_epoch(&mut self) {
        let (epoch, segments) = std::mem::take(&mut self.settled);
        if !segments.is_empty() {
            self.coverage.insert(epoch, Coverage::of(segments));
        }
    }

    /// What is merged or dropped, by epoch, once all leases are added; forgotten by this call.
    pub(super) fn take_coverage(&mut self) -> BTreeMap<u32, Coverage> {
        self.end_epoch();
        std::mem::take(&mut self.coverage)
    }
}

impl Coverage {
    fn of(mut segments: Vec<Segment>) -> Self {
        segments.sort_by_key(|segment| (segment.shard, segment.start));
        let mut coverage = Self::default();
        for segment in segments {
            let Segment { shard, start, count } = segment;
            match coverage.ranges.last_mut().filter(|last| last.shard == shard) {
                Some(last) if end(last) >= u64::from(start) => {
                    let (before, after) = (end(last), end(&segment));
                    let twice = before.min(after) - u64::from(start);
                    if twice > 0 {
                        coverage.twice.push(Segment { shard, start, count: twice as u32 });
                    }
                    last.count += after.saturating_sub(before) as u32;
                }
                _ => coverage.ranges.push(Segment { shard, start, count }),
            }
        }
        coverage
    }

    /// Where an epoch over shards of so many rows is not covered exactly once, as sentences.
    pub(super) fn problems(&self, shards: &[u32]) -> Vec<String> {
        let mut problems: Vec<String> = self
            .twice
            .iter()
            .map(|Segment { shard, start, count }| {
                format!("{count} samples of shard {shard} from {start} on are counted twice")
            })
            .collect();
        let mut missing = |shard: u32, start: u64, end: u64| {
            if start < end {
                let count = end - start;
                problems
                    .push(format!("{count} samples of shard {shard} from {start} on are missing"));
            }
        };
        for (shard, rows) in (0..).zip(shards) {
            let mut next = 0;
            for range in self.ranges.iter().filter(|range| range.shard == shard) {
                missing(shard, next, u64::from(range.start));
                next = end(range);
            }
            missing(shard, next, u64::from(*rows));
        }
        let outside = |range: &&Segment| {
            shards.get(range.shard as usize).is_none_or(|rows| end(range) > u64::from(*rows))
        };
        if let Some(range) = self.ranges.iter().find(outside) {
            problems.push(format!("shard {} has no sample {}", range.shard, end(range) - 1));
        }
        problems
    }
}

fn end(segment: &Segment) -> u64 {
    u64::from(segment.start) + u64::from(segment.count)
}

/// `norm 2, length 1`; `-` for nothing.
pub(super) fn by_reason(counts: &BTreeMap<&str, u64>) -> String {
    if counts.is_empty() {
        return "-".to_owned();
    }
    let text = counts.iter().map(|(reason, count)| format!("{reason} {count}"));
    text.collect::<Vec<_>>().join(", ")
}
