//! What the page is told, and what it says at the start: plain JavaScript objects.

use std::cell::RefCell;

use js_sys::Function;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

thread_local! {
    /// Takes the news. Apart from the shell, so that a panic can be told whatever is borrowed.
    static LISTENER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// How a worker is started.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Options {
    /// Where sessions are opened, `ws://HOST/v1/worker`.
    pub(crate) url: String,
    /// Where shards are, ending in a slash.
    pub(crate) shards: String,
    /// Admits to the run.
    pub(crate) token: String,
    /// 32 hexadecimal digits, kept by the browser's profile.
    pub(crate) identity: String,
    /// Which of the identity's workers.
    pub(crate) slot: u16,
    /// Shown to people; may be empty.
    pub(crate) name: String,
    /// Which processor trains.
    pub(crate) device: Choice,
    /// Part of the time that it may train, from 0.05 to 1.
    pub(crate) duty: f64,
}

/// Which processor the page wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// The faster one on the run's model.
    Auto,
    /// Processor cores.
    Cpu,
    /// The graphics card.
    WebGpu,
}

/// Something that a person may want to see.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum News {
    /// What the worker does now.
    State { state: State },
    /// What trains, and the steps per second that were measured to choose it.
    Device { kind: &'static str, name: String, cpu: Option<f64>, gpu: Option<f64> },
    /// The run that it trains for.
    Run { name: String, parameters: f64 },
    /// Samples trained since the last such news, and bytes of memory.
    Progress { samples: f64, loss: Option<f64>, memory: f64 },
    /// What became of a delta.
    Outcome { merged: bool, samples: f64, reason: Option<&'static str> },
    /// The connection is lost, and is tried again.
    Lost { reason: String, retry_in: f64 },
    /// This worker does nothing any more.
    Ended { kind: End, reason: String },
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It opens a session.
    Connecting,
    /// It builds the model, and compares processors.
    Preparing,
    /// It waits for a lease.
    Waiting,
    /// It trains.
    Training,
}

/// Why a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// The run is over.
    Ended,
    /// The coordinator does not let it in.
    Refused,
    /// It cannot train this run's model.
    Unable,
    /// The page asked for it.
    Stopped,
    /// The graphics card is gone.
    DeviceLost,
    /// A fault in this program, or no memory left.
    Crashed,
}

/// Who is told from now on.
pub(crate) fn listen(listener: Function) {
    LISTENER.with_borrow_mut(|slot| *slot = Some(listener));
}

/// Tells the page.
pub(crate) fn tell(news: &News) {
    // Numbers go as doubles and absent values as null: what JavaScript expects.
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    let Ok(value) = news.serialize(&serializer) else { return };
    let listener = LISTENER.with_borrow(Clone::clone);
    if let Some(listener) = listener {
        // A listener that throws is the page's own affair.
        let _ = listener.call1(&JsValue::NULL, &value);
    }
}
