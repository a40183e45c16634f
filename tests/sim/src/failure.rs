//! A check that failed, and how to see it again.

use std::fmt;

use crate::scenario::Scenario;

/// What a check found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Which check.
    pub(crate) checker: &'static str,
    /// What was wrong.
    pub(crate) message: String,
}

/// The result of what may find something.
pub(crate) type Check<T = ()> = Result<T, Finding>;

/// A finding unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $checker:literal, $($message:tt)+) => {{
        // By a name: a comparison with NaN does not hold, and that is what is wanted.
        let holds: bool = $condition;
        if !holds {
            $crate::failure::fail!($checker, $($message)+);
        }
    }};
}

/// A finding.
macro_rules! fail {
    ($checker:literal, $($message:tt)+) => {
        return Err($crate::failure::Finding { checker: $checker, message: format!($($message)+) })
    };
}
pub(crate) use {ensure, fail};

/// A seed whose run broke a promise.
#[derive(Debug)]
pub struct Failure {
    /// The check that found it.
    pub checker: &'static str,
    /// What it found.
    pub message: String,
    /// The scenario.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// All events before it.
    pub events: Vec<String>,
    /// How many of the last ones are printed.
    pub shown: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scenario, seed) = (self.scenario.name(), self.seed);
        writeln!(f, "scenario {scenario}, seed {seed}: {}: {}", self.checker, self.message)?;
        writeln!(f, "the last events:")?;
        let shown = self.events.len().saturating_sub(self.shown);
        self.events.iter().skip(shown).try_for_each(|event| writeln!(f, "  {event}"))?;
        write!(f, "SIM_SEED={seed}; again: cargo xtask sim --scenario {scenario} --seed {seed}")
    }
}
