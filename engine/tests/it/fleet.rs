//! A fleet in virtual time: workers of different speeds that prefetch leases and pull late.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use engine::merge::norm_and_finite;
use engine::{Action, Config, Engine, Event, Master, Mode, Timestamp, WorkerKey};
use protocol::{Lease, LeaseId, Outcome, Role, TensorInfo, TensorTable, Version};

use crate::checker::Checker;

/// One way through the network.
const LATENCY: u64 = 2_000;
/// Time for a delta to arrive.
const UPLOAD: u64 = 4_000;
/// Part of a lease after which the next parameters are pulled.
const PULL_AT: f64 = 0.9;

/// What a lease does to parameters.
pub(crate) type Train = fn(&[f32], &Lease) -> Vec<f32>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Join(u64),
    Vanish(u64),
    Leave(u64),
    Deliver(u64, LeaseId),
    PullNext(u64),
    Trained(u64),
    ToWorker(u64, Message),
    Request(u64),
    Pull(u64, LeaseId, Vec<LeaseId>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Lease(LeaseId),
    Parameters(LeaseId, Vec<LeaseId>),
    Refused(LeaseId),
}

/// One worker of the fleet.
#[derive(Debug, Default)]
struct Simulated {
    samples_per_second: f64,
    leases: VecDeque<LeaseId>,
    /// In training, with the parameters that it started from.
    training: Option<(LeaseId, Vec<f32>)>,
    pulled: Option<LeaseId>,
    late: bool,
    parameters: BTreeMap<LeaseId, Vec<f32>>,
    /// Own deltas whose fate is unknown.
    pending: BTreeMap<LeaseId, Vec<f32>>,
    vanished: bool,
}

/// The world around one engine.
pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) checker: Checker,
    pub(crate) master: Master,
    table: TensorTable,
    synchronous: bool,
    now: u64,
    train: Train,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    number: u64,
    workers: BTreeMap<u64, Simulated>,
    deltas: BTreeMap<LeaseId, Vec<f32>>,
    snapshots: BTreeMap<(u64, LeaseId), Vec<f32>>,
    /// Merge orders as they came.
    pub(crate) orders: Vec<engine::MergeOrder>,
}

impl Fleet {
    pub(crate) fn new(config: Config, values: Vec<f32>, train: Train) -> Self {
        let name = String::from("w");
        let shape = vec![values.len() as u32];
        let table =
            TensorTable { tensors: vec![TensorInfo { name, shape, role: Role::Parameter }] };
        let version = Version { incarnation: config.incarnation, number: 0 };
        Self {
            checker: Checker::new(&config),
            master: Master::new(&table, values, version).unwrap(),
            synchronous: config.mode == Mode::Synchronous,
            engine: Engine::new(config).unwrap(),
            table,
            now: 0,
            train,
            due: BinaryHeap::new(),
            number: 0,
            workers: BTreeMap::new(),
            deltas: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            orders: Vec::new(),
        }
    }

    fn at(&mut self, time: u64, due: Due) {
        self.number += 1;
        self.due.push(Reverse((time, self.number, due)));
    }

    pub(crate) fn add_worker(&mut self, joins: u64, samples_per_second: f64) -> u64 {
        let key = self.workers.len() as u64 + 1;
        self.workers.insert(key, Simulated { samples_per_second, ..Simulated::default() });
        self.at(joins, Due::Join(key));
        key
    }

    /// The worker stops without a word at `time`; its session ends at `noticed`, if ever.
    pub(crate) fn vanish(&mut self, worker: u64, time: u64, noticed: Option<u64>) {
        self.at(time, Due::Vanish(worker));
        if let Some(noticed) = noticed {
            self.at(noticed, Due::Leave(worker));
        }
    }

