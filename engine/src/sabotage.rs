//! Bugs on purpose, for the simulation to find: a check that finds none of them is worth nothing.
//!
//! Without the feature `sabotage`, which no build of Herd turns on, the switch is always off and
//! the compiler leaves the bugs out.

use crate::machine::Engine;
#[cfg(feature = "sabotage")]
use crate::{Action, MergeOrder, event::Event};
#[cfg(feature = "sabotage")]
use protocol::{LeaseId, Outcome};

/// One bug. Those of the shell are made by the simulated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A push that is repeated after its answer is merged again.
    MergeTwice,
    /// The unit of a lost lease is never leased again.
    LoseLease,
    /// The shell subtracts deltas.
    WrongSign,
    /// Leases of an earlier incarnation are taken for leases of this one.
    SkipFence,
    /// After a restart leases get the names of earlier ones.
    ReuseLease,
    /// The shell commits a checkpoint before its file is on the disk.
    LedgerAhead,
    /// The shell sends the version before the one that it names.
    StaleSnapshot,
    /// A late delta is merged although its unit was merged already.
    LateCounted,
    /// An epoch is complete before its last sample.
    EpochEarly,
    /// Deltas that are not finite, or too long, are merged.
    ScreeningOff,
    /// Deltas are summed up and not averaged.
    NotDivided,
    /// A lease that ends without a delta ends twice.
    EndTwice,
    /// Leases are given while the run is paused.
    NeverPaused,
    /// A restart brings the configured learning rate back.
    ForgetRate,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::MergeTwice,
        Self::LoseLease,
        Self::WrongSign,
        Self::SkipFence,
        Self::ReuseLease,
        Self::LedgerAhead,
        Self::StaleSnapshot,
        Self::LateCounted,
        Self::EpochEarly,
        Self::ScreeningOff,
        Self::NotDivided,
        Self::EndTwice,
        Self::NeverPaused,
        Self::ForgetRate,
    ];
}

impl Engine {
    /// Whether this engine has a bug on purpose.
    #[cfg(not(feature = "sabotage"))]
    #[expect(clippy::unused_self, reason = "the other one needs it")]
    pub(crate) const fn has(&self, _: Bug) -> bool {
        false
    }

    /// Whether this engine has a bug on purpose.
    #[cfg(feature = "sabotage")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.sabotaged == Some(bug)
    }
}

#[cfg(feature = "sabotage")]
impl Engine {
    /// Gives this engine a bug.
    pub fn sabotage(&mut self, bug: Bug) {
        self.sabotaged = Some(bug);
    }

    /// The event as it would look without the fence.
    pub(crate) fn unfenced(&self, mut event: Event) -> Event {
        let incarnation = self.config.incarnation;
        let here = |lease: &mut LeaseId| lease.incarnation = incarnation;
        match &mut event {
            _ if !self.has(Bug::SkipFence) => {}
            Event::WorkerReturned { leases, .. } => leases.iter_mut().for_each(here),
            Event::Pulled { lease, .. } | Event::DeltaReceived { lease, .. } => here(lease),
            _ => {}
        }
        event
    }

    /// Merges a delta that was merged before.
    pub(crate) fn merge_again(&mut self, lease: LeaseId, of: Outcome, actions: &mut Vec<Action>) {
        if self.has(Bug::MergeTwice) && matches!(of, Outcome::Merged(_)) {
            self.version += 1;
            let order =
                MergeOrder::Add { version: self.version_now(), weight: 1.0, buffer_weight: 0.0 };
            self.dispatched.push_back((self.version, Vec::new()));
            actions.push(Action::Merge { lease: Some(lease), order });
        }
    }
}
