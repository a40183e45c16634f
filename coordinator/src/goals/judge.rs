//! Says after which epoch a run is to end, and which epoch is the best.

use model::Metrics;

use super::{Patience, Quality, Target};

/// What validation measured after an epoch; what could not be measured is missing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Mean loss.
    pub loss: Option<f64>,
    /// Share of right classes.
    pub accuracy: Option<f64>,
    /// Mean absolute error.
    pub mae: Option<f64>,
}

impl Measured {
    fn of(&self, quality: Quality) -> Option<f64> {
        match quality {
            Quality::Loss => self.loss,
            Quality::Accuracy => self.accuracy,
            Quality::Mae => self.mae,
        }
    }
}

/// Why a run is to end.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The target is met.
    TargetMet {
        /// Which.
        target: Target,
        /// After which epoch, from 1.
        epoch: u32,
        /// What was measured.
        value: f64,
    },
    /// Nothing has become better for too long.
    NoProgress {
        /// For how long, and of what.
        patience: Patience,
        /// The best epoch, from 1; none if nothing could be measured.
        best: Option<(u32, f64)>,
    },
}

/// Watches a run.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    target: Option<Target>,
    patience: Option<Patience>,
    /// Best epoch and value, of what the patience is for.
    leader: Option<(u32, f64)>,
    /// Best epoch and value, of what the target is for.
    nearest: Option<(u32, f64)>,
    /// Epochs since the leader.
    waited: u32,
    verdict: Option<Verdict>,
}

impl Judge {
    /// For a run that has not begun.
    #[must_use]
    pub fn new(target: Option<Target>, patience: Option<Patience>) -> Self {
        Self { target, patience, ..Self::default() }
    }

    /// Takes in an epoch, from 1; gives the verdict when this one decides.
    pub fn see(&mut self, epoch: u32, measured: &Measured) -> Option<Verdict> {
        if self.verdict.is_some() {
            return None;
        }
        if let Some(target) = self.target
            && let Some(value) = measured.of(target.quality)
        {
            lead(&mut self.nearest, target.quality, epoch, value);
            if target.is_met(value) {
                self.verdict = Some(Verdict::TargetMet { target, epoch, value });
                return self.verdict.clone();
            }
        }
        if let Some(patience) = self.patience {
            let value = measured.of(patience.quality);
            let leads =
                value.is_some_and(|value| lead(&mut self.leader, patience.quality, epoch, value));
            self.waited = if leads { 0 } else { self.waited + 1 };
            if self.waited >= patience.epochs {
                self.verdict = Some(Verdict::NoProgress { patience, best: self.leader });
            }
        }
        self.verdict.clone()
    }

    /// What was decided.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Whether the model of an epoch is the best so far: of what the run is to reach, else of what is
    /// to become better, else of the loss. Among equals the one of lower loss.
    #[must_use]
    pub fn prefers(&self, metrics: &Metrics, best: &Metrics) -> bool {
        let quality = match (self.target, self.patience) {
            (Some(target), _) => target.quality,
            (None, Some(patience)) => patience.quality,
            (None, None) => Quality::Loss,
        };
        let of = |metrics: &Metrics| match quality {
            Quality::Loss => metrics.loss(),
            Quality::Accuracy => metrics.accuracy(),
            Quality::Mae => metrics.mae(),
        };
        let (new, old) = (of(metrics), of(best));
        let lower_loss = metrics.loss() < best.loss();
        match quality {
            Quality::Accuracy => new > old || new == old && lower_loss,
            Quality::Loss | Quality::Mae => new < old,
        }
    }

    /// Whether the target is met; nothing when there is none.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|_| matches!(self.verdict, Some(Verdict::TargetMet { .. })))
    }

    /// What is said of a target that is not met.
    #[must_use]
    pub fn missed(&self) -> Option<String> {
        let target = self.target?;
        if self.is_met() == Some(true) {
            return None;
        }
        let Target { quality, value } = target;
        let asked = quality.show(value);
        Some(match self.nearest {
            Some((epoch, value)) => format!(
                "target not met: validation {quality} {asked} was asked for, the best was {} after \
                 epoch {epoch}",
                quality.show(value)
            ),
            None => format!(
                "target not met: validation {quality} {asked} was asked for, and no epoch was \
                 validated"
            ),
        })
    }
}

/// Notes a value if it is the best; says whether it is.
fn lead(leader: &mut Option<(u32, f64)>, quality: Quality, epoch: u32, value: f64) -> bool {
    let leads = leader.is_none_or(|(_, best)| quality.is_better(value, best));
    if leads {
        *leader = Some((epoch, value));
    }
    leads
}

