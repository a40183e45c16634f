//! A run and everything that will go wrong in it, drawn from the seed.

use engine::sabotage::Bug;
use engine::{Config, Frequency, Mode, Schedule, Strategy};
use protocol::RunId;

use crate::dice::Dice;
use crate::scenario::Scenario;

pub(crate) const MILLISECOND: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// What a worker does to its deltas, or with its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Honest,
    /// Sends NaN.
    NotFinite,
    /// Sends what is a million times too long.
    Huge,
    /// Sends what is a few times too long.
    Large,
    /// Sends a value too few.
    Short,
    /// Takes leases and says nothing more.
    Silent,
    /// Works honestly, repeats pushes and names leases of others.
    Meddler,
}

const BAD: [Kind; 6] =
    [Kind::NotFinite, Kind::Huge, Kind::Large, Kind::Short, Kind::Silent, Kind::Meddler];

/// One worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerPlan {
    pub(crate) joins: u64,
    /// Samples per second.
    pub(crate) rate: f64,
    /// Microseconds one way, at least.
    pub(crate) latency: u64,
    pub(crate) kind: Kind,
}

/// Something that goes wrong, or at least differently.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A connection breaks; either end notices after its own time.
    Cut { worker: usize, above: u64, below: u64 },
    /// Messages of a worker are held, both ways.
    Hold { worker: usize, time: u64 },
    /// A worker's memory is gone; the same worker comes back later.
    CrashWorker { worker: usize, back: u64 },
    /// A worker says that it leaves; it comes back later.
    Leave { worker: usize, back: u64 },
    /// A worker gives back the lease that it was going to train next.
    Release { worker: usize },
    /// A worker pushes its last delta again.
    Replay { worker: usize },
    /// The data plane stands still.
    Stall { time: u64 },
    /// The coordinator's machine fails.
    CrashCoordinator { down: u64 },
    /// Somebody pauses the run for a while.
    Pause { time: u64 },
    /// Somebody changes the learning rate.
    Rate { rate: f64 },
    /// Somebody stops the run.
    Stop,
    /// A bit of the newest checkpoint changes. Takes effect at the next crash.
    Rot,
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    /// Seed of network, faults and times; the run itself follows from `seed`.
    pub(crate) chance: u64,
    pub(crate) config: Config,
    pub(crate) fleet: Vec<WorkerPlan>,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// From when on nothing goes wrong any more.
    pub(crate) quiet: u64,
    pub(crate) checkpoint_every: u64,
    /// The coordinator fails after this step of this checkpoint, both from 0.
    pub(crate) crash_at: Option<(u64, usize)>,
    pub(crate) bug: Option<Bug>,
}

/// How many of each fault there are in a run, at most.
struct Weather {
    cuts: u64,
    holds: u64,
    crashes: u64,
    leaves: u64,
    replays: u64,
    coordinator: u64,
    rots: u64,
    stalls: u64,
}

impl Plan {
    pub(crate) fn new(scenario: Scenario, seed: u64, chance: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let workers = match scenario {
            Scenario::Herd => 1000,
            Scenario::AllVanish | Scenario::Flapping => dice.between(1, 6),
            Scenario::HalfSlow | Scenario::SwizzleClog | Scenario::Hostile => dice.between(4, 12),
            _ if dice.chance(0.05) => dice.between(13, 64),
            _ => dice.between(1, 8),
        };
        let config = config(&mut dice, scenario, workers);
        // From here on nothing may decide what is trained.
        let mut dice = Dice::new(chance, 2);
        let fleet = fleet(&mut dice, scenario, workers, &config);
        let rate: f64 = fleet.iter().map(|worker| worker.rate).sum();
        let usual = (config.total_samples() as f64 / rate * 1e6) as u64;
        let quiet = (usual as f64 * (0.5 + dice.real() * 2.0)) as u64 + 5 * SECOND;
        let quiet = quiet.min(300 * SECOND);
        let checkpoint_every = (quiet / dice.between(2, 12)).max(SECOND / 2);
        let mut plan = Self {
            scenario,
            seed,
            chance,
            config,
            fleet,
            faults: Vec::new(),
            quiet,
            checkpoint_every,
            crash_at: None,
            bug: None,
        };
        plan.draw_faults(&mut dice);
        plan.faults.sort_by_key(|(time, _)| *time);
        plan
    }

