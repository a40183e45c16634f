//! How runs end.

use crate::goals::Verdict;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All samples of all epochs were counted.
    Complete,
    /// The target is met, as the sentence says.
    TargetMet(String),
    /// There was no progress any more, as the sentence says.
    NoProgress(String),
    /// The time is up, as the sentence says.
    TimeUp(String),
    /// Ctrl-C.
    Interrupted,
    /// Whoever controls the run has stopped it: as with Ctrl-C.
    Stopped,
    /// SIGTERM: the coordinator is to be started again.
    Restarting,
    /// Nobody is left to train.
    Deserted(String),
    /// The coordinator itself cannot go on; its threads know why.
    Failed,
}

impl Ending {
    /// Whether the run can go on from its last checkpoint.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.is_complete()
    }

    /// Whether there is nothing to go on with.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete | Self::TargetMet(_) | Self::NoProgress(_))
    }

    /// Whether the run itself decides: what has arrived is kept, and a round is finished first.
    #[must_use]
    pub(super) fn is_orderly(&self) -> bool {
        !matches!(self, Self::Complete | Self::Deserted(_) | Self::Failed)
    }

    /// One word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::TargetMet(_) => "target-met",
            Self::NoProgress(_) => "early-stopping",
            Self::TimeUp(_) => "time-up",
            Self::Interrupted | Self::Stopped => "interrupted",
            Self::Restarting => "restarting",
            Self::Deserted(_) => "deserted",
            Self::Failed => "failed",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Complete => "the run is complete".to_owned(),
            Self::Interrupted | Self::Stopped => "the run was stopped".to_owned(),
            Self::Restarting => "the coordinator restarts".to_owned(),
            Self::Failed => "the coordinator failed".to_owned(),
            Self::TargetMet(sentence)
            | Self::NoProgress(sentence)
            | Self::TimeUp(sentence)
            | Self::Deserted(sentence) => sentence.clone(),
        }
    }
}

impl From<&Verdict> for Ending {
    fn from(verdict: &Verdict) -> Self {
        let sentence = verdict.sentence();
        match verdict {
            Verdict::TargetMet { .. } => Self::TargetMet(sentence),
            Verdict::NoProgress { .. } => Self::NoProgress(sentence),
        }
    }
}
