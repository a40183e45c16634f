//! The thread that owns the master. Deltas are decoded, examined and merged here, versions encoded;
//! all in the order in which the control task says so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use engine::merge::{Master, norm_and_finite};
use protocol::codec::CodecError;
use protocol::{Codec, Digest, LeaseId, TensorTable};
use tokio::sync::mpsc;

use super::board::Board;
use super::deltas::Deltas;
use super::evaluation::{Snapshot, Work, Works};
use super::{Alarm, ControlEvent, DataCommand, Outgoing, Parameters};
use crate::storage::Checkpoint;

/// The thread's handle. Dropping [`Self::commands`] ends it; it then gives the master back.
#[derive(Debug)]
pub struct DataPlane {
    /// What it shall do. Unbounded, because the control task must never wait for it; what stands
    /// in it is bounded by the grants for uploads.
    pub commands: Sender<DataCommand>,
    /// Gives the master back.
    pub thread: JoinHandle<Master>,
}

struct State {
    master: Master,
    table: TensorTable,
    download: Codec,
    /// Examined deltas that wait for the engine's word.
    deltas: Deltas,
    /// The current version, once somebody has pulled it.
    encoded: Option<Parameters>,
    events: mpsc::Sender<ControlEvent>,
    evaluation: Works,
    board: Arc<Board>,
}

/// Bytes of values up to which a master is copied to be stored.
const COPIED_BYTES_MAX: usize = 16 << 20;

impl DataPlane {
    /// Starts the thread with the run's first parameters.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        master: Master,
        table: TensorTable,
        codec: Codec,
        events: mpsc::Sender<ControlEvent>,
        evaluation: Works,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let (commands, queue) = channel();
        let mut state = State {
            master,
            deltas: Deltas::new(codec, table.clone()),
            table,
            download: codec,
            encoded: None,
            events,
            evaluation,
            board,
        };
        let alarm = Alarm(state.events.clone());
        let thread = thread::Builder::new().name("herd-merge".to_owned()).spawn(move || {
            let _alarm = alarm;
            state.run(&queue);
            state.master
        })?;
        Ok(Self { commands, thread })
    }
}

impl State {
    fn run(&mut self, queue: &Receiver<DataCommand>) {
        while let Ok(command) = queue.recv() {
            let event = match command {
                DataCommand::Screen { lease, payload } => Some(self.screen(lease, payload)),
                DataCommand::Discard(lease) => {
                    self.deltas.discard(lease);
                    None
                }
                DataCommand::Merge { lease, order } => {
                    let delta = lease.and_then(|lease| self.deltas.remove(lease));
                    let began = Instant::now();
                    self.master.apply(&order, delta.as_deref().unwrap_or_default());
                    self.board.merged(began.elapsed());
                    delta.into_iter().for_each(|delta| self.deltas.recycle(delta));
                    let version = order.version();
                    if version.is_some() {
                        self.encoded = None;
                    }
                    Some(ControlEvent::Merged { lease, version })
                }
                DataCommand::Snapshot { lease, contains, outgoing, place } => {
                    let parameters = self.parameters();
                    // A full or closed queue is a session that is ending.
                    let answer = Outgoing::Parameters { lease, contains, parameters, place };
                    let _ = outgoing.try_send(answer);
                    None
                }
                DataCommand::Evaluate(record) => {
                    // Waits when evaluation is behind: memory stays bounded.
                    self.evaluation.give(|| {
                        let values = self.master.values().to_vec();
                        Work::Evaluate(Snapshot { record, values })
                    });
                    None
                }
                DataCommand::Keep(checkpoint) => {
                    if !self.keep(checkpoint) {
                        return;
                    }
                    None
                }
            };
            if let Some(event) = event {
                // Nobody listens when the run was stopped; what was ordered is done all the same.
                let _ = self.events.blocking_send(event);
            }
        }
    }

    /// Has the master stored: a copy of a small one, so that merging goes on meanwhile; a large one
    /// is lent, and merging waits. False when storing has failed, which ends the run, and the
    /// master is lost.
    fn keep(&mut self, checkpoint: Box<Checkpoint>) -> bool {
        if 4 * self.master.values().len() <= COPIED_BYTES_MAX {
            self.evaluation.give(|| {
                let values = self.master.values().to_vec();
                let momentum = self.master.momentum().to_vec();
                Work::Keep { checkpoint, master: (values, momentum), back: None }
            });
            return true;
        }
        let (back, lent) = channel();
        let master = &mut self.master;
        self.evaluation.give(|| Work::Keep { checkpoint, master: master.lend(), back: Some(back) });
        lent.recv().map(|parts| self.master.take_back(parts)).is_ok()
    }

    fn screen(&mut self, lease: LeaseId, payload: Bytes) -> ControlEvent {
        match self.deltas.insert(lease, payload) {
            Ok(values) => {
                let (norm, finite) = norm_and_finite(values, &self.table);
                ControlEvent::Screened { lease, finite, length_ok: true, norm }
            }
            Err(error) => {
                tracing::warn!("the delta of {lease}: {error}");
                let length_ok = !matches!(error, CodecError::Length { .. });
                ControlEvent::Screened { lease, finite: false, length_ok, norm: 0.0 }
            }
        }
    }

    fn parameters(&mut self) -> Parameters {
        let encoded = self.encoded.get_or_insert_with(|| {
            let payload = self.download.encode(&self.table, self.master.values());
            let digest = Digest::of(&payload);
            Parameters { version: self.master.version(), payload: payload.into(), digest }
        });
        encoded.clone()
    }
}
