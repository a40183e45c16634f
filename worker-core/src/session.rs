//! What a worker holds of a run, also while its connection is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::chunk::{self, Assembly};
use protocol::{Assignment, Checksum, Digest, Lease, LeaseId, Report, ToCoordinator, frame};

use crate::event::{Output, Stop};
use crate::pending::PendingDeltas;
use crate::samples::Rows;

/// Own deltas that may be on their way before training waits for the coordinator.
const PUSHES_MAX: usize = 4;

// Pending deltas are those on their way, those merged after the last pull, and one in training.
const _: () = assert!(2 * PUSHES_MAX < protocol::limits::PENDING_MAX);

/// Takes in what the shell has to do, at once and in order.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Output);

/// One session: its run, the lease that comes next, what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) assignment: Option<Arc<Assignment>>,
    /// The coordinator has said over this connection what to work on: it may be talked to.
    pub(crate) assigned: bool,
    pub(crate) lease_requested: bool,
    pub(crate) next: Option<Next>,
    pub(crate) fetching: HashSet<Digest>,
    pub(crate) pending: PendingDeltas,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) transfers: u32,
    pub(crate) download: Option<(Download, Assembly)>,
}

/// The lease that trains next.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) lease: Lease,
    pub(crate) pulled: Option<Duration>,
    pub(crate) parameters: Option<Vec<f32>>,
    /// Its rows, once its shards are there.
    pub(crate) rows: Option<Rows>,
}

#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) lease: LeaseId,
    pub(crate) payload: Bytes,
    pub(crate) report: Report,
}

impl Upload {
    fn offer(&self, emit: Emit<'_>) {
        let bytes = self.payload.len() as u64;
        send(emit, &ToCoordinator::Offer { lease: self.lease, bytes });
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Download {
    pub(crate) lease: LeaseId,
    pub(crate) contains: Vec<LeaseId>,
    pub(crate) checksum: Checksum,
}

impl Session {
    /// The connection is lost: what it carried is lost with it.
    pub(crate) fn detach(&mut self) {
        self.assigned = false;
        self.lease_requested = false;
        self.fetching.clear();
        self.download = None;
        // A lease whose parameters are not here is not worth keeping, and perhaps its very content
        // broke the connection.
        self.next.take_if(|next| next.parameters.is_none());
    }

    /// What is not let go of, beside the lease in training.
    pub(crate) fn leases(&self, training: Option<LeaseId>) -> Vec<LeaseId> {
        let uploads = self.uploads.iter().map(|upload| upload.lease);
        let next = self.next.iter().map(|next| next.lease.id);
        uploads.chain(training).chain(next).collect()
    }

    /// The run is that of the connection before: what had no answer is offered again.
    pub(crate) fn go_on(&mut self, emit: Emit<'_>) {
        self.assigned = true;
        for upload in &self.uploads {
            upload.offer(emit);
        }
    }

    /// A delta is ready.
    pub(crate) fn offer(&mut self, upload: Upload, emit: Emit<'_>) {
        if self.assigned {
            upload.offer(emit);
        }
        self.uploads.push(upload);
    }

    /// Whether parameters may be pulled: shards are there, and not too many deltas on their way.
    pub(crate) fn may_pull(&self) -> bool {
        self.fetching.is_empty() && self.uploads.len() < PUSHES_MAX
    }

    pub(crate) fn assignment(&self) -> Result<Arc<Assignment>, Stop> {
        self.assignment
            .clone()
            .ok_or_else(|| Stop::Broken("the coordinator sent work without a run".to_owned()))
    }

    pub(crate) fn accept(&mut self, lease: Lease) -> Result<(), Stop> {
        let assignment = self.assignment()?;
        let known = |shard: u32| (shard as usize) < assignment.shards.len();
        let fits = lease.run == assignment.run
            && lease.segments.iter().all(|segment| known(segment.shard));
        if !self.lease_requested || self.next.is_some() || !fits {
            return Err(Stop::Broken(format!("{} was not asked for or does not fit", lease.id)));
        }
        self.lease_requested = false;
        self.next = Some(Next { lease, pulled: None, parameters: None, rows: None });
        Ok(())
    }

    pub(crate) fn upload(&mut self, lease: LeaseId, emit: Emit<'_>) -> Result<(), Stop> {
        let Some(upload) = self.uploads.iter().find(|upload| upload.lease == lease) else {
            return Err(Stop::Broken(format!("a grant for {lease} came, which was not offered")));
        };
        self.transfers = self.transfers.wrapping_add(1);
        let transfer = self.transfers;
        let total = upload.payload.len() as u64;
        for (offset, piece) in chunk::pieces(&upload.payload) {
            let message = if offset == 0 {
                ToCoordinator::Delta { lease, transfer, total, report: upload.report }
            } else {
                ToCoordinator::Chunk { transfer, offset }
            };
            match frame::encode(&message, piece) {
                Ok(bytes) => emit(Output::Upload(bytes)),
                Err(error) => return Err(Stop::Unable(error.to_string())),
            }
        }
        Ok(())
    }
}

pub(crate) fn broken(error: impl std::fmt::Display) -> Stop {
    Stop::Broken(error.to_string())
}

pub(crate) fn send(emit: Emit<'_>, message: &ToCoordinator) {
    match frame::encode(message, &[]) {
        Ok(bytes) => emit(Output::Send(bytes)),
        Err(error) => emit(Output::Stop(Stop::Unable(error.to_string()))),
    }
}
