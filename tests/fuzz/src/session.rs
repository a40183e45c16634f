//! A worker in sessions with a coordinator that says anything: raw frames, frames that decode but
//! break the order of things, and right ones, so that the worker gets as far as training.
//!
//! Around the worker stands what its shell does: shards come or do not, models are built or not,
//! leases are trained or fail.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use protocol::chunk::pieces;
use protocol::message::{DeviceKind, ShardInfo};
use protocol::shard::{self, ColumnInfo, Dtype};
use protocol::{
    Assignment, Checksum, Codec, Digest, Identity, Lease, LeaseId, Outcome, Reason, Report, Role,
    RunId, Segment, SessionId, TensorInfo, TensorTable, ToCoordinator, ToWorker, Version, frame,
};
use worker_core::{Input as Happening, Job, Output, Profile, Trained, Worker};

use crate::input::Input;

/// Rows of each shard.
const ROWS: u32 = 8;

/// Inputs go on for so many steps at most.
const STEPS_MAX: usize = 256;

/// A worker, and what its shell and its coordinator remember.
struct Scene {
    worker: Worker,
    now: Duration,
    assignment: Assignment,
    /// What the worker has asked its shell for, not answered yet.
    fetches: Vec<Digest>,
    preparing: bool,
    job: Option<Box<Job>>,
    /// Leases that the worker pulled parameters for, and those whose delta it offered.
    pulled: Vec<LeaseId>,
    offered: Vec<LeaseId>,
    leases: u64,
    /// Rest of a transfer: the bytes after the pieces sent so far.
    rest: Option<(Bytes, u64)>,
}

/// Plays one input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut scene = Scene::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let step = input.u8();
        scene.now += Duration::from_millis(u64::from(step / 16).pow(2));
        scene.step(step % 16, &mut input);
    }
}

impl Scene {
    fn new() -> Self {
        let profile = Profile {
            token: "secret".into(),
            identity: Identity([7; 16]),
            slot: 0,
            name: "lab-7".into(),
            device: DeviceKind::Cpu,
            device_name: "a processor".into(),
            threads: 1,
            software: "herd".into(),
        };
        Self {
            worker: Worker::new(profile),
            now: Duration::ZERO,
            assignment: assignment(0),
            fetches: Vec::new(),
            preparing: false,
            job: None,
            pulled: Vec::new(),
            offered: Vec::new(),
            leases: 0,
            rest: None,
        }
    }

    fn step(&mut self, kind: u8, input: &mut Input<'_>) {
        match kind {
            0 => self.happens(Happening::Frame(Bytes::copy_from_slice(input.piece()))),
            1 => self.happens(Happening::Connected),
            2 => self.happens(Happening::Disconnected),
            3 => self.wake(),
            4 => self.assign(input.u8()),
            5 => self.lease(input),
            6 => self.parameters(input),
            7 => self.chunk(input),
            8 => self.prepared(input.u8()),
            9 => self.shard(input.u8()),
            10 => self.trained(input),
            11 => {
                let lease = self.job.as_ref().map_or_else(|| any_lease(input), |job| job.lease.id);
                let steps = if input.u8() < 250 { input.u8().into() } else { input.u64() };
                self.happens(Happening::Step { lease, steps });
            }
            12 => {
                let lease = self.one_of(&self.offered.clone(), input);
                self.says(&ToWorker::Grant { lease });
            }
            13 => {
                let lease = self.one_of(&self.offered.clone(), input);
                let outcome = match input.u8() % 4 {
                    0 => Outcome::Rejected(Reason::Duplicate),
                    1 => Outcome::Rejected(Reason::Norm),
                    _ => Outcome::Merged(Version { incarnation: 1, number: self.leases }),
                };
                self.says(&ToWorker::Ack { lease, outcome });
            }
            14 => match input.u8() % 4 {
                0 => {
                    let software = String::new();
                    self.says(&ToWorker::Welcome { session: SessionId(1), software });
                }
                1 => self.says(&ToWorker::Alive),
                2 => self.says(&ToWorker::Ended { run: RunId(1), reason: "done".into() }),
                _ => self.says(&ToWorker::Restarting { reconnect_in_ms: 1 }),
            },
            _ => self.now += Duration::from_millis(u64::from(input.u32())),
        }
    }

