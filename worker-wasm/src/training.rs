//! The training task. It shares the Web Worker's one thread with the socket: after some
//! milliseconds of computing it lets the event loop have its turn.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use model::{Plan, Spec};
use protocol::Assignment;
use protocol::message::DeviceKind;
use worker_core::{Input, Job, LeaseTrainer, Trained, probe};

use crate::device::Processor;
use crate::news::{News, tell};
use crate::scope::{memory_bytes, now, sleep, turn};
use crate::shell;

/// Longest computing before the event loop has its turn.
const SLICE: Duration = Duration::from_millis(8);

/// Least time between two reports of progress to the state machine. It pulls when a step says that it
/// is time: the timer waits for the event loop's turn.
const STEP_INTERVAL: Duration = Duration::from_millis(1);

/// Least time between two reports of progress to the page.
const NEWS_INTERVAL: Duration = Duration::from_millis(250);

/// Batch size at which `auto` compares devices, when no lease has named one yet.
const PROBE_BATCH: usize = 64;

/// Least part of the time that a person may grant.
pub(crate) const DUTY_MIN: f64 = 0.05;

thread_local! {
    /// Part of the time that may be spent computing.
    static DUTY: Cell<f64> = const { Cell::new(1.0) };
}

/// What the training task is told to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Build the model of a run.
    Prepare(Arc<Assignment>),
    /// Train a lease.
    Train(Box<Job>),
}

/// Sets the part of the time that may be spent computing.
pub(crate) fn set_duty(duty: f64) {
    DUTY.set(if duty.is_finite() { duty.clamp(DUTY_MIN, 1.0) } else { 1.0 });
}

/// Does what it is told, one thing after the other.
pub(crate) async fn run(processors: Rc<Vec<Processor>>, mut work: UnboundedReceiver<Work>) {
    let mut trainer = None;
    let mut pace = Pace::default();
    while let Some(work) = work.next().await {
        let input = match work {
            Work::Prepare(assignment) => {
                let result = prepare(&processors, &assignment).await;
                let answer = result.as_ref().map(|_| ()).map_err(Clone::clone);
                trainer = result.ok();
                Input::Prepared(answer)
            }
            Work::Train(job) => Input::Trained(match &mut trainer {
                Some(trainer) => train(trainer, *job, &mut pace).await,
                None => Err("a lease came before its model".to_owned()),
            }),
        };
        shell::feed(input);
    }
}

async fn prepare(
    processors: &[Processor],
    assignment: &Assignment,
) -> Result<LeaseTrainer, String> {
    let spec = Spec::from_json(&assignment.spec).map_err(|error| error.to_string())?;
    let plan = Plan::new(&spec).map_err(|error| error.to_string())?;
    let mut speeds = vec![None; processors.len()];
    if processors.len() > 1 {
        for (speed, processor) in speeds.iter_mut().zip(processors) {
            turn().await;
            *speed = probe::steps_per_second(&plan, &processor.device, PROBE_BATCH, now).await;
        }
    }
    let chosen = probe::fastest(&speeds);
    let of = |kind| {
        let at = processors.iter().position(|processor| processor.kind == kind);
        at.and_then(|index| speeds[index])
    };
    let Processor { kind, name, device } = &processors[chosen];
    tell(&News::Device {
        kind: if *kind == DeviceKind::Gpu { "gpu" } else { "cpu" },
        name: name.clone(),
        cpu: of(DeviceKind::Cpu),
        gpu: of(DeviceKind::Gpu),
    });
    tell(&News::Run { name: assignment.name.clone(), parameters: plan.parameters() as f64 });
    shell::chosen(chosen);
    LeaseTrainer::new(assignment, device).map_err(|error| error.to_string())
}

async fn train(
    trainer: &mut LeaseTrainer,
    job: Job,
    pace: &mut Pace,
) -> Result<Option<Trained>, String> {
    let (lease, batch) = (job.lease.id, u64::from(job.lease.batch_size));
    let samples = job.lease.samples();
    let mut reported = Duration::ZERO;
    pace.begin();
    let progress = async |steps: u64| {
        pace.trained(samples.min(steps * batch) - samples.min((steps - 1) * batch));
        let time = now();
        if steps == 1 || time.saturating_sub(reported) >= STEP_INTERVAL {
            reported = time;
            shell::feed(Input::Step { lease, steps });
        }
        pace.rest().await;
    };
    let trained = trainer.train(job, progress).await.map_err(|error| error.to_string())?;
    if let Some(trained) = &trained {
        let report = &trained.report;
        pace.loss = Some(report.loss_sum / report.samples.max(1) as f64);
    }
    Ok(trained)
}

/// When to compute, to rest, and to report.
#[derive(Debug, Default)]
struct Pace {
    slice_began: Duration,
    told: Duration,
    samples: u64,
    loss: Option<f64>,
}

impl Pace {
    fn begin(&mut self) {
        self.slice_began = now();
    }

    fn trained(&mut self, samples: u64) {
        self.samples += samples;
        let time = now();
        if time.saturating_sub(self.told) >= NEWS_INTERVAL {
            self.told = time;
            let samples = std::mem::take(&mut self.samples) as f64;
            tell(&News::Progress { samples, loss: self.loss, memory: memory_bytes() });
        }
    }

    /// Gives the event loop its turn, and idles as long as the duty cycle asks.
    async fn rest(&mut self) {
        let busy = now().saturating_sub(self.slice_began);
        if busy < SLICE {
            return;
        }
        let duty = DUTY.get();
        if duty < 1.0 {
            sleep(busy.mul_f64(1.0 / duty - 1.0)).await;
        } else {
            turn().await;
        }
        self.slice_began = now();
    }
}
