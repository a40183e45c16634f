//! A whole fleet in one process and in virtual time: the real engine, the real merge functions,
//! real worker sessions that exchange real frames, and real training. Only time is made up: a step
//! takes as long as the test says, so that a worker is exactly ten times slower than another, and
//! the same seed gives the same run on every machine.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use coordinator::data::Cut;
use engine::merge::norm_and_finite;
use engine::{Action, Engine, Event, Master, Status, Timestamp, WorkerKey};
use model::Plan;
use protocol::buffers::Buffers;
use protocol::chunk::{self, Assembly, Progress};
use protocol::message::{DeviceKind, ShardInfo};
use protocol::{
    Assignment, Checksum, Codec, Digest, Identity, Lease, LeaseId, Outcome, SessionId,
    ToCoordinator, ToWorker, Version, frame,
};
use worker_core::{Input, LeaseTrainer, Output, Profile, Worker};

/// One way between worker and coordinator.
const LATENCY: Duration = Duration::from_micros(500);

/// Steps of a lease of which the state machine hears, as a shell would tell it now and then.
const REPORTS_PER_LEASE: u64 = 16;

/// What a fleet is to do.
#[derive(Debug)]
pub struct Fleet {
    /// The checked model.
    pub plan: Plan,
    /// As the coordinator would make it.
    pub engine: engine::Config,
    /// The training samples.
    pub shards: Vec<Cut>,
    /// How tensors travel.
    pub codec: Codec,
    /// First parameters.
    pub initial: Vec<f32>,
    /// For each worker, how long one local step takes.
    pub step_times: Vec<Duration>,
    /// Workers that vanish: (worker, when).
    pub vanish: Vec<(usize, Duration)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Trained {
    /// The master's last values.
    pub values: Vec<f32>,
    /// The engine's last word.
    pub status: Status,
    /// The leases that were merged, in order.
    pub merged: Vec<Lease>,
    /// Samples merged of each epoch, as the engine declared it complete.
    pub epochs: Vec<u64>,
    /// Virtual time.
    pub elapsed: Duration,
    /// Deltas refused.
    pub rejected: u64,
}

enum Occurrence {
    ToCoordinator(usize, Bytes),
    ToWorker(usize, Bytes),
    Input(usize, Input),
    Timer(usize),
    Vanish(usize),
    Tick,
}

struct Node {
    worker: Worker,
    trainer: Option<LeaseTrainer>,
    step_time: Duration,
    /// When its timer goes off; timers set earlier for another time are void.
    timer: Option<Duration>,
    assembly: Option<(LeaseId, Assembly)>,
    gone: bool,
}

struct World {
    now: Duration,
    order: u64,
    queue: BTreeMap<(Duration, u64), Occurrence>,
    nodes: Vec<Node>,
    engine: Engine,
    /// As a node's timer.
    tick: Option<Duration>,
    master: Master,
    assignment: Assignment,
    contents: HashMap<Digest, Bytes>,
    received: HashMap<LeaseId, Bytes>,
    deltas: HashMap<LeaseId, Vec<f32>>,
    leases: HashMap<LeaseId, Lease>,
    transfers: u32,
    merged: Vec<Lease>,
    epochs: Vec<u64>,
    rejected: u64,
    finished: bool,
}

impl Fleet {
    /// Trains to the end.
    ///
    /// # Panics
    /// When the run cannot end, or anything breaks a promise of the protocol.
    #[must_use]
    pub fn train(self) -> Trained {
        let vanish = self.vanish.clone();
        let mut world = World::new(self);
        for node in 0..world.nodes.len() {
            world.feed(node, Input::Connected);
        }
        for (node, at) in vanish {
            world.schedule(at, Occurrence::Vanish(node));
        }
        while !world.finished {
            let ((at, _), occurrence) =
                world.queue.pop_first().expect("the fleet stands still before its run is over");
            world.now = at;
            world.occur(occurrence);
        }
        let status = world.engine.status();
        Trained {
            values: world.master.values().to_vec(),
            status,
            merged: world.merged,
            epochs: world.epochs,
            elapsed: world.now,
            rejected: world.rejected,
        }
    }
}

impl World {
    fn new(fleet: Fleet) -> Self {
        let table = fleet.plan.tensors().clone();
        let assignment = Assignment {
            run: fleet.engine.run,
            name: "fleet".to_owned(),
            spec: fleet.plan.spec().to_json(),
            table: table.clone(),
            seed: fleet.engine.seed,
            shards: fleet
                .shards
                .iter()
                .map(|shard| ShardInfo {
                    digest: shard.digest,
                    rows: shard.rows,
                    bytes: shard.bytes.len() as u32,
                })
                .collect(),
            download: fleet.codec,
            upload: fleet.codec,
            fresh_optimizer: false,
        };
        let version = Version { incarnation: fleet.engine.incarnation, number: 0 };
        let nodes = fleet.step_times.iter().enumerate().map(|(index, &step_time)| {
            let profile = Profile {
                token: String::new(),
                identity: Identity([index as u8; 16]),
                slot: 0,
                name: format!("worker {index}"),
                device: DeviceKind::Cpu,
                device_name: "CPU".to_owned(),
                threads: 1,
                software: "fleet".to_owned(),
            };
            Node {
                worker: Worker::new(profile),
                trainer: None,
                step_time,
                timer: None,
                assembly: None,
                gone: false,
            }
        });
        Self {
            now: Duration::ZERO,
            order: 0,
            queue: BTreeMap::new(),
            nodes: nodes.collect(),
            engine: Engine::new(fleet.engine).expect("the test's configuration is valid"),
            tick: None,
            master: Master::new(&table, fleet.initial, version).expect("one value per element"),
            assignment,
            contents: fleet.shards.into_iter().map(|shard| (shard.digest, shard.bytes)).collect(),
            received: HashMap::new(),
            deltas: HashMap::new(),
            leases: HashMap::new(),
            transfers: 0,
            merged: Vec::new(),
            epochs: Vec::new(),
            rejected: 0,
            finished: false,
        }
    }

