//! The worker of a browser tab. It runs inside a dedicated Web Worker, where computing blocks
//! nobody; the page starts one for each training thread.
//!
//! - `exports`: what the Web Worker's script calls
//! - `shell`: feeds worker-core from the socket, the training task, fetches and the timer
//! - `socket`: the WebSocket, which takes no more than the network carries away
//! - `training`: the training task, and when it lets the event loop have its turn
//! - `device`: the processor or the graphics card
//! - `scope`: time, timers, turns and fetches of the browser
//! - `news`: what the page is told
#![cfg(target_arch = "wasm32")]

mod device;
pub mod exports;
mod news;
mod scope;
mod shell;
mod socket;
mod training;
