//! Random histories: workers join, leave, dawdle, repeat themselves and send rubbish; no sample is
//! lost or counted twice, versions rise by one, and with one honest worker the run always ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::{Action, Config, Engine, Event, Frequency, Mode, Strategy, Timestamp, WorkerKey};
use proptest::prelude::{Just, Strategy as _, any, prop, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};
use protocol::{Lease, LeaseId, Outcome, Reason, Version};

use crate::checker::{Checker, config};

/// One step of a history; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    Request(usize),
    Pull(usize),
    Progress(usize, u64),
    Deliver(usize),
    /// Delivers what was delivered before, or another's lease.
    Redeliver(usize, usize),
    Release(usize),
    Screen {
        good: bool,
        length: bool,
        norm: f64,
    },
    Merge,
    Wait(u64),
    Pause,
    Resume,
    Rate(f64),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        2 => Just(Step::Join),
        1 => which().prop_map(Step::Leave),
        8 => which().prop_map(Step::Request),
        8 => which().prop_map(Step::Pull),
        3 => (which(), 0_u64..5).prop_map(|(which, steps)| Step::Progress(which, steps)),
        10 => which().prop_map(Step::Deliver),
        2 => (which(), which()).prop_map(|(which, lease)| Step::Redeliver(which, lease)),
        1 => which().prop_map(Step::Release),
        1 => (any::<bool>(), any::<bool>(), prop_oneof![Just(1.0), Just(1e9), Just(f64::NAN)])
            .prop_map(|(good, length, norm)| Step::Screen { good, length, norm }),
        10 => Just(Step::Screen { good: true, length: true, norm: 1.0 }),
        10 => Just(Step::Merge),
        3 => (0_u64..40_000_000).prop_map(Step::Wait),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => prop_oneof![Just(0.5), Just(0.02), Just(0.0), Just(f64::INFINITY)].prop_map(Step::Rate),
    ]
}

/// The engine with its data plane and the leases that workers hold.
struct World {
    engine: Engine,
    checker: Checker,
    now: u64,
    workers: Vec<WorkerKey>,
    joined: u64,
    held: BTreeMap<LeaseId, WorkerKey>,
    pulled: BTreeMap<LeaseId, WorkerKey>,
    screens: VecDeque<LeaseId>,
    versions: VecDeque<Version>,
    rejected: BTreeMap<Reason, u64>,
    /// Pulls without an answer: of which version, and with which of the worker's leases.
    asked: BTreeMap<LeaseId, (u64, BTreeSet<LeaseId>)>,
    synchronous: bool,
    paused: bool,
    /// Learning rate of the next lease.
    rate: f64,
}

impl World {
    fn new(config: Config) -> Self {
        Self {
            checker: Checker::new(&config),
            synchronous: config.mode == Mode::Synchronous,
            paused: false,
            rate: config.learning_rate,
            asked: BTreeMap::new(),
            engine: Engine::new(config).unwrap(),
            now: 0,
            workers: Vec::new(),
            joined: 0,
            held: BTreeMap::new(),
            pulled: BTreeMap::new(),
            screens: VecDeque::new(),
            versions: VecDeque::new(),
            rejected: BTreeMap::new(),
        }
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.now += 1;
        let actions = self.engine.handle(Timestamp(self.now), event);
        self.checker.see(&actions);
        for action in &actions {
            match action {
                Action::Lease { worker, lease } => {
                    assert!(!self.paused, "{} while the run is paused", lease.id);
                    assert_eq!(lease.learning_rate, self.rate, "{}", lease.id);
                    self.held.insert(lease.id, *worker);
                }
                Action::Snapshot { worker, lease, contains, .. } => {
                    self.answered(*worker, *lease, contains);
                    self.pulled.insert(*lease, *worker);
                }
                Action::Screen { lease } => self.screens.push_back(*lease),
                Action::Merge { order, .. } => self.versions.extend(order.version()),
                Action::Acknowledge { lease, outcome: Outcome::Rejected(reason), .. } => {
                    *self.rejected.entry(*reason).or_default() += 1;
                    if *reason != Reason::UnknownLease {
                        self.held.remove(lease);
                        self.asked.remove(lease);
                    }
                }
                _ => {}
            }
        }
        self.assert_that_pulls_are_answered();
        actions
    }

    /// The worker is told to forget all that it has delivered, and in rounds trains nothing else:
    /// so it starts from exactly the version.
    fn answered(&mut self, worker: WorkerKey, lease: LeaseId, contains: &[LeaseId]) {
        let Some((_, pending)) = self.asked.remove(&lease) else { return };
        if self.synchronous {
            assert!(!self.trains(worker), "{worker:?} trains another lease");
            let delivered: BTreeSet<_> =
                pending.iter().copied().filter(|own| !self.held.contains_key(own)).collect();
            let contains: BTreeSet<_> = contains.iter().copied().collect();
            assert_eq!(contains, delivered, "of {pending:?}");
        }
    }