    fn schedule(&mut self, at: Duration, occurrence: Occurrence) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), occurrence);
    }

    fn occur(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::ToCoordinator(node, bytes) => self.hear(node, &bytes),
            Occurrence::ToWorker(node, bytes) => self.feed(node, Input::Frame(bytes)),
            Occurrence::Input(node, input) => self.feed(node, input),
            Occurrence::Timer(node) => {
                if self.nodes[node].timer == Some(self.now) {
                    self.nodes[node].timer = None;
                    self.feed(node, Input::Timer);
                }
            }
            Occurrence::Vanish(node) => {
                self.nodes[node].gone = true;
                self.tell(Event::WorkerLeft { worker: key(node) });
            }
            Occurrence::Tick => {
                if self.tick == Some(self.now) {
                    self.tick = None;
                    self.tell(Event::Tick);
                }
            }
        }
    }

    fn feed(&mut self, node: usize, input: Input) {
        if self.nodes[node].gone {
            return;
        }
        let mut outputs = Vec::new();
        let now = self.now;
        self.nodes[node].worker.handle(now, input, &mut |output| outputs.push(output));
        for output in outputs {
            self.carry_out(node, output);
        }
        let wake = self.nodes[node].worker.wake_at().map(|at| at.max(self.now));
        if wake.is_some() && wake != self.nodes[node].timer {
            self.nodes[node].timer = wake;
            self.schedule(wake.unwrap_or_default(), Occurrence::Timer(node));
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Send(bytes) | Output::Upload(bytes) => {
                self.schedule(self.now + LATENCY, Occurrence::ToCoordinator(node, bytes));
            }
            Output::Fetch(digest) => {
                let bytes = Ok(self.contents[&digest].clone());
                let input = Input::Shard { digest, bytes };
                self.schedule(self.now + 2 * LATENCY, Occurrence::Input(node, input));
            }
            Output::Prepare(assignment) => {
                let trainer = LeaseTrainer::new(&assignment, &model::cpu());
                self.nodes[node].trainer = Some(trainer.expect("the spec was checked"));
                self.schedule(self.now, Occurrence::Input(node, Input::Prepared(Ok(()))));
            }
            Output::Train(job) => {
                let (lease, steps) = (job.lease.id, job.lease.steps());
                let step_time = self.nodes[node].step_time;
                for report in 1..=REPORTS_PER_LEASE.min(steps) {
                    let steps = steps * report / REPORTS_PER_LEASE.min(steps);
                    let at = self.now + step_time * steps as u32;
                    let input = Input::Step { lease, steps };
                    self.schedule(at, Occurrence::Input(node, input));
                }
                let trainer = self.nodes[node].trainer.as_mut().expect("prepared before");
                let trained = pollster::block_on(trainer.train(*job, async |_| {}));
                let input = Input::Trained(trained.map_err(|error| error.to_string()));
                let end = self.now + step_time * steps as u32;
                self.schedule(end, Occurrence::Input(node, input));
            }
            Output::Settled { .. } => {}
            Output::Stop(stop) => panic!("worker {node} stopped: {stop:?}"),
        }
    }

    fn hear(&mut self, node: usize, bytes: &Bytes) {
        if self.nodes[node].gone {
            return;
        }
        let (message, payload) = frame::decode::<ToCoordinator>(bytes).expect("a worker's frame");
        let worker = key(node);
        match message {
            ToCoordinator::Hello(_) => {
                let session = SessionId(worker.0);
                self.send(node, &ToWorker::Welcome { session, software: "fleet".to_owned() });
                self.send(node, &ToWorker::Assign(self.assignment.clone()));
                self.tell(Event::WorkerJoined { worker });
            }
            ToCoordinator::LeaseRequest { .. } => self.tell(Event::LeaseRequested { worker }),
            ToCoordinator::Pull { lease, pending } => {
                self.tell(Event::Pulled { worker, lease, pending });
            }
            ToCoordinator::Progress { lease, steps } => {
                self.tell(Event::Progress { worker, lease, steps });
            }
            ToCoordinator::Offer { lease, .. } => self.send(node, &ToWorker::Grant { lease }),
            ToCoordinator::Delta { lease, transfer, total, .. } => {
                let progress =
                    Assembly::start(&Buffers::default(), transfer, total, total, payload);
                self.assembled(node, lease, progress.expect("a piece"));
            }
            ToCoordinator::Chunk { transfer, offset } => {
                let (lease, assembly) = self.nodes[node].assembly.take().expect("a transfer");
                let progress = assembly.push(transfer, offset, &payload);
                self.assembled(node, lease, progress.expect("a piece"));
            }
            ToCoordinator::Release { lease, .. } => {
                self.tell(Event::LeaseReleased { worker, lease });
            }
            ToCoordinator::Bye { reason } => panic!("worker {node} left: {reason}"),
        }
    }

    fn assembled(&mut self, node: usize, lease: LeaseId, progress: Progress) {
        match progress {
            Progress::Partial(assembly) => self.nodes[node].assembly = Some((lease, assembly)),
            Progress::Complete(payload) => {
                self.received.insert(lease, payload);
                self.tell(Event::DeltaReceived { worker: key(node), lease });
            }
        }
    }

    fn send(&mut self, node: usize, message: &ToWorker) {
        self.send_with(node, message, &[]);
    }

    fn send_with(&mut self, node: usize, message: &ToWorker, payload: &[u8]) {
        let bytes = frame::encode(message, payload).expect("a coordinator's frame");
        self.schedule(self.now + LATENCY, Occurrence::ToWorker(node, bytes));
    }

    fn tell(&mut self, event: Event) {
        let now = Timestamp(self.now.as_micros() as u64);
        // What an action causes is told after the actions before it, as the queues of a server do.
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.engine.handle(now, event) {
                events.extend(self.act(action));
            }
        }
        let wake = self.engine.wake_at().map(|at| Duration::from_micros(at.0).max(self.now));
        if wake.is_some() && wake != self.tick {
            self.tick = wake;
            self.schedule(wake.unwrap_or_default(), Occurrence::Tick);
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Lease { worker, lease } => {
                self.leases.insert(lease.id, lease.clone());
                self.send(node(worker), &ToWorker::Lease(lease));
            }
            Action::Snapshot { worker, lease, version, contains } => {
                assert_eq!(version, self.master.version(), "a snapshot out of order");
                self.snapshot(node(worker), lease, contains);
            }
            Action::Screen { lease } => return Some(self.screen(lease)),
            Action::Merge { lease, order } => {
                let delta = lease.map(|lease| {
                    self.deltas.remove(&lease).expect("only screened deltas are merged")
                });
                self.master.apply(&order, &delta.unwrap_or_default());
                return order.version().map(|version| Event::Merged { version });
            }
            Action::Acknowledge { worker, lease, outcome } => {
                match outcome {
                    Outcome::Merged(_) => self.merged.push(self.leases[&lease].clone()),
                    Outcome::Rejected(_) => {
                        self.deltas.remove(&lease);
                        self.rejected += 1;
                    }
                }
                self.send(node(worker), &ToWorker::Ack { lease, outcome });
            }
            Action::EpochComplete { epoch, summary, .. } => {
                assert_eq!(epoch as usize, self.epochs.len(), "epochs complete in order");
                self.epochs.push(summary.samples);
            }
            Action::Finished { .. } => self.finished = true,
            Action::LeaseEnded { .. } => {}
        }
        None
    }

    fn snapshot(&mut self, node: usize, lease: LeaseId, contains: Vec<LeaseId>) {
        let payload = self.assignment.download.encode(&self.assignment.table, self.master.values());
        self.transfers += 1;
        let transfer = self.transfers;
        let mut header = Some(ToWorker::Parameters {
            lease,
            version: self.master.version(),
            contains,
            transfer,
            total: payload.len() as u64,
            checksum: Checksum::of(&payload),
        });
        for (offset, piece) in chunk::pieces(&payload) {
            let message = header.take().unwrap_or(ToWorker::Chunk { transfer, offset });
            self.send_with(node, &message, piece);
        }
    }

    fn screen(&mut self, lease: LeaseId) -> Event {
        let payload = self.received.remove(&lease).expect("only received deltas are screened");
        let mut values = Vec::new();
        let table = &self.assignment.table;
        let decoded = self.assignment.upload.decode(table, &payload, &mut values);
        let (norm, finite) = norm_and_finite(&values, table);
        let finite = finite && decoded.is_ok();
        self.deltas.insert(lease, values);
        Event::DeltaScreened { lease, finite, length_ok: true, norm }
    }
}

fn key(node: usize) -> WorkerKey {
    WorkerKey(node as u64 + 1)
}

fn node(worker: WorkerKey) -> usize {
    worker.0 as usize - 1
}
