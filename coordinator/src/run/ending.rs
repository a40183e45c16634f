//! How runs end.

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All samples of all epochs were counted.
    Complete,
    /// Ctrl-C.
    Interrupted,
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
        *self != Self::Complete
    }

    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Complete => "the run is complete".to_owned(),
            Self::Interrupted => "the run was stopped".to_owned(),
            Self::Restarting => "the coordinator restarts".to_owned(),
            Self::Failed => "the coordinator failed".to_owned(),
            Self::Deserted(reason) => reason.clone(),
        }
    }
}
