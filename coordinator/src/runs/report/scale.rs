//! Axes: round numbers along them, and where a value stands.

/// An axis from a lowest to a highest value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

/// A range of positive values over more than this is shown with logarithms.
const LINEAR_RATIO_MAX: f64 = 30.0;

impl Axis {
    /// An axis for these values, which are finite; from zero if asked for.
    pub(super) fn linear(values: impl Iterator<Item = f64>, from_zero: bool) -> Self {
        let (mut low, mut high) = bounds(values);
        if from_zero {
            low = low.min(0.0);
        }
        if high - low <= f64::EPSILON * high.abs().max(1.0) {
            high = low + if low == 0.0 { 1.0 } else { low.abs() };
        }
        let step = step(high - low, 4.0);
        low = (low / step).floor() * step;
        high = (high / step).ceil() * step;
        Self { low, high, logarithmic: false }
    }

    /// An axis for values that may fall by orders of magnitude.
    pub(super) fn magnitudes(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = bounds(values.clone());
        if low <= 0.0 || high / low <= LINEAR_RATIO_MAX {
            return Self::linear(values, true);
        }
        Self { low: whole(low, f64::floor), high: whole(high, f64::ceil), logarithmic: true }
    }

    /// An axis that begins and ends at these values.
    pub(super) fn exact(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, logarithmic: false }
    }

    /// Where a value stands, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// Whether steps along it are factors.
    pub(super) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Round values along it, about `count`.
    pub(super) fn ticks(&self, count: f64) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.logarithmic {
            let decades = (self.high / self.low).log10();
            let factors: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let mut power = 10_f64.powf(self.low.log10().floor());
            while power <= self.high * 1.001 {
                ticks.extend(factors.iter().map(|factor| factor * power));
                power *= 10.0;
            }
            // Both ends are round, up to the last bits.
            ticks.retain(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001);
        } else {
            let step = step(self.high - self.low, count);
            let first = (self.low / step).ceil();
            let last = (self.high / step + 1e-9).floor();
            ticks.extend((0..=(last - first).clamp(0.0, 20.0) as u32).map(|index| {
                let tick = (first + f64::from(index)) * step;
                // Sums of tenths are not always tenths.
                (tick / step).round() * step
            }));
        }
        ticks
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// The next 1, 2 or 5 times a power of ten at which about `count` steps make the range.
fn step(range: f64, count: f64) -> f64 {
    let rough = range / count;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= 0.8 * rough);
    factor.unwrap_or(10.0) * power
}

/// The round value of a logarithmic axis at or beyond a value.
fn whole(value: f64, direction: fn(f64) -> f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let round = |factor: &f64| factor * power;
    let rounds = [1.0, 2.0, 5.0, 10.0];
    if direction(0.5) > 0.0 {
        rounds.iter().map(round).find(|round| *round >= value).unwrap_or(10.0 * power)
    } else {
        rounds.iter().map(round).rfind(|round| *round <= value).unwrap_or(power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: Axis) -> Vec<String> {
        axis.ticks(4.0).iter().map(|tick| format!("{tick:.4}")).collect()
    }

    #[test]
    fn ticks_are_round_and_values_between_the_ends() {
        let axis = Axis::linear([0.13, 0.97].into_iter(), true);
        assert_eq!(ticks(axis), ["0.0000", "0.2000", "0.4000", "0.6000", "0.8000", "1.0000"]);
        assert_eq!((axis.place(0.0), axis.place(0.5), axis.place(2.0)), (0.0, 0.5, 1.0));
        let one = Axis::linear([0.5].into_iter(), false);
        assert!(one.place(0.5).is_finite() && one.ticks(4.0).len() > 1);
        assert!(Axis::linear(std::iter::empty(), true).ticks(4.0).len() > 1);
        assert!(Axis::linear([-3.0, -3.0].into_iter(), false).ticks(4.0).len() > 1);
    }

    #[test]
    fn what_falls_by_orders_of_magnitude_gets_a_logarithmic_axis() {
        let axis = Axis::magnitudes([1.6, 0.0023].into_iter());
        assert!(axis.is_logarithmic());
        assert_eq!(ticks(axis), ["0.0100", "0.1000", "1.0000"]);
        assert!(axis.place(1.6) < 1.0 && axis.place(0.0023) > 0.0);
        assert!(!Axis::magnitudes([1.6, 0.1].into_iter()).is_logarithmic());
        assert!(!Axis::magnitudes([1.6, 0.0].into_iter()).is_logarithmic());
        let two = Axis::magnitudes([0.9, 0.02].into_iter());
        assert_eq!(ticks(two).len(), 6, "{:?}", ticks(two));
    }
}
