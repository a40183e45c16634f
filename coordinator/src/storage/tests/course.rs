//! A small run without workers or network: what its engine says goes into checkpoints and metrics
//! as a coordinator puts it there.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::{Action, Config, Engine, Event, Frequency, Mode, Schedule, Strategy};
use engine::{Timestamp, WorkerKey};
use protocol::{Identity, Lease, LeaseId, RunId};

use crate::storage::{BestRecord, Checkpoint, LedgerRow, RowEnd, WorkerRow};

/// What becomes of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its delta is merged.
    Merged,
    /// Its delta is refused.
    NotFinite,
    /// It is given back.
    Released,
    /// Nobody hears of it again.
    Kept,
}

/// A run of two epochs over two shards, in leases of eight samples.
#[derive(Debug)]
pub(crate) struct Course {
    folder: PathBuf,
    config: Config,
    engine: Engine,
    out: BTreeMap<LeaseId, (WorkerKey, Lease)>,
    rows: Vec<LedgerRow>,
    units: BTreeMap<LeaseId, u64>,
    metrics_bytes: u64,
    joined: Vec<WorkerKey>,
}

/// Rows of the two shards.
pub(crate) const SHARDS: [u32; 2] = [40, 24];

impl Course {
    pub(crate) fn new(folder: &Path) -> Self {
        let config = Config {
            run: RunId(1),
            incarnation: 1,
            mode: Mode::Asynchronous,
            frequency: Frequency::Batch,
            strategy: Strategy::Sum,
            shards: SHARDS.to_vec(),
            batch_size: 8,
            epochs: 2,
            seed: 3,
            learning_rate: 0.1,
            schedule: Schedule::default(),
            inner_momentum: false,
            workers_min: 1,
            deterministic: false,
        };
        let engine = Engine::new(config.clone()).unwrap();
        let (out, rows, units) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let folder = folder.to_owned();
        Self { folder, config, engine, out, rows, units, metrics_bytes: 0, joined: Vec::new() }
    }

    /// Goes on from a checkpoint as a new start of the coordinator.
    pub(crate) fn restart(&mut self, state: engine::State, metrics_bytes: u64) {
        self.config.incarnation += 1;
        self.engine = Engine::restore(self.config.clone(), state).unwrap();
        self.metrics_bytes = metrics_bytes;
        self.out.clear();
        self.rows.clear();
        self.joined.clear();
    }

    fn tell(&mut self, event: Event) {
        for action in self.engine.handle(Timestamp(0), event) {
            match action {
                Action::Lease { worker, lease } => {
                    self.out.insert(lease.id, (worker, lease));
                }
                Action::Merge { .. } => {
                    let version = self.engine.version_now();
                    self.tell(Event::Merged { version });
                }
                Action::LeaseEnded { worker, lease, unit, in_epoch, end } => {
                    let (_, lease) = self.out.remove(&lease).unwrap();
                    self.units.insert(lease.id, unit);
                    self.rows.push(row(worker, &lease, unit, in_epoch, RowEnd::Ended(end)));
                }
                Action::EpochComplete { epoch, summary, .. } => {
                    let mut line = serde_json::to_value(summary).unwrap();
                    line["epoch"] = (epoch + 1).into();
                    line["seconds"] = 0.1.into();
                    self.write_metrics(&format!("{line}\n"));
                }
                _ => {}
            }
        }
    }

    fn write_metrics(&mut self, line: &str) {
        let path = self.folder.join("metrics.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
        self.metrics_bytes += line.len() as u64;
    }

    /// A worker gets one lease, which meets its fate; `None` when there is nothing to give.
    pub(crate) fn lease(&mut self, worker: u64, fate: Fate) -> Option<LeaseId> {
        let worker = WorkerKey(worker);
        if !self.joined.contains(&worker) {
            self.joined.push(worker);
            self.tell(Event::WorkerJoined { worker });
        }
        self.tell(Event::LeaseRequested { worker });
        let lease = *self.out.iter().rev().find(|(_, (holder, _))| *holder == worker)?.0;
        if fate == Fate::Released {
            self.tell(Event::LeaseReleased { worker, lease });
            return Some(lease);
        }
        self.tell(Event::Pulled { worker, lease, pending: Vec::new() });
        match fate {
            Fate::Merged => self.deliver(worker.0, lease, true),
            Fate::NotFinite => self.deliver(worker.0, lease, false),
            Fate::Released | Fate::Kept => {}
        }
        Some(lease)
    }

    /// The delta of a lease comes.
    pub(crate) fn deliver(&mut self, worker: u64, lease: LeaseId, finite: bool) {
        self.tell(Event::DeltaReceived { worker: WorkerKey(worker), lease });
        self.tell(Event::DeltaScreened { lease, finite, length_ok: true, norm: 0.1 + 0.2 });
    }

    /// A worker is gone.
    pub(crate) fn leave(&mut self, worker: u64) {
        self.tell(Event::WorkerLeft { worker: WorkerKey(worker) });
    }

    /// Merges until the run is over.
    pub(crate) fn finish(&mut self, worker: u64) {
        for _ in 0..100 {
            if self.engine.status().finished {
                return;
            }
            self.lease(worker, Fate::Merged);
        }
        panic!("the run does not end: {:?}", self.engine.status());
    }

    /// A checkpoint of now, with the rows since the one before.
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        let mut rows = std::mem::take(&mut self.rows);
        let open: Vec<u32> = self.engine.status().open.iter().map(|(epoch, _)| *epoch).collect();
        rows.extend(self.out.values().map(|(worker, lease)| {
            row(*worker, lease, 0, open.contains(&lease.epoch), RowEnd::Lost)
        }));
        let worker = |key: &WorkerKey| WorkerRow {
            number: key.0 as u32,
            identity: Identity([key.0 as u8; 16]),
            slot: 0,
            name: format!("volunteer {}", key.0),
            device: "cpu".into(),
            facts: serde_json::json!({ "busy": 0.1 + 0.2, "text": "~1.5" }),
        };
        Checkpoint {
            engine: self.engine.state().unwrap(),
            version: self.engine.version_now(),
            metrics_bytes: self.metrics_bytes,
            best: None::<BestRecord>,
            shell: serde_json::json!({ "elapsed": 1.0 / 3.0, "names": ["~", "a"] }),
            complete: self.engine.status().finished,
            shards: SHARDS.to_vec(),
            rows,
            workers: self.joined.iter().map(worker).collect(),
        }
    }
}

fn row(worker: WorkerKey, lease: &Lease, unit: u64, in_epoch: bool, end: RowEnd) -> LedgerRow {
    LedgerRow {
        lease: lease.id,
        worker: worker.0 as u32,
        unit,
        epoch: lease.epoch,
        samples: lease.samples(),
        segments: lease.segments.clone(),
        in_epoch,
        end,
    }
}