    /// Tells the worker, and remembers what it wants.
    fn happens(&mut self, happening: Happening) {
        let mut outputs = Vec::new();
        self.worker.handle(self.now, happening, &mut |output| outputs.push(output));
        for output in outputs {
            match output {
                Output::Send(frame) | Output::Upload(frame) => self.heard(&frame),
                Output::Fetch(digest) => self.fetches.push(digest),
                Output::Prepare(_) => self.preparing = true,
                Output::Train(job) => {
                    assert!(self.job.is_none(), "a second job was given while one trains");
                    assert_eq!(job.parameters.len(), self.assignment.table.elements());
                    (0..job.rows.batches()).for_each(|index| drop(job.rows.batch(index)));
                    self.job = Some(job);
                }
                Output::Settled { .. } | Output::Stop(_) => {}
            }
        }
    }

    /// What a worker says is what a coordinator understands.
    fn heard(&mut self, frame: &Bytes) {
        let (message, _) = frame::decode::<ToCoordinator>(frame).expect("the worker says it well");
        match message {
            ToCoordinator::Pull { lease, .. } => self.pulled.push(lease),
            ToCoordinator::Offer { lease, .. } => self.offered.push(lease),
            _ => {}
        }
    }

    fn says(&mut self, message: &ToWorker) {
        self.says_with(message, &[]);
    }

    fn says_with(&mut self, message: &ToWorker, payload: &[u8]) {
        // What the limits forbid to say is what raw frames are for.
        if let Ok(frame) = frame::encode(message, payload) {
            self.happens(Happening::Frame(frame));
        }
    }

    fn wake(&mut self) {
        self.now = self.worker.wake_at().map_or(self.now, |at| at.max(self.now));
        self.happens(Happening::Timer);
    }

    fn assign(&mut self, choice: u8) {
        // A job that trains is checked against the run that it is of: one that goes on is cancelled.
        self.assignment = assignment(choice);
        self.says(&ToWorker::Assign(self.assignment.clone()));
    }

    fn lease(&mut self, input: &mut Input<'_>) {
        self.leases += u64::from(input.u8() < 250);
        let count = 1 + input.u8() % 4;
        let segment = |_| {
            let word = input.u8();
            let (start, count) = (u32::from(word % 8), u32::from(word / 8 % 8) + 1);
            let shard = u32::from(word / 64);
            // The last shard of four is one that there is not, or a segment past its end.
            if shard == 3 {
                Segment { shard, start: input.u32(), count }
            } else {
                fit(shard, start, count)
            }
        };
        let segments = (0..count).map(segment).collect();
        let lease = Lease {
            id: LeaseId { incarnation: 1, number: self.leases },
            run: self.assignment.run,
            epoch: u32::from(input.u8()),
            segments,
            batch_size: 1 + u32::from(input.u8()),
            seed: 5,
            learning_rate: 0.1,
            deadline_ms: 1000,
        };
        self.says(&ToWorker::Lease(lease));
    }

    fn parameters(&mut self, input: &mut Input<'_>) {
        let lease = self.one_of(&self.pulled.clone(), input);
        let contains = (0..input.u8() % 3).map(|_| self.one_of(&self.offered.clone(), input));
        let contains = contains.collect();
        let kind = input.u8();
        let table = &self.assignment.table;
        let mut payload = self.assignment.download.encode(table, &vec![0.5; table.elements()]);
        // Other values, or another length, now and then.
        if kind % 8 == 7 {
            payload = input.piece().to_vec();
        }
        let mut checksum = Checksum::of(&payload);
        checksum.0 ^= u64::from(kind % 16 == 6);
        let total = payload.len() as u64;
        let first = if kind < 64 { usize::from(input.u8()) } else { payload.len() };
        let payload = Bytes::from(payload);
        let piece =
            pieces(&payload[..first.min(payload.len())]).next().map_or(&[][..], |(_, piece)| piece);
        let version = Version { incarnation: 1, number: self.leases };
        let message =
            ToWorker::Parameters { lease, version, contains, transfer: 3, total, checksum };
        self.rest = Some((payload.clone(), piece.len() as u64));
        self.says_with(&message, piece);
    }

    fn chunk(&mut self, input: &mut Input<'_>) {
        let (transfer, skew) = match input.u8() {
            0 => (input.u32(), 0),
            1 => (3, input.u64()),
            _ => (3, 0),
        };
        let count = usize::from(input.u16());
        let Some((payload, sent)) = self.rest.take() else { return };
        let from = payload.len().min(sent as usize);
        let piece = payload.slice(from..payload.len().min(from + count));
        let offset = sent.wrapping_add(skew);
        self.rest = Some((payload, sent + piece.len() as u64));
        self.says_with(&ToWorker::Chunk { transfer, offset }, &piece);
    }