    fn trains(&self, worker: WorkerKey) -> bool {
        self.pulled.values().any(|holder| *holder == worker)
    }

    /// An idle worker's pull waits for the end of a round at most, and that is sure to come.
    fn assert_that_pulls_are_answered(&self) {
        if self.checker.finished {
            return;
        }
        for (lease, (version, _)) in &self.asked {
            let worker = self.held[lease];
            if self.trains(worker) {
                continue;
            }
            assert!(self.synchronous && *version == self.checker.version, "{lease} waits");
            let comes = self.engine.wake_at().is_some() || !self.screens.is_empty();
            assert!(comes, "{lease} waits for nothing");
        }
    }

    fn join(&mut self) -> WorkerKey {
        self.joined += 1;
        let worker = WorkerKey(self.joined);
        self.workers.push(worker);
        self.tell(Event::WorkerJoined { worker });
        worker
    }

    fn worker(&self, which: usize) -> Option<WorkerKey> {
        self.workers.get(which % self.workers.len().max(1)).copied()
    }

    fn pick(map: &BTreeMap<LeaseId, WorkerKey>, which: usize) -> Option<(LeaseId, WorkerKey)> {
        map.iter().nth(which % map.len().max(1)).map(|(lease, worker)| (*lease, *worker))
    }

    fn pull(&mut self, worker: WorkerKey, lease: LeaseId, pending: Vec<LeaseId>) {
        if !self.pulled.contains_key(&lease) {
            let version = self.checker.version;
            let asked = self.asked.entry(lease).or_insert((version, BTreeSet::new()));
            // Asked again, the engine goes by what it was told last.
            asked.1 = pending.iter().copied().collect();
        }
        self.tell(Event::Pulled { worker, lease, pending });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join if self.workers.len() < 6 => {
                self.join();
            }
            Step::Join => {}
            Step::Leave(which) => {
                let Some(worker) = self.worker(which) else { return };
                self.workers.retain(|other| *other != worker);
                self.held.retain(|_, holder| *holder != worker);
                self.asked.retain(|lease, _| self.held.contains_key(lease));
                self.pulled.retain(|_, holder| *holder != worker);
                self.tell(Event::WorkerLeft { worker });
            }
            Step::Request(which) => {
                let Some(worker) = self.worker(which) else { return };
                self.tell(Event::LeaseRequested { worker });
            }
            Step::Pull(which) => {
                let Some((lease, worker)) = Self::pick(&self.held, which) else { return };
                let own = self.checker.leases.iter().filter(|(_, (holder, _))| *holder == worker);
                let pending = own.map(|(lease, _)| *lease).collect();
                self.pull(worker, lease, pending);
            }
            Step::Progress(which, steps) => {
                let Some((lease, worker)) = Self::pick(&self.held, which) else { return };
                self.tell(Event::Progress { worker, lease, steps });
            }
            Step::Deliver(which) => {
                let Some((lease, worker)) = Self::pick(&self.pulled, which) else { return };
                self.pulled.remove(&lease);
                self.held.remove(&lease);
                // Pulls that still wait are answered with what was delivered since, too.
                for (other, (_, pending)) in &mut self.asked {
                    if self.held.get(other) == Some(&worker) {
                        pending.insert(lease);
                    }
                }
                self.tell(Event::DeltaReceived { worker, lease });
            }
            Step::Redeliver(which, lease) => {
                let known: Vec<LeaseId> = self.checker.leases.keys().copied().collect();
                let (Some(worker), false) = (self.worker(which), known.is_empty()) else { return };
                let lease = known[lease % known.len()];
                if self.held.get(&lease) != Some(&worker) {
                    let actions = self.tell(Event::DeltaReceived { worker, lease });
                    assert!(!actions.iter().any(|action| matches!(action, Action::Screen { .. })));
                }
            }
            Step::Release(which) => {
                let Some((lease, worker)) = Self::pick(&self.held, which) else { return };
                self.held.remove(&lease);
                self.pulled.remove(&lease);
                self.asked.remove(&lease);
                self.tell(Event::LeaseReleased { worker, lease });
            }
            Step::Screen { good, length, norm } => {
                let Some(lease) = self.screens.pop_front() else { return };
                self.tell(Event::DeltaScreened { lease, finite: good, length_ok: length, norm });
            }
            Step::Merge => {
                let Some(version) = self.versions.pop_front() else { return };
                self.tell(Event::Merged { version });
            }
            Step::Wait(time) => {
                self.now += time;
                self.tell(Event::Tick);
            }
            Step::Pause => {
                self.paused = !self.checker.finished;
                self.tell(Event::Pause);
                assert_eq!(self.engine.status().paused, self.paused);
            }
            Step::Resume => {
                self.paused = false;
                self.tell(Event::Resume);
            }
            Step::Rate(rate) => {
                self.rate = if rate > 0.0 && rate.is_finite() { rate } else { self.rate };
                self.tell(Event::LearningRate { rate });
            }
        }
    }

    /// An honest worker joins and works; the others stay as they are, silent.
    fn finish(&mut self) {
        self.step(&Step::Resume);
        while !self.screens.is_empty() || !self.versions.is_empty() {
            self.step(&Step::Screen { good: true, length: true, norm: 1.0 });
            self.step(&Step::Merge);
        }
        let honest = self.join();
        for _ in 0..2000 {
            if self.checker.finished {
                return;
            }
            self.tell(Event::LeaseRequested { worker: honest });
            let mine = self.held.iter().find(|(_, worker)| **worker == honest);
            if let Some((lease, _)) = mine.map(|(lease, worker)| (*lease, *worker)) {
                let answered = self.pulled.contains_key(&lease) || {
                    self.pull(honest, lease, Vec::new());
                    self.pulled.contains_key(&lease)
                };
                if answered {
                    self.now += 100_000;
                    self.pulled.remove(&lease);
                    self.held.remove(&lease);
                    self.tell(Event::DeltaReceived { worker: honest, lease });
                    self.step(&Step::Screen { good: true, length: true, norm: 1.0 });
                    self.step(&Step::Merge);
                    continue;
                }
            }
            // Nothing to do: time passes until the engine gives up what the others hold.
            let Some(wake) = self.engine.wake_at() else { continue };
            self.now = self.now.max(wake.0);
            self.tell(Event::Tick);
        }
        panic!("one honest worker does not end the run: {:#?}", self.engine.status());
    }
}

