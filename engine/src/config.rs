//! What a run asks of the engine, and which wishes are refused.

use protocol::RunId;

use crate::schedule::Schedule;
use crate::words::{Frequency, Mode, Strategy};

/// A run, as far as the engine is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The run's name on the wire.
    pub run: RunId,
    /// Which start of the coordinator this is.
    pub incarnation: u32,
    /// How workers and master keep step.
    pub mode: Mode,
    /// How much a worker trains between pull and push.
    pub frequency: Frequency,
    /// How deltas become master.
    pub strategy: Strategy,
    /// Rows of each shard.
    pub shards: Vec<u32>,
    /// Rows per batch.
    pub batch_size: u32,
    /// How often every sample is trained.
    pub epochs: u32,
    /// Seed of orders and noise.
    pub seed: u64,
    /// Learning rate of the inner optimizer, before the schedule.
    pub learning_rate: f64,
    /// The learning rate over the run.
    pub schedule: Schedule,
    /// The inner optimizer carries a momentum from lease to lease (SGD with momentum, Adam).
    pub inner_momentum: bool,
    /// No lease is given before so many workers have joined; later it may be fewer.
    pub workers_min: u32,
    /// Synchronous: what is merged does not depend on who trained what, or when it came. A round
    /// has one unit for each of [`Self::workers_min`], all of one size; all of them are waited for,
    /// and added in the order of the units.
    pub deterministic: bool,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// No shard.
    #[error("there are no samples to train: give a data set with at least one row")]
    NoSamples,
    /// A shard without rows.
    #[error("shard {0} has no rows: leave empty shards out")]
    EmptyShard(usize),
    /// A count that must be at least 1.
    #[error("{0} is 0: it must be at least 1")]
    Zero(&'static str),
    /// A number out of its range.
    #[error("{name} is {value}: it must be {range}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// `mean` without rounds.
    #[error(
        "strategy mean averages the deltas of a round, and asynchronous mode has no rounds: \
         use staleness, which divides by the deltas in flight, or mode synchronous"
    )]
    MeanWithoutRounds,
    /// `staleness` in rounds.
    #[error(
        "strategy staleness weighs by age, and in a round of mode synchronous all deltas are of \
         one age: use mean or nesterov, or mode asynchronous"
    )]
    StalenessInRounds,
    /// `deterministic` without rounds.
    #[error(
        "a deterministic run adds up deltas in a fixed order, round by round: it needs mode synchronous"
    )]
    DeterministicWithoutRounds,
    /// `nesterov=RATE,MOMENTUM` without rounds.
    #[error(
        "nesterov=RATE,MOMENTUM holds for rounds of mode synchronous; in asynchronous mode both \
         follow from the number of deltas in flight: write nesterov alone"
    )]
    NesterovWithoutRounds,
}

/// Leases in flight times local steps over which `sum` was seen to diverge.
const SUM_STEPS_MAX: f64 = 8.0;
/// Part of an epoch's batches that `nesterov` may have in flight without loss of accuracy.
const NESTEROV_PART_MAX: f64 = 0.25;

impl Config {
    /// Samples of an epoch.
    #[must_use]
    pub fn epoch_samples(&self) -> u64 {
        self.shards.iter().map(|&rows| u64::from(rows)).sum()
    }

    /// Samples of all epochs.
    #[must_use]
    pub fn total_samples(&self) -> u64 {
        self.epoch_samples() * u64::from(self.epochs)
    }

    /// Batches of an epoch.
    #[must_use]
    pub fn epoch_batches(&self) -> u64 {
        self.epoch_samples().div_ceil(u64::from(self.batch_size))
    }

