//! The WebSocket. What it is given waits here until the browser's own buffer has room: control
//! messages stay quick beside an upload, and memory stays bounded.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use protocol::SUBPROTOCOL;
use protocol::limits::MESSAGE_BYTES_MAX;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::scope::{Timer, text};

/// Bytes that the browser may hold unsent: one message under way and one behind it.
const BUFFERED_MAX: u32 = 2 * MESSAGE_BYTES_MAX as u32;

/// The browser does not say when its buffer empties: it is asked so often while messages wait.
const PUMP_INTERVAL: Duration = Duration::from_millis(10);

/// The close code for an ordinary end.
const CLOSE_NORMAL: u16 = 1000;

/// What happens on a socket.
pub(crate) enum Happening {
    Open,
    Message(Bytes),
    /// It is closed, and what the other end said of it.
    Closed(String),
}

/// One open or opening connection.
pub(crate) struct Socket {
    socket: WebSocket,
    queue: VecDeque<Bytes>,
    /// Parts of deltas, which let all other messages pass.
    uploads: VecDeque<Bytes>,
    pump: Option<Timer>,
    _open: Closure<dyn FnMut()>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Opens a connection. `happens` is called for all that happens on it.
    pub(crate) fn open(
        url: &str,
        happens: impl Fn(Happening) + Clone + 'static,
    ) -> Result<Self, String> {
        let socket = WebSocket::new_with_str(url, SUBPROTOCOL).map_err(|error| text(&error))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let then = happens.clone();
        let open = Closure::<dyn FnMut()>::new(move || then(Happening::Open));
        let then = happens.clone();
        let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            then(match event.data().dyn_into::<ArrayBuffer>() {
                Ok(buffer) => Happening::Message(Uint8Array::new(&buffer).to_vec().into()),
                Err(_) => Happening::Closed("a text message came".to_owned()),
            });
        });
        let close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            happens(Happening::Closed(close_reason(&event)));
        });
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        Ok(Self {
            socket,
            queue: VecDeque::new(),
            uploads: VecDeque::new(),
            pump: None,
            _open: open,
            _message: message,
            _close: close,
        })
    }

    /// Queues a message before all parts of uploads.
    pub(crate) fn send(&mut self, bytes: Bytes) {
        self.queue.push_back(bytes);
    }

    /// Queues a part of an upload.
    pub(crate) fn upload(&mut self, bytes: Bytes) {
        self.uploads.push_back(bytes);
    }

    /// Gives the browser what it has room for; `again` is called when there may be more room.
    pub(crate) fn pump(&mut self, again: impl FnMut() + 'static) {
        self.pump = None;
        while self.socket.ready_state() == WebSocket::OPEN
            && self.socket.buffered_amount() <= BUFFERED_MAX
            && let Some(bytes) = self.queue.pop_front().or_else(|| self.uploads.pop_front())
        {
            if self.socket.send_with_u8_array(&bytes).is_err() {
                // Its close event comes, and says why.
                return;
            }
        }
        if !(self.queue.is_empty() && self.uploads.is_empty()) {
            self.pump = Timer::after(PUMP_INTERVAL, again);
        }
    }

    /// Says what is left to say and closes.
    pub(crate) fn farewell(mut self) {
        while let Some(bytes) = self.queue.pop_front() {
            if self.socket.send_with_u8_array(&bytes).is_err() {
                break;
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close_with_code(CLOSE_NORMAL);
    }
}

/// What a close event says, for people.
fn close_reason(event: &CloseEvent) -> String {
    if event.reason().is_empty() {
        "the connection was lost".to_owned()
    } else {
        format!("the coordinator closed the connection: {}", event.reason())
    }
}
