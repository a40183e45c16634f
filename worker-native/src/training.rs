//! The training thread: it alone touches tensors, so that network and training overlap.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use model::{Plan, Spec};
use protocol::Assignment;
use tokio::sync::mpsc as events;
use worker_core::{Input, Job, LeaseTrainer};

use crate::device::{Processor, fastest};

/// Least time between two reports of progress to the transport thread.
const STEP_INTERVAL: Duration = Duration::from_millis(5);

/// Batch size at which `auto` compares devices, when no lease has named one yet.
const PROBE_BATCH: usize = 64;

/// Reports that may wait for the transport thread; training waits when it is full.
const EVENTS_MAX: usize = 64;

/// Only for tests of Herd: the worker trains no more samples a second than this, so that a fleet of
/// unequal workers fits on one machine.
const TEST_SPEED: &str = "HERD_TEST_SAMPLES_PER_SECOND";

/// What the training thread is told to do.
#[derive(Debug)]
pub enum Work {
    /// Build the model of a run.
    Prepare(Arc<Assignment>),
    /// Train a lease.
    Train(Box<Job>),
}

/// What the training thread says.
#[derive(Debug)]
pub enum Event {
    /// News for the worker's state machine.
    Input(Input),
    /// `auto` has decided for this processor.
    Chosen(usize),
}

/// The transport thread's end of the training thread.
#[derive(Debug)]
pub struct Training {
    /// Takes work; the thread ends when this is dropped.
    pub work: mpsc::Sender<Work>,
    /// Gives news.
    pub events: events::Receiver<Event>,
}

/// Starts the training thread with `threads` processor threads.
///
/// # Errors
/// When the system gives no thread.
pub fn start(processors: Vec<Processor>, threads: u16) -> Result<Training, String> {
    let (work, jobs) = mpsc::channel();
    let (sender, events) = events::channel(EVENTS_MAX);
    // Flex's parallel loops run in the pool of the thread that calls them: one pool a worker.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(threads))
        .thread_name(|index| format!("herd-train-{index}"))
        .build()
        .map_err(|error| error.to_string())?;
    thread::Builder::new()
        .name("herd-training".to_owned())
        .spawn(move || pool.install(move || train(&processors, jobs, &sender)))
        .map_err(|error| error.to_string())?;
    Ok(Training { work, events })
}

fn train(processors: &[Processor], jobs: mpsc::Receiver<Work>, events: &events::Sender<Event>) {
    let mut trainer = None;
    let speed = std::env::var(TEST_SPEED).ok().and_then(|text| text.parse().ok());
    // The transport thread is gone when a send fails: the process is ending.
    for work in jobs {
        let input = match work {
            Work::Prepare(assignment) => {
                let result = prepare(processors, &assignment, events);
                let answer = result.as_ref().map(|_| ()).map_err(Clone::clone);
                trainer = result.ok();
                Input::Prepared(answer)
            }
            Work::Train(job) => Input::Trained(match &mut trainer {
                Some(trainer) => run(trainer, *job, events, speed),
                None => Err("a lease came before its model".to_owned()),
            }),
        };
        if events.blocking_send(Event::Input(input)).is_err() {
            return;
        }
    }
}

fn prepare(
    processors: &[Processor],
    assignment: &Assignment,
    events: &events::Sender<Event>,
) -> Result<LeaseTrainer, String> {
    let chosen = if processors.len() > 1 {
        let spec = Spec::from_json(&assignment.spec).map_err(|error| error.to_string())?;
        let plan = Plan::new(&spec).map_err(|error| error.to_string())?;
        fastest(processors, &plan, PROBE_BATCH)
    } else {
        0
    };
    // Nobody listens any more only when the process is ending.
    let _ = events.blocking_send(Event::Chosen(chosen));
    LeaseTrainer::new(assignment, &processors[chosen].device).map_err(|error| error.to_string())
}

fn run(
    trainer: &mut LeaseTrainer,
    job: Job,
    events: &events::Sender<Event>,
    speed: Option<u32>,
) -> Result<Option<worker_core::Trained>, String> {
    let (lease, samples) = (job.lease.id, job.lease.samples());
    let batch_size = u64::from(job.lease.batch_size);
    let begun = Instant::now();
    let mut reported = None;
    let progress = async |steps: u64| {
        if let Some(speed) = speed {
            let trained = samples.min(steps * batch_size);
            let due = Duration::from_secs_f64(trained as f64 / f64::from(speed.max(1)));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let now = Instant::now();
        if reported.is_none_or(|at| now.duration_since(at) >= STEP_INTERVAL) {
            reported = Some(now);
            // A full queue means that the transport thread is busy: the next step reports again.
            let _ = events.try_send(Event::Input(Input::Step { lease, steps }));
        }
    };
    pollster::block_on(trainer.train(job, progress)).map_err(|error| error.to_string())
}
