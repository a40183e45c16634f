//! What a checkpoint holds of the engine, and how a run goes on from it.
//!
//! Leases do not outlive the coordinator that gave them: in a checkpoint the rows of all units that
//! are under way are free again, and their leases count as lost.

use protocol::LeaseId;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError};
use crate::machine::Engine;
use crate::sabotage::Bug;
use crate::screening::Screening;
use crate::status::EpochSummary;
use crate::units::{OpenEpoch, Units};
use crate::words::Mode;

/// The engine's part of a checkpoint. Whoever stores it need not look inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    merges: u64,
    merged_samples: u64,
    lease_samples: f64,
    epochs_begun: u32,
    last_unit: u64,
    /// Counts of the epochs that are complete.
    totals: EpochSummary,
    open: Vec<OpenEpoch>,
    screening: Screening,
    /// Learning rate before the schedule, where it is not the configured one any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learning_rate: Option<f64>,
}

/// Why a checkpoint does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// The run's configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its counts are not those of the run's data.
    #[error(
        "the checkpoint is of other data: in epoch {0} its samples are not those of the run; give \
         the data that the run was started with"
    )]
    Samples(u32),
    /// It has more epochs than the run.
    #[error("the checkpoint has begun {begun} epochs, and the run has {epochs}")]
    Epochs {
        /// Epochs begun in the checkpoint.
        begun: u32,
        /// Epochs of the run.
        epochs: u32,
    },
}

impl State {
    /// Merges that the checkpoint contains.
    #[must_use]
    pub fn merges(&self) -> u64 {
        self.merges
    }

    /// Samples merged, of all epochs.
    #[must_use]
    pub fn merged_samples(&self) -> u64 {
        self.merged_samples
    }

    /// Counts of the whole run, and of the epochs that are not complete, oldest first.
    #[must_use]
    pub fn counts(&self) -> (EpochSummary, Vec<(u32, EpochSummary)>) {
        let mut totals = self.totals.clone();
        self.open.iter().for_each(|epoch| totals.add(&epoch.summary));
        (totals, self.open.iter().map(|epoch| (epoch.index, epoch.summary.clone())).collect())
    }
}

impl Engine {
    /// Whether deltas are accumulated that are counted and not in the master.
    #[must_use]
    pub fn is_mid_round(&self) -> bool {
        self.config.mode == Mode::Synchronous && !self.rounds.current.arrived.is_empty()
    }

    /// What a checkpoint is to hold, if there may be one now: it goes with the master as it is after
    /// all orders so far. In the middle of a round there may be none, as what is accumulated is
    /// counted and not in the master.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        if self.is_mid_round() {
            return None;
        }
        let mut totals = self.totals.clone();
        let mut open = self.units.saved();
        for (_, attempt) in self.leases.iter().filter(|(_, attempt)| attempt.is_under_way()) {
            match open.iter_mut().find(|epoch| epoch.index == attempt.epoch) {
                Some(epoch) => epoch.summary.released += 1,
                None => totals.released += 1,
            }
        }
        Some(State {
            merges: self.merges_before + self.version,
            merged_samples: self.merged_samples,
            lease_samples: self.lease_samples,
            epochs_begun: self.units.begun,
            last_unit: self.units.last(),
            totals,
            open,
            screening: self.screening.saved(),
            learning_rate: Some(self.base_rate)
                .filter(|rate| *rate != self.config.learning_rate && !self.has(Bug::ForgetRate)),
        })
    }

    /// The unit that a lease is an attempt at, as long as it is one.
    #[must_use]
    pub fn unit_of(&self, lease: LeaseId) -> Option<u64> {
        let attempt = self.leases.get(lease).filter(|attempt| attempt.is_under_way());
        attempt.map(|attempt| attempt.unit)
    }

    /// Whether an epoch has begun and is not complete.
    #[must_use]
    pub fn is_open(&self, epoch: u32) -> bool {
        self.units.epoch(epoch).is_some()
    }

    /// An engine that goes on from a checkpoint. The incarnation of `config` must be higher than
    /// those before. A run that was over stays so: its status says it, and no action will.
    ///
    /// # Errors
    /// When the checkpoint is not of such a run.
    pub fn restore(config: Config, state: State) -> Result<Self, RestoreError> {
        let (begun, epochs) = (state.epochs_begun, config.epochs);
        if begun > epochs {
            return Err(RestoreError::Epochs { begun, epochs });
        }
        let mut engine = Self::new(config)?;
        engine.units = Units::restored(begun, state.last_unit, state.open);
        if let Some(epoch) = engine.units.unfit(&engine.config) {
            return Err(RestoreError::Samples(epoch));
        }
        engine.merges_before = state.merges;
        engine.merged_samples = state.merged_samples;
        engine.lease_samples = state.lease_samples;
        engine.base_rate = usable(state.learning_rate).unwrap_or(engine.base_rate);
        engine.totals = state.totals;
        engine.screening = state.screening.sorted();
        engine.finished = begun == epochs && engine.units.epochs.is_empty();
        Ok(engine)
    }
}

/// A learning rate from a file, which may hold anything.
fn usable(rate: Option<f64>) -> Option<f64> {
    rate.filter(|rate| rate.is_finite() && *rate > 0.0)
}
