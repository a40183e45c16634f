//! When to try a lost coordinator again: doubling delays with jitter, so that a fleet that lost
//! its coordinator does not come back all at once.

use std::time::Duration;

use protocol::order;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// First delay, before jitter.
const DELAY_FIRST: Duration = Duration::from_millis(500);

/// Longest delay, before jitter: a volunteer's machine may wait half a minute, not more.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// Purpose of the generator, apart from those of training.
const PURPOSE_BACKOFF: u64 = 100;

/// The delays of one worker.
#[derive(Debug)]
pub struct Backoff {
    attempts: u32,
    generator: ChaCha8Rng,
}

impl Backoff {
    /// Delays that differ from worker to worker by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { attempts: 0, generator: order::generator(seed, PURPOSE_BACKOFF, 0) }
    }

    /// The next delay: between half and all of a value that doubles up to half a minute.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = DELAY_FIRST.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        let jitter = f64::from(self.generator.next_u32()) / f64::from(u32::MAX);
        doubled.min(DELAY_MAX).mul_f64(0.5 + 0.5 * jitter)
    }

    /// A session was opened: the next loss starts with short delays again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_up_to_half_a_minute_and_start_anew() {
        let mut backoff = Backoff::new(7);
        for attempt in 0..12_u32 {
            let full = DELAY_FIRST.saturating_mul(1 << attempt).min(DELAY_MAX);
            let delay = backoff.next_delay();
            assert!(delay >= full / 2 && delay <= full, "attempt {attempt}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= DELAY_FIRST);
    }

    #[test]
    fn two_workers_do_not_come_back_together() {
        assert_ne!(Backoff::new(1).next_delay(), Backoff::new(2).next_delay());
    }
}
