//! The words of a job file: modes, frequencies and strategies, read strictly and written alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How workers and master keep step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    /// In rounds: all leases of a round start from one version.
    Synchronous,
    /// Each delta is merged as it comes.
    #[default]
    Asynchronous,
    /// As asynchronous, but several deltas are merged at once, without a lock: updates of a value
    /// that meet may be lost.
    Hogwild,
}

/// How much a worker trains between pull and push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Frequency {
    /// One batch.
    Batch,
    /// So many batches.
    Steps(u32),
    /// A worker's share of the epoch, by its share of the fleet's measured speed.
    Epoch,
    /// As `Epoch` with up to two workers. With more, shares of a part of the epoch, as long local
    /// training in many places costs accuracy; but no lease so short that talking costs more.
    Auto,
}

impl Frequency {
    /// Whether leases are shares by speed.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Epoch | Self::Auto)
    }
}

/// How deltas become master.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Strategy {
    /// The measured best: `nesterov` where the inner optimizer has no momentum; with momentum
    /// `staleness` in asynchronous and `mean` in synchronous mode.
    #[default]
    Auto,
    /// Nesterov momentum outside: in rounds by these two numbers, in asynchronous mode spread over
    /// the deltas in flight, where both follow from their number.
    Nesterov {
        /// Outer learning rate of a round.
        rate: f64,
        /// Outer momentum of a round.
        momentum: f64,
    },
    /// Asynchronous: weight `max(N, 1 + s)^-exponent` for N deltas in flight and staleness s.
    Staleness {
        /// How fast the weight falls.
        exponent: f64,
        /// Leaves N out: `(1 + s)^-exponent`.
        plain: bool,
    },
    /// Synchronous: the mean of a round, weighted by samples.
    Mean,
    /// Raw deltas, as Elephas adds them. Diverges with several workers and many local steps.
    Sum,
}

/// Outer learning rate of a round unless another is given.
pub const NESTEROV_RATE: f64 = 0.7;
/// Outer momentum of a round unless another is given.
pub const NESTEROV_MOMENTUM: f64 = 0.9;
/// Exponent of [`Strategy::Staleness`] unless another is given.
pub const STALENESS_EXPONENT: f64 = 1.0;

impl Strategy {
    /// `nesterov` with its measured constants.
    pub const NESTEROV: Self = Self::Nesterov { rate: NESTEROV_RATE, momentum: NESTEROV_MOMENTUM };
    /// `staleness` with its measured constants.
    pub const STALENESS: Self = Self::Staleness { exponent: STALENESS_EXPONENT, plain: false };

    /// The word without parameters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Nesterov { .. } => "nesterov",
            Self::Staleness { .. } => "staleness",
            Self::Mean => "mean",
            Self::Sum => "sum",
        }
    }
}

/// A word that is not one of those allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {word:?} is unknown: {hint}use {allowed}")]
pub struct WordError {
    kind: &'static str,
    word: String,
    hint: String,
    allowed: &'static str,
}

impl WordError {
    pub(crate) fn new(
        kind: &'static str,
        word: &str,
        names: &[&str],
        allowed: &'static str,
    ) -> Self {
        let word: String = word.chars().take(60).collect();
        let stem = word.split('=').next().unwrap_or_default().to_lowercase();
        let near = names.iter().map(|name| (distance(&stem, name), name)).min();
        let hint = match near {
            Some((1..=3, name)) => format!("did you mean {name:?}? Else "),
            _ => String::new(),
        };
        Self { kind, word, hint, allowed }
    }
}

/// Letters to insert, delete or replace to turn one word into another.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let changed = (corner + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = changed;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Hogwild => "hogwild",
        })
    }
}

impl FromStr for Mode {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        match word {
            "synchronous" => Ok(Self::Synchronous),
            "asynchronous" => Ok(Self::Asynchronous),
            "hogwild" => Ok(Self::Hogwild),
            _ => {
                let names = ["synchronous", "asynchronous", "hogwild"];
                Err(WordError::new("mode", word, &names, "synchronous, asynchronous or hogwild"))
            }
        }
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("batch"),
            Self::Steps(steps) => write!(f, "steps={steps}"),
            Self::Epoch => f.write_str("epoch"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl FromStr for Frequency {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        let parsed = match word.split_once('=') {
            None if word == "batch" => Some(Self::Batch),
            None if word == "epoch" => Some(Self::Epoch),
            None if word == "auto" => Some(Self::Auto),
            Some(("steps", count)) => {
                count.parse().ok().filter(|&count: &u32| count > 0).map(Self::Steps)
            }
            _ => None,
        };
        parsed.ok_or_else(|| {
            let names = ["auto", "batch", "steps", "epoch"];
            let remedy = "auto, batch, steps=N with N at least 1, or epoch";
            WordError::new("frequency", word, &names, remedy)
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NESTEROV | Self::STALENESS => f.write_str(self.name()),
            Self::Nesterov { rate, momentum } => write!(f, "nesterov={rate},{momentum}"),
            Self::Staleness { exponent, plain } => {
                write!(f, "staleness={exponent}{}", if plain { ",plain" } else { "" })
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Strategy {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        strategy(word).ok_or_else(|| {
            let names = ["auto", "nesterov", "staleness", "mean", "sum"];
            let allowed = "auto, nesterov, nesterov=RATE,MOMENTUM, staleness, staleness=EXPONENT, \
                           staleness=EXPONENT,plain, mean or sum";
            WordError::new("strategy", word, &names, allowed)
        })
    }
}

fn strategy(word: &str) -> Option<Strategy> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    match word.split_once('=') {
        None => {
            [Strategy::Auto, Strategy::NESTEROV, Strategy::STALENESS, Strategy::Mean, Strategy::Sum]
                .into_iter()
                .find(|strategy| strategy.name() == word)
        }
        Some(("nesterov", numbers)) => {
            let (rate, momentum) = numbers.split_once(',')?;
            Some(Strategy::Nesterov { rate: number(rate)?, momentum: number(momentum)? })
        }
        Some(("staleness", rest)) => {
            let (exponent, plain) = match rest.split_once(',') {
                None => (rest, false),
                Some((exponent, "plain")) => (exponent, true),
                Some(_) => return None,
            };
            Some(Strategy::Staleness { exponent: number(exponent)?, plain })
        }
        Some(_) => None,
    }
}

/// Reading and writing as a string, for serde.
macro_rules! as_string {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = $crate::words::WordError;

            fn try_from(word: String) -> Result<Self, Self::Error> {
                word.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use as_string;

as_string!(Mode);
as_string!(Frequency);
as_string!(Strategy);
