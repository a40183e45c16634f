//! How deltas become master: pure code over `f32` slices, for the merge thread and simulations alike.
//!
//! Every order divides the flat vector by role. Trained parameters get the rule; buffers travel as
//! absolute values and are averaged by sample count, never through momentum.

use std::ops::Range;

use protocol::{Role, TensorTable, Version};

/// What to do with one delta, or with a round of them. Plain data, made by the engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MergeOrder {
    /// `master += weight * delta`.
    Add {
        /// The version that this makes.
        version: Version,
        /// Weight of the delta, clipping included.
        weight: f64,
        /// How far buffers move towards the delta's, 0 to 1.
        buffer_weight: f64,
    },
    /// One N-th of a Nesterov step, spread so that nothing comes in bursts.
    Spread {
        /// The version that this makes.
        version: Version,
        /// Leases in flight, slow workers counted in part; at least 1.
        in_flight: f64,
        /// Merges by others since the delta's base.
        staleness: u64,
        /// Screening's factor, 1 unless the delta was clipped.
        clip: f64,
        /// How far buffers move towards the delta's, 0 to 1.
        buffer_weight: f64,
    },
    /// Adds a delta to the round; the master stays as it is.
    Accumulate {
        /// Weight of the delta, clipping included.
        weight: f64,
        /// Samples of the lease: the weight of its buffers.
        samples: u64,
    },
    /// Ends a round: `mean` is what was accumulated, over `divisor`.
    Round {
        /// The version that this makes.
        version: Version,
        /// The round's planned samples.
        divisor: f64,
        /// Samples that arrived: the divisor of buffers.
        samples: u64,
        /// What the mean does to the master.
        rule: RoundRule,
    },
}

/// What a round's mean does to the master.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RoundRule {
    /// `master += mean`; a momentum from earlier rounds is forgotten.
    Mean,
    /// `m = momentum * m + mean; master += rate * (mean + momentum * m)`.
    Nesterov {
        /// Outer learning rate.
        rate: f64,
        /// Outer momentum.
        momentum: f64,
    },
}

impl MergeOrder {
    /// The version that the order makes; none for [`MergeOrder::Accumulate`].
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Add { version, .. }
            | Self::Spread { version, .. }
            | Self::Round { version, .. } => Some(*version),
            Self::Accumulate { .. } => None,
        }
    }
}

/// A vector whose length is not the shape table's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got} values do not fit the model's shape table of {expected}: load a model of this spec")]
pub struct LengthError {
    /// Values given.
    pub got: usize,
    /// Values of the table.
    pub expected: usize,
}

/// The authoritative tensors of a run with what the strategy keeps beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Master {
    values: Vec<f32>,
    /// Empty until a rule with momentum is applied.
    momentum: Vec<f32>,
    /// Sums of a round; empty until a delta is accumulated.
    accumulator: Vec<f64>,
    version: Version,
    spans: Vec<(Range<usize>, Role)>,
}

impl Master {
    /// A master that starts from `values`.
    ///
    /// # Errors
    /// When `values` are not as many as the table's.
    pub fn new(
        table: &TensorTable,
        values: Vec<f32>,
        version: Version,
    ) -> Result<Self, LengthError> {
        if values.len() != table.elements() {
            return Err(LengthError { got: values.len(), expected: table.elements() });
        }
        let (momentum, accumulator) = (Vec::new(), Vec::new());
        Ok(Self { values, momentum, accumulator, version, spans: spans(table) })
    }

    /// A master that goes on with `momentum` from a checkpoint, which is empty where there was none.
    ///
    /// # Errors
    /// When either is not as long as the table.
    pub fn restore(
        table: &TensorTable,
        values: Vec<f32>,
        momentum: Vec<f32>,
        version: Version,
    ) -> Result<Self, LengthError> {
        let master = Self::new(table, values, version)?;
        if !momentum.is_empty() && momentum.len() != master.values.len() {
            return Err(LengthError { got: momentum.len(), expected: master.values.len() });
        }
        Ok(Self { momentum, ..master })
    }

    /// The values, in the order of the shape table.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The outer momentum; empty while the strategy has not needed one.
    #[must_use]
    pub fn momentum(&self) -> &[f32] {
        &self.momentum
    }

    /// Gives values and momentum away for a while, as a copy of a large model is too much. Until
    /// they are taken back there is nothing to merge into.
    pub fn lend(&mut self) -> (Vec<f32>, Vec<f32>) {
        (std::mem::take(&mut self.values), std::mem::take(&mut self.momentum))
    }

    /// Takes back what was lent, as it was.
    pub fn take_back(&mut self, (values, momentum): (Vec<f32>, Vec<f32>)) {
        (self.values, self.momentum) = (values, momentum);
    }

    /// The values alone, of a master that is not needed any more.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The version of the values.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Carries out an order. `delta` is empty for [`MergeOrder::Round`].
    ///
    /// # Panics
    /// When a delta's length was not screened: a wrong length must never reach the master.
    pub fn apply(&mut self, order: &MergeOrder, delta: &[f32]) {
        let expected =
            if matches!(order, MergeOrder::Round { .. }) { 0 } else { self.values.len() };
        assert_eq!(delta.len(), expected, "invariant: deltas are screened before they are merged");
        match *order {
            MergeOrder::Add { weight, buffer_weight, .. } => self.add(delta, weight, buffer_weight),
            MergeOrder::Spread { in_flight, staleness, clip, buffer_weight, .. } => {
                self.spread(delta, in_flight, staleness, clip, buffer_weight);
            }
            MergeOrder::Accumulate { weight, samples } => self.accumulate(delta, weight, samples),
            MergeOrder::Round { divisor, samples, rule, .. } => self.round(divisor, samples, rule),
        }
        if let Some(version) = order.version() {
            self.version = version;
        }
    }