impl Verdict {
    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::TargetMet { target: Target { quality, value: asked }, epoch, value } => format!(
                "the target is met: validation {quality} {} after epoch {epoch}, {} was asked for",
                quality.show(*value),
                quality.show(*asked)
            ),
            Self::NoProgress { patience: Patience { quality, epochs }, best } => {
                let since = match best {
                    Some((epoch, value)) => {
                        format!("epoch {epoch} with {} was best", quality.show(*value))
                    }
                    None => "it could not be measured in any".to_owned(),
                };
                let unit = if *epochs == 1 { "epoch" } else { "epochs" };
                format!(
                    "early stopping: validation {quality} did not improve for {epochs} {unit}; \
                     {since}; the best model is kept"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(loss: f64, accuracy: f64) -> Measured {
        Measured { loss: Some(loss), accuracy: Some(accuracy), mae: None }
    }

    /// The first epoch that decides, from 1, with what is decided.
    fn decided(judge: &mut Judge, epochs: &[Measured]) -> Option<(u32, Verdict)> {
        epochs.iter().zip(1..).find_map(|(seen, epoch)| Some((epoch, judge.see(epoch, seen)?)))
    }

    #[test]
    fn a_target_ends_a_run_at_the_first_epoch_that_meets_it() {
        let target: Target = "accuracy=0.9".parse().unwrap();
        let mut judge = Judge::new(Some(target), None);
        let epochs = [measured(0.5, 0.8), measured(0.4, 0.9), measured(0.3, 0.95)];
        let (epoch, verdict) = decided(&mut judge, &epochs).unwrap();
        assert_eq!((epoch, judge.missed()), (2, None));
        assert_eq!(
            verdict.sentence(),
            "the target is met: validation accuracy 90.00 % after epoch 2, 90.00 % was asked for"
        );
        assert_eq!(judge.see(3, &epochs[2]), None, "it is decided once");

        let mut judge = Judge::new(Some(target), None);
        assert_eq!(decided(&mut judge, &epochs[..1]), None);
        assert_eq!(
            judge.missed().unwrap(),
            "target not met: validation accuracy 90.00 % was asked for, the best was 80.00 % after \
             epoch 1"
        );
        assert!(
            Judge::new(Some(target), None).missed().unwrap().ends_with("no epoch was validated")
        );
        assert_eq!(Judge::new(None, None).missed(), None);
    }

    #[test]
    fn patience_counts_epochs_without_progress() {
        let losses = [1.0, 0.9, 0.95, 0.9, 0.8, 0.85, 0.81, 0.8, 0.7];
        let epochs: Vec<Measured> = losses.iter().map(|loss| measured(*loss, 0.5)).collect();
        let mut judge = Judge::new(None, Some("3".parse().unwrap()));
        let (epoch, verdict) = decided(&mut judge, &epochs).unwrap();
        assert_eq!(epoch, 8, "an equal loss is no progress");
        assert_eq!(
            verdict.sentence(),
            "early stopping: validation loss did not improve for 3 epochs; epoch 5 with 0.8000 was \
             best; the best model is kept"
        );
        let mut judge = Judge::new(None, Some("accuracy=3".parse().unwrap()));
        assert_eq!(decided(&mut judge, &epochs).unwrap().0, 4);
        let mut judge = Judge::new(None, Some("4".parse().unwrap()));
        assert_eq!(decided(&mut judge, &epochs), None);
        // What cannot be measured is no progress.
        let mut judge = Judge::new(None, Some("2".parse().unwrap()));
        assert_eq!(decided(&mut judge, &[Measured::default(); 2]).unwrap().0, 2);
    }

    #[test]
    fn going_on_with_the_same_epochs_decides_the_same() {
        let losses = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98];
        let epochs: Vec<Measured> = losses.iter().map(|loss| measured(*loss, 0.5)).collect();
        let mut whole = Judge::new(None, Some("3".parse().unwrap()));
        let verdict = decided(&mut whole, &epochs).unwrap();
        let mut resumed = Judge::new(None, Some("3".parse().unwrap()));
        for (epoch, seen) in (1..).zip(&epochs[..4]) {
            assert_eq!(resumed.see(epoch, seen), None);
        }
        // As it is read from a file, the last digit may differ.
        let again = measured(0.9 - f64::EPSILON, 0.5);
        assert_eq!(resumed.see(5, &again), Some(verdict.1));
    }

    #[test]
    fn the_best_model_is_that_of_what_is_asked_for() {
        let metrics = |loss_sum: f64, correct: u64| Metrics {
            count: 10,
            loss_sum,
            correct,
            ..Metrics::default()
        };
        let (sure, right) = (metrics(1.0, 8), metrics(2.0, 9));
        assert!(Judge::new(None, None).prefers(&sure, &right));
        for judge in [
            Judge::new(Some("accuracy=1".parse().unwrap()), Some("3".parse().unwrap())),
            Judge::new(None, Some("accuracy=3".parse().unwrap())),
        ] {
            assert!(judge.prefers(&right, &sure) && !judge.prefers(&sure, &right));
            assert!(judge.prefers(&metrics(1.5, 9), &right), "the lower loss among equals");
        }
    }
}
