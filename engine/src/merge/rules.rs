//! What an order does to a single value, whoever carries it out.

use protocol::Role;

/// The share of a Nesterov step that one delta makes, in the numbers that each value needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    decay: f32,
    gain: f32,
    pull: f32,
    push: f32,
}

impl Spread {
    /// For `n` deltas in flight, of which `staleness` were merged since this one's base.
    pub(super) fn new(n: f64, staleness: u64, clip: f64) -> Self {
        let n = n.max(1.0);
        let rate = 0.5 + 0.5 / n;
        let beta = 1.0 - rate / n.min(5.0);
        Self {
            decay: beta.powf(1.0 / n) as f32,
            gain: (clip / n.max(1.0 + staleness as f64)) as f32,
            pull: (rate / n) as f32,
            push: (rate * (beta + beta * beta)) as f32,
        }
    }

    /// Value and momentum after a change.
    #[inline(always)]
    pub(super) fn step(self, value: f32, momentum: f32, change: f32) -> (f32, f32) {
        let next = self.decay * momentum + self.gain * change;
        (value + (self.pull * next + self.push * (next - momentum)), next)
    }
}

/// How a buffer moves towards a worker's; a weight of 1 takes it over exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Approach {
    keep: f32,
    weight: f32,
    floor: f32,
}

impl Approach {
    pub(super) fn new(weight: f64, role: Role) -> Self {
        Self { keep: (1.0 - weight) as f32, weight: weight as f32, floor: floor_of(role) }
    }

    #[inline(always)]
    pub(super) fn step(self, value: f32, target: f32) -> f32 {
        self.floor.max(self.keep * value + self.weight * target)
    }
}

/// The least value of a tensor.
pub(super) fn floor_of(role: Role) -> f32 {
    if role == Role::BufferNonNegative { 0.0 } else { f32::NEG_INFINITY }
}
