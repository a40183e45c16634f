//! What orders may say, and what they make of the master.

use engine::{End, Frequency, Mode, RoundRule, Strategy};
use protocol::{LeaseId, Version};

use super::Model;
use crate::failure::{Check, ensure, fail};
use engine::MergeOrder;

/// Rounding of weights.
const NEARLY: f64 = 1e-9;

impl Model {
    /// I2: a merge makes the next version, and its staleness is the number of merges by others since
    /// its base.
    pub(super) fn check_age(&self, id: LeaseId, version: Version, staleness: u64) -> Check {
        let next = Version { incarnation: self.incarnation, number: self.version + 1 };
        ensure!(version == next, "I2 versions", "{id} is merged in {version}, not in {next}");
        let Some(known) = self.leases.get(&id) else { return Ok(()) };
        let since = &self.makers[known.base as usize..];
        let others = if self.present.contains(&known.worker) {
            since.iter().filter(|maker| **maker != Some(known.worker)).count()
        } else {
            since.len()
        };
        let asynchronous = self.config.mode == Mode::Asynchronous;
        let fits =
            if asynchronous { staleness == others as u64 } else { staleness <= self.version };
        ensure!(fits, "I2 staleness", "{id} is {staleness} merges old, not {others}");
        Ok(())
    }

    pub(super) fn ordered(&mut self, lease: Option<LeaseId>, order: &MergeOrder) -> Check {
        ensure!(!self.finished, "ends", "{order:?} after the end");
        if let Some(lease) = lease {
            let deterministic = self.config.deterministic;
            let last = self.accumulated.last().and_then(|last| self.leases.get(last));
            let last = last.map_or(0, |last| last.unit);
            let Some(known) = self.leases.get_mut(&lease) else {
                fail!("I1 merges", "{lease} is merged and unknown");
            };
            let merged = matches!(known.end, Some(End::Merged { .. }));
            ensure!(merged, "I1 merges", "{lease} is merged and is {:?}", known.end);
            ensure!(!known.ordered, "I1 merges", "{lease} is merged twice");
            ensure!(!deterministic || known.unit > last, "order", "{lease} is out of order");
            known.ordered = true;
        }
        match (order.version(), lease) {
            (Some(version), _) => {
                self.check_weight(lease, order)?;
                let next = Version { incarnation: self.incarnation, number: self.version + 1 };
                ensure!(version == next, "I2 versions", "{version} comes after {}", self.version);
                self.version += 1;
                self.durable.merges += 1;
                self.makers.push(lease.and_then(|lease| Some(self.leases.get(&lease)?.worker)));
                self.undecided = 0;
                self.accumulated.clear();
            }
            (None, Some(lease)) => {
                self.check_weight(Some(lease), order)?;
                self.accumulated.push(lease);
            }
            (None, None) => fail!("I1 merges", "{order:?} is of no lease"),
        }
        Ok(())
    }

    fn check_weight(&self, lease: Option<LeaseId>, order: &MergeOrder) -> Check {
        let known = lease.and_then(|lease| self.leases.get(&lease));
        let clip = known.map_or(1.0, |known| known.clip);
        let samples = known.map_or(0, |known| known.lease.samples());
        let age = match known.and_then(|known| known.end) {
            Some(End::Merged { staleness, .. }) => 1.0 + staleness as f64,
            _ => 1.0,
        };
        let workers = self.present.len().max(1) as f64;
        let near = |a: f64, b: f64| (a - b).abs() <= NEARLY * b.abs();
        let fits = match (*order, self.strategy) {
            (MergeOrder::Add { weight, .. }, Strategy::Staleness { exponent, plain: true }) => {
                near(weight, clip * age.powf(-exponent))
            }
            (MergeOrder::Add { weight, .. }, Strategy::Staleness { exponent, .. }) => {
                let most = clip * age.powf(-exponent);
                let least = clip * age.max(workers).powf(-exponent);
                weight <= most * (1.0 + NEARLY) && weight >= least * (1.0 - NEARLY)
            }
            (MergeOrder::Add { weight, .. }, Strategy::Sum) => near(weight, clip),
            (
                MergeOrder::Spread { in_flight, staleness, clip: said, .. },
                Strategy::Nesterov { .. },
            ) => {
                (1.0..=workers + NEARLY).contains(&in_flight)
                    && near(said, clip)
                    && near(1.0 + staleness as f64, age)
            }
            (MergeOrder::Accumulate { weight, samples: said }, strategy) => {
                let samples = if strategy == Strategy::Sum { 1.0 } else { samples as f64 };
                near(weight, clip * samples) && known.is_some_and(|k| k.lease.samples() == said)
            }
            (MergeOrder::Round { divisor, samples, rule, .. }, strategy) => {
                return self.check_round(divisor, samples, rule, strategy);
            }
            _ => false,
        };
        ensure!(fits, "weights", "{order:?} of {lease:?}: clipped by {clip}, age {age}");
        Ok(())
    }

    fn check_round(
        &self,
        divisor: f64,
        samples: u64,
        rule: RoundRule,
        strategy: Strategy,
    ) -> Check {
        let leases = self.accumulated.iter().filter_map(|lease| self.leases.get(lease));
        let arrived: u64 = leases.map(|known| known.lease.samples()).sum();
        ensure!(
            arrived == samples && samples > 0,
            "weights",
            "a round of {samples}, not {arrived}"
        );
        let config = &self.config;
        let batches = match config.frequency {
            Frequency::Batch => 1,
            Frequency::Steps(steps) => u64::from(steps),
            Frequency::Epoch | Frequency::Auto => 0,
        };
        let whole = batches * u64::from(config.batch_size) * u64::from(config.workers_min);
        let fits = match strategy {
            Strategy::Sum => divisor == 1.0,
            _ if config.deterministic => divisor == whole.max(samples) as f64,
            _ => divisor >= samples as f64,
        };
        ensure!(fits, "weights", "a round of {samples} samples is divided by {divisor}");
        let nesterov = matches!(strategy, Strategy::Nesterov { .. });
        let fits = nesterov || rule == RoundRule::Mean;
        ensure!(fits, "weights", "a round of {strategy:?} ends with {rule:?}");
        Ok(())
    }

    /// The data plane has carried out an order.
    pub(crate) fn applied(
        &mut self,
        order: &MergeOrder,
        delta: &[f32],
        before: (&[f32], &[f32]),
        after: (&[f32], u64),
    ) -> Check {
        self.durable.parameters.follow(order, delta, before, after.0)?;
        if let Some(version) = order.version() {
            let next = self.digests.len() as u64;
            ensure!(version.number == next, "I2 versions", "{version} is carried out after {next}");
            self.digests.push(after.1);
        }
        Ok(())
    }
}
