//! The engine in a seeded world of faults, and a model that checks it after every event.
//!
//! The world is the real [`engine::Engine`] and the real merge functions between simulated workers,
//! network, disk and clock, in one thread. The same scenario and seed give the same course of
//! events to the last byte, so that any failure can be played again.
//!
//! - [`scenario`]: the names; `plan`: a run and its faults, drawn from the seed
//! - `world`: the queue of what happens; `faults`: what goes wrong; `net`: connections
//! - `shell`: the coordinator around the engine; `plane`: its data plane; `store`: its checkpoints
//! - `disk`: files that a crash tears and a ledger that it does not
//! - `worker`: workers after docs/PROTOCOL.md; `training`: what they compute
//! - `model`: what must hold of the engine, kept apart from it; `maths`: the same for merges

mod dice;
mod disk;
mod failure;
mod faults;
mod maths;
mod model;
mod net;
mod plan;
mod plane;
pub mod scenario;
mod shell;
mod store;
mod training;
mod worker;
mod world;

pub use failure::Failure;
pub use scenario::{Report, Scenario, record, run};
