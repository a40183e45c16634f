//! What orders do to parameters, once more in `f64` and value by value; and which deltas are
//! believed. Written from the documents, not from the engine's code.

use std::collections::VecDeque;

use engine::{MergeOrder, RoundRule};
use protocol::{Reason, Role, TensorTable};

use crate::failure::{Check, ensure};

/// Rounding that one order may leave, as a part of the largest value so far.
const ROUNDING: f64 = 1e-5;
/// Rounding that a whole run may leave.
const ROUNDING_ALL: f64 = 2e-3;

/// The parameters as they should be.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    pub(crate) values: Vec<f64>,
    momentum: Vec<f64>,
    sums: Vec<f64>,
    roles: Vec<Role>,
    /// Largest value, momentum or change so far: what roundings are measured by.
    scale: f64,
    /// Longest believed delta of the run so far, and those of the round.
    longest: f64,
    round: Vec<f64>,
}

impl Parameters {
    pub(crate) fn new(table: &TensorTable, values: &[f32]) -> Self {
        let roles = table.ranges().flat_map(|(tensor, range)| range.map(|_| tensor.role)).collect();
        let count = values.len();
        Self {
            values: values.iter().map(|value| f64::from(*value)).collect(),
            momentum: vec![0.0; count],
            sums: vec![0.0; count],
            roles,
            scale: 1.0,
            longest: 0.0,
            round: Vec::new(),
        }
    }

    /// A round that was under way is gone.
    pub(crate) fn forget_round(&mut self) {
        self.sums.fill(0.0);
        self.round.clear();
    }

    /// Carries out an order and compares with what the master made of it.
    pub(crate) fn follow(
        &mut self,
        order: &MergeOrder,
        delta: &[f32],
        before: (&[f32], &[f32]),
        after: &[f32],
    ) -> Check {
        let mut one = self.clone();
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
        one.values = wide(before.0);
        one.momentum = wide(before.1);
        one.momentum.resize(one.values.len(), 0.0);
        one.apply(order, delta);
        self.apply(order, delta);
        for value in self.values.iter().chain(&self.momentum) {
            self.scale = self.scale.max(value.abs());
        }
        for (index, value) in after.iter().enumerate() {
            let (step, chain, value) = (one.values[index], self.values[index], f64::from(*value));
            ensure!(value.is_finite(), "I3 parameters", "value {index} of the master is {value}");
            ensure!(
                (value - step).abs() <= ROUNDING * self.scale,
                "parameters",
                "{order:?} made value {index} {value} and not {step}"
            );
            ensure!(
                (value - chain).abs() <= ROUNDING_ALL * self.scale,
                "parameters",
                "value {index} is {value} and should be {chain} after {order:?}"
            );
        }
        self.bound(order, delta, before.0, after)
    }

    fn apply(&mut self, order: &MergeOrder, delta: &[f32]) {
        for index in 0..self.values.len() {
            let change = delta.get(index).map_or(0.0, |change| f64::from(*change));
            let role = self.roles[index];
            let floor = if role == Role::BufferNonNegative { 0.0 } else { f64::MIN };
            let trained = role == Role::Parameter;
            let value = &mut self.values[index];
            let (m, sum) = (&mut self.momentum[index], &mut self.sums[index]);
            match *order {
                MergeOrder::Add { weight, .. } if trained => *value += weight * change,
                MergeOrder::Add { buffer_weight, .. }
                | MergeOrder::Spread { buffer_weight, .. }
                    if !trained =>
                {
                    *value = (*value + buffer_weight * (change - *value)).max(floor);
                }
                MergeOrder::Add { .. } => {}
                MergeOrder::Spread { in_flight, staleness, clip, .. } => {
                    let rate = 0.5 + 0.5 / in_flight;
                    let beta = 1.0 - rate / in_flight.min(5.0);
                    let share = clip / in_flight.max(1.0 + staleness as f64);
                    let next = beta.powf(1.0 / in_flight) * *m + share * change;
                    *value += rate / in_flight * next + rate * beta * (1.0 + beta) * (next - *m);
                    *m = next;
                }
                MergeOrder::Accumulate { weight, samples } => {
                    *sum += change * if trained { weight } else { samples as f64 };
                }
                MergeOrder::Round { divisor, rule, .. } if trained => {
                    let mean = *sum / divisor;
                    match rule {
                        RoundRule::Mean => {
                            *value += mean;
                            *m = 0.0;
                        }
                        RoundRule::Nesterov { rate, momentum } => {
                            *m = momentum * *m + mean;
                            *value += rate * (mean + momentum * *m);
                        }
                    }
                }
                MergeOrder::Round { samples, .. } => {
                    *value = (*sum / samples as f64).max(floor);
                }
            }
            if matches!(order, MergeOrder::Round { .. }) {
                *sum = 0.0;
            }
        }
    }

