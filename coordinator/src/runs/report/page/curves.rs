//! The charts: what there is to see over the time of training.

use crate::run::{EpochRecord, Stretch};
use crate::runs::report::Facts;
use crate::runs::report::chart::{Chart, Curve, Style, number};

/// Epochs that a curve shows: more than a screen has points for it.
const POINTS_MAX: usize = 400;

/// Stretches of a chart: deltas come in lumps, which finer ones would show instead of the speed.
const STRETCHES_SHOWN: usize = 48;

pub(super) fn html(facts: &Facts) -> String {
    let stretches = facts.shell.history.stretches(STRETCHES_SHOWN);
    let ended = stretches.last().map_or(0.0, |last| last.end_ms as f64 / 1000.0);
    let last = facts.records.last().map_or(0.0, |record| record.seconds);
    let seconds = ended.max(last).max(facts.shell.seconds);
    let values = facts.are_values();
    let quality = if values {
        let training = curve(facts, "training", Style::Beside, |record| record.training_mae);
        let mae = curve(facts, "validation", Style::Main, |record| record.validation_mae);
        chart("mae", "Mean absolute error", number, true, vec![training, mae])
    } else {
        let training = curve(facts, "training", Style::Beside, |record| record.training_accuracy);
        let accuracy = curve(facts, "validation", Style::Main, |record| record.validation_accuracy);
        let shown = |share: f64| format!("{} %", number(100.0 * share));
        chart("accuracy", "Accuracy", shown, false, vec![training, accuracy])
    };
    let losses = vec![
        curve(facts, "training", Style::Beside, |record| record.training_loss),
        curve(facts, "validation", Style::Main, |record| record.validation_loss),
    ];
    let speed = |stretch: &Stretch, seconds: f64| stretch.samples as f64 / seconds;
    let workers = |stretch: &Stretch, seconds: f64| stretch.worker_ms as f64 / 1000.0 / seconds;
    let best = facts.number("best_epoch");
    let best = facts.records.iter().find(|record| best == Some(record.epoch.into()));
    let mark = best.map(|record| record.seconds);
    let merged: u64 = stretches.iter().map(|stretch| stretch.samples).sum();
    let mean = (ended > 0.0).then(|| ("mean", merged as f64 / ended));
    let speed = Curve { key: mean, ..steps("samples a second", &stretches, speed) };
    let fleet = steps("workers", &stretches, workers);
    let most = fleet.points.iter().map(|(_, count)| *count).reduce(f64::max);
    let fleet = Curve { key: most.map(|most| ("most", most)), ..fleet };
    let charts = [
        Chart { mark, ..chart("loss", "Loss", number, true, losses) },
        Chart { mark, ..quality },
        chart("speed", "Samples a second", number, false, vec![speed]),
        Chart { whole: true, ..chart("fleet", "Connected workers", number, false, vec![fleet]) },
    ];
    let figures: String = charts.iter().map(|chart| chart.figure(seconds)).collect();
    format!("<div class=\"charts\">{figures}</div>")
}

fn chart(
    id: &'static str,
    title: &'static str,
    shown: fn(f64) -> String,
    magnitudes: bool,
    curves: Vec<Curve>,
) -> Chart {
    Chart { id, title, shown, magnitudes, whole: false, mark: None, curves }
}

fn curve(
    facts: &Facts,
    name: &'static str,
    style: Style,
    of: impl Fn(&EpochRecord) -> Option<f64>,
) -> Curve {
    let known = |record: &EpochRecord| Some((record.seconds, of(record)?));
    let finite = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
    let points: Vec<_> = facts.records.iter().filter_map(known).filter(finite).collect();
    Curve { name, style, key: None, points: thinned(&points, POINTS_MAX) }
}

fn steps(name: &'static str, stretches: &[Stretch], of: impl Fn(&Stretch, f64) -> f64) -> Curve {
    let mut begun_ms = 0;
    let mut points = Vec::new();
    for stretch in stretches {
        let seconds = stretch.end_ms.saturating_sub(begun_ms) as f64 / 1000.0;
        begun_ms = stretch.end_ms;
        if seconds > 0.0 {
            points.push((stretch.end_ms as f64 / 1000.0, of(stretch, seconds)));
        }
    }
    Curve { name, style: Style::Steps, key: None, points }
}

/// At most about so many of them, evenly, the last one always.
pub(super) fn thinned<T: Clone>(items: &[T], most: usize) -> Vec<T> {
    let each = items.len().div_ceil(most).max(1);
    let first = items.len().saturating_sub(1) % each;
    items.iter().skip(first).step_by(each).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_item_stays() {
        for count in 0..50 {
            let items: Vec<_> = (0..count).collect();
            let few = thinned(&items, 7);
            assert!(few.len() <= 7 && few.last() == items.last(), "{few:?}");
        }
        assert_eq!(thinned(&[1, 2, 3], 7), [1, 2, 3]);
    }
}
