//! Scenarios by name, and the run of one seed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use engine::sabotage::Bug;

use crate::dice::Dice;
use crate::failure::{Check, Failure, Finding, fail};
use crate::plan::Plan;
use crate::world::{Outcome, World};

/// Events that a failure shows.
const EVENTS_SHOWN: usize = 30;

/// What is special about a run. All of them have some of every fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Anything.
    Random,
    /// Links are stopped one by one, and let go in another order.
    SwizzleClog,
    /// The coordinator fails after each step of storing a checkpoint, in a run of its own.
    CheckpointCrash,
    /// All workers fail at once.
    AllVanish,
    /// A worker's connection breaks every few seconds.
    Flapping,
    /// Half of the workers are a hundred times slower.
    HalfSlow,
    /// A thousand workers join within a second.
    Herd,
    /// Workers push everything again and again.
    Duplicates,
    /// The coordinator's machine fails, and checkpoints rot.
    TornWrites,
    /// Half of the workers mean no good.
    Hostile,
    /// The coordinator's machine fails again and again.
    RestartStorm,
    /// Two runs of one configuration, one calm and one not, end with the same master.
    Deterministic,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Random,
        Self::SwizzleClog,
        Self::CheckpointCrash,
        Self::AllVanish,
        Self::Flapping,
        Self::HalfSlow,
        Self::Herd,
        Self::Duplicates,
        Self::TornWrites,
        Self::Hostile,
        Self::RestartStorm,
        Self::Deterministic,
    ];

    /// As one types it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::SwizzleClog => "swizzle-clog",
            Self::CheckpointCrash => "checkpoint-crash",
            Self::AllVanish => "all-vanish",
            Self::Flapping => "flapping",
            Self::HalfSlow => "half-slow",
            Self::Herd => "herd",
            Self::Duplicates => "duplicates",
            Self::TornWrites => "torn-writes",
            Self::Hostile => "hostile",
            Self::RestartStorm => "restart-storm",
            Self::Deterministic => "deterministic",
        }
    }

    /// The scenario of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// The scenario that a seed stands for where none is named. A thousand workers take as long as
    /// many other runs: they come once in two hundred seeds.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let others = || Self::ALL.into_iter().filter(|scenario| *scenario != Self::Herd);
        if seed % 200 == 199 {
            return Self::Herd;
        }
        others().nth((seed % 11) as usize).unwrap_or(Self::Random)
    }
}

/// What the runs of a seed came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Simulated time.
    pub microseconds: u64,
    /// Events told or happened.
    pub events: u64,
    /// Starts of the coordinator.
    pub starts: u64,
    /// Merges that count.
    pub merges: u64,
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
        self.microseconds += outcome.microseconds;
        self.events += outcome.events;
        self.starts += outcome.starts;
        self.merges += outcome.merges;
    }
}

/// Runs a seed.
///
/// # Errors
/// With what broke a promise, and the events before it.
pub fn run(scenario: Scenario, seed: u64, bug: Option<Bug>) -> Result<Report, Box<Failure>> {
    let mut report = Report::default();
    let mut digest = None;
    for plan in plans(scenario, seed, bug) {
        match attempt(&plan, &mut None) {
            Ok(outcome) => {
                report.add(&outcome);
                if scenario == Scenario::Deterministic
                    && let Some(before) = digest.replace(outcome.digest)
                    && before != outcome.digest
                {
                    let message = format!("the master of run {} is another one", plan.chance);
                    let finding = Finding { checker: "determinism", message };
                    return Err(failure(&plan, finding, Vec::new()));
                }
            }
            Err(finding) => {
                // Once more with a record: it costs too much to keep one of every run.
                let mut trace = Some(Vec::new());
                let again = attempt(&plan, &mut trace).err();
                return Err(failure(&plan, again.unwrap_or(finding), trace.unwrap_or_default()));
            }
        }
    }
    Ok(report)
}

/// Every event of a seed's runs, as it happened.
#[must_use]
pub fn record(scenario: Scenario, seed: u64) -> Vec<String> {
    let mut events = Vec::new();
    for plan in plans(scenario, seed, None) {
        let mut trace = Some(Vec::new());
        let outcome = attempt(&plan, &mut trace);
        events.extend(trace.unwrap_or_default());
        events.push(format!("{outcome:?}"));
    }
    events
}

/// A panic of the engine is a finding with a seed: nothing else is to be said of it.
static HOOK: Once = Once::new();
thread_local! {
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
}

fn failure(plan: &Plan, finding: Finding, events: Vec<String>) -> Box<Failure> {
    let Finding { checker, message } = finding;
    let (scenario, seed, shown) = (plan.scenario, plan.seed, EVENTS_SHOWN);
    Box::new(Failure { checker, message, scenario, seed, events, shown })
}

/// The runs that a seed stands for.
fn plans(scenario: Scenario, seed: u64, bug: Option<Bug>) -> Vec<Plan> {
    let plan = |chance| Plan { bug, ..Plan::new(scenario, seed, chance) };
    match scenario {
        Scenario::CheckpointCrash => {
            let nth = Dice::new(seed, 9).below(3);
            let steps = 0..engine::checkpoint::Step::ALL.len();
            steps.map(|step| Plan { crash_at: Some((nth, step)), ..plan(seed) }).collect()
        }
        Scenario::Deterministic => {
            let calm = Plan { faults: Vec::new(), ..plan(seed) };
            vec![calm, plan(seed + 1_000_000), plan(seed + 2_000_000)]
        }
        _ => vec![plan(seed)],
    }
}

fn attempt(plan: &Plan, trace: &mut Option<Vec<String>>) -> Check<Outcome> {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !SIMULATES.get() {
                usual(panic);
            }
        }));
    });
    let mut world = World::new(plan, trace.is_some());
    SIMULATES.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    SIMULATES.set(false);
    *trace = world.trace.take();
    match result {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            fail!("engine's own", "panic: {}", text.unwrap_or_default())
        }
    }
}
