//! What ends a run before its last epoch: a target that is met, no progress any more, time.
//!
//! [`Judge`] sees the validation of each epoch, in order. What it says depends on these numbers
//! alone, so a run that goes on gives it the lines of its metrics again.

mod judge;
mod words;

pub use judge::{Judge, Measured, Verdict};
pub use words::{Patience, Quality, Span, Target};