    /// Runs to the end and returns the seconds that it took.
    pub(crate) fn run(&mut self) -> f64 {
        for _ in 0..5_000_000 {
            if self.checker.finished {
                return self.now as f64 / 1e6;
            }
            let wake = self.engine.wake_at().map_or(u64::MAX, |time| time.0.max(self.now));
            let next = self.due.peek().map_or(u64::MAX, |Reverse((time, _, _))| *time);
            assert!(wake.min(next) < u64::MAX, "nothing will happen again: {:#?}", self.engine);
            if wake < next {
                self.now = wake;
                self.tell(Event::Tick);
            } else if let Some(Reverse((time, _, due))) = self.due.pop() {
                self.now = time;
                self.happen(due);
            }
        }
        panic!("no end after {} s: {:#?}", self.now / 1_000_000, self.engine.status());
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Join(worker) => {
                self.tell(Event::WorkerJoined { worker: WorkerKey(worker) });
                self.tell(Event::LeaseRequested { worker: WorkerKey(worker) });
            }
            Due::Vanish(worker) => self.worker(worker).vanished = true,
            Due::Leave(worker) => self.tell(Event::WorkerLeft { worker: WorkerKey(worker) }),
            Due::Request(worker) => self.tell(Event::LeaseRequested { worker: WorkerKey(worker) }),
            Due::Pull(worker, lease, pending) => {
                self.tell(Event::Pulled { worker: WorkerKey(worker), lease, pending });
            }
            Due::Deliver(worker, lease) => {
                self.tell(Event::DeltaReceived { worker: WorkerKey(worker), lease });
            }
            Due::PullNext(worker) => {
                self.worker(worker).late = true;
                self.pull_next(worker);
            }
            Due::Trained(worker) => self.trained(worker),
            Due::ToWorker(worker, message) => self.receive(worker, message),
        }
    }

    fn worker(&mut self, worker: u64) -> &mut Simulated {
        self.workers.get_mut(&worker).unwrap()
    }

    /// Tells the engine, and carries out what follows in order, as a queue does.
    fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let actions = self.engine.handle(Timestamp(self.now), event);
            self.checker.see(&actions);
            for action in actions {
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        let arrives = self.now + LATENCY;
        match action {
            Action::Lease { worker, lease } => {
                self.at(arrives, Due::ToWorker(worker.0, Message::Lease(lease.id)));
            }
            Action::Snapshot { worker, lease, contains, .. } => {
                self.snapshots.insert((worker.0, lease), self.master.values().to_vec());
                self.at(arrives, Due::ToWorker(worker.0, Message::Parameters(lease, contains)));
            }
            Action::Screen { lease } => {
                let (norm, finite) = norm_and_finite(&self.deltas[&lease], &self.table);
                return Some(Event::DeltaScreened { lease, finite, length_ok: true, norm });
            }
            Action::Merge { lease, order } => {
                let delta = lease.and_then(|lease| self.deltas.remove(&lease)).unwrap_or_default();
                self.master.apply(&order, &delta);
                self.orders.push(order);
                return order.version().map(|version| Event::Merged { version });
            }
            Action::Acknowledge { worker, lease, outcome } => {
                if let Outcome::Rejected(_) = outcome {
                    self.deltas.remove(&lease);
                    self.at(arrives, Due::ToWorker(worker.0, Message::Refused(lease)));
                }
            }
            Action::LeaseEnded { .. } | Action::EpochComplete { .. } | Action::Finished { .. } => {}
        }
        None
    }

    fn receive(&mut self, worker: u64, message: Message) {
        if self.worker(worker).vanished {
            return;
        }
        match message {
            Message::Lease(lease) => {
                self.worker(worker).leases.push_back(lease);
                if self.worker(worker).training.is_none() || self.worker(worker).late {
                    self.pull_next(worker);
                }
            }
            Message::Parameters(lease, contains) => {
                let mut values = self.snapshots.remove(&(worker, lease)).unwrap();
                let synchronous = self.synchronous;
                let simulated = self.worker(worker);
                simulated.pending.retain(|own, _| !contains.contains(own));
                let pending = simulated.pending.len() + usize::from(simulated.training.is_some());
                assert!(!synchronous || pending == 0, "the leases of a round start from a version");
                // What is its own and not contained the worker adds itself.
                for delta in simulated.pending.values() {
                    values.iter_mut().zip(delta).for_each(|(value, change)| *value += change);
                }
                simulated.parameters.insert(lease, values);
                self.begin(worker);
            }
            // A merged delta stays pending until a pull says that the parameters contain it.
            Message::Refused(lease) => {
                let requests = self.now + LATENCY;
                let simulated = self.worker(worker);
                simulated.pending.remove(&lease);
                // A lease that has ended before it was pulled: the worker asks for another one.
                if simulated.leases.contains(&lease) {
                    simulated.leases.retain(|other| *other != lease);
                    self.at(requests, Due::Request(worker));
                }
            }
        }
    }

    /// Asks for the parameters of the next lease, once.
    fn pull_next(&mut self, worker: u64) {
        let arrives = self.now + LATENCY;
        let simulated = self.worker(worker);
        let Some(next) = simulated.leases.front().copied() else { return };
        if simulated.pulled == Some(next) || simulated.vanished {
            return;
        }
        simulated.pulled = Some(next);
        let training = simulated.training.iter().map(|(lease, _)| *lease);
        let pending = simulated.pending.keys().copied().chain(training).collect();
        self.at(arrives, Due::Pull(worker, next, pending));
    }

    /// Starts the next lease if its parameters are here.
    fn begin(&mut self, worker: u64) {
        let now = self.now;
        let checker_leases = &self.checker.leases;
        let simulated = self.workers.get_mut(&worker).unwrap();
        if simulated.training.is_some() || simulated.vanished {
            return;
        }
        let Some(next) = simulated.leases.front().copied() else { return };
        let Some(values) = simulated.parameters.remove(&next) else { return };
        simulated.leases.pop_front();
        simulated.training = Some((next, values));
        simulated.late = false;
        let samples = checker_leases[&next].1.samples() as f64;
        let time = (samples / simulated.samples_per_second * 1e6) as u64;
        self.at(now + LATENCY, Due::Request(worker));
        self.at(now + (time as f64 * PULL_AT) as u64, Due::PullNext(worker));
        self.at(now + time, Due::Trained(worker));
    }

    fn trained(&mut self, worker: u64) {
        let arrives = self.now + UPLOAD;
        let simulated = self.workers.get_mut(&worker).unwrap();
        if simulated.vanished {
            return;
        }
        let Some((lease, values)) = simulated.training.take() else { return };
        let delta = (self.train)(&values, &self.checker.leases[&lease].1);
        // What was pulled before this delta existed lacks it.
        let next = simulated.leases.front().copied();
        if let Some(early) = next.and_then(|next| simulated.parameters.get_mut(&next)) {
            early.iter_mut().zip(&delta).for_each(|(value, change)| *value += change);
        }
        simulated.pending.insert(lease, delta.clone());
        self.deltas.insert(lease, delta);
        self.at(arrives, Due::Deliver(worker, lease));
        self.begin(worker);
        self.pull_next(worker);
    }
}
