//! Connections: ordered each way, slow, held, and lost without a word.

use std::collections::BTreeMap;

use protocol::{Lease, LeaseId, Outcome};

/// From a worker.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Hello { leases: Vec<LeaseId> },
    Request,
    Pull { lease: LeaseId, pending: Vec<LeaseId> },
    Progress { lease: LeaseId, steps: u64 },
    Offer { lease: LeaseId },
    Delta { lease: LeaseId, values: Vec<f32> },
    Release { lease: LeaseId },
    Bye,
}

/// To a worker.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Assign,
    Lease(Lease),
    Parameters { lease: LeaseId, contains: Vec<LeaseId>, values: Vec<f32> },
    Grant { lease: LeaseId },
    Ack { lease: LeaseId, outcome: Outcome },
}

/// One connection. Either end may think that it still stands when it does not.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: usize,
    /// Nothing passes any more.
    pub(crate) broken: bool,
    /// The coordinator counts on it.
    pub(crate) open_above: bool,
    /// The worker counts on it.
    pub(crate) open_below: bool,
    /// When the last message each way arrives: the next one comes no earlier.
    up_at: u64,
    down_at: u64,
}

/// All connections, and how long messages take.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) connections: BTreeMap<u64, Connection>,
    last: u64,
    /// Until when a worker's messages are held, by worker.
    pub(crate) held: BTreeMap<usize, u64>,
}

impl Net {
    pub(crate) fn open(&mut self, worker: usize) -> u64 {
        self.last += 1;
        let connection = Connection {
            worker,
            broken: false,
            open_above: true,
            open_below: true,
            up_at: 0,
            down_at: 0,
        };
        self.connections.insert(self.last, connection);
        self.last
    }

    /// When a message that is sent now arrives; none if nobody sends it.
    pub(crate) fn arrival(&mut self, now: u64, conn: u64, up: bool, delay: u64) -> Option<u64> {
        let connection = self.connections.get_mut(&conn)?;
        let held = self.held.get(&connection.worker).copied().unwrap_or(0);
        let last = if up { &mut connection.up_at } else { &mut connection.down_at };
        *last = (now + delay).max(held).max(*last);
        Some(*last)
    }

    pub(crate) fn is_through(&self, conn: u64, up: bool) -> bool {
        self.connections.get(&conn).is_some_and(|connection| {
            !connection.broken && if up { connection.open_above } else { connection.open_below }
        })
    }

    /// One end gives a connection up.
    pub(crate) fn close(&mut self, conn: u64, above: bool) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.broken = true;
        let open = if above { &mut connection.open_above } else { &mut connection.open_below };
        *open = false;
        if !connection.open_above && !connection.open_below {
            self.connections.remove(&conn);
        }
    }
}
