//! Progress: a bar on a terminal, plain lines elsewhere. All of it on standard error.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::Status;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::Plan;
use qrcode::render::unicode;

use super::links::{self, Place};
use super::reach::Reach;
use super::start::Made;
use super::summary::{grouped, percent};
use crate::config::Job;
use crate::run::{Display, EpochRecord, Tally};

/// Redraws a second: a bar costs little, but not nothing.
const REDRAWS_PER_SECOND: u8 = 8;

/// Waiting for workers is said again so often.
const WAITING_INTERVAL: Duration = Duration::from_secs(30);

/// Prints lines so that they do not disturb the bar.
#[derive(Debug, Clone)]
pub(super) struct Log {
    bar: ProgressBar,
}

impl Log {
    /// Prints one line.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprint_line(line));
    }
}

/// Prints one line where no bar can be disturbed: before a run starts and after it has ended.
#[allow(clippy::print_stderr, reason = "this is the command line")]
pub(crate) fn eprint_line(line: &str) {
    eprintln!("{line}");
}

/// Prints a warning before a run starts.
pub(super) fn warn(warning: &str) {
    eprint_line(&format!("warning: {warning}"));
}

/// What a person sees of a run.
pub(super) struct Terminal {
    log: Log,
    head: Vec<String>,
    total: u64,
    min_workers: u32,
    started: bool,
    said_waiting: Option<Instant>,
}

impl Terminal {
    /// A display for a run that is reached so and has made these tokens.
    pub(super) fn new(job: &Job, reach: &Reach, made: &Made, folder: &Path) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(
                None,
                ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
            )
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let place = reach.network();
        let mut head = vec![
            format!("run     {} in {}", job.name, folder.display()),
            format!("join    {}", place.worker(made.worker.reveal())),
        ];
        head.extend(page_lines(reach, &place, made.worker.reveal()));
        head.push(format!("watch   {}", place.dashboard(made.viewer.reveal())));
        head.push(format!("admin   {}", place.dashboard(made.admin.reveal())));
        if let Some(fingerprint) = reach.fingerprint() {
            head.push(format!("tls     self-signed, SHA-256 {fingerprint}"));
        }
        let min_workers = job.fleet.workers_at_start();
        Self { log: Log { bar }, head, total: 0, min_workers, started: false, said_waiting: None }
    }

    /// For lines from elsewhere.
    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Says what is going to happen.
    pub(super) fn begin(&mut self, plan: &Plan, goes_on: Option<&str>) {
        for line in &self.head {
            self.log.say(line);
        }
        let parameters = grouped(plan.parameters());
        self.log.say(&format!("model   {parameters} parameters"));
        if let Some(goes_on) = goes_on {
            self.log.say(&format!("goes on {goes_on}"));
        }
    }
}

/// The link that volunteers open, and the same as a picture for phones.
fn page_lines(reach: &Reach, place: &Place, token: &str) -> Vec<String> {
    if !crate::server::page_is_built() {
        let remedy = "not in this build of herd: run `cargo xtask wasm` and build again";
        return vec![format!("page    {remedy}")];
    }
    let link = place.page(token);
    let mut lines = vec![format!("page    {link}")];
    // A phone cannot open a link to this machine's own loopback.
    if reach.is_here_only() {
        lines.push(
            "        for this machine alone; --listen 0.0.0.0:7700 lets others in".to_owned(),
        );
    }
    if reach.has_two() {
        lines.push(format!("here    {}", reach.here().page(token)));
    }
    let terminal = std::io::stderr().is_terminal();
    if (terminal || !reach.is_here_only())
        && let Some(code) = links::picture(&link)
    {
        let picture = code.render::<unicode::Dense1x2>().build();
        // Black on white whatever the terminal's colours are: not every camera reads the inverse.
        let (before, after) = if terminal { ("\x1b[30;107m", "\x1b[0m") } else { ("", "") };
        lines.extend(picture.lines().map(|row| format!("        {before}{row}{after}")));
    }
    lines
}

impl Display for Terminal {
    fn say(&mut self, line: &str) {
        self.log.say(line);
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        let mut line = format!("epoch {:>3}/{epochs}", record.epoch);
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push_str(&format!("  {name} {value}"));
            }
        };
        add("loss", record.training_loss.map(|loss| format!("{loss:.4}")));
        add("validation loss", record.validation_loss.map(|loss| format!("{loss:.4}")));
        add("accuracy", record.validation_accuracy.map(percent));
        add("mae", record.validation_mae.map(|mae| format!("{mae:.4}")));
        let counts = &record.counts;
        add("samples", Some(grouped(counts.samples)));
        add("released", (counts.released > 0).then(|| counts.released.to_string()));
        let refused = counts.rejected.iter().map(|(why, count)| format!("{count} {}", why.name()));
        let refused: Vec<_> = refused.collect();
        add("refused", (!refused.is_empty()).then(|| refused.join(", ")));
        let dropped = counts.dropped_samples();
        add("dropped", (dropped > 0).then(|| dropped.to_string()));
        self.log.say(&line);
    }

    fn status(&mut self, status: &Status, tally: &Tally) {
        let bar = &self.log.bar;
        if self.total == 0 {
            self.total = status.total_samples;
            bar.set_length(self.total);
        }
        bar.set_position(status.merged_samples);
        self.started |= status.totals.leases > 0;
        if !self.started {
            let due = self.said_waiting.is_none_or(|said| said.elapsed() > WAITING_INTERVAL);
            let here = status.workers.len();
            if due && bar.is_hidden() {
                self.said_waiting = Some(Instant::now());
                self.log
                    .say(&format!("waiting for workers: {here} of {} are here", self.min_workers));
            }
            self.log
                .bar
                .set_message(format!("waiting for workers: {here} of {}", self.min_workers));
            return;
        }
        bar.set_message(format!(
            "epoch {}/{}  {} samples/s  {} workers  {} merges",
            (status.epoch + 1).min(status.epochs),
            status.epochs,
            grouped(tally.samples_per_second() as u64),
            status.workers.len(),
            grouped(status.merges),
        ));
        if status.finished {
            bar.finish_and_clear();
        }
    }
}