    fn prepared(&mut self, choice: u8) {
        if std::mem::take(&mut self.preparing) {
            let result = if choice == 0 { Err("no memory".to_owned()) } else { Ok(()) };
            self.happens(Happening::Prepared(result));
        }
    }

    fn shard(&mut self, choice: u8) {
        let Some(digest) = self.fetches.pop() else { return };
        let bytes = match choice {
            0 => Err("404".to_owned()),
            1 => Ok(Bytes::from_static(b"other content")),
            _ => shards()
                .iter()
                .find(|(known, _)| *known == digest)
                .map(|(_, bytes)| bytes.clone())
                .ok_or_else(|| "404".to_owned()),
        };
        self.happens(Happening::Shard { digest, bytes });
    }

    fn trained(&mut self, input: &mut Input<'_>) {
        let Some(job) = self.job.take() else { return };
        let mut delta = vec![0.25; job.parameters.len()];
        let result = match input.u8() {
            0 => Err("the device is lost".to_owned()),
            1 => Ok(None),
            kind => {
                delta[0] = if kind == 2 { f32::NAN } else { 0.5 };
                let report = Report { steps: 1, samples: 8, loss_sum: 0.5, busy_us: 0 };
                Ok(Some(Trained { lease: job.lease.id, delta, report }))
            }
        };
        self.happens(Happening::Trained(result));
    }

    /// One of these leases, mostly; else any.
    fn one_of(&self, leases: &[LeaseId], input: &mut Input<'_>) -> LeaseId {
        let choice = usize::from(input.u8());
        if leases.is_empty() || choice == 255 {
            return any_lease(input);
        }
        leases[(leases.len() - 1).saturating_sub(choice % 4)]
    }
}

fn any_lease(input: &mut Input<'_>) -> LeaseId {
    LeaseId { incarnation: 1, number: input.u8().into() }
}

/// A segment that its shard has.
fn fit(shard: u32, start: u32, count: u32) -> Segment {
    Segment { shard, start, count: count.min(ROWS - start) }
}

/// One of a few runs, which differ in what a worker must notice.
fn assignment(choice: u8) -> Assignment {
    let tensor = |name: &str, side, role| TensorInfo { name: name.into(), shape: vec![side], role };
    let side = if choice.is_multiple_of(2) { 5000 } else { 9 };
    let mut tensors = vec![tensor("w", side, Role::Parameter)];
    if choice % 4 < 2 {
        tensors.push(tensor("v", 3, Role::BufferNonNegative));
    }
    let info = |(digest, bytes): &(Digest, Bytes)| ShardInfo {
        digest: *digest,
        rows: ROWS,
        bytes: bytes.len() as u32,
    };
    Assignment {
        run: RunId(u32::from(choice % 3)),
        name: String::new(),
        spec: "{}".into(),
        table: TensorTable { tensors },
        seed: 1,
        shards: shards().iter().map(info).collect(),
        download: if choice % 8 < 4 { Codec::F16 } else { Codec::F32 },
        upload: if choice % 16 < 8 { Codec::F16 } else { Codec::F32 },
        fresh_optimizer: choice % 32 < 16,
    }
}

/// Three shards, the last of which lacks what training needs.
fn shards() -> &'static [(Digest, Bytes)] {
    static SHARDS: OnceLock<Vec<(Digest, Bytes)>> = OnceLock::new();
    SHARDS.get_or_init(|| {
        let shard = |target: &str, fill: u8| {
            let column = |name: &str, dtype, side| ColumnInfo {
                name: name.into(),
                dtype,
                shape: vec![side],
            };
            let (input, classes) = ([fill; 2 * ROWS as usize], [0; 4 * ROWS as usize]);
            let columns: [(ColumnInfo, &[u8]); 2] = [
                (column("input", Dtype::U8, 2), &input),
                (column(target, Dtype::I32, 1), &classes),
            ];
            let bytes = shard::encode(ROWS, &columns).expect("a shard within the limits");
            (Digest::of(&bytes), bytes)
        };
        vec![shard("target", 1), shard("target", 2), shard("other", 3)]
    })
}
