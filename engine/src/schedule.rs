//! The learning rate over a run, as a factor of the configured one. Schedules run on the run's
//! progress (merged samples over all samples), never on a worker's own steps.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::{WordError, as_string};

/// A linear rise over the first part of the run, then a decay: `warmup=0.05+cosine`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    /// Part of the run over which the rate rises, 0 to below 1.
    pub warmup: f64,
    /// What comes after.
    pub decay: Decay,
}

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Decay {
    /// Not at all.
    #[default]
    Constant,
    /// Times `factor` after each `every` of the run.
    Step {
        /// Part of the run, above 0.
        every: f64,
        /// Above 0, at most 1.
        factor: f64,
    },
    /// Half a cosine from 1 to 0.
    Cosine,
}

/// The factor at the very start of a warm-up, so that the first leases train at all.
const WARMUP_START: f64 = 0.01;

impl Schedule {
    /// The factor of the learning rate when `progress` (0 to 1) of the run is merged.
    #[must_use]
    pub fn factor(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        if progress < self.warmup {
            return (progress / self.warmup).max(WARMUP_START);
        }
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Step { every, factor } => factor.powf((progress / every).floor()),
            Decay::Cosine => {
                let part = (progress - self.warmup) / (1.0 - self.warmup);
                0.5 + 0.5 * (PI * part).cos()
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decay = match self.decay {
            Decay::Constant => String::from("constant"),
            Decay::Step { every, factor } => format!("step={every},{factor}"),
            Decay::Cosine => String::from("cosine"),
        };
        match (self.warmup > 0.0, self.decay) {
            (true, Decay::Constant) => write!(f, "warmup={}", self.warmup),
            (true, _) => write!(f, "warmup={}+{decay}", self.warmup),
            (false, _) => f.write_str(&decay),
        }
    }
}

impl FromStr for Schedule {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        parse(word).ok_or_else(|| {
            let names = ["constant", "cosine", "step", "warmup"];
            let allowed = "constant, cosine, step=EVERY,FACTOR (every such part of the run times \
                           that), or warmup=PART alone or before one of them: warmup=0.05+cosine";
            WordError::new("schedule", word, &names, allowed)
        })
    }
}

fn parse(word: &str) -> Option<Schedule> {
    let part = |text: &str| text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    let (warmup, decay) = match word.strip_prefix("warmup=") {
        None => (0.0, word),
        Some(rest) => {
            let (warmup, decay) = rest.split_once('+').unwrap_or((rest, "constant"));
            (part(warmup).filter(|warmup| *warmup < 1.0)?, decay)
        }
    };
    let decay = match decay.split_once('=') {
        None if decay == "constant" => Decay::Constant,
        None if decay == "cosine" => Decay::Cosine,
        Some(("step", numbers)) => {
            let (every, factor) = numbers.split_once(',')?;
            Decay::Step { every: part(every)?, factor: part(factor)? }
        }
        _ => return None,
    };
    Some(Schedule { warmup, decay })
}

as_string!(Schedule);
