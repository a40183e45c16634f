//! How fast a worker is, measured by the engine from pulls and deltas; its own claims play no part.

use std::collections::VecDeque;

/// Leases that a speed is made of: few, so that a worker that slows down is noticed soon.
const RECENT: usize = 8;
/// From so many leases on the fastest and the slowest are left out.
const TRIMMED_FROM: usize = 4;
/// Median absolute deviation to standard deviation, for normally distributed times.
const DEVIATIONS_PER_MEDIAN: f64 = 1.4826;

const MICROSECONDS: f64 = 1e6;

/// The measured speed of one worker.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    /// Samples and microseconds of the last leases.
    recent: VecDeque<(u64, u64)>,
    samples: Option<f64>,
    leases: Option<f64>,
    deviation: f64,
}

impl Speed {
    /// Samples per second.
    pub(crate) fn samples_per_second(&self) -> Option<f64> {
        self.samples
    }

    /// Leases per second; none before the first delta.
    pub(crate) fn leases_per_second(&self) -> Option<f64> {
        self.leases
    }

    /// Standard deviation of the time per sample, as a part of it.
    pub(crate) fn deviation(&self) -> f64 {
        self.deviation
    }

    /// A first estimate from a lease that is still in training.
    pub(crate) fn progress(&mut self, samples: u64, microseconds: u64) {
        if self.recent.is_empty() && samples > 0 {
            self.samples = Some(samples as f64 * MICROSECONDS / microseconds.max(1) as f64);
        }
    }

    /// A delta has arrived after `microseconds` of training.
    ///
    /// The speed is a sum over a sum, not a mean of speeds: when deltas queue up behind an upload
    /// and arrive together, the one that seems slow and the one that seems fast cancel out.
    pub(crate) fn record(&mut self, samples: u64, microseconds: u64) {
        self.recent.push_back((samples, microseconds.max(1)));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let per_sample = |&(samples, time): &(u64, u64)| time as f64 / samples.max(1) as f64;
        let mut sorted: Vec<(u64, u64)> = self.recent.iter().copied().collect();
        sorted.sort_by(|a, b| per_sample(a).total_cmp(&per_sample(b)));
        let middle = per_sample(&sorted[sorted.len() / 2]);
        let mut away: Vec<f64> =
            sorted.iter().map(|timing| (per_sample(timing) - middle).abs()).collect();
        away.sort_by(f64::total_cmp);
        self.deviation = DEVIATIONS_PER_MEDIAN * away[away.len() / 2] / middle;
        let kept =
            if sorted.len() >= TRIMMED_FROM { &sorted[1..sorted.len() - 1] } else { &sorted[..] };
        let seconds = kept.iter().map(|(_, time)| *time as f64).sum::<f64>() / MICROSECONDS;
        let samples = kept.iter().map(|(samples, _)| *samples as f64).sum::<f64>();
        self.samples = Some(samples / seconds);
        self.leases = Some(kept.len() as f64 / seconds);
    }
}

/// The 90th percentile, between neighbours by linear interpolation; none of nothing. The values are
/// put into another order, not sorted: this is asked at each merge, of thousands of workers.
fn percentile_90(values: &mut [f64]) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = 0.9 * last as f64;
    let (_, below, higher) = values.select_nth_unstable_by(place.floor() as usize, f64::total_cmp);
    let below = *below;
    let above = higher.iter().copied().min_by(f64::total_cmp).unwrap_or(below);
    Some(below + (above - below) * (place - place.floor()))
}

/// N of the merge rules: leases in training, slow workers counted in part. One rate per worker that
/// trains; a worker not measured yet counts in full.
pub(crate) fn in_flight(rates: impl Iterator<Item = Option<f64>>) -> f64 {
    let rates: Vec<Option<f64>> = rates.collect();
    let mut known: Vec<f64> = Vec::with_capacity(rates.len());
    known.extend(rates.iter().flatten());
    let usual = percentile_90(&mut known).unwrap_or(1.0);
    let part = |rate: &Option<f64>| rate.map_or(1.0, |rate| (rate / usual).min(1.0));
    rates.iter().map(part).sum::<f64>().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sleep_does_not_make_a_worker_slow() {
        let mut speed = Speed::default();
        for _ in 0..5 {
            speed.record(64, 1_000_000);
        }
        speed.record(64, 600_000_000);
        assert!((speed.samples_per_second().unwrap() - 64.0).abs() < 1e-9);
        assert!((speed.leases_per_second().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn deltas_that_arrive_in_pairs_do_not_make_a_worker_fast() {
        let mut speed = Speed::default();
        for _ in 0..4 {
            speed.record(64, 2_000_000);
            speed.record(64, 10);
        }
        let seen = speed.samples_per_second().unwrap();
        assert!((60.0..70.0).contains(&seen), "{seen}");
    }

    #[test]
    fn the_percentile_is_that_of_sorted_values() {
        assert_eq!(percentile_90(&mut []), None);
        for count in 1..40_u32 {
            let mut values: Vec<f64> =
                (0..count).map(|place| f64::from(place * 17 % count / 2)).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let place = 0.9 * f64::from(count - 1);
            let at = |place: f64| sorted[(place as usize).min(sorted.len() - 1)];
            let (below, above) = (at(place.floor()), at(place.floor() + 1.0));
            let expected = below + (above - below) * place.fract();
            assert_eq!(percentile_90(&mut values), Some(expected), "{sorted:?}");
        }
    }

    #[test]
    fn in_flight_counts_slow_workers_in_part() {
        assert_eq!(in_flight([].into_iter()), 1.0);
        assert_eq!(in_flight([Some(3.0)].into_iter()), 1.0);
        assert_eq!(in_flight([None, None, None].into_iter()), 3.0);
        let half_slow = (0..32).map(|i| Some(if i % 2 == 0 { 10.0 } else { 1.0 }));
        assert!((in_flight(half_slow) - 17.6).abs() < 1e-9);
        // One very fast worker (below the 90th percentile's reach) does not shrink the others.
        let outlier = (0..21).map(|i| Some(if i == 0 { 1e6 } else { 1.0 }));
        assert!((in_flight(outlier) - 21.0).abs() < 1e-9);
    }
}
