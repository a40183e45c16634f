//! A master that several threads change at once, without a lock (Hogwild, Niu et al. 2011).
//!
//! Each value is loaded, changed and stored with relaxed atomics. Where two threads change the same
//! value in the same moment one of the changes may be lost; values that a delta leaves alone are not
//! stored, so that deltas which touch different values lose nothing. A copy that is taken meanwhile
//! may hold some values before a merge and some after it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use protocol::Role;
use protocol::pieces::{PIECE_VALUES_MAX, Piece};

use super::master::Master;
use super::rules::{Approach, Spread};
use super::{Delta, MergeOrder};

/// The bits of a master's values.
#[derive(Debug)]
pub struct Shared {
    values: Vec<AtomicU32>,
    /// Empty for a run whose rule has none.
    momentum: Vec<AtomicU32>,
    pieces: Vec<Piece>,
}

impl Shared {
    /// Shares a master. `with_momentum` says whether merges may be [`MergeOrder::Spread`].
    #[must_use]
    pub fn new(master: Master, with_momentum: bool) -> Self {
        let (values, mut momentum, pieces) = master.into_parts();
        if with_momentum {
            momentum.resize(values.len(), 0.0);
        }
        let share = |values: Vec<f32>| values.into_iter().map(|x| x.to_bits().into()).collect();
        Self { values: share(values), momentum: share(momentum), pieces }
    }

    /// Carries out an order for a single delta; others may be carried out meanwhile.
    ///
    /// # Panics
    /// When the order is one of rounds, or of a rule that was not announced.
    pub fn apply<D: Delta + ?Sized>(&self, order: &MergeOrder, delta: &D) {
        let mut room = [0.0; PIECE_VALUES_MAX];
        for (number, piece) in self.pieces.iter().enumerate() {
            let delta = delta.piece(number, piece, &mut room);
            let values = &self.values[piece.values.clone()];
            match *order {
                MergeOrder::Add { buffer_weight, .. }
                | MergeOrder::Spread { buffer_weight, .. }
                    if piece.role != Role::Parameter =>
                {
                    let approach = Approach::new(buffer_weight, piece.role);
                    for (value, target) in values.iter().zip(delta) {
                        store(value, approach.step(load(value), *target));
                    }
                }
                MergeOrder::Add { weight, .. } => add(values, delta, weight as f32),
                MergeOrder::Spread { in_flight, staleness, clip, .. } => {
                    let momentum = &self.momentum[piece.values.clone()];
                    spread(values, momentum, delta, Spread::new(in_flight, staleness, clip));
                }
                MergeOrder::Accumulate { .. } | MergeOrder::Round { .. } => {
                    panic!("invariant: there are no rounds in hogwild mode")
                }
            }
        }
    }

    /// A copy of the values as they are: of one version only while nobody merges.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        self.values.iter().map(load).collect()
    }

    /// A copy of the momentum, as [`Self::values`].
    #[must_use]
    pub fn momentum(&self) -> Vec<f32> {
        self.momentum.iter().map(load).collect()
    }

    /// The values alone, when nobody shares them any more.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        self.values.into_iter().map(|value| f32::from_bits(value.into_inner())).collect()
    }
}

fn add(values: &[AtomicU32], delta: &[f32], weight: f32) {
    for (value, change) in values.iter().zip(delta) {
        if *change != 0.0 {
            store(value, load(value) + weight * change);
        }
    }
}

fn spread(values: &[AtomicU32], momentum: &[AtomicU32], delta: &[f32], spread: Spread) {
    for ((value, m), change) in values.iter().zip(momentum).zip(delta) {
        let (next, next_m) = spread.step(load(value), load(m), *change);
        store(value, next);
        store(m, next_m);
    }
}

fn load(value: &AtomicU32) -> f32 {
    f32::from_bits(value.load(Relaxed))
}

fn store(value: &AtomicU32, new: f32) {
    value.store(new.to_bits(), Relaxed);
}
