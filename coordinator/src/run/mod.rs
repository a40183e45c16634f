//! One run: the shell around the engine.
//!
//! - [`control`]: the task that owns the engine; every event of the run passes through it in order
//! - [`data_plane`]: the thread that owns the master: merges, encodes, one FIFO
//! - [`examining`]: what is to be known of a delta before it is merged
//! - [`evaluation`]: the thread that evaluates versions, keeps the best and writes the metrics
//! - [`parallel`]: merging on several cores; [`hogwild`]: merging several deltas at once
//! - [`sessions`]: who is connected, lost, back
//! - [`goals`]: when a run ends before its last epoch
//! - [`grants`]: which uploads may run; [`pulls`]: which versions may be on their way
//! - [`keeping`]: when the run is checkpointed, and what a checkpoint holds
//! - [`acts`]: what whoever controls the run may do
//! - [`showing`]: what people are shown, and when; [`live`]: what they see who watch it
//! - [`board`]: how the run stands, for the page; [`curve`]: its training loss in few points
//! - [`exposition`]: the same as the board's for Prometheus; [`history`]: samples and workers over time
//! - [`tally`]: what is counted for people: workers, speeds, bytes; [`clock`]: the time of training

mod acts;
mod board;
mod clock;
mod control;
mod curve;
mod data_plane;
mod ending;
mod evaluation;
mod examining;
mod exposition;
mod goals;
mod grants;
mod history;
mod hogwild;
mod keeping;
mod live;
pub mod parallel;
mod pulls;
mod sessions;
mod showing;
mod tally;

use bytes::Bytes;
use engine::WorkerKey;
use engine::merge::MergeOrder;
use protocol::chunk::Framed;
use protocol::{Hello, LeaseId, Report, ToCoordinator, ToWorker, Version};
use tokio::sync::mpsc;

use crate::goals::Verdict;
use crate::storage::Checkpoint;

pub use acts::{Act, Asked};
pub use board::{Board, Ended};
pub use control::{Control, Display, Parts};
pub use data_plane::{DataPlane, Merging};
pub use ending::Ending;
pub use evaluation::{EpochRecord, Evaluation, Outcome};
pub use examining::{Examined, Examiner, Intake};
pub use history::{History, Stretch};
pub use keeping::{Constants, Shell};
pub use live::{About, Live, Viewer};
pub use pulls::VersionPlace;
pub use tally::{Tally, WorkerTally};

/// A number that can be shown and written; none for what is no number.
pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// Tells the control task when the thread that holds it panics: the run would wait for ever.
struct Alarm(mpsc::Sender<ControlEvent>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.blocking_send(ControlEvent::Failed);
        }
    }
}

/// Encoded parameters of one version; shared by all sessions that pull it.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// The version.
    pub version: Version,
    /// Encoded tensors.
    pub payload: Framed,
}

/// What a session is to send.
#[derive(Debug)]
pub enum Outgoing {
    /// A message without payload. `Ended` and `Refused` end the session.
    Message(Box<ToWorker>),
    /// The answer to a pull.
    Parameters {
        /// The lease of the pull.
        lease: LeaseId,
        /// Its pending leases that are contained.
        contains: Vec<LeaseId>,
        /// What is sent.
        parameters: Parameters,
        /// Held until it is sent.
        place: VersionPlace,
    },
}

/// What happens to a run.
#[derive(Debug)]
pub enum ControlEvent {
    /// A worker's session is open.
    Joined {
        /// Its key.
        worker: WorkerKey,
        /// What it says of itself.
        hello: Box<Hello>,
        /// Takes what is for it.
        outgoing: mpsc::Sender<Outgoing>,
    },
    /// A worker's session is over.
    Left {
        /// Its key.
        worker: WorkerKey,
        /// Why.
        reason: String,
        /// The worker said so: it will not come back.
        goodbye: bool,
    },
    /// A worker said something without payload.
    Message {
        /// Its key.
        worker: WorkerKey,
        /// What.
        message: ToCoordinator,
    },
    /// A worker's delta is complete.
    Delta {
        /// Its key.
        worker: WorkerKey,
        /// The lease.
        lease: LeaseId,
        /// For display.
        report: Report,
        /// Encoded.
        payload: Bytes,
        /// What there is to be known of it.
        examined: Examined,
    },
    /// The data plane has carried out an order to merge.
    Merged {
        /// Whose delta it was, which holds no memory any more.
        lease: Option<LeaseId>,
        /// The version that it made.
        version: Option<Version>,
    },
    /// An epoch was evaluated.
    Evaluated {
        /// What was measured.
        record: Box<EpochRecord>,
        /// The run is to end with it.
        verdict: Option<Verdict>,
        /// Its model is the best so far.
        is_best: bool,
    },
    /// A local worker process ended.
    ProcessEnded {
        /// Its name.
        name: String,
        /// How it ended, when that was no success.
        failure: Option<String>,
        /// How many still run.
        left: usize,
    },
    /// A checkpoint of this number is on the disk.
    Kept(u64),
    /// Whoever controls the run wants something of it.
    Act(Asked),
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// A thread of the run ended with an error, which it gives to who joins it.
    Failed,
}

/// What the data plane is told to do, in order.
#[derive(Debug)]
pub enum DataCommand {
    /// Carry out a merge.
    Merge {
        /// The delta, encoded and examined, if the order needs one.
        delta: Option<(LeaseId, Bytes)>,
        /// What to do.
        order: MergeOrder,
    },
    /// Send the parameters as they are now.
    Snapshot {
        /// The lease of the pull.
        lease: LeaseId,
        /// Its pending leases that are contained.
        contains: Vec<LeaseId>,
        /// To whom.
        outgoing: mpsc::Sender<Outgoing>,
        /// Held until they are sent.
        place: VersionPlace,
    },
    /// Give the master as it is now to evaluation.
    Evaluate(Box<EpochRecord>),
    /// Store the master as it is now together with this.
    Keep(Box<Checkpoint>),
}
