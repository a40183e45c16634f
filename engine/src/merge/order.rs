//! What the engine orders: plain data, which the simulation can write down and compare.

use protocol::Version;

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