    /// I4: no order moves the master further than what screening let through.
    fn bound(&mut self, order: &MergeOrder, delta: &[f32], before: &[f32], after: &[f32]) -> Check {
        let norm = |values: &mut dyn Iterator<Item = (usize, f64)>| -> f64 {
            values
                .filter(|(index, _)| self.roles[*index] == Role::Parameter)
                .map(|(_, value)| value * value)
                .sum::<f64>()
                .sqrt()
        };
        let length = norm(&mut delta.iter().map(|value| f64::from(*value)).enumerate());
        let change = before.iter().zip(after).map(|(old, new)| f64::from(*new) - f64::from(*old));
        let change = norm(&mut change.enumerate());
        let bound = match *order {
            MergeOrder::Add { weight, .. } => weight * length,
            MergeOrder::Spread { clip, .. } => {
                self.longest = self.longest.max(clip * length);
                4.0 * self.longest
            }
            MergeOrder::Accumulate { weight, samples } => {
                let part = if weight > 1.0 { weight / samples as f64 } else { weight };
                self.round.push(part * length);
                0.0
            }
            MergeOrder::Round { divisor, rule, .. } => {
                let longest = self.round.iter().fold(0.0, |a: f64, b| a.max(*b));
                self.longest = self.longest.max(longest);
                let sum = self.round.drain(..).sum::<f64>();
                match rule {
                    RoundRule::Mean if divisor == 1.0 => sum,
                    RoundRule::Mean => longest,
                    RoundRule::Nesterov { .. } => 8.0 * self.longest,
                }
            }
        };
        ensure!(
            change <= bound * 1.0001 + ROUNDING * self.scale,
            "I4 norm",
            "{order:?} moved the master by {change}, and the bound is {bound}"
        );
        Ok(())
    }
}

/// Norms of accepted deltas, and what follows from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Norms {
    accepted: u64,
    first: Option<f64>,
    recent: VecDeque<f64>,
}

impl Norms {
    /// The upper median of the last 101, once twenty were accepted.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied()?;
        (self.accepted >= 20 && median > 0.0).then_some(median)
    }

    /// The factor of a delta whose norm per root of steps is this; or why it is refused.
    pub(crate) fn judge(
        &self,
        norm: f64,
        at_pull: Option<f64>,
        deterministic: bool,
    ) -> Result<f64, Reason> {
        if !norm.is_finite() {
            return Err(Reason::NotFinite);
        }
        if norm > 1e12 {
            return Err(Reason::Norm);
        }
        let Some(median) = self.median().filter(|_| !deterministic) else { return Ok(1.0) };
        let usual = at_pull.or(self.first).unwrap_or(median).max(median);
        match norm / usual {
            times if times > 10.0 && norm > self.first.unwrap_or(median) => Err(Reason::Norm),
            times if times > 3.0 => Ok(3.0 / times),
            _ => Ok(1.0),
        }
    }

    pub(crate) fn accept(&mut self, norm: f64) {
        self.accepted += 1;
        self.recent.push_back(norm);
        if self.recent.len() > 101 {
            self.recent.pop_front();
        }
        self.first = self.first.or_else(|| self.median());
    }
}
