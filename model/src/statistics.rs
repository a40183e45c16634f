//! Re-estimation of batch normalization's statistics: moving averages lag behind, and averages of
//! several workers' even more, so a final model gets those of its own parameters.

use burn::tensor::{DType, Device, Tensor, Transaction};
use protocol::Role;
use rand_chacha::ChaCha8Rng;

use crate::batch::check_inputs;
use crate::error::Error;
use crate::network::{Pass, Statistics};
use crate::plan::Plan;
use crate::tensors::{Weight, upload};
use crate::value::Value;

/// The flat vector with the moving statistics replaced by those of the given training inputs,
/// pooled over all batches. Each batch is normalised by its own statistics, as in training, but
/// nothing is dropped. `batches` yields inputs and the number of samples; without any, or without
/// batch normalization, the vector stays as it is.
///
/// # Errors
/// When vector or inputs do not fit the model, or the device fails.
pub async fn re_estimate(
    plan: &Plan,
    device: &Device,
    flat: &[f32],
    batches: impl IntoIterator<Item = (Vec<f32>, usize)>,
) -> Result<Vec<f32>, Error> {
    let device = device.clone().inner();
    let mut flat = flat.to_vec();
    let table = plan.tensors();
    let tensors = upload(table, &flat, &device, DType::F32)?;
    if !plan.has_buffers() {
        return Ok(flat);
    }
    let weights: Vec<Weight> = table
        .tensors
        .iter()
        .zip(tensors)
        .map(|(info, values)| Weight::new(info, values, false))
        .collect();
    // Sums over samples: of means, and of variances plus squared means.
    let mut sums: Vec<Vec<f64>> =
        table.tensors.iter().map(|info| vec![0.0; info.elements()]).collect();
    let mut samples = 0.0;
    for (inputs, count) in batches {
        check_inputs(plan, inputs.len(), count)?;
        let inputs = Value::upload(inputs, count, plan.input_shape(), &device, DType::F32);
        let mut pass = Pass::<ChaCha8Rng> {
            weights: &weights,
            stream: None,
            batch_statistics: true,
            logits: true,
            statistics: Vec::new(),
        };
        pass.run(plan, inputs);
        for Statistics { tensors, mean, variance, .. } in pass.statistics {
            let (mean, variance) = read(mean, variance).await?;
            for (place, (mean, variance)) in mean.into_iter().zip(variance).enumerate() {
                sums[tensors.mean][place] += mean * count as f64;
                sums[tensors.variance][place] += (variance + mean * mean) * count as f64;
            }
        }
        samples += count as f64;
    }
    if samples > 0.0 {
        write(plan, &mut flat, &sums, samples);
    }
    Ok(flat)
}

async fn read(mean: Tensor<1>, variance: Tensor<1>) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let transaction = Transaction::default().register(mean).register(variance);
    let mut read = transaction.execute_async().await.map_err(Error::device)?.into_iter();
    let mut next = || -> Result<Vec<f64>, Error> {
        let data = read.next().ok_or_else(|| Error::device("a read came back empty"))?;
        let values = data.as_slice::<f32>().map_err(Error::device)?;
        Ok(values.iter().map(|value| f64::from(*value)).collect())
    };
    Ok((next()?, next()?))
}

fn write(plan: &Plan, flat: &mut [f32], sums: &[Vec<f64>], samples: f64) {
    let mut mean: &[f64] = &[];
    for ((info, range), sums) in plan.tensors().ranges().zip(sums) {
        match info.role {
            Role::Parameter => {}
            Role::Buffer => {
                mean = sums;
                for (to, sum) in flat[range].iter_mut().zip(sums) {
                    *to = (sum / samples) as f32;
                }
            }
            // A variance stands right after the mean that it belongs to.
            Role::BufferNonNegative => {
                for ((to, square), sum) in flat[range].iter_mut().zip(sums).zip(mean) {
                    let mean = sum / samples;
                    *to = (square / samples - mean * mean).max(0.0) as f32;
                }
            }
        }
    }
}