    fn draw_faults(&mut self, dice: &mut Dice) {
        let workers = self.fleet.len() as u64;
        let weather = self.weather(dice, workers);
        let mut faults = Vec::new();
        let quiet = self.quiet;
        let at = |dice: &mut Dice| (dice.below(quiet), dice.below(workers) as usize);
        let mut add = |time: u64, fault: Fault| faults.push((time, fault));
        for _ in 0..weather.cuts {
            let (time, worker) = at(dice);
            let (above, below) = (notice(dice), notice(dice));
            add(time, Fault::Cut { worker, above, below });
        }
        for _ in 0..weather.holds {
            let (time, worker) = at(dice);
            add(time, Fault::Hold { worker, time: dice.between(SECOND / 10, 40 * SECOND) });
        }
        for _ in 0..weather.crashes {
            let (time, worker) = at(dice);
            add(time, Fault::CrashWorker { worker, back: dice.between(SECOND, 60 * SECOND) });
        }
        for _ in 0..weather.leaves {
            let (time, worker) = at(dice);
            let fault = match dice.below(3) {
                0 => Fault::Release { worker },
                _ => Fault::Leave { worker, back: dice.between(SECOND, 30 * SECOND) },
            };
            add(time, fault);
        }
        for _ in 0..weather.replays {
            let (time, worker) = at(dice);
            add(time, Fault::Replay { worker });
        }
        for _ in 0..weather.stalls {
            let (time, _) = at(dice);
            add(time, Fault::Stall { time: dice.between(SECOND / 10, 5 * SECOND) });
        }
        for _ in 0..weather.coordinator {
            let (time, _) = at(dice);
            add(time, Fault::CrashCoordinator { down: dice.between(SECOND / 10, 10 * SECOND) });
        }
        if self.scenario != Scenario::Deterministic && dice.chance(0.05) {
            let (time, _) = at(dice);
            add(time, Fault::Stop);
        }
        for _ in 0..weather.rots {
            let (time, _) = at(dice);
            add(time, Fault::Rot);
        }
        self.faults = faults;
        self.draw_special(dice);
        self.draw_acts();
    }

    /// What whoever controls the run does. With dice of its own: the other faults of a seed stay.
    fn draw_acts(&mut self) {
        let mut dice = Dice::new(self.chance, 4);
        if dice.chance(0.6) {
            return;
        }
        for _ in 0..dice.between(1, 4) {
            let time = dice.between(SECOND / 10, 60 * SECOND);
            self.faults.push((dice.below(self.quiet), Fault::Pause { time }));
        }
        // Whoever changed it in one of two runs would change the master, and be right to.
        let changes = if self.scenario == Scenario::Deterministic { 0 } else { dice.below(4) };
        for _ in 0..changes {
            let rate = 0.2 * dice.real();
            self.faults.push((dice.below(self.quiet), Fault::Rate { rate }));
        }
    }

    /// What makes a scenario's name.
    fn draw_special(&mut self, dice: &mut Dice) {
        let workers = self.fleet.len();
        let quiet = self.quiet;
        match self.scenario {
            Scenario::SwizzleClog => {
                // Links are stopped one by one, and let go in another order.
                let mut stopped: Vec<(u64, usize)> =
                    (0..workers).map(|worker| (dice.below(quiet / 2), worker)).collect();
                stopped.sort_unstable();
                for (time, worker) in stopped {
                    let until = quiet / 2 + dice.below(quiet / 2);
                    let time_held = (until - time).min(44 * SECOND);
                    self.faults.push((time, Fault::Hold { worker, time: time_held }));
                }
            }
            Scenario::AllVanish => {
                for _ in 0..dice.between(1, 3) {
                    let time = dice.below(quiet);
                    for worker in 0..workers {
                        let back = dice.between(SECOND, 90 * SECOND);
                        self.faults.push((time, Fault::CrashWorker { worker, back }));
                    }
                }
            }
            Scenario::Flapping => {
                let mut time = 0;
                while time < quiet {
                    time += dice.between(SECOND / 10, 4 * SECOND);
                    let (above, below) = (dice.below(SECOND), dice.below(SECOND));
                    self.faults.push((time, Fault::Cut { worker: 0, above, below }));
                }
            }
            _ => {}
        }
    }

