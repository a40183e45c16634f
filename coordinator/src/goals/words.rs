//! Goals as they stand in a job: `accuracy=0.95`, `loss=5`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::train::percent;

/// Most epochs that may pass without progress.
const PATIENCE_MAX: u32 = 1_000_000;

/// Longest time of a run: a year.
const SPAN_SECONDS_MAX: u64 = 366 * 86_400;

/// What validation measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// Mean loss of a row; less is better.
    #[default]
    Loss,
    /// Share of rows whose class is right; more is better.
    Accuracy,
    /// Mean absolute error; less is better.
    Mae,
}

impl Quality {
    /// Whether `value` is better than `other`; a difference in the last digits is none, as what was
    /// written to a file may differ there.
    #[must_use]
    pub fn is_better(self, value: f64, other: f64) -> bool {
        let margin = 1e-9 * other.abs();
        match self {
            Self::Accuracy => value > other + margin,
            Self::Loss | Self::Mae => value < other - margin,
        }
    }

    /// A value for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Accuracy => percent(value),
            Self::Loss | Self::Mae => format!("{value:.4}"),
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::Mae => "mae",
        })
    }
}

impl FromStr for Quality {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "loss" => Ok(Self::Loss),
            "accuracy" => Ok(Self::Accuracy),
            "mae" => Ok(Self::Mae),
            _ => Err(format!(
                "\"{word}\" is none of loss, accuracy and mae{}",
                crate::config::did_you_mean(word, ["loss", "accuracy", "mae"])
            )),
        }
    }
}

/// A value that validation is to reach: `accuracy=0.95`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What is measured.
    pub quality: Quality,
    /// The value that is good enough.
    pub value: f64,
}

impl Target {
    /// Whether a measured value is good enough.
    #[must_use]
    pub fn is_met(self, value: f64) -> bool {
        match self.quality {
            Quality::Accuracy => value >= self.value,
            Quality::Loss | Quality::Mae => value <= self.value,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.quality, self.value)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((quality, value)) = text.split_once('=') else {
            return Err(format!(
                "\"{text}\" is no target: write accuracy=0.95, loss=0.1 or mae=2.5"
            ));
        };
        let quality: Quality = quality.trim().parse()?;
        let number = value.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        let fits = |value: &f64| match quality {
            Quality::Accuracy => *value > 0.0 && *value <= 1.0,
            Quality::Loss | Quality::Mae => *value >= 0.0,
        };
        let allowed = match quality {
            Quality::Accuracy => "a share above 0 and at most 1, such as accuracy=0.95",
            Quality::Loss | Quality::Mae => "a number from 0 up",
        };
        let value = number.filter(fits);
        let value =
            value.ok_or_else(|| format!("\"{text}\": the value of {quality} is {allowed}"))?;
        Ok(Self { quality, value })
    }
}

/// How many epochs may pass without progress: `5`, or `accuracy=5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What is to become better.
    pub quality: Quality,
    /// Epochs that may pass without it.
    pub epochs: u32,
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.quality, self.epochs)
    }
}

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (quality, epochs) = match text.split_once('=') {
            Some((quality, epochs)) => (quality.trim().parse()?, epochs),
            None => (Quality::Loss, text),
        };
        let number = epochs.trim().parse().ok().filter(|count| (1..=PATIENCE_MAX).contains(count));
        let epochs = number.ok_or_else(|| {
            format!(
                "\"{text}\" is no patience: write a number of epochs from 1 up, such as 5, or \
                 accuracy=5"
            )
        })?;
        Ok(Self { quality, epochs })
    }
}

/// A time: `90s`, `10m`, `1h30m`, `7d`; a number alone is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
        ];
        parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = seconds(text).filter(|seconds| (1..=SPAN_SECONDS_MAX).contains(seconds));
        let seconds = seconds.ok_or_else(|| {
            format!("\"{text}\" is no time: write 90s, 10m, 1h30m or 7d, from 1s to a year")
        })?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

/// The seconds of days, hours, minutes and seconds, each at most once and in this order.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    for (unit, factor) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_as_they_are_written() {
        for text in ["accuracy=0.95", "loss=0.1", "mae=2.5"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for (text, printed) in [("5", "loss=5"), ("accuracy=3", "accuracy=3"), ("mae = 2", "mae=2")]
        {
            assert_eq!(text.parse::<Patience>().unwrap().to_string(), printed);
        }
        for (text, printed, seconds) in [
            ("90", "1m30s", 90),
            ("10m", "10m", 600),
            ("1h30m", "1h30m", 5400),
            ("2h1s", "2h1s", 7201),
            ("7d", "7d", 604_800),
            ("25h", "1d1h", 90_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.to_string().as_str(), span.0.as_secs()), (printed, seconds));
        }
    }

    #[test]
    fn wrong_goals_say_what_is_right() {
        for (text, word) in [
            ("0.95", "write accuracy=0.95"),
            ("acuracy=0.9", "did you mean `accuracy`?"),
            ("accuracy=95", "at most 1"),
            ("loss=nan", "a number from 0 up"),
        ] {
            let message = text.parse::<Target>().unwrap_err();
            assert!(message.contains(word), "{message}");
        }
        for text in ["", "m", "10x", "m10", "10m1h", "0", "0s", "-5", "1.5h", "99999999999h"] {
            assert!(text.parse::<Span>().unwrap_err().contains("write 90s"), "{text}");
        }
        for text in ["", "-1", "0", "1.5", "loss=", "loss=0"] {
            assert!(text.parse::<Patience>().unwrap_err().contains("such as 5"), "{text}");
        }
    }
}
