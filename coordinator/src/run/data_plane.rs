//! The thread that owns the master. Deltas are examined and merged straight from their bytes here,
//! versions encoded; all in the order in which the control task says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use engine::merge::{Master, MergeOrder};
use protocol::chunk::{Framed, Framing};
use protocol::pieces::{Layout, Piece, pieces};
use protocol::{Codec, LeaseId, TensorTable, Version};
use tokio::sync::mpsc;

use super::board::Board;
use super::evaluation::{Lent, Snapshot, Work, Works};
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
    /// Examined deltas that wait for the engine's word, as they came.
    deltas: HashMap<LeaseId, Bytes>,
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
        table: TensorTable,
        codec: Codec,
        events: mpsc::Sender<ControlEvent>,
        evaluation: Works,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let (commands, queue) = channel();
        let (layout, pieces) = (Layout::new(codec, &table), pieces(&table));
        let examiner = Arc::new(Examiner { layout, pieces });
        let version = master.version();
        let master = match merging {
            Merging::InOrder => Owner::Alone(master),
            Merging::Hogwild { momentum } => {
                Owner::Crew(Crew::start(master, momentum, &examiner, &events, &board)?)
            }
        };
        let (deltas, encoded) = (HashMap::new(), None);
        let mut state = State {
            master,
            version,
            table,
            codec,
            examiner,
            deltas,
            encoded,
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

/// Knows how deltas are encoded.
#[derive(Debug)]
pub(super) struct Examiner {
    pub(super) layout: Layout,
    pieces: Vec<Piece>,
}

impl Examiner {
    /// What the engine wants to know of a delta.
    pub(super) fn screen(&self, lease: LeaseId, payload: &[u8]) -> ControlEvent {
        match self.layout.payload(payload) {
            Ok(delta) => {
                let (norm, finite) = parallel::norm_and_finite(&delta, &self.pieces);
                ControlEvent::Screened { lease, finite, length_ok: true, norm }
            }
            Err(error) => {
                tracing::warn!("the delta of {lease}: {error}");
                ControlEvent::Screened { lease, finite: false, length_ok: false, norm: 0.0 }
            }
        }
    }
}

impl State {
    fn run(&mut self, queue: &Receiver<DataCommand>) {
        while let Ok(command) = queue.recv() {
            match command {
                DataCommand::Screen { lease, payload } => self.screen(lease, payload),
                DataCommand::Discard(lease) => drop(self.deltas.remove(&lease)),
                DataCommand::Merge { lease, order } => self.merge(lease, order),
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

    fn screen(&mut self, lease: LeaseId, payload: Bytes) {
        self.deltas.insert(lease, payload.clone());
        match &self.master {
            Owner::Alone(_) => self.tell(self.examiner.screen(lease, &payload)),
            Owner::Crew(crew) => crew.screen(lease, payload),
        }
    }

    fn merge(&mut self, lease: Option<LeaseId>, order: MergeOrder) {
        let payload = lease.and_then(|lease| self.deltas.remove(&lease));
        let version = order.version();
        if let Some(version) = version {
            (self.version, self.encoded) = (version, None);
        }
        match (&mut self.master, lease, payload) {
            (Owner::Crew(crew), Some(lease), Some(payload)) => crew.merge(lease, order, payload),
            (Owner::Alone(master), _, payload) => {
                let began = Instant::now();
                match payload.as_ref().map(|payload| self.examiner.layout.payload(payload)) {
                    Some(Ok(delta)) => parallel::merge(master, &order, &delta),
                    // The end of a round, which needs none.
                    None => parallel::merge::<[f32]>(master, &order, &[]),
                    Some(Err(error)) => panic!("invariant: it was examined before: {error}"),
                }
                self.board.merged(began.elapsed());
                self.tell(ControlEvent::Merged { lease, version });
            }
            (Owner::Crew(_), ..) => panic!("invariant: hogwild mode merges single deltas"),
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
            Owner::Alone(master) => (self.framed(master.values()), Vec::new()),
            Owner::Crew(crew) => {
                let (values, torn) = crew.values_with(contains);
                (self.framed(&values), torn)
            }
        };
        let parameters = Parameters { version: self.version, payload };
        self.encoded.insert((parameters, torn)).0.clone()
    }

    /// Encodes a version, in the frames in which it is sent to all.
    fn framed(&self, values: &[f32]) -> Framed {
        let mut framing = Framing::new(self.version.number as u32, self.codec.bytes(&self.table));
        self.codec.encode_into(&self.table, values, |bytes| framing.write(bytes));
        framing.end()
    }
}
