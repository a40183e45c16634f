//! The world: one queue of what happens, one clock, and everything else around it.

use std::collections::BTreeMap;

use engine::{Event, Frequency, Mode, Timestamp};
use protocol::{LeaseId, TensorTable};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::failure::{Check, ensure, fail};
use crate::model::Model;
use crate::net::{Down, Net, Up};
use crate::plan::{Fault, Kind, Plan, SECOND};
use crate::shell::Above;
use crate::training::{digest, first_values, table};
use crate::worker::Worker;

/// After the last fault: the loss of a connection is noticed and its grace is over.
const SETTLED: u64 = 90 * SECOND;
/// I8: in quiet times the version rises at least so often.
const QUIET_MAX: u64 = 60 * SECOND;
/// No run takes so many events.
const EVENTS_MAX: u64 = 3_000_000;
/// Events that may happen in one microsecond.
const AT_ONCE_MAX: u64 = 200_000;

/// Something that will happen. Timers name the life or start that they belong to.
#[derive(Debug)]
pub(crate) enum Due {
    Connect(usize, u64),
    Up(u64, Up),
    Down(u64, Down),
    /// The coordinator notices that a connection is lost.
    LostAbove(u64),
    /// The worker does.
    LostBelow(u64),
    Grace(usize, u64),
    Trained(usize, u64, LeaseId),
    PullNow(usize, u64),
    Progress(usize, u64, LeaseId),
    Plane(u64),
    Screened(u64, LeaseId),
    Store(u64),
    Fault(Fault),
    Revive(usize, u64),
    Start,
    Resume,
    Quiet,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of the last master.
    pub(crate) digest: u64,
    pub(crate) merges: u64,
    pub(crate) microseconds: u64,
    pub(crate) events: u64,
    pub(crate) starts: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) table: TensorTable,
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Due>,
    number: u64,
    pub(crate) dice: Dice,
    pub(crate) net: Net,
    pub(crate) workers: Vec<Worker>,
    pub(crate) above: Option<Above>,
    /// Starts of the coordinator so far.
    pub(crate) starts: u64,
    /// Sessions so far: keys are never used twice.
    pub(crate) sessions: u64,
    pub(crate) checkpoints: u64,
    pub(crate) rots: u64,
    pub(crate) disk: Disk,
    pub(crate) model: Model,
    /// When a version rose last, or the run went on otherwise.
    pub(crate) risen: u64,
    pub(crate) over: bool,
    /// Somebody has stopped the run since the coordinator started.
    pub(crate) stopped: bool,
    events: u64,
    at_once: u64,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: &Plan, trace: bool) -> Self {
        let table = table();
        let values = first_values(&table, plan.seed);
        let mut world = Self {
            model: Model::new(&plan.config, &table, &values, digest(&values)),
            workers: plan.fleet.iter().map(|worker| Worker::new(*worker)).collect(),
            dice: Dice::new(plan.chance, 3),
            table,
            now: 0,
            queue: BTreeMap::new(),
            number: 0,
            net: Net::default(),
            above: None,
            starts: 0,
            sessions: 0,
            checkpoints: 0,
            rots: 0,
            disk: Disk::default(),
            risen: 0,
            over: false,
            stopped: false,
            events: 0,
            at_once: 0,
            trace: trace.then(Vec::new),
            plan: plan.clone(),
        };
        world.log(|| format!("{:?}", plan.config));
        for (index, worker) in plan.fleet.iter().enumerate() {
            world.log(|| format!("worker {index}: {worker:?}"));
        }
        world.at(0, Due::Start);
        for (index, worker) in plan.fleet.iter().enumerate() {
            world.at(worker.joins, Due::Connect(index, 0));
        }
        for (time, fault) in &plan.faults {
            world.at(*time, Due::Fault(*fault));
        }
        world.at(world.plan.quiet, Due::Quiet);
        world
    }

    pub(crate) fn at(&mut self, time: u64, due: Due) {
        self.number += 1;
        self.queue.insert((time.max(self.now), self.number), due);
    }

    pub(crate) fn after(&mut self, time: u64, due: Due) {
        self.at(self.now + time, due);
    }

    pub(crate) fn log(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} s  {}", now as f64 / 1e6, line()));
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Check<Outcome> {
        while !self.over {
            let wake = self.above.as_ref().and_then(|above| above.engine.wake_at());
            let wake = wake.map_or(u64::MAX, |time| time.0.max(self.now));
            let next = self.queue.first_key_value().map_or(u64::MAX, |((time, _), _)| *time);
            let time = wake.min(next);
            ensure!(time < u64::MAX, "I8 liveness", "nothing will happen again");
            self.at_once = if time > self.now { 0 } else { self.at_once + 1 };
            self.events += 1;
            let restless = self.at_once > AT_ONCE_MAX || self.events > EVENTS_MAX;
            ensure!(!restless, "I8 liveness", "there is no end of events");
            self.now = time;
            self.check_liveness()?;
            if wake < next {
                self.tell(Event::Tick)?;
                let again = self.above.as_ref().and_then(|above| above.engine.wake_at());
                let later = again != Some(Timestamp(wake)) || wake > time;
                ensure!(later, "I8 liveness", "a tick does not move the engine's alarm");
            } else if let Some((_, due)) = self.queue.pop_first() {
                self.happen(due)?;
            }
        }
        self.finish()
    }

    fn happen(&mut self, due: Due) -> Check {
        match due {
            Due::Connect(worker, life) => self.connect(worker, life),
            Due::Up(conn, message) => return self.arrive_above(conn, message),
            Due::Down(conn, message) => return self.arrive_below(conn, message),
            Due::LostAbove(conn) => return self.lost_above(conn),
            Due::LostBelow(conn) => self.lost_below(conn),
            Due::Grace(worker, stamp) => return self.grace_over(worker, stamp),
            Due::Trained(worker, life, lease) => self.trained(worker, life, lease),
            Due::PullNow(worker, life) => self.pull_now(worker, life),
            Due::Progress(worker, life, lease) => self.progress(worker, life, lease),
            Due::Plane(start) => return self.work_plane(start),
            Due::Screened(start, lease) => return self.screened(start, lease),
            Due::Store(start) => return self.store_step(start),
            Due::Fault(fault) => return self.go_wrong(fault),
            Due::Revive(worker, life) => self.revive(worker, life),
            Due::Start => return self.start(),
            Due::Resume => return self.tell(Event::Resume),
            Due::Quiet => self.grow_quiet(),
        }
        Ok(())
    }

    /// I8: with an honest worker and without faults the version rises.
    fn check_liveness(&self) -> Check {
        let since = self.risen.max(self.plan.quiet + SETTLED);
        let honest = self.workers.iter().any(|worker| worker.plan.kind == Kind::Honest);
        let quiet = self.now.saturating_sub(since);
        ensure!(
            !honest || quiet <= QUIET_MAX + self.slowness(),
            "I8 liveness",
            "no version for {} s",
            quiet / SECOND
        );
        Ok(())
    }

    /// What one lease takes the fastest honest worker; in rounds what three take the slowest: the
    /// one in training and the one after it may both be waited for.
    fn slowness(&self) -> u64 {
        let config = &self.plan.config;
        let honest = self.plan.fleet.iter().filter(|worker| worker.kind == Kind::Honest);
        let rates = honest.map(|worker| worker.rate);
        let rate = match config.mode {
            Mode::Asynchronous | Mode::Hogwild
                if matches!(config.frequency, Frequency::Batch | Frequency::Steps(_)) =>
            {
                rates.fold(0.0, f64::max)
            }
            // Somebody slow may have had the whole epoch before the others came.
            Mode::Asynchronous | Mode::Hogwild => rates.fold(f64::MAX, f64::min),
            Mode::Synchronous => rates.fold(f64::MAX, f64::min) / 3.0,
        };
        let samples = match config.frequency {
            Frequency::Batch => u64::from(config.batch_size),
            Frequency::Steps(steps) => u64::from(steps * config.batch_size),
            Frequency::Epoch | Frequency::Auto => config.epoch_samples(),
        };
        (samples as f64 / rate * 1e6) as u64
    }

    fn finish(&mut self) -> Check<Outcome> {
        let Some(above) = &self.above else {
            fail!("ends", "the run is over without a coordinator");
        };
        self.model.finish(&above.engine.status(), self.stopped)?;
        above.check_memory(&self.model)?;
        Ok(Outcome {
            digest: digest(above.master.values()) ^ digest(above.master.momentum()).rotate_left(1),
            merges: self.model.merges(),
            microseconds: self.now,
            events: self.events,
            starts: self.starts,
        })
    }

    /// Tells the engine, lets the model look at the answer, and carries it out.
    pub(crate) fn tell(&mut self, event: Event) -> Check {
        self.log(|| format!("{event:?}"));
        let Some(above) = &mut self.above else { return Ok(()) };
        self.model.before(&event);
        let actions = above.engine.handle(Timestamp(self.now), event);
        if let Some(trace) = &mut self.trace {
            trace.extend(actions.iter().map(|action| format!("                 -> {action:?}")));
        }
        self.model.after(&actions)?;
        let same = digest(above.master.values()) == above.digest;
        ensure!(same, "I3 digest", "the master has changed without a merge");
        for action in actions {
            self.act(action)?;
        }
        if self.events.is_multiple_of(256)
            && let Some(above) = &self.above
        {
            above.check_memory(&self.model)?;
        }
        self.offer_checkpoint()
    }
}
