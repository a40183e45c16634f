//! The coordinator's engine under any events: those that can happen, in any order, and those that
//! name what there is not. Whatever comes, rows are counted once, and versions rise by one.

use engine::{
    Action, Config, Engine, Event, Frequency, Mode, Schedule, Strategy, Timestamp, WorkerKey,
};
use protocol::{LeaseId, RunId, Version};

use crate::input::Input;

/// Workers that come and go.
const WORKERS: usize = 6;

/// Inputs go on for so many events at most.
const EVENTS_MAX: usize = 512;

/// An engine, and what its shell remembers.
struct Scene {
    engine: Engine,
    config: Config,
    now: Timestamp,
    /// Leases that were handed out, with their workers.
    leases: Vec<(WorkerKey, LeaseId)>,
    /// How often each of the few workers has left: its next session has another key.
    left: [u64; WORKERS],
    /// Received deltas that are to be screened.
    to_screen: Vec<LeaseId>,
    version: u64,
    merged_version: u64,
    epochs: u32,
    paused: bool,
    finished: bool,
}

/// Plays one input.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let config = config(&mut input);
    let Ok(engine) = Engine::new(config.clone()) else { return };
    let mut scene = Scene {
        engine,
        config,
        now: Timestamp(0),
        leases: Vec::new(),
        left: [0; WORKERS],
        to_screen: Vec::new(),
        version: 0,
        merged_version: 0,
        epochs: 0,
        paused: false,
        finished: false,
    };
    for _ in 0..EVENTS_MAX {
        if input.is_empty() {
            break;
        }
        let event = scene.event(&mut input);
        let actions = scene.engine.handle(scene.now, event);
        actions.iter().for_each(|action| scene.see(action));
    }
}

fn config(input: &mut Input<'_>) -> Config {
    let (words, sizes) = (input.u8(), input.u8());
    let mode = if words % 2 == 0 { Mode::Asynchronous } else { Mode::Synchronous };
    let frequency = match words / 2 % 4 {
        0 => Frequency::Batch,
        1 => Frequency::Steps(u32::from(sizes % 4) + 1),
        2 => Frequency::Auto,
        _ => Frequency::Epoch,
    };
    let strategies =
        [Strategy::Auto, Strategy::NESTEROV, Strategy::STALENESS, Strategy::Mean, Strategy::Sum];
    Config {
        run: RunId(1),
        incarnation: 3,
        mode,
        frequency,
        strategy: strategies[usize::from(words / 8 % 5)],
        shards: (0..1 + sizes % 5).map(|_| u32::from(input.u8())).collect(),
        batch_size: u32::from(sizes / 8) + 1,
        epochs: u32::from(input.u8() % 8),
        seed: 7,
        learning_rate: 0.1,
        schedule: Schedule::default(),
        inner_momentum: words >= 128,
        workers_min: u32::from(input.u8() % 4),
        deterministic: mode == Mode::Synchronous && words / 64 % 2 == 1,
    }
}

impl Scene {
    fn event(&mut self, input: &mut Input<'_>) -> Event {
        let word = input.u8();
        self.now = self.now.plus(u64::from(word / 16).pow(4));
        // Few workers, so that their events meet.
        let place = usize::from(input.u8()) % WORKERS;
        let worker = self.key(place);
        match word % 16 {
            0 => match input.u8() % 8 {
                0 => Event::WorkerDetached { worker },
                1 => {
                    let leases = (0..input.u8() % 4).map(|_| self.lease(input).1).collect();
                    Event::WorkerReturned { worker, leases }
                }
                _ => Event::WorkerJoined { worker },
            },
            1 => {
                self.left[place] += 1;
                Event::WorkerLeft { worker }
            }
            2 | 3 => Event::LeaseRequested { worker },
            4 | 5 => {
                let (worker, lease) = self.lease(input);
                let pending = (0..input.u8() % 4).map(|_| self.lease(input).1).collect();
                Event::Pulled { worker, lease, pending }
            }
            6 => {
                let (worker, lease) = self.lease(input);
                let steps = if input.u8() < 250 { u64::from(input.u8()) } else { input.u64() };
                Event::Progress { worker, lease, steps }
            }
            7 | 8 => {
                let (worker, lease) = self.lease(input);
                Event::DeltaReceived { worker, lease }
            }
            9 | 10 => self.screened(input),
            11 | 12 => {
                // The data plane reports each version once, in order; now and then one that is not.
                let wild = input.u8() == 255;
                self.merged_version = self.version.min(self.merged_version + 1);
                let number = if wild { input.u64() } else { self.merged_version };
                Event::Merged { version: Version { incarnation: 3, number } }
            }
            13 => {
                let (worker, lease) = self.lease(input);
                Event::LeaseReleased { worker, lease }
            }
            14 => {
                self.now = self.engine.wake_at().map_or(self.now, |at| at.max(self.now));
                Event::Tick
            }
            _ => self.act(input),
        }
    }

