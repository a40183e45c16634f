//! The thread that owns the master. Deltas are merged straight from their bytes here, versions
//! encoded; all in the order in which the control task says so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use engine::merge::{Master, MergeOrder};
use protocol::buffers::Buffers;
use protocol::chunk::{Framed, Framing};
use protocol::{Codec, LeaseId, TensorTable, Version};
use tokio::sync::mpsc;

use super::board::Board;
use super::evaluation::{Lent, Snapshot, Work, Works};
use super::examining::{Examiner, Intake};
use super::hogwild::Crew;
use super::{Alarm, ControlEvent, DataCommand, Outgoing, Parameters, parallel};

/// The thread's handle. Dropping [`Self::commands`] ends it; it then gives the values back.
#[derive(Debug)]
pub struct DataPlane {
    /// What it shall do. Unbounded, because the control task must never wait for it; what stands
    /// in it is bounded by the grants for uploads.
    pub commands: Sender<DataCommand>,
    /// Gives the last values back.
    pub thread: JoinHandle<Vec<f32>>,
}

/// Who merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// The data plane itself, one delta after the other.
    InOrder,
    /// Several threads at once.
    Hogwild {
        /// The merge rule has a momentum.
        momentum: bool,
    },
}

struct State {
    master: Owner,
    version: Version,
    table: TensorTable,
    codec: Codec,
    examiner: Arc<Examiner>,
    buffers: Buffers,
    /// The current version, once somebody has pulled it, and the deltas that are perhaps not wholly
    /// in it.
    encoded: Option<(Parameters, Vec<LeaseId>)>,
    events: mpsc::Sender<ControlEvent>,
    evaluation: Works,
    board: Arc<Board>,
}

enum Owner {
    Alone(Master),
    Crew(Crew),
}

/// Bytes of values up to which a master is copied to be evaluated or stored.
const COPIED_BYTES_MAX: usize = 16 << 20;

impl DataPlane {
    /// Starts the thread with the run's first parameters.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        master: Master,
        merging: Merging,
        (table, codec, Intake { examiner, buffers }): (TensorTable, Codec, Intake),
        events: mpsc::Sender<ControlEvent>,
        evaluation: Works,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let (commands, queue) = channel();
        let version = master.version();
        let master = match merging {
            Merging::InOrder => Owner::Alone(master),
            Merging::Hogwild { momentum } => {
                Owner::Crew(Crew::start(master, momentum, &examiner, &events, &board)?)
            }
        };
        let mut state = State {
            master,
            version,
            table,
            codec,
            examiner,
            buffers,
            encoded: None,
            events,
            evaluation,
            board,
        };
        let alarm = Alarm(state.events.clone());
        let thread = thread::Builder::new().name("herd-merge".to_owned()).spawn(move || {
            let _alarm = alarm;
            state.run(&queue);
            match state.master {
                Owner::Alone(master) => master.into_values(),
                Owner::Crew(crew) => crew.into_values(),
            }
        })?;
        Ok(Self { commands, thread })
    }
}

impl State {
    fn run(&mut self, queue: &Receiver<DataCommand>) {
        while let Ok(command) = queue.recv() {
            match command {
                DataCommand::Merge { delta, order } => self.merge(delta, order),
                DataCommand::Snapshot { lease, contains, outgoing, place } => {
                    let parameters = self.parameters(&contains);
                    // A full or closed queue is a session that is ending.
                    let answer = Outgoing::Parameters { lease, contains, parameters, place };
                    let _ = outgoing.try_send(answer);
                }
                DataCommand::Evaluate(record) => {
                    let lent =
                        self.lend(false, |master| Work::Evaluate(Snapshot { record, master }));
                    if !lent {
                        return;
                    }
                }
                DataCommand::Keep(checkpoint) => {
                    if !self.lend(true, |master| Work::Keep { checkpoint, master }) {
                        return;
                    }
                }
            }
        }
    }

    fn merge(&mut self, delta: Option<(LeaseId, Bytes)>, order: MergeOrder) {
        let version = order.version();
        if let Some(version) = version {
            (self.version, self.encoded) = (version, None);
        }
        match (&mut self.master, delta) {
            (Owner::Crew(crew), Some((lease, payload))) => crew.merge(lease, order, payload),
            (Owner::Alone(master), delta) => {
                let began = Instant::now();
                let payload = delta.as_ref().map(|(_, payload)| payload);
                match payload.map(|payload| self.examiner.layout.payload(payload)) {
                    Some(Ok(delta)) => parallel::merge(master, &order, &delta),
                    // The end of a round, which needs none.
                    None => parallel::merge::<[f32]>(master, &order, &[]),
                    Some(Err(error)) => panic!("invariant: it was examined before: {error}"),
                }
                self.board.merged(began.elapsed());
                let lease = delta.map(|(lease, _)| lease);
                self.tell(ControlEvent::Merged { lease, version });
            }
            (Owner::Crew(_), None) => panic!("invariant: hogwild mode merges single deltas"),
        }
    }

    fn tell(&self, event: ControlEvent) {
        // Nobody listens when the run was stopped; what was ordered is done all the same.
        let _ = self.events.blocking_send(event);
    }

    /// Has something done with the master: with a copy of a small one, so that merging goes on
    /// meanwhile; a large one is lent, and merging waits. Waits in any case when the work is behind,
    /// so that memory stays bounded. False when the work has failed, which ends the run, and the
    /// master is lost.
    fn lend(&mut self, with_momentum: bool, work: impl FnOnce(Lent) -> Work) -> bool {
        let lent = match &mut self.master {
            Owner::Alone(master) if 4 * master.values().len() > COPIED_BYTES_MAX => master,
            owner => {
                self.evaluation.give(|| {
                    let (values, momentum) = match owner {
                        Owner::Alone(master) if with_momentum => {
                            (master.values().to_vec(), master.momentum().to_vec())
                        }
                        Owner::Alone(master) => (master.values().to_vec(), Vec::new()),
                        Owner::Crew(crew) => crew.quiet(),
                    };
                    work(Lent { values, momentum, back: None })
                });
                return true;
            }
        };
        let (back, returned) = channel();
        self.evaluation.give(|| {
            let (values, momentum) = lent.lend();
            work(Lent { values, momentum, back: Some(back) })
        });
        returned.recv().map(|parts| lent.take_back(parts)).is_ok()
    }

    fn parameters(&mut self, contains: &[LeaseId]) -> Parameters {
        let known = self.encoded.as_ref();
        let whole = known.filter(|(_, torn)| !torn.iter().any(|lease| contains.contains(lease)));
        if let Some((parameters, _)) = whole {
            return parameters.clone();
        }
        let (payload, torn) = match &self.master {
            Owner::Alone(master) => {
                (self.framed(master.values(), Some(&master.magnitudes())), Vec::new())
            }
            Owner::Crew(crew) => {
                let (values, torn) = crew.values_with(contains);
                (self.framed(&values, None), torn)
            }
        };
        let parameters = Parameters { version: self.version, payload };
        self.encoded.insert((parameters, torn)).0.clone()
    }

    /// Encodes a version, in the frames in which it is sent to all. `magnitudes` are known of each
    /// tensor, or none.
    fn framed(&self, values: &[f32], magnitudes: Option<&[f32]>) -> Framed {
        let total = self.codec.bytes(&self.table);
        let mut framing = Framing::new(&self.buffers, self.version.number as u32, total);
        self.codec.encode_into(&self.table, values, magnitudes, &mut framing);
        framing.end()
    }
}