    /// The strategy that `auto` stands for.
    #[must_use]
    pub fn resolved_strategy(&self) -> Strategy {
        match (self.strategy, self.mode, self.inner_momentum) {
            (Strategy::Auto, _, false) => Strategy::NESTEROV,
            (Strategy::Auto, Mode::Asynchronous | Mode::Hogwild, true) => Strategy::STALENESS,
            (Strategy::Auto, Mode::Synchronous, true) => Strategy::Mean,
            (strategy, _, _) => strategy,
        }
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// With one sentence that names the setting and the remedy.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.shards.is_empty() {
            return Err(ConfigError::NoSamples);
        }
        if let Some(shard) = self.shards.iter().position(|&rows| rows == 0) {
            return Err(ConfigError::EmptyShard(shard));
        }
        let steps = if let Frequency::Steps(steps) = self.frequency { steps } else { 1 };
        let counts = [
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            ("workers_min", self.workers_min),
            ("the number of steps of frequency steps=N", steps),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(ConfigError::Zero(name));
        }
        within("learning_rate", self.learning_rate, 0.0, f64::MAX, "above 0")?;
        if self.deterministic && self.mode != Mode::Synchronous {
            return Err(ConfigError::DeterministicWithoutRounds);
        }
        match (self.strategy, self.mode) {
            (Strategy::Mean, Mode::Asynchronous | Mode::Hogwild) => {
                Err(ConfigError::MeanWithoutRounds)
            }
            (Strategy::Staleness { .. }, Mode::Synchronous) => Err(ConfigError::StalenessInRounds),
            (Strategy::Staleness { exponent, .. }, _) => {
                within("the exponent of staleness", exponent, 0.0, 4.0, "above 0 and at most 4")
            }
            (strategy @ Strategy::Nesterov { .. }, Mode::Asynchronous | Mode::Hogwild)
                if strategy != Strategy::NESTEROV =>
            {
                Err(ConfigError::NesterovWithoutRounds)
            }
            (Strategy::Nesterov { rate, momentum }, _) => {
                within("the rate of nesterov", rate, 0.0, 2.0, "above 0 and at most 2")?;
                within("the momentum of nesterov", momentum, 0.0, 0.999, "above 0 and below 1")
            }
            _ => Ok(()),
        }
    }

    /// What a user should know about this configuration with so many workers.
    #[must_use]
    pub fn warnings(&self, workers: u64) -> Vec<String> {
        let workers = workers.max(u64::from(self.workers_min)) as f64;
        let batches = self.epoch_batches() as f64;
        let steps = match self.frequency {
            Frequency::Batch => 1.0,
            Frequency::Steps(steps) => f64::from(steps).min(batches),
            Frequency::Epoch | Frequency::Auto => (batches / workers).ceil(),
        };
        let mut warnings = Vec::new();
        if self.strategy == Strategy::Sum && workers > 1.0 && workers * steps > SUM_STEPS_MAX {
            warnings.push(format!(
                "strategy sum with {workers} workers x {steps} local steps in flight is likely to \
                 diverge (over {SUM_STEPS_MAX}): use strategy auto, fewer local steps or a lower \
                 learning rate"
            ));
        }
        let nesterov = matches!(self.resolved_strategy(), Strategy::Nesterov { .. });
        let many = workers * steps > NESTEROV_PART_MAX * batches;
        if nesterov && workers > 1.0 && many && matches!(self.frequency, Frequency::Steps(_)) {
            warnings.push(format!(
                "{workers} workers x {steps} local steps are more than a quarter of an epoch's \
                 {batches} batches: accuracy suffers; use fewer steps, or frequency auto"
            ));
        }
        if nesterov && self.inner_momentum {
            warnings.push(String::from(
                "strategy nesterov over an inner optimizer that carries momentum is likely to \
                 diverge: use strategy auto",
            ));
        }
        warnings
    }
}

/// Refuses what is not above `low` and at most `high`; NaN never is.
fn within(
    name: &'static str,
    value: f64,
    low: f64,
    high: f64,
    range: &'static str,
) -> Result<(), ConfigError> {
    if value > low && value <= high {
        Ok(())
    } else {
        Err(ConfigError::Range { name, value, range })
    }
}
