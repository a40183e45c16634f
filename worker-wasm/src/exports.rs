//! What the Web Worker's script calls.

use std::panic;

use js_sys::Function;
use model::{Plan, Spec};
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
