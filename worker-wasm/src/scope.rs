//! Time, timers, turns of the event loop and fetches: what the browser gives a Web Worker.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, MessageChannel, Request, RequestInit, Response};
use web_sys::{WorkerGlobalScope, console};

/// Time for one shard, which is at most 1 MiB.
const FETCH_TIMEOUT_MS: u32 = 60_000;

thread_local! {
    static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };
}

/// Gives the event loop a turn by a message to itself. A timer would do too, but nested ones wait
/// for 4 ms at least, which is as long as a step.
struct Turns {
    channel: MessageChannel,
    waiting: Vec<Function>,
    _arrival: Closure<dyn FnMut()>,
}

pub(crate) fn scope() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Time since this Web Worker started.
pub(crate) fn now() -> Duration {
    let milliseconds = scope().performance().map_or_else(js_sys::Date::now, |clock| clock.now());
    Duration::from_secs_f64(milliseconds.max(0.0) / 1e3)
}

/// Lets everything that waits in the event loop happen.
pub(crate) async fn turn() {
    let promise = Promise::new(&mut |resolve, _| {
        TURNS.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Turns::new();
            }
            match slot {
                Some(turns) => {
                    turns.waiting.push(resolve);
                    let _ = turns.channel.port2().post_message(&JsValue::NULL);
                }
                None => drop(resolve.call0(&JsValue::NULL)),
            }
        });
    });
    let _ = JsFuture::from(promise).await;
}

impl Turns {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let arrival = Closure::<dyn FnMut()>::new(|| {
            let resolve =
                TURNS.with_borrow_mut(|slot| slot.as_mut().and_then(|own| own.waiting.pop()));
            if let Some(resolve) = resolve {
                let _ = resolve.call0(&JsValue::NULL);
            }
        });
        channel.port1().set_onmessage(Some(arrival.as_ref().unchecked_ref()));
        Some(Self { channel, waiting: Vec::new(), _arrival: arrival })
    }
}

/// Waits for so long; a browser may make more of it in a hidden tab.
pub(crate) async fn sleep(time: Duration) {
    let promise = Promise::new(&mut |resolve, _| {
        let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let set = scope().set_timeout_with_callback_and_timeout_and_arguments(
            &resolve,
            milliseconds,
            &Array::new(),
        );
        if set.is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(promise).await;
}

/// Calls once, after some time, unless it is dropped before.
pub(crate) struct Timer {
    handle: i32,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    /// Sets a timer; `None` when the browser gives none.
    pub(crate) fn after(time: Duration, callback: impl FnMut() + 'static) -> Option<Self> {
        let callback = Closure::<dyn FnMut()>::new(callback);
        // Rounded up: a timer that goes off early would be set again for less than a millisecond.
        let milliseconds = i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let handle = scope()
            .set_timeout_with_callback_and_timeout_and_arguments_0(
                callback.as_ref().unchecked_ref(),
                milliseconds,
            )
            .ok()?;
        Some(Self { handle, _callback: callback })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        scope().clear_timeout_with_handle(self.handle);
    }
}

/// Fetches through the browser's cache. The content is checked by who asked.
pub(crate) async fn fetch(url: &str, token: &str, limit: usize) -> Result<Bytes, String> {
    let answer = async {
        let headers = Headers::new()?;
        headers.set("Authorization", &format!("Bearer {token}"))?;
        let init = RequestInit::new();
        init.set_headers(&headers);
        init.set_signal(Some(&AbortSignal::timeout_with_u32(FETCH_TIMEOUT_MS)));
        let request = Request::new_with_str_and_init(url, &init)?;
        let response = JsFuture::from(scope().fetch_with_request(&request)).await?;
        let response: Response = response.unchecked_into();
        if !response.ok() {
            let status = response.status();
            return Err(JsValue::from_str(&format!("the coordinator answered {status}")));
        }
        JsFuture::from(response.array_buffer()?).await
    };
    let buffer = answer.await.map_err(|error| text(&error))?;
    let array = Uint8Array::new(&buffer);
    if array.length() as usize > limit {
        return Err(format!("{} bytes came, the limit is {limit}", array.length()));
    }
    Ok(array.to_vec().into())
}

/// What a JavaScript error says.
pub(crate) fn text(error: &JsValue) -> String {
    if let Some(text) = error.as_string() {
        return text;
    }
    let message = Reflect::get(error, &JsValue::from_str("message"));
    message.ok().and_then(|message| message.as_string()).unwrap_or_else(|| format!("{error:?}"))
}

/// Bytes of this Web Worker's memory.
pub(crate) fn memory_bytes() -> f64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    let buffer: js_sys::ArrayBuffer = memory.buffer().unchecked_into();
    f64::from(buffer.byte_length())
}

/// A line for the browser's console, for who looks for a fault.
pub(crate) fn log(line: &str) {
    console::debug_1(&JsValue::from_str(line));
}