    /// What whoever controls the run does; mostly nothing, for a long time.
    fn act(&mut self, input: &mut Input<'_>) -> Event {
        match input.u8() {
            0..8 => Event::Stop,
            8..24 => {
                self.paused = !self.finished;
                Event::Pause
            }
            24..48 => {
                self.paused = false;
                Event::Resume
            }
            48..64 => Event::LearningRate { rate: f64::from_bits(input.u64()) },
            _ => {
                self.now = self.now.plus(u64::from(input.u32()) << (input.u8() % 32));
                Event::Tick
            }
        }
    }

    /// The key of a worker's session; the shell never uses one twice.
    fn key(&self, place: usize) -> WorkerKey {
        WorkerKey(place as u64 + WORKERS as u64 * self.left[place])
    }

    fn screened(&mut self, input: &mut Input<'_>) -> Event {
        let word = input.u8();
        let lease = match self.to_screen.pop() {
            Some(lease) if word < 250 => lease,
            _ => self.lease(input).1,
        };
        let norm = match word % 16 {
            0 => f64::from_bits(input.u64()),
            1 => 0.0,
            _ => f64::from(input.u8()),
        };
        Event::DeltaScreened { lease, finite: word % 32 != 2, length_ok: word % 32 != 3, norm }
    }

    /// A lease with its worker, mostly one of the last; else one that may not be there.
    fn lease(&self, input: &mut Input<'_>) -> (WorkerKey, LeaseId) {
        let word = input.u8();
        let back = usize::from(word % 16);
        match self.leases.len().checked_sub(back + 1) {
            Some(index) if word < 240 => self.leases[index],
            _ => {
                let lease = LeaseId { incarnation: u32::from(word % 4), number: input.u8().into() };
                (self.key(usize::from(word) % WORKERS), lease)
            }
        }
    }

    fn see(&mut self, action: &Action) {
        assert!(!self.finished || !is_work(action), "{action:?} after the end");
        match action {
            Action::Lease { worker, lease } => {
                assert!(lease.samples() > 0);
                assert!(lease.learning_rate.is_finite() && lease.learning_rate >= 0.0);
                // A deterministic run finishes its round first.
                assert!(!self.paused || self.config.deterministic, "a lease in a pause");
                self.leases.push((*worker, lease.id));
            }
            Action::Screen { lease } => self.to_screen.push(*lease),
            Action::Merge { order, .. } => {
                if let Some(version) = order.version() {
                    self.version += 1;
                    assert_eq!(version.number, self.version, "versions rise by one");
                }
            }
            Action::EpochComplete { epoch, summary, .. } => {
                assert_eq!(*epoch, self.epochs, "epochs complete in order");
                self.epochs += 1;
                let counted = summary.samples + summary.dropped_samples();
                assert_eq!(counted, self.config.epoch_samples(), "each row is counted once");
            }
            Action::Finished { .. } => self.finished = true,
            Action::Snapshot { .. } | Action::Acknowledge { .. } | Action::LeaseEnded { .. } => {}
        }
    }
}

/// What may not happen any more when a run is over.
fn is_work(action: &Action) -> bool {
    matches!(
        action,
        Action::Lease { .. }
            | Action::Merge { .. }
            | Action::EpochComplete { .. }
            | Action::Finished { .. }
    )
}
