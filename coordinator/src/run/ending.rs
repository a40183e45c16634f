//! How runs end.

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All samples of all epochs were counted.
    Complete,
    /// Ctrl-C.
    Interrupted,
    /// Nobody is left to train.
    Deserted(String),
    /// The coordinator itself cannot go on; its threads know why.
    Failed,
}

impl Ending {
    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Complete => "the run is complete".to_owned(),
            Self::Interrupted => "the run was stopped".to_owned(),
            Self::Failed => "the coordinator failed".to_owned(),
            Self::Deserted(reason) => reason.clone(),
        }
    }
}