    fn weather(&self, dice: &mut Dice, workers: u64) -> Weather {
        let calm = dice.chance(0.1);
        let mut some = |most: u64| if calm { 0 } else { dice.below(most + 1) };
        let mut weather = Weather {
            cuts: some(2 * workers.min(20)),
            holds: some(workers.min(10)),
            crashes: some(workers.min(6)),
            leaves: some(workers.min(6)),
            replays: some(6),
            coordinator: some(2),
            rots: some(1),
            stalls: some(3),
        };
        match self.scenario {
            Scenario::RestartStorm => weather.coordinator = dice.between(3, 12),
            Scenario::TornWrites => {
                weather.coordinator = dice.between(2, 8);
                weather.rots = dice.between(1, 4);
            }
            Scenario::Duplicates => {
                weather.replays = dice.between(20, 80);
                weather.cuts += 10;
            }
            Scenario::CheckpointCrash => weather.coordinator = 0,
            // Losses matter most at the end of an epoch, which is rare among rounds.
            Scenario::Deterministic => {
                weather.leaves = dice.between(0, 40);
                weather.crashes = dice.between(0, 20);
            }
            Scenario::Herd => weather.coordinator = weather.coordinator.min(1),
            _ => {}
        }
        weather
    }
}

/// Mostly at once, sometimes only by silence.
fn notice(dice: &mut Dice) -> u64 {
    if dice.chance(0.7) { dice.below(SECOND) } else { dice.between(SECOND, 45 * SECOND) }
}

fn config(dice: &mut Dice, scenario: Scenario, workers: u64) -> Config {
    let deterministic =
        scenario == Scenario::Deterministic || scenario != Scenario::Herd && dice.chance(0.15);
    let mode = match () {
        () if deterministic => Mode::Synchronous,
        () => dice.pick(&[Mode::Asynchronous, Mode::Asynchronous, Mode::Synchronous]),
    };
    let strategy = match mode {
        Mode::Asynchronous | Mode::Hogwild => dice.pick(&[
            Strategy::Auto,
            Strategy::NESTEROV,
            Strategy::STALENESS,
            Strategy::Staleness { exponent: 0.5, plain: true },
            Strategy::Sum,
        ]),
        Mode::Synchronous => {
            dice.pick(&[Strategy::Auto, Strategy::Mean, Strategy::NESTEROV, Strategy::Sum])
        }
    };
    let frequency = match dice.below(10) {
        0..=4 => Frequency::Batch,
        5..=7 => Frequency::Steps(dice.between(2, 6) as u32),
        8 => Frequency::Auto,
        _ => Frequency::Epoch,
    };
    let many = if scenario == Scenario::Herd { 12 } else { 1 };
    // Screening judges nothing before twenty deltas.
    let long = u64::from(scenario == Scenario::Hostile);
    let shards =
        (0..dice.between(1 + 2 * long, 5 * many)).map(|_| dice.between(1, 60) as u32).collect();
    Config {
        run: RunId(1),
        incarnation: 1,
        mode,
        frequency,
        strategy,
        shards,
        batch_size: if scenario == Scenario::Herd { 1 } else { dice.between(2, 8) as u32 },
        epochs: dice.between(1 + 2 * long, 4 + 2 * long) as u32,
        seed: dice.below(u64::MAX),
        learning_rate: 0.1,
        schedule: Schedule::default(),
        inner_momentum: dice.chance(0.3),
        workers_min: dice.between(1, workers.min(4)) as u32,
        deterministic,
    }
}

fn fleet(dice: &mut Dice, scenario: Scenario, workers: u64, config: &Config) -> Vec<WorkerPlan> {
    let usual = 2.0 + dice.real() * 18.0;
    let latency = dice.pick(&[100, MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND]);
    // So many stay honest that the run can begin.
    let few = scenario == Scenario::Hostile && dice.chance(0.4);
    let honest = u64::from(config.workers_min).max(if few { 1 } else { workers.div_ceil(2) });
    let (alike, same) = (dice.chance(0.5), dice.pick(&BAD));
    let plan = |index: u64| {
        let slow = scenario == Scenario::HalfSlow && index % 2 == 1 || dice.chance(0.03);
        let kind = match scenario {
            _ if index < honest => Kind::Honest,
            // Whoever changed a delta would change the master, and be right to.
            Scenario::Deterministic if dice.chance(0.2) => Kind::Meddler,
            Scenario::Deterministic => Kind::Honest,
            Scenario::Hostile if alike => same,
            Scenario::Hostile => dice.pick(&BAD),
            Scenario::Duplicates => Kind::Meddler,
            _ if dice.chance(0.1) => dice.pick(&[Kind::NotFinite, Kind::Huge, Kind::Meddler]),
            _ => Kind::Honest,
        };
        WorkerPlan {
            joins: dice.below(if scenario == Scenario::Herd { SECOND } else { 10 * SECOND }),
            rate: usual * (0.5 + dice.real()) * if slow { 0.01 } else { 1.0 },
            latency: if dice.chance(0.05) { 5 * latency } else { latency },
            kind,
        }
    };
    (0..workers).map(plan).collect()
}
