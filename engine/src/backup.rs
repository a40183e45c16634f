//! Second copies: when no unit is free, idle workers get copies of the oldest outstanding ones, so
//! that one slow or lost worker holds up nobody.

use protocol::LeaseId;

use crate::leases::State;
use crate::machine::Engine;
use crate::time::{Timestamp, WorkerKey};
use crate::units::Unit;

/// Leases of one unit that may be out at once, the first included.
const COPIES_MAX: usize = 3;
/// Oldest units that are looked at: an idle fleet must not make every event expensive.
const CANDIDATES: usize = 64;
/// A lease is late when it takes this part longer than expected ...
const LATE_PART: f64 = 0.5;
/// ... and at least so many microseconds.
const LATE_MIN: u64 = 1_000_000;
/// Without any measured speed a lease is late after so many microseconds.
const LATE_UNKNOWN: u64 = 5_000_000;

impl Engine {
    /// A unit that a worker should train a second time once it is idle: the oldest that it would
    /// finish before its holder, or whose holder is late. If there is none for an idle worker now,
    /// `look_again` says when.
    pub(crate) fn copy_for(&mut self, now: Timestamp, worker: WorkerKey) -> Option<u64> {
        let holder = self.workers.get(&worker)?;
        let (idle, rate) = (holder.held.is_empty(), holder.speed.samples_per_second());
        let before = self.backlog(now, worker);
        let mut again: Option<Timestamp> = None;
        for (number, unit) in self.units.iter().take(CANDIDATES) {
            let received = unit.leases.iter().any(|lease| self.leases.is(*lease, State::Received));
            if received || !self.may_try(worker, unit) {
                continue;
            }
            let mut out = unit.leases.iter().filter(|lease| self.leases.is(**lease, State::Out));
            if !(1..COPIES_MAX).contains(&out.clone().count()) {
                continue;
            }
            let own = rate.map(|rate| (before + unit.samples as f64) / rate * 1e6);
            // The unit is late when the latest attempt at it is.
            let Some(time) = out.try_fold(now, |time, lease| {
                Some(time.max(self.copy_time(now, *lease, unit, own)?))
            }) else {
                continue;
            };
            if time <= now {
                return Some(number);
            }
            again = Some(again.map_or(time, |other| other.min(time)));
        }
        if idle {
            self.look_again = [self.look_again, again].into_iter().flatten().min();
        }
        None
    }

    /// From when on a copy of this lease's unit makes sense for a worker that would have it done in
    /// `own` microseconds.
    fn copy_time(
        &self,
        now: Timestamp,
        lease: LeaseId,
        unit: &Unit,
        own: Option<f64>,
    ) -> Option<Timestamp> {
        let attempt = self.leases.get(lease)?;
        // What is prefetched for the next round is no work of this one.
        if attempt.round > self.rounds.current.number {
            return None;
        }
        let Some(holder) = self.workers.get(&attempt.worker) else { return Some(now) };
        if holder.silent {
            return Some(now);
        }
        let Some(rate) = holder.speed.samples_per_second() else {
            // Whoever has needed longer than the idle worker would may need as long again.
            return Some(attempt.issued.plus(own.map_or(LATE_UNKNOWN, |own| own as u64)));
        };
        let position = holder.held.iter().position(|held| *held == lease)?;
        let before =
            holder.held[..=position].iter().filter(|held| self.leases.is(**held, State::Out));
        let left = before.map(|held| self.remaining(now, *held)).sum::<f64>() / rate * 1e6;
        if own.is_some_and(|own| own < left) {
            return Some(now);
        }
        let whole = unit.samples as f64 / rate * 1e6;
        let late = ((whole * LATE_PART) as u64).max(LATE_MIN);
        match attempt.pulled {
            Some(pulled) if self.head(attempt.worker) == Some(lease) => {
                Some(pulled.max(holder.freed).plus(whole as u64).plus(late))
            }
            _ => Some(now.plus(left as u64).plus(late)),
        }
    }
}
