//! Which of several devices trains a model fastest: measured by training noise for a moment.

use std::time::Duration;

use model::{Batch, Device, Error, Plan, Targets, Trainer};

/// How long each device trains to be compared, after a first step that compiles its kernels.
const PROBE_TIME: Duration = Duration::from_millis(300);

/// Steps per second of a model on a device, by the caller's clock; `None` when it cannot train it.
pub async fn steps_per_second(
    plan: &Plan,
    device: &Device,
    batch_size: usize,
    clock: impl Fn() -> Duration,
) -> Option<f64> {
    let mut trainer = Trainer::new(plan, device).ok()?;
    let batch = noise(plan, batch_size);
    step(&mut trainer, &batch, plan.learning_rate()).await.ok()?;
    let start = clock();
    let mut steps = 0_u32;
    loop {
        step(&mut trainer, &batch, plan.learning_rate()).await.ok()?;
        steps += 1;
        let elapsed = clock().saturating_sub(start);
        if elapsed >= PROBE_TIME {
            return Some(f64::from(steps) / elapsed.as_secs_f64());
        }
    }
}

/// The index of the highest speed; the first one when none is known.
#[must_use]
pub fn fastest(speeds: &[Option<f64>]) -> usize {
    let known = speeds.iter().enumerate().filter_map(|(index, speed)| Some((index, (*speed)?)));
    known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index)
}

async fn step(trainer: &mut Trainer, batch: &Batch, learning_rate: f64) -> Result<(), Error> {
    trainer.step(batch.clone(), learning_rate).await?;
    // Reading the loss waits for the device, so that a queue of work does not count.
    trainer.take_loss().await.map(drop)
}

fn noise(plan: &Plan, count: usize) -> Batch {
    let elements: u32 = plan.input_shape().iter().product();
    let width = plan.output_shape().iter().product::<u32>();
    let targets = if plan.spec().loss.is_cross_entropy() {
        Targets::Classes(vec![0; count])
    } else {
        Targets::Values { width, values: vec![0.5; count * width as usize] }
    };
    let inputs = vec![0.5; count * elements as usize];
    Batch { inputs, targets, weights: Vec::new(), count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_known_speed_wins() {
        assert_eq!(fastest(&[Some(1.0), None, Some(3.0), Some(2.0)]), 2);
        assert_eq!(fastest(&[None, Some(0.5)]), 1);
        assert_eq!(fastest(&[None, None]), 0);
    }
}