fn any_config() -> impl proptest::strategy::Strategy<Value = Config> {
    let shards = prop::collection::vec(1_u32..20, 1..5);
    let frequency = prop_oneof![
        Just(Frequency::Batch),
        Just(Frequency::Steps(3)),
        Just(Frequency::Epoch),
        Just(Frequency::Auto),
    ];
    let mode = prop_oneof![
        Just((Mode::Asynchronous, Strategy::Auto)),
        Just((Mode::Asynchronous, Strategy::STALENESS)),
        Just((Mode::Synchronous, Strategy::Auto)),
        Just((Mode::Synchronous, Strategy::Mean)),
    ];
    (shards, frequency, mode, 1_u32..3, 1_u32..6, any::<u64>(), any::<bool>()).prop_map(
        |(shards, frequency, (mode, strategy), workers_min, batch_size, seed, inner_momentum)| {
            let epochs = 3;
            Config {
                mode,
                frequency,
                strategy,
                shards,
                batch_size,
                seed,
                inner_momentum,
                workers_min,
                epochs,
                ..config()
            }
        },
    )
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 1500,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn no_history_loses_or_doubles_a_sample(
        config in any_config(),
        steps in prop::collection::vec(step(), 0..250),
    ) {
        let total = config.total_samples();
        let needed = config.workers_min as usize;
        let mut world = World::new(config);
        for step in &steps {
            world.step(step);
        }
        while world.workers.len() < needed {
            world.join();
        }
        world.finish();
        let status = world.engine.status();
        let counts = &status.totals;
        prop_assert_eq!(counts.samples + counts.dropped_samples(), total);
        prop_assert_eq!(counts.samples, status.merged_samples);
        let epochs = &world.checker.epochs;
        prop_assert_eq!(counts.units, epochs.iter().map(|epoch| epoch.units).sum::<u64>());
        let said = world.rejected.get(&Reason::Duplicate).copied().unwrap_or_default();
        prop_assert!(counts.duplicate <= said && counts.leases >= counts.units);
        prop_assert!(status.finished && world.engine.wake_at().is_none());
        let refused = world.rejected.keys().any(|reason| {
            matches!(reason, Reason::Length | Reason::NotFinite | Reason::Norm)
        });
        prop_assert!(refused || counts.dropped.is_empty(), "dropped without a refusal");
    }

    #[test]
    fn a_stopped_run_merges_nothing_more(
        config in any_config(),
        steps in prop::collection::vec(step(), 0..120),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(config);
        for step in &steps {
            world.step(step);
        }
        world.tell(Event::Stop);
        prop_assert!(world.checker.finished);
        let version = world.checker.version;
        for step in &after {
            world.step(step);
        }
        prop_assert_eq!(world.checker.version, version);
    }
}

#[test]
fn the_same_history_gives_the_same_actions() {
    let run = || -> Vec<Lease> {
        let mut world = World::new(Config { frequency: Frequency::Steps(2), ..config() });
        world.join();
        world.finish();
        world.checker.leases.into_values().map(|(_, lease)| lease).collect()
    };
    assert_eq!(run(), run());
}
