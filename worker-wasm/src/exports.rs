//! What the Web Worker's script calls.

use std::panic;

use js_sys::Function;
use model::{Loss, Plan, Spec};
use wasm_bindgen::prelude::*;
use worker_core::probe;

use crate::news::{self, End, News, Options};
use crate::{scope, shell, training};

/// Starts the worker and returns at once; `listener` is called with news from then on.
///
/// # Errors
/// When the options are not what this version expects.
#[wasm_bindgen]
pub fn start(options: JsValue, listener: Function) -> Result<(), JsValue> {
    news::listen(listener);
    panic::set_hook(Box::new(|info| {
        scope::log(&info.to_string());
        news::tell(&News::Ended { kind: End::Crashed, reason: info.to_string() });
    }));
    let options: Options = serde_wasm_bindgen::from_value(options)?;
    wasm_bindgen_futures::spawn_local(shell::run(options));
    Ok(())
}

/// Sets the part of the time that may be spent computing, from 0.05 to 1.
#[wasm_bindgen]
pub fn set_duty(duty: f64) {
    training::set_duty(duty);
}

/// Gives the lease back, says goodbye and ends.
#[wasm_bindgen]
pub fn stop(reason: &str) {
    shell::stop(reason);
}

/// Steps per second of a model (a spec as JSON) on the processor, with nothing around it: what the
/// benchmark compares a tab with.
///
/// # Errors
/// When the spec does not check.
#[wasm_bindgen]
pub async fn steps_per_second(spec: String, batch_size: usize) -> Result<Option<f64>, JsError> {
    let plan = Plan::new(&Spec::from_json(&spec)?)?;
    Ok(probe::steps_per_second(&plan, &model::cpu(), batch_size, scope::now).await)
}

/// A trained model that predicts on the processor: what the page for predictions computes with.
#[wasm_bindgen]
pub struct Predictor {
    model: model::Predictor,
    /// Its outputs need a softmax to be probabilities.
    logits: bool,
}

#[wasm_bindgen]
impl Predictor {
    /// A model from its spec as JSON and the values of all its tensors, in the table's order, as
    /// f32 in little-endian.
    ///
    /// # Errors
    /// When the spec does not check, or the values are not those of its tensors.
    #[wasm_bindgen(constructor)]
    pub fn new(spec: &str, parameters: &[u8]) -> Result<Self, JsError> {
        let plan = Plan::new(&Spec::from_json(spec)?)?;
        let (values, rest) = parameters.as_chunks();
        if !rest.is_empty() {
            return Err(JsError::new("the parameters end within a value"));
        }
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let mut model = model::Predictor::empty(&plan, &model::cpu());
        model.load(&values)?;
        let logits = matches!(
            plan.spec().loss,
            Loss::SparseCategoricalCrossentropy { from_logits: true }
                | Loss::CategoricalCrossentropy { from_logits: true }
        );
        Ok(Self { model, logits })
    }

    /// The probabilities of classes, or the values, that one row of inputs leads to.
    ///
    /// # Errors
    /// When the inputs are not one row.
    pub async fn predict(&self, inputs: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let outputs = self.model.predict(&inputs, 1).await?;
        Ok(if self.logits { softmax(&outputs) } else { outputs })
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
