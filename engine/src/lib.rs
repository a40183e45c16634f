//! The coordinator's decisions as a pure state machine, and the merge maths. No IO, clock, threads
//! or training framework: time comes in as an argument, what is to be done comes out as actions.
//!
//! What the shell around it sees:
//! - [`Engine`] takes an [`Event`] and answers with [`Action`]s; [`Config`] says what it runs
//! - [`merge`]: how a delta becomes master; pure code over `f32` slices
//! - [`status`]: what may be shown of a run
//!
//! How it is made, from the inside out:
//! - [`config`], [`words`], [`schedule`]: what a run may ask for, and in which words
//! - `units`: epochs, and the sample ranges cut from them, each counted exactly once
//! - `leases`: the attempts at units; `workers`: who holds them; `speed`: how fast they are
//! - `sizes`: how much a worker gets; `issue`: who gets what and when; `backup`: second copies
//! - `deadlines`: when an attempt is given up; `screening`: which deltas are believed
//! - `pulls`: parameters; `arrivals`: progress and deltas
//! - `rounds`: synchronous mode; `ordered`: the same without a trace of who was faster
//! - `state`: what a checkpoint holds; [`checkpoint`]: the steps of storing it
//! - [`sabotage`]: bugs on purpose, for the simulation to find
//! - `machine`: the events, and the end of epochs and of the run

mod arrivals;
mod backup;
pub mod checkpoint;
pub mod config;
mod deadlines;
mod event;
mod issue;
mod leases;
mod machine;
pub mod merge;
mod ordered;
mod pulls;
mod rounds;
pub mod sabotage;
pub mod schedule;
mod screening;
mod sizes;
mod speed;
mod state;
pub mod status;
mod time;
mod units;
pub mod words;
mod workers;

pub use config::{Config, ConfigError};
pub use event::{Action, End, Event};
pub use machine::Engine;
pub use merge::{Master, MergeOrder, RoundRule};
pub use schedule::Schedule;
pub use state::{RestoreError, State};
pub use status::{EpochSummary, Status, UnitCounts, WorkerStatus};
pub use time::{Timestamp, WorkerKey};
pub use words::{Frequency, Mode, Strategy, WordError};
