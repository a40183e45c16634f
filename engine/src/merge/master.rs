//! The master of a run, changed by one thread at a time or by several in parts that do not touch.

use std::ops::Range;

use protocol::pieces::{PIECE_VALUES_MAX, Piece, pieces};
use protocol::vectors::{magnitude, with_vectors};
use protocol::{Role, TensorTable, Version};

use super::rules::{Approach, Spread, floor_of};
use super::{Delta, MergeOrder, RoundRule};

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
    pieces: Vec<Piece>,
    /// The largest magnitude of each piece: a by-product of merging, which an encoder needs.
    magnitudes: Vec<f32>,
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
        let pieces = pieces(table);
        let magnitudes = pieces.iter().map(|piece| magnitude(&values[piece.values.clone()]));
        let magnitudes = magnitudes.collect();
        Ok(Self { values, momentum, accumulator, version, pieces, magnitudes })
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

    /// The largest magnitude of each tensor; NaN counts for nothing.
    #[must_use]
    pub fn magnitudes(&self) -> Vec<f32> {
        let tensors = self.pieces.last().map_or(0, |piece| piece.tensor + 1);
        let mut largest = vec![0.0_f32; tensors];
        for (piece, magnitude) in self.pieces.iter().zip(&self.magnitudes) {
            largest[piece.tensor] = largest[piece.tensor].max(*magnitude);
        }
        largest
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

    pub(super) fn into_parts(self) -> (Vec<f32>, Vec<f32>, Vec<Piece>) {
        (self.values, self.momentum, self.pieces)
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
        self.apply_in_parts(order, delta, 1, |parts| parts.into_iter().for_each(Part::run));
    }

    /// Carries out an order in up to `count` parts: `all` runs each of them once, at the same time if
    /// it likes. For [`MergeOrder::Round`] the delta is not looked at.
    pub fn apply_in_parts<'a, D: Delta + ?Sized>(
        &'a mut self,
        order: &'a MergeOrder,
        delta: &'a D,
        count: usize,
        all: impl FnOnce(Vec<Part<'a, D>>),
    ) {
        let length = self.values.len();
        match order {
            MergeOrder::Spread { .. }
            | MergeOrder::Round { rule: RoundRule::Nesterov { .. }, .. } => {
                self.momentum.resize(length, 0.0);
            }
            _ => {}
        }
        if matches!(order, MergeOrder::Accumulate { .. } | MergeOrder::Round { .. }) {
            self.accumulator.resize(length, 0.0);
        }
        if let Some(version) = order.version() {
            self.version = version;
        }
        let per_part = self.pieces.len().div_ceil(count.max(1)).max(1);
        let mut whole = Part {
            order,
            delta,
            first: 0,
            pieces: &self.pieces,
            magnitudes: &mut self.magnitudes,
            values: &mut self.values,
            momentum: &mut self.momentum,
            accumulator: &mut self.accumulator,
        };
        let mut parts = Vec::with_capacity(count);
        while whole.pieces.len() > per_part {
            let (part, rest) = whole.split(per_part);
            parts.push(part);
            whole = rest;
        }
        parts.push(whole);
        all(parts);
    }
}

/// Some pieces of a master in a row, and what is to be done to them.
#[derive(Debug)]
pub struct Part<'a, D: ?Sized> {
    order: &'a MergeOrder,
    delta: &'a D,
    /// The number of the first piece.
    first: usize,
    pieces: &'a [Piece],
    magnitudes: &'a mut [f32],
    values: &'a mut [f32],
    /// Empty, or as long as the values; as is the accumulator.
    momentum: &'a mut [f32],
    accumulator: &'a mut [f64],
}

impl<'a, D: Delta + ?Sized> Part<'a, D> {
    fn split(self, count: usize) -> (Self, Self) {
        let (pieces, rest) = self.pieces.split_at(count);
        let (magnitudes, later_magnitudes) = self.magnitudes.split_at_mut(count);
        let length: usize = pieces.iter().map(|piece| piece.values.len()).sum();
        let (values, later_values) = self.values.split_at_mut(length);
        let at = length.min(self.momentum.len());
        let (momentum, later_momentum) = self.momentum.split_at_mut(at);
        let at = length.min(self.accumulator.len());
        let (accumulator, later_accumulator) = self.accumulator.split_at_mut(at);
        let Self { order, delta, first, .. } = self;
        let part = Self { order, delta, first, pieces, magnitudes, values, momentum, accumulator };
        let rest = Self {
            first: first + count,
            pieces: rest,
            magnitudes: later_magnitudes,
            values: later_values,
            momentum: later_momentum,
            accumulator: later_accumulator,
            ..part
        };
        (part, rest)
    }

