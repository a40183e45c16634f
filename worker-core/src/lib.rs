//! What every worker does, native or in a browser: session, lease loop, training of a lease.
//!
//! Nothing here knows a socket, a clock or a thread. A shell feeds [`Worker::handle`] with what
//! happened and the time, and does what it answers; it trains the [`Job`]s that it is given with a
//! [`LeaseTrainer`], on a thread of its own where there are threads.
//!
//! - [`worker`]: the lease loop: prefetch, late pull, own pending deltas, push
//! - [`event`]: what happens to a worker and what its shell has to do
//! - [`trainer`]: trains one lease and makes its delta
//! - [`samples`]: the rows of a lease, batch by batch
//! - [`pending`]: own deltas that the master does not contain yet
//! - [`probe`]: which of several devices trains a model fastest
//! - [`backoff`]: when to try a lost coordinator again

pub mod backoff;
pub mod event;
pub mod pending;
pub mod probe;
pub mod samples;
mod session;
pub mod trainer;
pub mod worker;

pub use backoff::Backoff;
pub use event::{Input, Output, Profile, Stop};
pub use trainer::{Job, LeaseTrainer, TrainError, Trained};
pub use worker::Worker;
