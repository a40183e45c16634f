//! An engine told one event at a time, and what to look for in its actions.

use engine::{Action, Config, End, Engine, Event, State, Timestamp, WorkerKey};
use protocol::{Lease, LeaseId, Outcome};

use crate::checker::Checker;

/// An engine whose data plane answers at once.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    /// None after a restart: the checker knows nothing of what was before.
    checker: Option<Checker>,
    pub(crate) now: u64,
    pub(crate) norm: f64,
    pub(crate) finite: bool,
}

impl Stage {
    pub(crate) fn new(config: Config) -> Self {
        let checker = Some(Checker::new(&config));
        Self { engine: Engine::new(config).unwrap(), checker, now: 0, norm: 1.0, finite: true }
    }

    /// The next start of the coordinator, from the state as a product stores it.
    pub(crate) fn restart(&self, config: Config) -> Self {
        let text = serde_json::to_string(&self.engine.state().unwrap()).unwrap();
        let state: State = serde_json::from_str(&text).unwrap();
        let config = Config { incarnation: self.engine.version_now().incarnation + 1, ..config };
        let engine = Engine::restore(config, state).unwrap();
        Self { engine, checker: None, now: 0, norm: 1.0, finite: true }
    }

    fn see(&mut self, actions: &[Action]) {
        self.checker.iter_mut().for_each(|checker| checker.see(actions));
    }

    /// Tells an event, answers what the data plane would, and returns all actions.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.engine.handle(Timestamp(self.now), event);
        self.see(&actions);
        let mut seen = 0;
        while seen < actions.len() {
            let answer = match &actions[seen] {
                Action::Screen { lease } => {
                    let (lease, norm, finite) = (*lease, self.norm, self.finite);
                    Some(Event::DeltaScreened { lease, finite, length_ok: true, norm })
                }
                Action::Merge { order, .. } => {
                    order.version().map(|version| Event::Merged { version })
                }
                _ => None,
            };
            seen += 1;
            if let Some(answer) = answer {
                let more = self.engine.handle(Timestamp(self.now), answer);
                self.see(&more);
                actions.extend(more);
            }
        }
        actions
    }

    pub(crate) fn join(&mut self, worker: u64) -> Vec<Action> {
        self.tell(Event::WorkerJoined { worker: WorkerKey(worker) })
    }

    pub(crate) fn request(&mut self, worker: u64) -> Option<Lease> {
        leases(&self.tell(Event::LeaseRequested { worker: WorkerKey(worker) })).pop()
    }

    pub(crate) fn pull(&mut self, worker: u64, lease: &Lease, pending: &[&Lease]) -> Vec<Action> {
        let pending = pending.iter().map(|lease| lease.id).collect();
        self.tell(Event::Pulled { worker: WorkerKey(worker), lease: lease.id, pending })
    }

    pub(crate) fn deliver(&mut self, worker: u64, lease: &Lease) -> Vec<Action> {
        self.tell(Event::DeltaReceived { worker: WorkerKey(worker), lease: lease.id })
    }

    /// Pulls, trains for so long and delivers.
    pub(crate) fn work(&mut self, worker: u64, lease: &Lease, time: u64) -> Vec<Action> {
        self.pull(worker, lease, &[]);
        self.now += time;
        self.deliver(worker, lease)
    }

    pub(crate) fn tick(&mut self, time: u64) -> Vec<Action> {
        self.now = time;
        self.tell(Event::Tick)
    }
}

pub(crate) fn leases(actions: &[Action]) -> Vec<Lease> {
    let leases = actions.iter().filter_map(|action| match action {
        Action::Lease { lease, .. } => Some(lease.clone()),
        _ => None,
    });
    leases.collect()
}

pub(crate) fn outcome(actions: &[Action], of: LeaseId) -> Option<Outcome> {
    actions.iter().find_map(|action| match action {
        Action::Acknowledge { lease, outcome, .. } if *lease == of => Some(*outcome),
        _ => None,
    })
}

pub(crate) fn snapshot(actions: &[Action]) -> Option<(u64, Vec<LeaseId>)> {
    actions.iter().find_map(|action| match action {
        Action::Snapshot { version, contains, .. } => Some((version.number, contains.clone())),
        _ => None,
    })
}

pub(crate) fn end(actions: &[Action], of: LeaseId) -> Option<End> {
    actions.iter().find_map(|action| match action {
        Action::LeaseEnded { lease, end, .. } if *lease == of => Some(*end),
        _ => None,
    })
}