    fn add(&mut self, delta: &[f32], weight: f64, buffer_weight: f64) {
        let weight = weight as f32;
        for (range, role) in &self.spans {
            let (values, delta) = (&mut self.values[range.clone()], &delta[range.clone()]);
            if *role == Role::Parameter {
                for (value, change) in values.iter_mut().zip(delta) {
                    *value += weight * change;
                }
            } else {
                approach(values, delta, buffer_weight, *role);
            }
        }
    }

    fn spread(&mut self, delta: &[f32], n: f64, staleness: u64, clip: f64, buffer_weight: f64) {
        self.momentum.resize(self.values.len(), 0.0);
        let n = n.max(1.0);
        let rate = 0.5 + 0.5 / n;
        let beta = 1.0 - rate / n.min(5.0);
        let decay = beta.powf(1.0 / n) as f32;
        let gain = (clip / n.max(1.0 + staleness as f64)) as f32;
        let (pull, push) = ((rate / n) as f32, (rate * (beta + beta * beta)) as f32);
        for (range, role) in &self.spans {
            let (values, delta) = (&mut self.values[range.clone()], &delta[range.clone()]);
            if *role != Role::Parameter {
                approach(values, delta, buffer_weight, *role);
                continue;
            }
            let momentum = &mut self.momentum[range.clone()];
            for ((value, m), change) in values.iter_mut().zip(momentum).zip(delta) {
                let next = decay * *m + gain * change;
                *value += pull * next + push * (next - *m);
                *m = next;
            }
        }
    }

    fn accumulate(&mut self, delta: &[f32], weight: f64, samples: u64) {
        self.accumulator.resize(self.values.len(), 0.0);
        for (range, role) in &self.spans {
            let weight = if *role == Role::Parameter { weight } else { samples as f64 };
            let sums = &mut self.accumulator[range.clone()];
            for (sum, change) in sums.iter_mut().zip(&delta[range.clone()]) {
                *sum += weight * f64::from(*change);
            }
        }
    }

    fn round(&mut self, divisor: f64, samples: u64, rule: RoundRule) {
        self.accumulator.resize(self.values.len(), 0.0);
        if let RoundRule::Nesterov { .. } = rule {
            self.momentum.resize(self.values.len(), 0.0);
        }
        for (range, role) in &self.spans {
            let values = &mut self.values[range.clone()];
            let sums = &self.accumulator[range.clone()];
            match (role, rule) {
                (Role::Parameter, RoundRule::Mean) => {
                    for (value, sum) in values.iter_mut().zip(sums) {
                        *value += (sum / divisor) as f32;
                    }
                }
                (Role::Parameter, RoundRule::Nesterov { rate, momentum }) => {
                    let (rate, beta) = (rate as f32, momentum as f32);
                    let momentum = &mut self.momentum[range.clone()];
                    for ((value, m), sum) in values.iter_mut().zip(momentum).zip(sums) {
                        let mean = (sum / divisor) as f32;
                        *m = beta * *m + mean;
                        *value += rate * (mean + beta * *m);
                    }
                }
                (Role::Buffer | Role::BufferNonNegative, _) if samples > 0 => {
                    for (value, sum) in values.iter_mut().zip(sums) {
                        *value = floor_of(*role).max((sum / samples as f64) as f32);
                    }
                }
                (Role::Buffer | Role::BufferNonNegative, _) => {}
            }
        }
        self.accumulator.fill(0.0);
        if rule == RoundRule::Mean {
            self.momentum.fill(0.0);
        }
    }
}

/// Moves a buffer towards a worker's; a weight of 1 takes it over exactly.
fn approach(values: &mut [f32], target: &[f32], weight: f64, role: Role) {
    let (keep, weight, floor) = ((1.0 - weight) as f32, weight as f32, floor_of(role));
    for (value, target) in values.iter_mut().zip(target) {
        *value = floor.max(keep * *value + weight * target);
    }
}

fn floor_of(role: Role) -> f32 {
    if role == Role::BufferNonNegative { 0.0 } else { f32::NEG_INFINITY }
}

/// Ranges of the flat vector by role, neighbours of one role joined, so that loops are long.
fn spans(table: &TensorTable) -> Vec<(Range<usize>, Role)> {
    let mut spans: Vec<(Range<usize>, Role)> = Vec::new();
    for (tensor, range) in table.ranges() {
        match spans.last_mut() {
            Some((last, role)) if *role == tensor.role => last.end = range.end,
            _ => spans.push((range, tensor.role)),
        }
    }
    spans
}

/// The L2 norm of a delta's trained parameters, and whether all its values are finite and no
/// variance is below zero. `delta` is as long as the table.
#[must_use]
pub fn norm_and_finite(delta: &[f32], table: &TensorTable) -> (f64, bool) {
    let (mut square, mut finite) = (0.0, true);
    for (range, role) in spans(table) {
        let values = &delta[range];
        if role == Role::Parameter {
            square += values.chunks(BLOCK).map(square_of_block).sum::<f64>();
        } else {
            let floor = if role == Role::BufferNonNegative { 0.0 } else { f32::MIN };
            finite &= values.iter().all(|value| value.is_finite() && *value >= floor);
        }
    }
    (square.sqrt(), finite && square.is_finite())
}

/// Values summed in `f32` before the sum goes on in `f64`: few enough to lose no precision.
const BLOCK: usize = 1024;
/// Independent sums, so that the loop needs no order and becomes vector instructions.
const LANES: usize = 16;

fn square_of_block(block: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|value| value * value).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    let sum = lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + f64::from(rest);
    if sum.is_finite() {
        return sum;
    }
    // Squares of large but finite values overflow `f32`; those of NaN and infinity stay so in `f64`.
    block.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}
