//! What the shell tells the engine, and what the engine tells the shell to do.

use protocol::{Lease, LeaseId, Outcome, Reason, Version};

use crate::merge::MergeOrder;
use crate::status::EpochSummary;
use crate::time::WorkerKey;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker is ready for this run: it has the spec and may be given leases.
    WorkerJoined {
        /// Its session.
        worker: WorkerKey,
    },
    /// A session is over. Its leases end, except those whose delta was received: these are merged.
    WorkerLeft {
        /// Its session.
        worker: WorkerKey,
    },
    /// A worker's connection is lost, and may come back. It keeps its leases and gets no others;
    /// what it asked for is forgotten.
    WorkerDetached {
        /// Its session.
        worker: WorkerKey,
    },
    /// A worker is there again after its connection was lost.
    WorkerReturned {
        /// Its session.
        worker: WorkerKey,
        /// What it has not let go of. Its other leases end; what is named and is not its own any
        /// more is answered.
        leases: Vec<LeaseId>,
    },
    /// A worker wants one more lease. Remembered until there is work for it.
    LeaseRequested {
        /// Who asks.
        worker: WorkerKey,
    },
    /// A worker wants parameters for a lease. In rounds the answer waits until the lease's round
    /// begins and the worker has delivered what it trains; a lease that is not the worker's any
    /// more is answered with a refusal.
    Pulled {
        /// Who asks.
        worker: WorkerKey,
        /// The lease that it is about to train.
        lease: LeaseId,
        /// Its own earlier leases of which it does not know yet whether the master contains them.
        pending: Vec<LeaseId>,
    },
    /// A worker has made so many local steps of a lease.
    Progress {
        /// Who says so.
        worker: WorkerKey,
        /// The lease in training.
        lease: LeaseId,
        /// Local steps made so far.
        steps: u64,
    },
    /// A delta has arrived completely. From here on it belongs to the data plane.
    DeltaReceived {
        /// Who sent it.
        worker: WorkerKey,
        /// What it is the delta of.
        lease: LeaseId,
    },
    /// The answer to every [`Action::Screen`]. A delta that got lost is `length_ok: false`.
    DeltaScreened {
        /// The delta.
        lease: LeaseId,
        /// No value is NaN or infinite, and no variance negative.
        finite: bool,
        /// It has as many values as the shape table.
        length_ok: bool,
        /// L2 norm over the trained parameters ([`crate::merge::norm_and_finite`]).
        norm: f64,
    },
    /// The data plane has carried out the order that made this version.
    Merged {
        /// The version.
        version: Version,
    },
    /// A worker gives a lease back untrained.
    LeaseReleased {
        /// Who gives it back.
        worker: WorkerKey,
        /// The lease.
        lease: LeaseId,
    },
    /// [`crate::Engine::wake_at`] has come.
    Tick,
    /// No more leases until [`Event::Resume`]; those that are out are trained to their end and
    /// merged. A deterministic run finishes its round first.
    Pause,
    /// The end of a pause.
    Resume,
    /// The learning rate before the schedule, from the next lease on. What is not a number above 0
    /// changes nothing.
    LearningRate {
        /// In place of the configured one.
        rate: f64,
    },
    /// The run is to end now: no more leases, what is accumulated is merged.
    Stop,
}

/// Something to do. Merges, snapshots, epoch marks and the end of a run go through ONE first-in
/// first-out queue of the data plane, in the order in which they are returned.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a lease.
    Lease {
        /// To whom.
        worker: WorkerKey,
        /// The lease.
        lease: Lease,
    },
    /// Send the parameters of exactly this version: the master as it is at this place of the queue.
    Snapshot {
        /// To whom.
        worker: WorkerKey,
        /// For which lease.
        lease: LeaseId,
        /// The version.
        version: Version,
        /// Those of the pull's pending leases that the worker is to forget; the others it adds
        /// itself. They are in this version; in rounds all that it has delivered, as the leases of
        /// a round start from exactly this version.
        contains: Vec<LeaseId>,
    },
    /// Examine a received delta and answer with [`Event::DeltaScreened`].
    Screen {
        /// The delta.
        lease: LeaseId,
    },
    /// Carry out an order on the master; if it makes a version, answer with [`Event::Merged`].
    Merge {
        /// Whose delta; none for [`MergeOrder::Round`], which has no delta of its own.
        lease: Option<LeaseId>,
        /// What to do with it.
        order: MergeOrder,
    },
    /// Tell a worker what became of its delta. If it was rejected, its bytes may be freed. A lease
    /// that it has not pulled yet may be rejected as well: it is not needed any more. The session
    /// may be gone.
    Acknowledge {
        /// To whom.
        worker: WorkerKey,
        /// Which lease.
        lease: LeaseId,
        /// What became of it.
        outcome: Outcome,
    },
    /// For the ledger: a lease is no attempt any more.
    LeaseEnded {
        /// Whose it was.
        worker: WorkerKey,
        /// The lease.
        lease: LeaseId,
        /// The unit that it was an attempt at.
        unit: u64,
        /// Its epoch was not complete yet: the end is counted there, and not only in the run.
        in_epoch: bool,
        /// How it ended.
        end: End,
    },
    /// The last sample of an epoch is in the master as it is at this place of the queue.
    EpochComplete {
        /// From 0; epochs complete in order.
        epoch: u32,
        /// The master's version here.
        version: Version,
        /// What was counted in the epoch.
        summary: EpochSummary,
    },
    /// The run is over: nothing more will be merged.
    Finished {
        /// The master's last version.
        version: Version,
    },
}

/// How an attempt at a unit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its delta was ordered into the master.
    Merged {
        /// The version that contains it.
        version: Version,
        /// Merges by others since its base.
        staleness: u64,
        /// It came after its deadline.
        late: bool,
    },
    /// Its delta was refused, or is not needed any more.
    Rejected {
        /// Why.
        reason: Reason,
        /// Its unit was given up with it.
        dropped: bool,
    },
    /// Given back, or lost with its worker.
    Released,
}