    /// Does it.
    pub fn run(self) {
        with_vectors(
            #[inline(always)]
            || self.carry_out(),
        );
    }

    #[inline(always)]
    fn carry_out(self) {
        match *self.order {
            MergeOrder::Add { weight, buffer_weight, .. } => self.add(weight as f32, buffer_weight),
            MergeOrder::Spread { in_flight, staleness, clip, buffer_weight, .. } => {
                self.spread(Spread::new(in_flight, staleness, clip), buffer_weight);
            }
            MergeOrder::Accumulate { weight, samples } => self.accumulate(weight, samples),
            MergeOrder::Round { divisor, samples, rule, .. } => self.round(divisor, samples, rule),
        }
    }

    #[inline(always)]
    fn add(mut self, weight: f32, buffer_weight: f64) {
        self.each(|piece, values, _, _, delta| {
            if piece.role == Role::Parameter {
                for (value, change) in values.iter_mut().zip(delta) {
                    *value += weight * change;
                }
            } else {
                approach(values, delta, Approach::new(buffer_weight, piece.role));
            }
        });
    }

    #[inline(always)]
    fn spread(mut self, spread: Spread, buffer_weight: f64) {
        self.each(|piece, values, momentum, _, delta| {
            if piece.role == Role::Parameter {
                for ((value, m), change) in values.iter_mut().zip(momentum).zip(delta) {
                    (*value, *m) = spread.step(*value, *m, *change);
                }
            } else {
                approach(values, delta, Approach::new(buffer_weight, piece.role));
            }
        });
    }

    #[inline(always)]
    fn accumulate(mut self, weight: f64, samples: u64) {
        self.each(|piece, _, _, sums, delta| {
            let weight = if piece.role == Role::Parameter { weight } else { samples as f64 };
            for (sum, change) in sums.iter_mut().zip(delta) {
                *sum += weight * f64::from(*change);
            }
        });
    }

    /// Runs the pieces through `step`, each with its values, momentum, sums and delta.
    #[inline(always)]
    fn each(&mut self, mut step: impl FnMut(&Piece, &mut [f32], &mut [f32], &mut [f64], &[f32])) {
        let mut room = [0.0; PIECE_VALUES_MAX];
        let pieces = places(self.pieces).zip(self.magnitudes.iter_mut());
        for (number, ((piece, range), largest)) in (self.first..).zip(pieces) {
            let delta = self.delta.piece(number, piece, &mut room);
            let momentum = self.momentum.get_mut(range.clone()).unwrap_or_default();
            let sums = self.accumulator.get_mut(range.clone()).unwrap_or_default();
            let values = &mut self.values[range];
            step(piece, values, momentum, sums, delta);
            *largest = magnitude(values);
        }
    }

    #[inline(always)]
    fn round(self, divisor: f64, samples: u64, rule: RoundRule) {
        for ((piece, range), largest) in places(self.pieces).zip(self.magnitudes.iter_mut()) {
            let values = &mut self.values[range.clone()];
            let sums = &self.accumulator[range.clone()];
            match (piece.role, rule) {
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
                (role, _) if samples > 0 => {
                    for (value, sum) in values.iter_mut().zip(sums) {
                        *value = floor_of(role).max((sum / samples as f64) as f32);
                    }
                }
                _ => {}
            }
            *largest = magnitude(values);
        }
        self.accumulator.fill(0.0);
        if rule == RoundRule::Mean {
            self.momentum.fill(0.0);
        }
    }
}

/// Pieces in a row, with their places among the values of these pieces alone.
fn places(pieces: &[Piece]) -> impl Iterator<Item = (&Piece, Range<usize>)> {
    let start = pieces.first().map_or(0, |piece| piece.values.start);
    pieces.iter().map(move |piece| (piece, piece.values.start - start..piece.values.end - start))
}

#[inline(always)]
fn approach(values: &mut [f32], target: &[f32], approach: Approach) {
    for (value, target) in values.iter_mut().zip(target) {
        *value = approach.step(*value, *target);
    }
}
